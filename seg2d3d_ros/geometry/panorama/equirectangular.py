"""The projection of equirectangular panoramas.

A panorama's frame is that of a vehicle's base: x towards the picture's middle column, y left, z up. Columns are azimuths, rows
are elevations, both in equal steps: a picture that is W pixels wide has W / 2π pixels per radian either way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Equirectangular:
    """A full turn of an equirectangular picture.

    Attributes:
        width: pixels of the picture, which are 360°.
        height: pixels of the picture.
        top: rows of the full 180° that are missing above the picture.
    """

    width: int
    height: int
    top: float = 0.0

    @property
    def pixels_per_radian(self) -> float:
        """The same along columns and rows."""
        return self.width / (2 * np.pi)

    @property
    def elevations(self) -> tuple[float, float]:
        """Of the picture's lower and upper border, in radians above the horizon."""
        upper = np.pi / 2 - self.top / self.pixels_per_radian
        return upper - self.height / self.pixels_per_radian, upper

    def directions(self, pixels: np.ndarray) -> np.ndarray:
        """(..., 3) unit vectors in the panorama's frame of (..., 2) pixels (the first pixel's centre is at 0.5, 0.5)."""
        right = (pixels[..., 0] - self.width / 2) / self.pixels_per_radian
        up = np.pi / 2 - (pixels[..., 1] + self.top) / self.pixels_per_radian
        return np.stack([np.cos(up) * np.cos(right), -np.cos(up) * np.sin(right), np.sin(up)], axis=-1)

    def pixels(self, directions: np.ndarray) -> np.ndarray:
        """The inverse: (..., 2) of (..., 3) vectors of any length; columns from 0 to the width."""
        right = np.arctan2(-directions[..., 1], directions[..., 0])
        up = np.arctan2(directions[..., 2], np.hypot(directions[..., 0], directions[..., 1]))
        columns = (right * self.pixels_per_radian + self.width / 2) % self.width
        return np.stack([columns, (np.pi / 2 - up) * self.pixels_per_radian - self.top], axis=-1)
