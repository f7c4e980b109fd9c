"""E57: one scan for each instance and one for the rest, in metres around the origin of the map, with its pose in the system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.clouds.ply_writer import in_words
from seg2d3d_ros.export.contents import Contents, xyz_of
from seg2d3d_ros.export.libraries import needed


def export(contents: Contents, path: Path) -> str:
    """Write the chosen cloud; scans are called ``building 7`` by class and id, and ``unlabelled``.

    Raises:
        DataError: the cloud holds no points, or the system has degrees, in which E57 has no lengths.
    """
    pye57 = needed("pye57", "E57")
    if contents.coordinates.geographic:
        raise DataError(f"E57 has metres, and {contents.coordinates.name} degrees: take a projected system, e.g. the default")
    points = contents.points()
    if len(points) == 0:
        raise DataError(f"{contents.store.root}: the cloud holds no points")
    xyz = contents.coordinates.transform(xyz_of(points))
    origin = np.floor(np.median(xyz, axis=0))
    names = {0: "unlabelled"} | {item["id"]: f"{item['class']} {item['id']}" for item in contents.instances}
    with replacing(path, pye57.libe57.E57Exception) as temporary:
        file = _file(pye57, temporary, contents.coordinates.wkt or "")
        try:
            for instance in np.unique(points["instance"]).tolist():
                mine = points["instance"] == instance
                # A scan's own coordinates are single precision: the pose carries the large numbers.
                data = {f"cartesian{axis}": xyz[mine, k] - origin[k] for k, axis in enumerate("XYZ")}
                data |= {f"color{color.capitalize()}": points[color][mine] for color in ("red", "green", "blue")}
                file.write_scan_raw(data, name=names[instance], rotation=np.array([1.0, 0.0, 0.0, 0.0]), translation=origin)
            file.close()
        except pye57.libe57.E57Exception:
            file.close = lambda: None  # what its destructor calls, which would fail again
            raise
    return f"{in_words(points)}, in {contents.coordinates.name}"


def _file(pye57: Any, path: Path, system: str) -> Any:
    """A new file whose header names the coordinate reference system."""
    library = pye57.libe57

    class File(pye57.E57):
        def write_default_header(self) -> None:
            """The header of pye57, whose field for the system is empty and cannot be set again."""
            self.image_file.extensionsAdd("", library.E57_V1_0_URI)
            texts = {"formatName": "ASTM E57 3D Imaging Data File", "guid": "{seg2d3d_ros}", "coordinateMetadata": system}
            texts["e57LibraryVersion"] = library.E57_LIBRARY_ID
            for name, text in texts.items():
                self.root.set(name, library.StringNode(self.image_file, text))
            for name, value in (("versionMajor", library.E57_FORMAT_MAJOR), ("versionMinor", library.E57_FORMAT_MINOR)):
                self.root.set(name, library.IntegerNode(self.image_file, value))
            for name in ("data3D", "images2D"):
                self.root.set(name, library.VectorNode(self.image_file, True))

    return File(str(path), mode="w")
