"""A place in the world for every cell of a grid over each view, and the scale that they are told to a network in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.prompts.lifting import lift_all
from seg2d3d_ros.prompts.sights import Sight

LOW_SHARE = 0.15
"""Of all places of a scene, so many count as unsure."""
STRAY_SHARE = 0.01
"""Of the places, so many at each end of an axis do not count for its scale: single points may lie anywhere."""


@dataclass(frozen=True)
class InputFrame:
    """How an encoder sees an image: enlarged or shrunk into the upper left corner of a square.

    Attributes:
        size: height and width of the image in pixels.
        used: height and width of the part of the square that the image takes.
        side: of the square.
    """

    size: tuple[int, int]
    used: tuple[int, int]
    side: int

    def pixels(self, cells: int) -> np.ndarray:
        """(cells², 2) float64 pixels of the image at the centres of ``cells`` × ``cells`` cells over the square, row by row;
        NaN where the image does not reach."""
        centre = (np.arange(cells) + 0.5) * self.side / cells
        x, y = np.meshgrid(centre, centre)
        inside = (x < self.used[1]) & (y < self.used[0])
        found = np.stack([x * self.size[1] / self.used[1], y * self.size[0] / self.used[0]], axis=-1)
        return np.where(inside[..., None], found, np.nan).reshape(-1, 2)

    def cell(self, xy: np.ndarray, cells: int) -> tuple[int, int]:
        """Column and row of the cell over a pixel (2,) of the image."""
        scale = np.array([self.used[1] / self.size[1], self.used[0] / self.size[0]]) * cells / self.side
        column, row = np.clip(np.floor(xy * scale).astype(int), 0, cells - 1).tolist()
        return column, row


@dataclass(frozen=True)
class Pointmap:
    """What a view shows in each cell of a grid.

    Attributes:
        xyz: (N, 3) float32 places in the world; NaN where nothing tells one, as in the sky.
        confidence: (N,) float32 in [0, 1].
    """

    xyz: np.ndarray
    confidence: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(N,) bool: cells with a place."""
        return np.isfinite(self.xyz).all(axis=1)


def pointmap(sight: Sight, pixels: np.ndarray, masks: Sequence[Region], dense: np.ndarray) -> Pointmap:
    """The places at pixels (N, 2), of which those that are NaN have none.

    Args:
        masks: that the keyframe has of anything.
        dense: (M, 3) the dense cloud, perhaps empty.
    """
    inside = np.flatnonzero(np.isfinite(pixels).all(axis=1))
    xyz, confidence = np.full((len(pixels), 3), np.nan, np.float32), np.zeros(len(pixels), np.float32)
    ordered = sorted(masks, key=lambda region: region.area)
    xyz[inside], confidence[inside] = lift_all(sight, pixels[inside], ordered, dense)
    return Pointmap(xyz, confidence)


@dataclass(frozen=True)
class SceneScale:
    """By what places of a scene are told to the network: so many deviations from the middle, along each axis.

    Attributes:
        mean, deviation: (3,) of the scene's places.
        least: places that are less sure than this count as unsure.
    """

    mean: np.ndarray
    deviation: np.ndarray
    least: float

    @classmethod
    def of(cls, xyz: np.ndarray, confidence: np.ndarray) -> SceneScale:
        """Of places (N, 3), N > 0, that are as sure as ``confidence`` (N,)."""
        low, high = np.percentile(xyz, [100 * STRAY_SHARE, 100 * (1 - STRAY_SHARE)], axis=0)
        inner = ((xyz >= low) & (xyz <= high)).all(axis=1)
        kept = (xyz[inner] if inner.any() else xyz).astype(np.float64)
        deviation = kept.std(axis=0)
        smallest = 1e-3 * max(float(deviation.max()), 1e-9)  # a wall that is seen from the front has no depth
        return cls(kept.mean(axis=0), np.maximum(deviation, smallest), float(np.quantile(confidence, LOW_SHARE)))

    def normalized(self, xyz: np.ndarray) -> np.ndarray:
        """(…, 3) float32 z-scores of places (…, 3)."""
        return np.asarray((xyz - self.mean) / self.deviation, np.float32)

    def sure(self, confidence: np.ndarray) -> np.ndarray:
        """Whether places are sure: the lowest ``LOW_SHARE`` of the scene are not."""
        return np.asarray(confidence > self.least)
