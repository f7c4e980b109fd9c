"""Doppelganger matches: wrong matches of houses that look alike, found by points behind the surface that their views see.

On a street where houses look alike, a window of one is matched with a window of the next, at nearly the same place in two
images far apart (cf. Cai et al., Doppelgangers, ICCV 2023). Such a match satisfies the epipolar constraint, and so does a whole
façade of them; they triangulate to points far behind the row. The nearer points around them in the same mask show that the view
ends before. Where many of the points that two masks share are behind such a surface, and few are as deep as the masks, the two
masks are doppelgangers, and these points are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from seg2d3d_ros.association.evidence import ones_at, sample
from seg2d3d_ros.association.segment_lookup import masks_of_observations
from seg2d3d_ros.types import Segments, SparseModel

NEIGHBOURS, RADIUS = 16, 0.08
"""The surface around an observation: so many of its mask's observations, within so many units of tangent (80 pixels of 1000
pixels focal length)."""
BEHIND = 1.8
"""A point this many times deeper than points all around it, which as many views see, lies behind them."""
LEAST_NEARER = 3
LEVEL = 1.6
"""Largest ratio between the quartiles of their depths: they must be a surface themselves."""
OPEN = np.deg2rad(200.0)
"""Widest angle without any: beside a façade's edge one sees past it."""
ALIKE, LEAST_ALIKE = 1.3, 2
"""A point is confirmed by so many points around it within this ratio of depths that also other views see."""
BEHIND_SHARE, LEAST_BEHIND = 0.4, 2
"""Two masks are doppelgangers from this share of points behind a surface on, of those that they share and that are confirmed or
behind, and from this number on; unless more of the points that they share are no deeper than others in the masks."""
PAIR_SHARE = 1 / 3
"""A point is removed when this share of the pairs of its masks are doppelgangers: points that many views confirm stay."""
ROUNDS = 3


def without_doppelgangers(models: Sequence[SparseModel], segments: Mapping[str, Segments]) -> list[SparseModel]:
    """The models without the observations of points that come from doppelganger matches; the points themselves stay.

    Args:
        segments: by keyframe name.

    Raises:
        DataError: masks that do not fit the images.
    """
    return [model.without_observations(doppelganger_points(model, segments)) for model in models]


def doppelganger_points(model: SparseModel, segments: Mapping[str, Segments]) -> np.ndarray:
    """(P,) bool: points behind the surface that their own views see, and those of the same two masks that lie as deep."""
    wrong = np.zeros(len(model.point_ids), bool)
    if not model.posed or len(model.obs_point) == 0:
        return wrong
    mask, _ = masks_of_observations(model, segments)
    inside = np.flatnonzero(mask >= 0)
    inside = inside[np.argsort(model.obs_keyframe[inside], kind="stable")]
    view, point, mask = model.obs_keyframe[inside], model.obs_point[inside], mask[inside]
    local = model.pose[view].apply_each(model.xyz[point])
    depth = local[:, 2]
    tangent = local[:, :2] / np.maximum(depth[:, None], 1e-9)
    for _ in range(ROUNDS):
        left = np.flatnonzero(~wrong[point])
        seen = ones_at(point[left], view[left], (len(wrong), len(model.names)))
        behind, firm, deep = (np.zeros(len(wrong), bool) for _ in range(3))
        for mine in np.split(left, np.flatnonzero(np.diff(view[left])) + 1):
            verdict = _verdicts(tangent[mine], depth[mine], mask[mine], seen[point[mine]])
            behind[point[mine[verdict < 0]]] = firm[point[mine[verdict > 0]]] = True
        deep[point[left[depth[left] > BEHIND * _medians(depth[left], mask[left])]]] = True
        found = _of_doppelganger_masks(
            ones_at(mask[left], point[left], (int(mask.max(initial=0)) + 1, len(wrong))), behind, firm, deep
        )
        if not found.any():
            break
        wrong |= found
    return wrong


def _medians(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(n,) the (lower) median of each value's group."""
    order = np.lexsort((values, group))
    first = np.searchsorted(group[order], group)
    last = np.searchsorted(group[order], group, "right") - 1
    return np.asarray(values[order][(first + last) // 2])


def _verdicts(tangent: np.ndarray, depth: np.ndarray, mask: np.ndarray, seen: sparse.csr_matrix) -> np.ndarray:
    """(n,) int8 of one view's observations: -1 behind the surface around, 1 part of it, 0 without a surface around."""
    # Masks are separated in a third dimension: neighbours are of the same mask.
    separated = np.column_stack([tangent, mask * (10 * RADIUS)])
    gap, near = cKDTree(separated).query(separated, k=NEIGHBOURS + 1, distance_upper_bound=RADIUS)
    there, near = np.isfinite(gap[:, 1:]), np.where(np.isfinite(gap), near, 0)[:, 1:]
    ratio = np.where(there, depth[near] / np.maximum(depth, 1e-9)[:, None], np.nan)
    views = np.diff(seen.indptr)
    with np.errstate(invalid="ignore"):
        nearer = (ratio * BEHIND < 1.0) & (views[near] >= views[:, None])
        alike = np.maximum(ratio, 1.0 / ratio) < ALIKE
    result = np.zeros(len(depth), np.int8)
    rows = np.flatnonzero(alike.sum(axis=1) >= LEAST_ALIKE)
    result[rows] = _independent(seen, rows, near[rows], alike[rows]) >= LEAST_ALIKE
    rows = np.flatnonzero(nearer.sum(axis=1) >= LEAST_NEARER)
    if len(rows):
        offset = tangent[near[rows]] - tangent[rows][:, None]
        quartiles = np.nanquantile(np.where(nearer[rows], ratio[rows], np.nan), [0.25, 0.75], axis=1)
        closed = _widest_gap(np.arctan2(offset[..., 1], offset[..., 0]), nearer[rows]) < OPEN
        result[rows[closed & (quartiles[1] < LEVEL * quartiles[0])]] = -1
    return result


def _independent(seen: sparse.csr_matrix, rows: np.ndarray, near: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(n,) how many of the chosen neighbours (n, k) are seen by a view that does not see the observation's own point."""
    i, j = np.nonzero(chosen)
    own, other = seen[rows[i]], seen[near[i, j]]
    common = np.asarray(own.multiply(other).sum(axis=1)).ravel()
    more = np.asarray(other.sum(axis=1)).ravel() > common
    return np.bincount(i[more], minlength=len(rows))


def _widest_gap(angle: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(n,) the widest angle without any of the chosen directions (n, k)."""
    ordered = np.sort(np.where(chosen, angle, np.inf), axis=1)
    count = chosen.sum(axis=1)
    with np.errstate(invalid="ignore"):
        between = np.diff(ordered, axis=1)
    around = ordered[:, 0] + 2 * np.pi - ordered[np.arange(len(count)), np.maximum(count - 1, 0)]
    return np.maximum(np.where(np.isfinite(between), between, 0.0).max(axis=1), around)


def _of_doppelganger_masks(held: sparse.csr_matrix, behind: np.ndarray, firm: np.ndarray, deep: np.ndarray) -> np.ndarray:
    """(P,) bool: points that link masks of different houses.

    Args:
        held: (masks, P) CSR of ones.
        behind, firm, deep: (P,) bool: behind a surface; confirmed by other views; deeper than the masks that hold the point.
    """
    masks = np.diff(held.tocsc().indptr)
    held = held[np.flatnonzero(held @ behind.astype(float) >= LEAST_BEHIND)]

    def shared(some: np.ndarray) -> sparse.csr_matrix:
        return (held[:, some] @ held[:, some].T).tocsr()

    bad = shared(behind).tocoo()
    good, level = (sample(shared(some), bad.row, bad.col) for some in (firm & ~behind, ~deep & ~behind))
    wrong = (
        (bad.row != bad.col) & (bad.data >= LEAST_BEHIND) & (bad.data >= BEHIND_SHARE * (bad.data + good)) & (level < bad.data)
    )
    pairs = sparse.csr_matrix((np.ones(int(wrong.sum())), (bad.row[wrong], bad.col[wrong])), (held.shape[0],) * 2)
    share = np.asarray((pairs @ held).multiply(held).sum(axis=0)).ravel() / np.maximum(masks * (masks - 1), 1)
    return (share >= PAIR_SHARE) & (deep | behind)
