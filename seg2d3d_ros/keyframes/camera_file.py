"""Intrinsics from a calibration file, from EXIF, from ROS camera_info values, or a guess."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.reconstruction.exif import camera_from_exif, geo_from_exif

__all__ = [
    "CameraFile",
    "camera_from_exif",
    "camera_from_info",
    "default_camera",
    "focal_known",
    "geo_from_exif",
    "info_from_camera",
    "make_camera",
    "read_camera_file",
    "scale_camera",
]

PARAMETERS = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 4,
    "RADIAL": 5,
    "OPENCV": 8,
    "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12,
    "FOV": 5,
    "SIMPLE_RADIAL_FISHEYE": 4,
    "RADIAL_FISHEYE": 5,
    "THIN_PRISM_FISHEYE": 12,
}
"""COLMAP's camera models and how many parameters each has."""
ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
GUESS = 1.2
"""Focal length in units of the longer side where nothing is known, as COLMAP guesses: 45° of view."""
ASPECT_TOLERANCE = 0.01


def default_camera(width: int, height: int) -> Camera:
    """A guess for an unknown camera, to be refined."""
    return Camera("SIMPLE_RADIAL", width, height, (GUESS * max(width, height), width / 2, height / 2, 0.0), calibrated=False)


def focal_known(camera: Camera) -> bool:
    """Whether the focal length is more than the default guess."""
    return camera.calibrated or camera.params[0] != GUESS * max(camera.width, camera.height)


def scale_camera(camera: Camera, width: int, height: int, source: str) -> Camera:
    """The same lens for images of another size with the same aspect ratio.

    Raises:
        DataError: the aspect ratio differs: the image was cropped, and where is not known.
    """
    if (width, height) == (camera.width, camera.height):
        return camera
    sx, sy = width / camera.width, height / camera.height
    if abs(sx / sy - 1) > ASPECT_TOLERANCE:
        raise DataError(
            f"{source}: the calibration is for {camera.width}×{camera.height}, the image has {width}×{height}: the aspect "
            "ratio differs; calibrate for this size, or leave the calibration out"
        )
    focal = [sx] if camera.model in ONE_FOCAL else [sx, sy]
    factors = [*focal, sx, sy]
    params = [p * f for p, f in zip(camera.params, factors, strict=False)] + list(camera.params[len(factors) :])
    return Camera(camera.model, width, height, tuple(params), camera.calibrated)


def make_camera(value: Mapping[str, Any], source: str) -> Camera:
    """A calibrated camera from ``{"model", "width", "height", "params"}``.

    Raises:
        DataError: a key is missing or a value makes no sense, named with ``source``.
    """
    missing = [key for key in ("model", "width", "height", "params") if key not in value]
    if missing:
        raise DataError(f"{source}: {', '.join(missing)} missing; expected model, width, height and params")
    model = value["model"]
    if model not in PARAMETERS:
        raise DataError(f"{source}: unknown camera model {model!r}; known are {', '.join(PARAMETERS)}")
    try:
        params = tuple(float(p) for p in value["params"])
        width, height = int(value["width"]), int(value["height"])
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: width, height and params must be numbers ({error})") from error
    if len(params) != PARAMETERS[model]:
        raise DataError(f"{source}: {model} has {PARAMETERS[model]} parameters, not {len(params)}")
    if not (width > 0 and height > 0 and all(map(math.isfinite, params))):
        raise DataError(f"{source}: size {width}×{height} and parameters {params} must be positive and finite")
    lengths = params[:1] if model in ONE_FOCAL else params[:2]
    if min(lengths) <= 0:
        raise DataError(f"{source}: the focal length must be positive, not {min(lengths)}")
    return Camera(model, width, height, params)


class CameraFile(Mapping[str, Camera]):
    """Calibrations by camera name; a file with one camera serves every name."""

    def __init__(self, cameras: Mapping[str, Camera], every: Camera | None, path: Path) -> None:
        self._cameras, self._every, self._path = dict(cameras), every, path

    def __getitem__(self, name: str) -> Camera:
        if name in self._cameras:
            return self._cameras[name]
        if self._every is None:
            raise KeyError(name)
        return self._every

    def __iter__(self) -> Iterator[str]:
        return iter(self._cameras)

    def __len__(self) -> int:
        return len(self._cameras) + (self._every is not None)

    def __call__(self, camera_name: str, width: int, height: int) -> Camera | None:
        """The camera for images of this size, or None where the file does not know ``camera_name``.

        Raises:
            DataError: the image has another aspect ratio.
        """
        camera = self.get(camera_name)
        return None if camera is None else scale_camera(camera, width, height, f"{self._path}: {camera_name or 'camera'}")


def read_camera_file(path: Path) -> CameraFile:
    """Read a calibration: one camera ``{"model", "width", "height", "params"}`` or ``{"cameras": {name: {…}}}``.

    Raises:
        UsageError: no such file.
        DataError: no JSON, or a camera that makes no sense.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: the camera file cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: no JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected one camera {{model, width, height, params}} or {{cameras: {{name: …}}}}")
    if "cameras" not in value:
        return CameraFile({}, make_camera(value, str(path)), path)
    if not isinstance(value["cameras"], dict) or not value["cameras"]:
        raise DataError(f"{path}: 'cameras' must map camera names to cameras")
    entries = value["cameras"].items()
    if bad := [name for name, entry in entries if not isinstance(entry, dict)]:
        raise DataError(f"{path}: camera {bad[0]!r} must be {{model, width, height, params}}")
    return CameraFile({name: make_camera(entry, f"{path}: camera {name!r}") for name, entry in entries}, None, path)


def camera_from_info(
    model: str, width: int, height: int, k: Sequence[float], d: Sequence[float], source: str = "camera_info"
) -> Camera | None:
    """COLMAP's camera for the values of a ROS camera_info; None for an uncalibrated one (all of K zero).

    ROS and OpenCV put the first pixel's centre at (0, 0), COLMAP at (0.5, 0.5): the principal point moves by half a pixel.

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
        if len(d) != 4:
            raise DataError(f"{source}: {model} needs 4 coefficients, not {len(d)}")
        return Camera("OPENCV_FISHEYE", width, height, (*pinhole, *d))
    raise DataError(
        f"{source}: distortion model {model!r} is not supported (plumb_bob, rational_polynomial, equidistant are); "
        "undistort the images first, or give a calibration file"
    )


def info_from_camera(camera: Camera) -> tuple[str, list[float], list[float]] | None:
    """The inverse of ``camera_from_info``: ``distortion_model``, K (9,) and D; None for a lens that ROS cannot describe."""
    focal = 1 if camera.model in ONE_FOCAL else 2
    fx, fy = camera.params[0], camera.params[focal - 1]
    cx, cy = camera.params[focal : focal + 2]
    lens = list(camera.params[focal + 2 :])
    k = [fx, 0.0, cx - 0.5, 0.0, fy, cy - 0.5, 0.0, 0.0, 1.0]
    if camera.model in ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"):
        return "plumb_bob", k, (lens + [0.0] * 5)[:5]
    if camera.model == "FULL_OPENCV":
        return "rational_polynomial", k, lens
    if camera.model == "OPENCV_FISHEYE":
        return "equidistant", k, lens
    return None
