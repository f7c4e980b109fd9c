"""The calibration of a camera as ROS publishes it (``sensor_msgs/CameraInfo`` of ROS 1 or 2, duck-typed), and back.

ROS and OpenCV put the first pixel's centre at (0, 0), COLMAP at (0.5, 0.5): the principal point moves by half a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera


def camera_from_message(message: Any, size: tuple[int, int], source: str, *, rectified: bool = False) -> Camera | None:
    """Intrinsics for images of ``size`` (width, height); None for an uncalibrated camera (K is zero).

    K and D describe the full sensor: region of interest and binning are applied here, after them a plain change of size.
    Args:
        source: names the calibration in messages.

    Raises:
        DataError: no such distortion model, or an image of another aspect ratio.
    """
    k, distortion = intrinsics(message, rectified=rectified)
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
    return None if camera is None else camera.scaled(*size, source)


def intrinsics(message: Any, *, rectified: bool) -> tuple[np.ndarray, list[float]]:
    """K (9,) row-major and D; rectified images have the intrinsics of P, where it is set, and no distortion."""
    k, distortion = np.array(_field(message, "k"), np.float64), list(_field(message, "d"))
    if not rectified:
        return k, distortion
    p = np.asarray(_field(message, "p"), np.float64)
    return (p.reshape(3, 4)[:, :3].ravel() if p.size == 12 and p[0] > 0 else k), []


def camera_from_info(
    model: str, width: int, height: int, k: Sequence[float], d: Sequence[float], source: str = "camera_info"
) -> Camera | None:
    """COLMAP's camera for the values of a ROS camera_info; None for an uncalibrated one (all of K zero).

    Args:
        model: ``distortion_model``.
        width: of the image.
        height: of the image.
        k: (9,) row-major intrinsic matrix.
        d: distortion coefficients in the order of the model.
        source: topic, for messages.

    Raises:
        DataError: an unknown model, coefficients it cannot have, or an intrinsic matrix that makes no sense.
    """
    k, d = [float(v) for v in np.asarray(k, float).ravel()], [float(v) for v in d]
    if len(k) != 9 or not all(map(math.isfinite, [*k, *d])):
        raise DataError(f"{source}: K must be nine finite numbers and D finite")
    if k[0] == 0.0:
        return None
    if k[0] < 0 or k[4] <= 0 or width <= 0 or height <= 0:
        raise DataError(f"{source}: focal lengths {k[0]}, {k[4]} and size {width}×{height} must be positive")
    pinhole = (k[0], k[4], k[2] + 0.5, k[5] + 0.5)
    if not any(d):
        name = "OPENCV_FISHEYE" if model in ("equidistant", "fisheye") else "PINHOLE"
        return Camera(name, width, height, pinhole if name == "PINHOLE" else (*pinhole, 0.0, 0.0, 0.0, 0.0))
    if model in ("plumb_bob", "rational_polynomial"):
        if len(d) > 8 and any(d[8:]):
            raise DataError(
                f"{source}: {model} with thin-prism or tilt coefficients is not supported; undistort the images first"
            )
        full = (d + [0.0] * 8)[:8]
        if not any(full[4:]):
            return Camera("OPENCV", width, height, (*pinhole, *full[:4]))
        return Camera("FULL_OPENCV", width, height, (*pinhole, *full))
    if model in ("equidistant", "fisheye"):
        if len(d) < 4 or any(d[4:]):  # drivers fill up with zeros
            raise DataError(f"{source}: {model} needs 4 coefficients, not {len(d)}")
        return Camera("OPENCV_FISHEYE", width, height, (*pinhole, *d[:4]))
    raise DataError(
        f"{source}: distortion model {model!r} is not supported (plumb_bob, rational_polynomial, equidistant are); "
        "undistort the images first, or give a calibration file"
    )


def info_from_camera(camera: Camera) -> tuple[str, list[float], list[float]] | None:
    """The inverse of ``camera_from_info``: ``distortion_model``, K (9,) and D; None for a lens that ROS cannot describe."""
    (fx, fy), (cx, cy), lens = camera.focal_lengths, camera.principal_point, list(camera.distortion)
    k = [fx, 0.0, cx - 0.5, 0.0, fy, cy - 0.5, 0.0, 0.0, 1.0]
    if camera.model in ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"):
        return "plumb_bob", k, (lens + [0.0] * 5)[:5]
    if camera.model == "FULL_OPENCV":
        return "rational_polynomial", k, lens
    if camera.model == "OPENCV_FISHEYE":
        return "equidistant", k, lens
    return None


def _field(message: Any, name: str) -> Any:
    """ROS 1 wrote D, K, R and P in capitals."""
    return getattr(message, name) if hasattr(message, name) else getattr(message, name.upper())
