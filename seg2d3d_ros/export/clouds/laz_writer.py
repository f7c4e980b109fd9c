"""LAS 1.4, and LAZ unless the file is called ``.las``: point format 7, with instance and confidence as extra dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.export.clouds.asprs import point_codes
from seg2d3d_ros.export.clouds.ply_writer import PointCounts
from seg2d3d_ros.export.contents import Contents, xyz_of
from seg2d3d_ros.export.libraries import needed

SCALE, DEGREE_SCALE = 1e-4, 1e-9
"""Step of the stored integers, in metres and in degrees (a tenth of a millimetre): millimetres survive, and 32 bits reach
214 km around the offset, or 2° in degrees."""
TO_16_BIT = 257


def export(contents: Contents, path: Path) -> str:
    """Write the chosen cloud.

    Raises:
        UsageError: another ending than .las or .laz.
    """
    return export_parts([contents], path)


def export_parts(parts: Iterable[Contents], path: Path) -> str:
    """The same of a map in parts, at least one, which are read one after the other."""
    if path.suffix.lower() not in (".las", ".laz"):
        raise UsageError(f"{path}: end the name with .laz, or .las for a file without compression")
    laspy = needed("laspy", "LAS and LAZ")
    packed = path.suffix.lower() == ".laz"
    if packed:
        needed("lazrs", "LAZ")
    counts, name, writer = PointCounts(), "", None
    with replacing(path, RuntimeError) as temporary, temporary.open("wb") as file:
        for contents in parts:
            points = contents.points()
            xyz = contents.coordinates.transform(xyz_of(points))
            if writer is None:
                writer = laspy.open(file, mode="w", header=_header(laspy, contents, xyz), do_compress=packed, closefd=False)
            if len(points):
                writer.write_points(_records(laspy, writer.header, contents, points, xyz))
            counts.add(points)
            name = contents.coordinates.name
        if writer is not None:
            writer.close()
    return f"{counts.words}, in {name}"


def _header(laspy: Any, contents: Contents, xyz: np.ndarray) -> Any:
    """Of a file whose first points these are."""
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.offsets, header.scales = offsets_and_scales(xyz, contents.coordinates.geographic)
    header.add_extra_dims(
        [
            laspy.ExtraBytesParams("instance", np.int32, "0 = none"),
            laspy.ExtraBytesParams("confidence", np.float32, "share of the votes"),
        ]
    )
    if contents.coordinates.crs is not None:
        header.add_crs(contents.coordinates.crs)
    return header


def _records(laspy: Any, header: Any, contents: Contents, points: np.ndarray, xyz: np.ndarray) -> Any:
    cloud = laspy.ScaleAwarePointRecord.zeros(len(points), header=header)
    cloud.x, cloud.y, cloud.z = xyz.T
    for color in ("red", "green", "blue"):
        cloud[color] = points[color].astype(np.uint16) * TO_16_BIT
    cloud.classification = point_codes(contents, points["instance"])
    cloud.return_number[:] = 1
    cloud.number_of_returns[:] = 1
    cloud.instance, cloud.confidence = points["instance"], points["confidence"]
    return cloud


def offsets_and_scales(xyz: np.ndarray, geographic: bool) -> tuple[np.ndarray, np.ndarray]:
    """(3,) and (3,): whole numbers near the middle of the cloud (N, 3), and steps fine enough for a tenth of a millimetre."""
    step = DEGREE_SCALE if geographic else SCALE
    middle = np.nanmedian(xyz, axis=0) if len(xyz) else np.zeros(3)
    return np.floor(middle), np.array([step, step, SCALE])
