"""Epipolar guided matching: features of two posed views, matched along their epipolar lines.

The poses leave one dimension in which a match can lie; there a weak descriptor suffices to find it. A match must be the best
one of both features, and clearly better than the second best elsewhere on the line: façades repeat their windows along it.
"""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.association.points.feature_views import FeatureView

BAND = 2.0
"""Pixels from the epipolar line, at FOCAL pixels focal length and more with it."""
FOCAL = 800.0
SIMILAR = 0.9
"""Least cosine of two RootSIFT descriptors. With this and the ratio, 0.4 % of the tracks of two or more views link two houses
on simulated streets with every fourth image; with 0.8 and 0.85 it was 2 %, for a fifth more tracks."""
RATIO = 0.8
"""Of the distance to the best over the distance to the second best on the line."""
SAME_PLACE = 4.0
"""Pixels within which two features are one place: the second best is sought elsewhere."""


def epipolar_lines(first: FeatureView, second: FeatureView, rows: np.ndarray) -> np.ndarray:
    """(n, 3) the lines in the second view on which features of the first view lie.

    A line l holds the rays r with l · r = 0; the distance of other rays from it is l · r, in units of ``rays``.
    """
    second_from_first = second.camera_from_world @ first.camera_from_world.inverse()
    lines = np.cross(second_from_first.translation, first.rays[rows] @ second_from_first.rotation.T)
    return lines / np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)[:, None]


def epipolar_matches(
    first: FeatureView, second: FeatureView, wanted: tuple[np.ndarray, np.ndarray] | None = None, band: float = BAND
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n,), (n,) of features that match.

    Args:
        wanted: bool per feature of each view; a match needs one wanted feature. None = all are.
        band: pixels, for a focal length of ``FOCAL``, and in proportion for a longer one.
    """
    if len(first) == 0 or len(second) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    here, there = wanted or (np.ones(len(first), bool), np.zeros(len(second), bool))
    forth = _mutual(first, second, np.flatnonzero(here), band)
    back = _mutual(second, first, np.flatnonzero(there), band)
    both = np.unique(np.concatenate([np.column_stack(forth), np.column_stack(back[::-1])]), axis=0)
    return both[:, 0], both[:, 1]


def _mutual(first: FeatureView, second: FeatureView, rows: np.ndarray, band: float) -> tuple[np.ndarray, np.ndarray]:
    """Matches of these features of the first view."""
    if len(rows) == 0:
        return rows, rows
    best, top, clear = _best(_likeness(first, second, rows, np.arange(len(second)), band), second.xy)
    good = clear & (top >= SIMILAR)
    rows, best = rows[good], best[good]
    if len(rows) == 0:
        return rows, rows
    there, place = np.unique(best, return_inverse=True)
    back, _, clear = _best(_likeness(first, second, np.arange(len(first)), there, band).T, first.xy)
    good = (back[place] == rows) & clear[place]
    return rows[good], best[good]


def _likeness(first: FeatureView, second: FeatureView, rows: np.ndarray, columns: np.ndarray, band: float) -> np.ndarray:
    """(n, m) cosine of descriptors, -1 away from the epipolar line."""
    gap = epipolar_lines(first, second, rows).astype(np.float32) @ second.rays[columns].astype(np.float32).T
    possible = np.abs(gap) < band * max(1.0, second.focal / FOCAL) / second.focal
    return np.where(possible, _unit(first.descriptors[rows]) @ _unit(second.descriptors[columns]).T, np.float32(-1))


def _unit(descriptors: np.ndarray) -> np.ndarray:
    values = descriptors.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _best(likeness: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) column of the largest value of each row, that value, and whether it is clearly larger than the next elsewhere.

    The array is used up.
    """
    rows = np.arange(len(likeness))
    best = likeness.argmax(axis=1)
    top = likeness[rows, best]
    second = np.full(len(rows), -1.0)
    found = best
    for _ in range(2):
        likeness[rows, found] = -1
        found = likeness.argmax(axis=1)
        elsewhere = np.linalg.norm(xy[found] - xy[best], axis=1) > SAME_PLACE
        second = np.where((second < 0) & elsewhere, likeness[rows, found], second)
    distance, other = np.sqrt(np.maximum(2 - 2 * top, 0)), np.sqrt(np.maximum(2 - 2 * second, 0))
    return best, top, distance < RATIO * other
