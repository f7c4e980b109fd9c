"""Which points of a cloud a view sees: a depth buffer of the cloud itself.

A LiDAR's points have gaps, through which what lies behind would shine. Each point therefore covers a square as large as
the gaps around it, seen from the camera (splatting: Zwicker, Pfister, van Baar and Gross, Surface splatting, SIGGRAPH
2001). Squares of similar size go into one buffer whose cells have about that size, so that the cost does not depend on it.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS = 5
MAX_SPACING = 0.6
"""Metres: lonely points cover no more than this."""
LEVELS = (0, 7)
"""Cells of 1 … 128 pixels."""
NEAR = 0.25
SLANT = 4.0
"""A point hides what lies farther behind it than ``NEAR`` metres and ``SLANT`` times its spacing: less is the same surface."""


def spacings(xyz: np.ndarray) -> np.ndarray:
    """(N,) float32 distance from each point (N, 3) to its ``NEIGHBOURS``-th nearest one, at most ``MAX_SPACING``."""
    if len(xyz) <= NEIGHBOURS:
        return np.full(len(xyz), MAX_SPACING, np.float32)
    distance, _ = cKDTree(xyz).query(xyz, k=[NEIGHBOURS + 1], distance_upper_bound=MAX_SPACING)
    return np.minimum(distance[:, 0], MAX_SPACING).astype(np.float32)


def visible(pixels: np.ndarray, depth: np.ndarray, spacing: np.ndarray, focal: float, size: tuple[int, int]) -> np.ndarray:
    """(N,) bool: points that no other one hides.

    Args:
        pixels: (N, 2) inside the image.
        depth: (N,) metres, > 0.
        spacing: (N,) metres.
        focal: length in pixels.
        size: width and height of the image in pixels.
    """
    splat = np.maximum(focal * spacing / depth, 1.0)
    reach = (depth + NEAR + SLANT * spacing).astype(np.float32)
    level = np.clip(np.log2(splat), *LEVELS).astype(int)
    shown = np.ones(len(depth), bool)
    for k in np.unique(level):
        cell = 2.0**k
        columns, rows = int(size[0] / cell) + 1, int(size[1] / cell) + 1
        buffer = np.full(rows * columns, np.inf, np.float32)
        mine = level == k
        centre, half, far = pixels[mine], splat[mine, None] / 2, reach[mine]
        # A square is one to two cells wide: its corners, its middle and the middles of its sides lie in all cells it touches.
        touched = [np.clip(((centre + k * half) / cell).astype(int), 0, [columns - 1, rows - 1]) for k in (-1, 0, 1)]
        for x in touched:
            for y in touched:
                np.minimum.at(buffer, y[:, 1] * columns + x[:, 0], far)
        place = (pixels / cell).astype(int)
        shown &= depth <= buffer[np.clip(place[:, 1], 0, rows - 1) * columns + np.clip(place[:, 0], 0, columns - 1)]
    return shown
