"""KITTI's trajectories: the twelve numbers of ``world_from_camera`` (3 x 4, row by row) per image, in the map's frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.poses.posed_images import PosedImage
from seg2d3d_ros.export.poses.trajectories import write_trajectories


def export(contents: Contents, path: Path) -> str:
    """Write a trajectory for each camera.

    Raises:
        DataError: the map has no model.
    """
    return write_trajectories(contents, path, _text)


def _text(camera: str, images: Sequence[PosedImage]) -> str:
    rows = (image.world_from_camera.matrix[:3].ravel() for image in images)
    return "".join(" ".join(f"{value:.17g}" for value in row) + "\n" for row in rows)
