"""Intrinsics from a calibration file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import ONE_FOCAL, PARAMETERS, Camera

FOCAL_RANGE = (0.05, 100.0)
"""Focal lengths outside, in units of the longer side, are mistakes: views of 170° and of half a degree."""

MAX_SIDE = 1_000_000
"""Pixels."""
CENTRED = 0.005
"""Of the width: a principal point this near to the centre is as exact as calibrations are."""
_SIDED = {"OPENCV": (2, 3), "FULL_OPENCV": (2, 3), "THIN_PRISM_FISHEYE": (2, 3, 6, 7)}
"""Places of the coefficients among the distortion that are not the same in all directions."""


class Fitting(Enum):
    """How a calibration was made to fit an image."""

    EXACT = "exact"
    SCALED = "scaled"
    TURNED = "turned"
    CROPPED = "cropped"


class CameraFile:
    """Calibrations by camera name; that of the name "" serves every name."""

    def __init__(self, cameras: Mapping[str, Camera], path: Path) -> None:
        self._cameras, self._path = cameras, path

    def of(self, camera_name: str) -> Camera | None:
        """The calibration for a camera as the file has it; None where it has none."""
        return self._cameras.get("") or self._cameras.get(camera_name)

    def fitted(self, camera_name: str, width: int, height: int) -> tuple[Camera | None, Fitting]:
        """The camera for images of this size: scaled where the aspect ratio is the same, turned where it is that of the image
        turned by 90°. None where the file does not know the camera, or the image is cropped: where is not known."""
        camera = self.of(camera_name)
        if camera is None or (width, height) == (camera.width, camera.height):
            return camera, Fitting.EXACT
        if camera.fits(width, height):
            return camera.scaled(width, height, str(self._path)), Fitting.SCALED
        turned = quarter_turned(camera)
        if turned.fits(width, height):
            return turned.scaled(width, height, str(self._path)), Fitting.TURNED
        return None, Fitting.CROPPED

    def __call__(self, camera_name: str, width: int, height: int) -> Camera | None:
        """The camera for images of this size, or None where the file does not know ``camera_name``.

        Raises:
            DataError: the image has another aspect ratio.
        """
        camera = self.of(camera_name)
        return None if camera is None else camera.scaled(width, height, f"{self._path}: {camera_name or 'camera'}")


def quarter_turned(camera: Camera) -> Camera:
    """The camera of images that are turned by 90°, whether left or right is unknown.

    The focal lengths change places and radial distortion stays. The principal point moves to one side or the other, so it is
    put to the centre, and tangential distortion to 0; where that changes anything, the result is a guess (not ``calibrated``).
    """
    (fx, fy), (cx, cy), lens = camera.focal_lengths, camera.principal_point, list(camera.distortion)
    for place in _SIDED.get(camera.model, ()):
        lens[place] = 0.0
    focal = (fx,) if camera.model in ONE_FOCAL else (fy, fx)
    off_centre = max(abs(cx / camera.width - 0.5), abs(cy / camera.height - 0.5))
    exact = camera.calibrated and off_centre < CENTRED and lens == list(camera.distortion)
    return Camera(camera.model, camera.height, camera.width, (*focal, camera.height / 2, camera.width / 2, *lens), exact)


def read_camera_file(path: Path) -> CameraFile:
    """Read a calibration: one camera ``{"model", "width", "height", "params"}`` or ``{"cameras": {name: {…}}}``.

    Raises:
        UsageError: no such file.
        DataError: no JSON, or a camera that makes no sense.
    """
    path = Path(path)
    value = read_json(path, remedy='--camera takes {"model": …, "width": …, "height": …, "params": […]}', lenient=True)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected one camera {{model, width, height, params}} or {{cameras: {{name: …}}}}")
    if "cameras" not in value:
        return CameraFile({"": _camera(value, str(path))}, path)
    if not isinstance(value["cameras"], dict) or not value["cameras"]:
        raise DataError(f"{path}: 'cameras' must map camera names to cameras")
    entries = value["cameras"].items()
    if bad := [name for name, entry in entries if not isinstance(entry, dict)]:
        raise DataError(f"{path}: camera {bad[0]!r} must be {{model, width, height, params}}")
    return CameraFile({name: _camera(entry, f"{path}: camera {name!r}") for name, entry in entries}, path)


def _camera(value: Mapping[str, Any], source: str) -> Camera:
    """A calibrated camera from ``{"model", "width", "height", "params"}``.

    Raises:
        DataError: a key is missing or a value makes no sense, named with ``source``.
    """
    missing = [key for key in ("model", "width", "height", "params") if key not in value]
    if missing:
        raise DataError(f"{source}: {', '.join(missing)} missing; expected model, width, height and params")
    model = value["model"]
    if not isinstance(model, str) or model not in PARAMETERS:
        raise DataError(f"{source}: unknown camera model {str(model)[:40]!r}; known are {', '.join(PARAMETERS)}")
    if not isinstance(value["params"], list):
        raise DataError(f"{source}: params must be a list of {PARAMETERS[model]} numbers")
    width, height = (_number(value[key], f"{source}: {key}") for key in ("width", "height"))
    params = tuple(_number(p, f"{source}: params") for p in value["params"])
    if len(params) != PARAMETERS[model]:
        raise DataError(f"{source}: {model} has {PARAMETERS[model]} parameters, not {len(params)}")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width == int(width) and height == int(height)):
        raise DataError(f"{source}: the size must be whole positive numbers of pixels, not {width:g}×{height:g}")
    camera = Camera(model, int(width), int(height), params)
    longer = max(width, height)
    if not all(FOCAL_RANGE[0] * longer <= focal <= FOCAL_RANGE[1] * longer for focal in camera.focal_lengths):
        raise DataError(
            f"{source}: the focal length must be positive and in pixels, near the image's longer side ({longer:g}), "
            f"not {', '.join(f'{focal:g}' for focal in camera.focal_lengths)}"
        )
    cx, cy = camera.principal_point
    if not (0 <= cx <= width and 0 <= cy <= height):
        raise DataError(f"{source}: the principal point {cx:g}, {cy:g} lies outside the image of {width:g}×{height:g}")
    return camera


def _number(value: Any, what: str) -> float:
    """A finite number.

    Raises:
        DataError: it is none; ``what`` names it.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise DataError(f"{what} must be numbers, not {type(value).__name__}")
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{what} must be numbers, not {str(value)[:40]!r}") from error
    if not math.isfinite(number):
        raise DataError(f"{what} must be finite, not {number}")
    return number
