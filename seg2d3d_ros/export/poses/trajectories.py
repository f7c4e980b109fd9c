"""What trajectories have in common: a text file per camera, and beside it a table of its images and intrinsics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.csv_text import csv_text
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import plain_names
from seg2d3d_ros.export.poses.pose_masks import write_masks
from seg2d3d_ros.export.poses.posed_images import PosedImage, by_camera, posed_images, write_frame_note

COLUMNS = ("line", "image", "file_name", "stamp_ns", "model", "width", "height", "params")


def write_trajectories(contents: Contents, path: Path, text_of: Callable[[str, Sequence[PosedImage]], str]) -> str:
    """Write ``<camera>.txt`` and ``<camera>.csv`` of each camera, and masks beside them.

    Args:
        text_of: the file of a camera (name, images in the order of time), one line per image after those that begin with #.

    Raises:
        DataError: the map has no model.
    """
    images = posed_images(contents)
    cameras = by_camera(images)
    names = plain_names(cameras)
    with new_folder(path) as folder:
        for camera, own in cameras.items():
            write_text(folder / f"{names[camera]}.txt", text_of(camera, own))
            write_text(folder / f"{names[camera]}.csv", _table(own))
        masks = write_masks(contents, folder, {image.record.name: image.record.file_name for image in images})
        frame = write_frame_note(folder, contents.models[0].frame)
    return f"{len(images)} poses of {len(cameras)} cameras, {len(masks)} masks; {frame}"


def _table(images: Sequence[PosedImage]) -> str:
    rows = []
    for line, image in enumerate(images, start=1):
        record, camera = image.record, image.camera
        params = " ".join(f"{value:.17g}" for value in camera.params)
        rows.append([line, record.name, record.file_name, record.stamp_ns, camera.model, camera.width, camera.height, params])
    return csv_text(COLUMNS, rows)
