"""Intrinsics from a calibration file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seg2d3d_ros.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import PARAMETERS, Camera


class CameraFile:
    """Calibrations by camera name; that of the name "" serves every name."""

    def __init__(self, cameras: Mapping[str, Camera], path: Path) -> None:
        self._cameras, self._path = cameras, path

    def __call__(self, camera_name: str, width: int, height: int) -> Camera | None:
        """The camera for images of this size, or None where the file does not know ``camera_name``.

        Raises:
            DataError: the image has another aspect ratio.
        """
        camera = self._cameras.get("") or self._cameras.get(camera_name)
        return None if camera is None else camera.scaled(width, height, f"{self._path}: {camera_name or 'camera'}")


def read_camera_file(path: Path) -> CameraFile:
    """Read a calibration: one camera ``{"model", "width", "height", "params"}`` or ``{"cameras": {name: {…}}}``.

    Raises:
        UsageError: no such file.
        DataError: no JSON, or a camera that makes no sense.
    """
    path = Path(path)
    value = read_json(path, remedy='--camera takes {"model": …, "width": …, "height": …, "params": […]}')
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
        raise DataError(f"{source}: unknown camera model {model!r}; known are {', '.join(PARAMETERS)}")
    try:
        params = tuple(float(p) for p in value["params"])
        width, height = int(value["width"]), int(value["height"])
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{source}: width, height and params must be numbers ({error})") from error
    if len(params) != PARAMETERS[model]:
        raise DataError(f"{source}: {model} has {PARAMETERS[model]} parameters, not {len(params)}")
    if not (width > 0 and height > 0 and all(map(math.isfinite, params))):
        raise DataError(f"{source}: size {width}×{height} and parameters {params} must be positive and finite")
    camera = Camera(model, width, height, params)
    if min(camera.focal_lengths) <= 0:
        raise DataError(f"{source}: the focal length must be positive, not {min(camera.focal_lengths)}")
    return camera
