"""CityJSON 2.0: each footprint extruded to the instance's height, a solid of LoD 1.2 with the instance's attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.clouds.asprs import code_of
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import instance_table
from seg2d3d_ros.export.gis.geojson_writer import plain

STEP = 0.001
"""Metres: vertices are whole millimetres from the lowest corner."""
KINDS = {5: "SolitaryVegetationObject", 6: "Building", 9: "WaterBody", 10: "Railway", 11: "Road", 17: "Bridge"}
FURNITURE = ("pole", "sign", "lamp", "light", "bin", "hydrant", "manhole", "bench", "bollard", "mailbox", "fence")


def export(contents: Contents, path: Path) -> str:
    """Write one city object for each instance with a box.

    Raises:
        DataError: the system has degrees, which CityJSON does not want.
    """
    if contents.coordinates.geographic:
        raise DataError(f"CityJSON wants metres, and {contents.coordinates.name} has degrees: take a projected system")
    table = instance_table(contents)
    objects: dict[str, Any] = {}
    corners: list[np.ndarray] = []
    for row, ring in zip(table.rows(), table.shapes, strict=True):
        attributes = {name: plain(value) for name, value in row.items() if value is not None}
        thing: dict[str, Any] = {"type": kind_of(row["class"]), "attributes": attributes}
        objects[f"instance-{row['id']}"] = thing
        if ring is not None:
            first = 8 * len(corners)
            corners.append(np.concatenate([ring[:4], ring[:4] + [0.0, 0.0, row["height"]]]))
            thing["geometry"] = [{"type": "Solid", "lod": "1.2", "boundaries": [_shell(first)]}]
    every = np.concatenate([np.empty((0, 3)), *corners])
    low = np.floor(every.min(axis=0)) if len(every) else np.zeros(3)
    document: dict[str, Any] = {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [STEP] * 3, "translate": low.tolist()},
        "CityObjects": objects,
        "vertices": np.rint((every - low) / STEP).astype(np.int64).tolist(),
    }
    authority = None if contents.coordinates.crs is None else contents.coordinates.crs.to_authority()
    if authority:
        document["metadata"] = {"referenceSystem": f"https://www.opengis.net/def/crs/{authority[0]}/0/{authority[1]}"}
    write_json(path, document)
    return f"{len(objects)} city objects, {len(corners)} of them with a solid, in {contents.coordinates.name}"


def kind_of(name: str) -> str:
    """The CityJSON type of a class name."""
    if any(word in FURNITURE for word in name.lower().replace("-", " ").split()):
        return "CityFurniture"
    return KINDS.get(code_of(name, {}) or 0, "OtherConstruction")


def _shell(first: int) -> list[list[list[int]]]:
    """The six faces of a box, anticlockwise from outside; its lower corners are ``first`` … + 3, the upper ones + 4 … + 7."""
    faces = [[3, 2, 1, 0], [4, 5, 6, 7], *([k, (k + 1) % 4, (k + 1) % 4 + 4, k + 4] for k in range(4))]
    return [[[first + corner for corner in face]] for face in faces]
