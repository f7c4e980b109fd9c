"""Cameras: intrinsics as a value, from rays to pixels and back. The lens models are COLMAP's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import DataError, UsageError

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
NEAREST = 1e-9
"""Depths below are behind the camera."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics in COLMAP's terms (model name and parameter order as in ``pycolmap.CameraModelId``).

    Pixels are COLMAP's: the first pixel's centre is (0.5, 0.5). ``calibrated`` False marks a guess (EXIF focal length,
    field-of-view default) that the reconstruction refines.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]
    calibrated: bool = True

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0 or not np.isfinite(self.params).all():
            raise UsageError(f"camera {self.model}: size {self.width}×{self.height} and params {self.params} do not make sense")

    @classmethod
    def guess(cls, width: int, height: int) -> Camera:
        """An unknown camera, to be refined."""
        focal = GUESS * max(width, height)
        return cls("SIMPLE_RADIAL", width, height, (focal, width / 2, height / 2, 0.0), calibrated=False)

    @classmethod
    def from_colmap(cls, camera: pycolmap.Camera, *, calibrated: bool = True) -> Camera:
        """Of COLMAP's camera."""
        return cls(camera.model.name, camera.width, camera.height, tuple(float(p) for p in camera.params), calibrated)

    def to_colmap(self) -> pycolmap.Camera:
        """A new camera of COLMAP's, without an id."""
        params = np.array(self.params, np.float64)
        return pycolmap.Camera(model=self.model, width=self.width, height=self.height, params=params)

    @property
    def focal_known(self) -> bool:
        """Whether the focal length is more than the default guess."""
        return self.calibrated or self.params[0] != GUESS * max(self.width, self.height)

    @property
    def focal_lengths(self) -> tuple[float, float]:
        """Along x and y, in pixels."""
        return self.params[0], self.params[0 if self.model in ONE_FOCAL else 1]

    @property
    def principal_point(self) -> tuple[float, float]:
        """In pixels."""
        first = 1 if self.model in ONE_FOCAL else 2
        return self.params[first], self.params[first + 1]

    @property
    def distortion(self) -> tuple[float, ...]:
        """The parameters behind the principal point."""
        return self.params[3 if self.model in ONE_FOCAL else 4 :]

    @property
    def pixels_per_tangent(self) -> float:
        """The focal length at the image's centre, from the lens itself: the models differ in what they call f."""
        pixels = self.project(np.array([[0.0, 0.0, 1.0], [1e-3, 0.0, 1.0]]))
        return float(np.linalg.norm(pixels[1] - pixels[0]) * 1e3)

    def project(self, xyz: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of (N, 3) points in the camera's frame; NaN where a point lies behind it or beyond the lens."""
        pixels = np.full((len(xyz), 2), np.nan)
        front = xyz[:, 2] > NEAREST
        if front.any():
            pixels[front] = _lens(self).img_from_cam(np.ascontiguousarray(xyz[front], np.float64))
        return pixels

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3) undistorted directions with z = 1 of (N, 2) pixels; NaN where the lens model cannot say."""
        plane = np.asarray(_lens(self).cam_from_img(np.ascontiguousarray(pixels, np.float64)), np.float64).reshape(-1, 2)
        return np.column_stack([plane, np.ones(len(plane))])

    def inside(self, pixels: np.ndarray) -> np.ndarray:
        """(N,) bool, whether (N, 2) pixels lie in the image; NaN does not."""
        return (pixels >= 0).all(axis=1) & (pixels[:, 0] < self.width) & (pixels[:, 1] < self.height)

    def fits(self, width: int, height: int) -> bool:
        """Whether images of this size have the camera's aspect ratio: the same picture, larger or smaller."""
        return abs(width * self.height / (self.width * height) - 1) <= ASPECT_TOLERANCE

    def scaled(self, width: int, height: int, source: str) -> Camera:
        """The same lens for images of another size with the same aspect ratio.

        Raises:
            DataError: the aspect ratio differs: the image was cropped, and where is not known. ``source`` names it.
        """
        if (width, height) == (self.width, self.height):
            return self
        sx, sy = width / self.width, height / self.height
        if not self.fits(width, height):
            raise DataError(
                f"{source}: the calibration is for {self.width}×{self.height}, the image has {width}×{height}: the aspect "
                "ratio differs; calibrate for this size, or leave the calibration out"
            )
        factors = [*([sx] if self.model in ONE_FOCAL else [sx, sy]), sx, sy]
        params = [p * f for p, f in zip(self.params, factors, strict=False)] + list(self.params[len(factors) :])
        return Camera(self.model, width, height, tuple(params), self.calibrated)


@lru_cache(maxsize=4096)
def _lens(camera: Camera) -> pycolmap.Camera:
    return camera.to_colmap()
