"""Masks as polygons that hold the centres of exactly their pixels.

Corners are in pixels with the first pixel's centre at (0.5, 0.5), as COCO, LabelMe and YOLO count. An outline runs halfway
between the centres of pixels inside and outside (marching squares), and is thinned by less than its distance to any centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.geometry.masks import Region

TOLERANCE = 0.25
"""Pixels by which a corner may be left out; centres are at least √2/4 = 0.35 away from the outline."""


@dataclass(frozen=True)
class Outline:
    """One part of a mask, connected over edges or corners of pixels.

    Attributes:
        outer: (N, 2) float64 corners x y.
        holes: likewise, turning the other way round.
    """

    outer: np.ndarray
    holes: tuple[np.ndarray, ...]

    def polygon(self) -> np.ndarray:
        """(N, 2) one ring: the holes are cut in by slits of no width."""
        return with_slits(self.outer, self.holes)


def outlines(region: Region) -> list[Outline]:
    """The parts of a mask, the largest outline first."""
    # Each pixel is drawn as 2 x 2: contours run through pixels' centres, and the corner of the pixel is then the next one.
    doubled = np.pad(np.repeat(np.repeat(region.pixels.astype(np.uint8), 2, axis=0), 2, axis=1), 2)
    found, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[-2:]
    if tree is None:
        return []
    rings = [_ring(contour[:, 0, :] - 2, region.box) for contour in found]
    parents = tree[0, :, 3]
    parts = [
        Outline(rings[k], tuple(rings[hole] for hole in np.flatnonzero(parents == k))) for k in np.flatnonzero(parents < 0)
    ]
    return sorted(parts, key=lambda part: -abs(ring_area(part.outer)))


def ring_area(ring: np.ndarray) -> float:
    """Signed, in pixels."""
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def with_slits(outer: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """One ring of several: a slit goes from each to the nearest corner of what there is, and back the same way."""
    whole = outer
    for ring in others:
        distance, nearest = cKDTree(whole).query(ring)
        start = int(np.argmin(distance))
        at = int(nearest[start])
        around = np.roll(ring, -start, axis=0)
        whole = np.concatenate([whole[: at + 1], around, around[:1], whole[at:]])
    return whole


def _ring(contour: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """(N, 2) the outline of a contour (M, 2) of the mask drawn twice as large."""
    corners = (contour + 1) // 2 + np.array(box[:2])
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    middles = ((corners + np.roll(corners, -1, axis=0)) / 2).astype(np.float32)
    thinned = cv2.approxPolyDP(middles[:, None], TOLERANCE, True)[:, 0]
    return np.asarray(thinned if len(thinned) > 2 else middles, np.float64)
