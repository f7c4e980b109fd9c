"""TUM's trajectories: ``time x y z qx qy qz qw`` per image, ``world_from_camera`` in the map's frame, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.poses.posed_images import PosedImage, times_of
from seg2d3d_ros.export.poses.trajectories import write_trajectories

HEADER = "# timestamp tx ty tz qx qy qz qw\n"


def export(contents: Contents, path: Path) -> str:
    """Write a trajectory for each camera.

    Raises:
        DataError: the map has no model.
    """

    def text_of(camera: str, images: Sequence[PosedImage]) -> str:
        stamps = times_of(contents, camera, images)
        times = [str(k) for k in range(len(images))] if stamps is None else [seconds(stamp) for stamp in stamps]
        return HEADER + "".join(_line(time, image) for time, image in zip(times, images, strict=True))

    return write_trajectories(contents, path, text_of)


def seconds(stamp_ns: int) -> str:
    """With all nine digits, which a float does not have."""
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"


def _line(time: str, image: PosedImage) -> str:
    pose = image.world_from_camera
    return " ".join([time, *(f"{value:.17g}" for value in np.concatenate([pose.translation, pose.quaternion]))]) + "\n"
