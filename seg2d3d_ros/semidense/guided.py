"""Features of two posed views matched along their epipolar lines.

The poses leave one dimension in which a match can lie; there even a weak descriptor finds it. A match must be the best one
of both features, clearly better than the second best elsewhere on the line (façades repeat their windows along it), and
its 3D point must lie in front of both views at a depth like that of the known points around it.
"""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.semidense.views import View

BAND = 2.0
"""Pixels from the epipolar line, at FOCAL pixels focal length and more with it."""
FOCAL = 800.0
SIMILAR = 0.9
"""Least cosine of two RootSIFT descriptors. With this and the ratio, 0.4 % of the tracks of two or more views join two houses
on simulated streets with every fourth image; with 0.8 and 0.85 it was 2 %, for a fifth more tracks."""
RATIO = 0.8
"""Of the distance to the best over the distance to the second best on the line."""
SAME_PLACE = 4.0
"""Pixels within which two features are one place: the second best is sought elsewhere."""


def essential(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(3, 3) E with x2ᵀ E x1 = 0 for rays of two poses (3, 4) ``camera_from_world``."""
    rotation = second[:, :3] @ first[:, :3].T
    t = second[:, 3] - rotation @ first[:, 3]
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    return cross @ rotation


def epipolar_matches(first: View, second: View, band: float = BAND) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n,), (n,) of features that match.

    Args:
        band: pixels, for a focal length of ``FOCAL``; 0.4 % of the focal length at least.
    """
    nothing = np.empty(0, np.int64)
    if len(first) == 0 or len(second) == 0:
        return nothing, nothing
    line = np.column_stack([first.ray, np.ones(len(first))]) @ essential(first.camera_from_world, second.camera_from_world).T
    line /= np.maximum(np.hypot(line[:, 0], line[:, 1]), 1e-12)[:, None]
    gap = np.abs(line @ np.column_stack([second.ray, np.ones(len(second))]).T)
    possible = gap * second.focal < band * max(1.0, second.focal / FOCAL)
    likeness = np.where(possible, _unit(first.descriptors) @ _unit(second.descriptors).T, -1.0)
    forth, clear_forth = _best(likeness, second.xy)
    back, clear_back = _best(likeness.T, first.xy)
    mine = np.arange(len(first))
    good = (back[forth] == mine) & (likeness[mine, forth] >= SIMILAR) & clear_forth & clear_back[forth]
    return mine[good], forth[good]


def _unit(descriptors: np.ndarray) -> np.ndarray:
    values = descriptors.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _best(likeness: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) column of the largest value of each row, and whether it is clearly larger than the next one elsewhere."""
    best = likeness.argmax(axis=1)
    rows = np.arange(len(likeness))
    top = likeness[rows, best]
    few = min(4, likeness.shape[1])
    next_ones = np.argpartition(-likeness, few - 1, axis=1)[:, :few]
    values = likeness[rows[:, None], next_ones]
    elsewhere = np.linalg.norm(xy[next_ones] - xy[best][:, None], axis=2) > SAME_PLACE
    second = np.where(elsewhere, values, -1.0).max(axis=1)
    distance, other = np.sqrt(np.maximum(2 - 2 * top, 0)), np.sqrt(np.maximum(2 - 2 * second, 0))
    return best, distance < RATIO * other
