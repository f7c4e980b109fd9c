"""Epipolar guided matching: features of two views whose relative pose is known, matched along their epipolar lines.

The pose leaves one dimension in which a match can lie; there a weak descriptor suffices to find it. A match must be the best
one of both features, and clearly better than the second best elsewhere on the line: façades repeat their windows along it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from seg2d3d_ros.geometry.pose import Pose

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
CHUNK = 500_000
"""Pairs of descriptors that are compared at once: 0.5 GB."""


class FeatureRays(Protocol):
    """N features of one view.

    Attributes:
        xy: (N, 2) pixels.
        rays: (N, 3) float64 their directions in the camera's frame, with z = 1.
        descriptors: (N, D).
        focal: pixels per unit of ``rays``.
    """

    @property
    def xy(self) -> np.ndarray: ...
    @property
    def rays(self) -> np.ndarray: ...
    @property
    def descriptors(self) -> np.ndarray: ...
    @property
    def focal(self) -> float: ...


def epipolar_lines(rays: np.ndarray, second_from_first: Pose) -> np.ndarray:
    """(N, 3) the lines in the second view on which (N, 3) rays of the first view lie.

    A line l holds the rays r with l · r = 0; the distance of other rays from it is l · r, in units of rays with z = 1.
    """
    lines = np.cross(second_from_first.translation, rays @ second_from_first.rotation.T)
    return np.asarray(lines / np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)[:, None])


def band_width(focal: float, sigma: float) -> float:
    """How far from its line a match may lie, in units of rays with z = 1 (see ``guided_matches``)."""
    return float(np.hypot(BAND * max(1.0, focal / FOCAL) / focal, 2.0 * sigma))


def guided_matches(
    first: FeatureRays,
    second: FeatureRays,
    second_from_first: Pose,
    *,
    wanted: tuple[np.ndarray, np.ndarray] | None = None,
    sigma: float = 0.0,
) -> np.ndarray:
    """(M, 2) int64 indices of features that match, ascending.

    Args:
        second_from_first: the length of its translation means nothing.
        wanted: bool per feature of each view; a match needs one wanted feature. None = all are.
        sigma: standard deviation in radians of the direction in which the pose puts an epipolar line.
    """
    rows, columns = _near_lines(first, second, second_from_first, sigma)
    one, other = _unit(first.descriptors), _unit(second.descriptors)
    chunks = [slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)]
    cosine = [np.einsum("nd,nd->n", one[rows[part]], other[columns[part]]) for part in chunks]
    likeness = np.concatenate([*cosine, np.empty(0, np.float32)])
    clear = _clearly_best(rows, columns, likeness, second.xy) & _clearly_best(columns, rows, likeness, first.xy)
    clear &= likeness >= SIMILAR
    if wanted is not None:
        clear &= wanted[0][rows] | wanted[1][columns]
    both = np.column_stack([rows[clear], columns[clear]])
    both = both[_in_front(first.rays[both[:, 0]], second.rays[both[:, 1]], second_from_first)]
    return np.asarray(both[np.argsort(both[:, 0], kind="stable")])


def _near_lines(
    first: FeatureRays, second: FeatureRays, second_from_first: Pose, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """(C,), (C,) int64 features of the second view that lie near the epipolar lines of features of the first.

    All rays through one epipolar line make the same angle about the baseline, so that sorted angles give them at once.
    """
    nothing = np.empty(0, np.int64)
    if len(first.xy) == 0 or len(second.xy) == 0 or not np.any(second_from_first.translation):
        return nothing, nothing
    band = band_width(second.focal, sigma)
    across = np.linalg.svd(second_from_first.translation[None])[2][1:]
    here, there = first.rays @ second_from_first.rotation.T @ across.T, second.rays @ across.T
    angle = np.arctan2(here[:, 1], here[:, 0])
    order = np.argsort(angle)
    around = np.concatenate([angle[order] - 2 * np.pi, angle[order], angle[order] + 2 * np.pi])
    own = np.arctan2(there[:, 1], there[:, 0])
    # Beside the epipole a band of the image holds rays of every angle.
    reach = np.arcsin(np.minimum(band / np.maximum(np.hypot(there[:, 0], there[:, 1]), 1e-12), 1.0))
    low, high = np.searchsorted(around, own - reach), np.searchsorted(around, own + reach, side="right")
    count = high - low
    columns = np.repeat(np.arange(len(own)), count)
    place = np.arange(len(columns)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    rows = order[place % len(order)]
    lines = epipolar_lines(first.rays, second_from_first)
    near = np.abs(np.einsum("nk,nk->n", lines[rows], second.rays[columns])) < band
    return rows[near], columns[near]


def _unit(descriptors: np.ndarray) -> np.ndarray:
    values = descriptors.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def _clearly_best(group: np.ndarray, other: np.ndarray, likeness: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(C,) bool: pairs that are the best of their group (C,), by far better than the best one elsewhere in the image.

    Args:
        other: (C,) the other feature of each pair.
        xy: pixels of these other features.
    """
    clear = np.zeros(len(group), bool)
    if len(group) == 0:
        return clear
    order = np.lexsort((-likeness, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    best = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
    elsewhere = np.linalg.norm(xy[other[order]] - xy[other[best]], axis=1) > SAME_PLACE
    second = np.maximum.reduceat(np.where(elsewhere, likeness[order], np.float32(-1)), starts)
    distance = np.sqrt(np.maximum(2 - 2 * likeness[order[starts]], 0))
    clear[order[starts]] = distance < RATIO * np.sqrt(np.maximum(2 - 2 * second, 0))
    return clear


def _in_front(first: np.ndarray, second: np.ndarray, second_from_first: Pose) -> np.ndarray:
    """(M,) bool: whether pairs of rays, (M, 3) each, clearly meet before both cameras.

    What shows no parallax is infinitely far away, or moves along with the camera, as the own vehicle does.
    """
    turned = first @ second_from_first.rotation.T
    normal = np.cross(turned, second)
    depths = [(np.cross(ray, second_from_first.translation) * normal).sum(axis=1) for ray in (second, turned)]
    apart = np.linalg.norm(normal, axis=1) > BAND / FOCAL * np.linalg.norm(turned, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray(apart & (depths[0] > 0) & (depths[1] > 0))
