"""The calibration of a camera as ROS publishes it (``sensor_msgs/CameraInfo`` of ROS 1 or 2, duck-typed)."""

from __future__ import annotations

from typing import Any

import numpy as np

from seg2d3d_ros.geometry.camera import Camera


def camera_from_message(message: Any, size: tuple[int, int], *, rectified: bool, source: str) -> Camera | None:
    """Intrinsics for images of ``size`` (width, height); None for an uncalibrated camera (K is zero).

    K and D describe the full sensor: region of interest and binning are applied here, after them a plain change of size.
    Rectified images have the intrinsics of P and no distortion.

    Raises:
        DataError: no such distortion model, or an image of another aspect ratio.
    """
    from seg2d3d_ros.keyframes.camera_file import camera_from_info, scale_camera

    distortion = [] if rectified else _field(message, "d")
    k = np.array(_field(message, "k"), np.float64)
    if rectified and (p := np.asarray(_field(message, "p"), np.float64)).size == 12 and p[0] > 0:
        k = p.reshape(3, 4)[:, :3].ravel()
    width, height = int(message.width), int(message.height)
    region = message.roi
    if region.width and region.height:
        k[2] -= region.x_offset
        k[5] -= region.y_offset
        width, height = int(region.width), int(region.height)
    across, down = max(1, int(message.binning_x)), max(1, int(message.binning_y))
    if across > 1 or down > 1:
        # The first pixel's centre is at 0: scaling is about the pixel's corner.
        k[0], k[2] = k[0] / across, (k[2] + 0.5) / across - 0.5
        k[4], k[5] = k[4] / down, (k[5] + 0.5) / down - 0.5
        width, height = width // across, height // down
    camera = camera_from_info(message.distortion_model, width, height, k.tolist(), distortion, source)
    return None if camera is None else scale_camera(camera, *size, source)


def _field(message: Any, name: str) -> Any:
    """ROS 1 wrote D, K, R and P in capitals."""
    return getattr(message, name) if hasattr(message, name) else getattr(message, name.upper())
