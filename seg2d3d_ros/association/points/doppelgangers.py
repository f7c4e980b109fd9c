"""Wrong matches that the poses do not betray: points behind what their own views see.

On a street where houses look alike, a window of one is matched with a window of the next, at nearly the same place in two
images far apart. Such a match lies on the epipolar line, a whole façade of them agrees, and they triangulate to points far
behind the row. But nearer points, around them in the same mask, say that the view ends before. Where many of the points that
tie two masks are such, and few lie as deep as the masks do, the masks were mistaken for one another: these points are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from seg2d3d_ros.association.evidence import ones_at, sample
from seg2d3d_ros.association.segment_lookup import SegmentLookup
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
"""A point is confirmed by so many around it at this ratio of depths that other views, too, have a part in."""
MISTAKEN, LEAST_MISTAKEN = 0.4, 2
"""Of the confirmed and hidden points that tie two masks, the share and number of hidden ones from which on the masks were
mistaken, unless more of their points lie no deeper than others in them."""
BETRAYED = 1 / 3
"""Share of a point's pairs of masks from which on it falls with them: one that many other views confirm does not."""
ROUNDS = 3


def without_hidden(models: Sequence[SparseModel], segments: Mapping[str, Segments]) -> list[SparseModel]:
    """The models without the observations of points that cannot be where they are; the points themselves stay.

    Args:
        segments: by keyframe name.

    Raises:
        DataError: masks that do not fit the images.
    """
    result = []
    for model in models:
        kept = ~hidden_points(model, segments)[model.obs_point]
        result.append(
            replace(model, obs_keyframe=model.obs_keyframe[kept], obs_point=model.obs_point[kept], obs_xy=model.obs_xy[kept])
        )
    return result


def hidden_points(model: SparseModel, segments: Mapping[str, Segments]) -> np.ndarray:
    """(P,) bool: points that nearer ones hide from their own views, and those that come from the same mistake."""
    hidden = np.zeros(len(model.point_ids), bool)
    posed = len(model.cameras) == len(model.names) and np.isfinite(model.camera_from_world).all()
    if not posed or len(model.obs_point) == 0:
        return hidden
    mask = _masks(model, segments)
    inside = np.flatnonzero(mask >= 0)
    inside = inside[np.argsort(model.obs_keyframe[inside], kind="stable")]
    view, point, mask = model.obs_keyframe[inside], model.obs_point[inside], mask[inside]
    pose = model.camera_from_world[view]
    depth = np.einsum("nj,nj->n", pose[:, 2, :3], model.xyz[point]) + pose[:, 2, 3]
    tangent = _tangents(model, inside)
    for _ in range(ROUNDS):
        left = np.flatnonzero(~hidden[point])
        seen = ones_at(point[left], view[left], (len(hidden), len(model.names)))
        behind, firm, deep = (np.zeros(len(hidden), bool) for _ in range(3))
        for mine in np.split(left, np.flatnonzero(np.diff(view[left])) + 1):
            verdict = _verdicts(tangent[mine], depth[mine], mask[mine], seen[point[mine]])
            behind[point[mine[verdict < 0]]] = firm[point[mine[verdict > 0]]] = True
        deep[point[left[depth[left] > BEHIND * _medians(depth[left], mask[left])]]] = True
        found = _mistaken(ones_at(mask[left], point[left], (int(mask.max(initial=0)) + 1, len(hidden))), behind, firm, deep)
        if not found.any():
            break
        hidden |= found
    return hidden


def _masks(model: SparseModel, segments: Mapping[str, Segments]) -> np.ndarray:
    """(N,) a number of its own for each mask of each keyframe, at each observation; -1 outside masks."""
    result = np.full(len(model.obs_point), -1, np.int64)
    order = np.argsort(model.obs_keyframe, kind="stable")
    bounds = np.searchsorted(model.obs_keyframe[order], np.arange(len(model.names) + 1))
    first = 0
    for k, name in enumerate(model.names):
        if name not in segments:
            continue
        mine = order[bounds[k] : bounds[k + 1]]
        item = segments[name]
        place = SegmentLookup(item)(model.obs_xy[mine])
        result[mine] = np.where(place >= 0, first + place, -1)
        first += len(item.ids)
    return result


def _tangents(model: SparseModel, rows: np.ndarray) -> np.ndarray:
    """(n, 2) x/z and y/z of where these observations' points project."""
    pose = model.camera_from_world[model.obs_keyframe[rows]]
    local = np.einsum("nij,nj->ni", pose[:, :, :3], model.xyz[model.obs_point[rows]]) + pose[:, :, 3]
    return local[:, :2] / np.maximum(local[:, 2:], 1e-9)


def _medians(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(n,) the (lower) median of each value's group."""
    order = np.lexsort((values, group))
    first = np.searchsorted(group[order], group)
    last = np.searchsorted(group[order], group, "right") - 1
    return np.asarray(values[order][(first + last) // 2])


def _verdicts(tangent: np.ndarray, depth: np.ndarray, mask: np.ndarray, seen: sparse.csr_matrix) -> np.ndarray:
    """(n,) int8 of one view's observations: -1 behind the surface around, 1 part of it, 0 there is none."""
    # Masks far apart in a third dimension: neighbours are of the same mask.
    apart = np.column_stack([tangent, mask * (10 * RADIUS)])
    gap, near = cKDTree(apart).query(apart, k=NEIGHBOURS + 1, distance_upper_bound=RADIUS)
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


def _mistaken(held: sparse.csr_matrix, behind: np.ndarray, firm: np.ndarray, deep: np.ndarray) -> np.ndarray:
    """(P,) bool: points that tie masks mistaken for one another.

    Args:
        held: (masks, P) CSR of ones.
        behind, firm, deep: (P,) bool: behind a surface, confirmed by other views, deeper than the masks that hold it.
    """
    masks = np.diff(held.tocsc().indptr)
    held = held[np.flatnonzero(held @ behind.astype(float) >= LEAST_MISTAKEN)]

    def ties(some: np.ndarray) -> sparse.csr_matrix:
        return (held[:, some] @ held[:, some].T).tocsr()

    bad = ties(behind).tocoo()
    good, level = (sample(ties(some), bad.row, bad.col) for some in (firm & ~behind, ~deep & ~behind))
    wrong = (
        (bad.row != bad.col) & (bad.data >= LEAST_MISTAKEN) & (bad.data >= MISTAKEN * (bad.data + good)) & (level < bad.data)
    )
    pairs = sparse.csr_matrix((np.ones(int(wrong.sum())), (bad.row[wrong], bad.col[wrong])), (held.shape[0],) * 2)
    share = np.asarray((pairs @ held).multiply(held).sum(axis=0)).ravel() / np.maximum(masks * (masks - 1), 1)
    return (share >= BETRAYED) & (deep | behind)
