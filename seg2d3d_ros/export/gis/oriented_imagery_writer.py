"""Oriented Imagery table (CSV), by which ArcGIS adds images to such a dataset: each photograph with its place and attitude."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import camera_table
from seg2d3d_ros.geometry.camera import Camera

FAR = 50.0
"""Metres: up to where a photograph of a street is of use."""


def export(contents: Contents, path: Path) -> str:
    """Write one row for each registered image; pitch is 0 straight down and 90 at the horizon, as the table defines it."""
    table = camera_table(contents)
    crs = contents.coordinates.crs
    authority = None if crs is None else crs.to_authority()
    text = io.StringIO()
    names = ["Name", "ImagePath", "AcquisitionDate", "X", "Y", "Z", "SRS", "CameraHeading", "CameraPitch", "CameraRoll"]
    names += ["HorizontalFieldOfView", "VerticalFieldOfView", "FarDistance", "OrientedImageryType", "Instances"]
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(names)
    shown: dict[str, list[str]] = {}
    for item in contents.placed:
        for name in {observed["image"] for observed in item["observations"]}:
            shown.setdefault(name, []).append(str(item["id"]))
    for row, place, camera in zip(table.rows(), table.shapes, contents.models[0].cameras, strict=True):
        assert place is not None
        time = row["time"]
        horizontal, vertical = fields_of_view(camera)
        rows.writerow(
            [row["image"], row["file"] or "", "" if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")]
            + [repr(float(value)) for value in place[0]]
            + ["" if authority is None else authority[1]]
            + [f"{angle:.4f}" for angle in (row["heading"], row["pitch"] + 90.0, row["roll"], horizontal, vertical)]
            + [f"{FAR:g}", "Horizontal", " ".join(shown.get(row["image"], []))]
        )
    write_text(path, text.getvalue())
    return f"{len(table)} images, in {contents.coordinates.name}"


def fields_of_view(camera: Camera) -> tuple[float, float]:
    """Horizontal and vertical, in degrees, through the principal point."""
    (x, y), width, height = camera.principal_point, camera.width, camera.height
    edges = np.array([[0.0, y], [width, y], [x, 0.0], [x, height]])
    rays = camera.rays(edges)
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    cosines = np.clip([rays[0] @ rays[1], rays[2] @ rays[3]], -1.0, 1.0)
    horizontal, vertical = np.degrees(np.arccos(cosines))
    return float(horizontal), float(vertical)
