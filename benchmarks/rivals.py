"""Other ways to associate masks over 3D points, re-derived from their papers' rules for comparison.

Each takes the incidence and returns (S,) ids, 0 = none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from seg2d3d_ros.types import Incidence


def view_consensus(incidence: Incidence) -> np.ndarray:
    """MaskClustering (Yan et al., CVPR 2024): masks are one object if at least 90 % of the views that see both hold both in
    one mask; masks that more than 30 % of the views divide are left out; the best observed pairs go first.

    Visible: at least 30 % of a cluster's points. Held: one mask has at least 80 % of the visible ones.
    """
    held, seen = incidence.matrix.astype(bool).astype(np.float64), incidence.visibility.astype(bool).astype(np.float64)
    view = incidence.segment_keyframe
    has_masks = np.isin(np.arange(seen.shape[0]), view)
    used = np.flatnonzero(np.diff(held.indptr))
    clusters = held[used].astype(bool).astype(np.float64)
    label = np.full(held.shape[0], -1)
    label[used] = np.arange(len(used))
    visible, _ = _views_of(clusters, held, seen, view, has_masks)
    kept = _divided(clusters, held, seen, view) <= 0.3 * np.maximum(visible.sum(axis=1), 1)
    label[used[~kept]] = -1
    label[used[kept]] = np.arange(kept.sum())
    clusters = clusters[kept]
    observers = _observers(clusters, held, seen, view, has_masks)[0]
    positive = observers[observers > 0]
    for percentile in range(95, -1, -5):
        least = np.percentile(positive, percentile) if len(positive) else 1
        common, support = _observers(clusters, held, seen, view, has_masks)
        edges = (common >= max(least, 1)) & (support >= 0.9 * common)
        count, owner = connected_components(sparse.csr_matrix(edges), directed=False)
        merge = sparse.csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), (count, len(owner)))
        clusters = (merge @ clusters).astype(bool).astype(np.float64).tocsr()
        label[label >= 0] = owner[label[label >= 0]]
    return label + 1


def _views_of(
    clusters: sparse.csr_matrix, held: sparse.csr_matrix, seen: sparse.csr_matrix, view: np.ndarray, has_masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) bool where each cluster is visible, and (N, K) int the mask that holds it there, -1 = none."""
    size = np.asarray(clusters.sum(axis=1)).ravel()
    in_view = (clusters @ seen.T).toarray()
    visible = (in_view >= 0.3 * np.maximum(size, 1)[:, None]) & has_masks
    share = (clusters @ held.T).tocoo()
    inside = np.full(visible.shape, -1)
    whole = share.data >= 0.8 * in_view[share.row, view[share.col]]
    inside[share.row[whole], view[share.col[whole]]] = share.col[whole]
    return visible, inside


def _divided(clusters: sparse.csr_matrix, held: sparse.csr_matrix, seen: sparse.csr_matrix, view: np.ndarray) -> np.ndarray:
    """(N,) views that see a cluster in masks of which none holds it."""
    visible, inside = _views_of(clusters, held, seen, view, np.isin(np.arange(seen.shape[0]), view))
    share = (clusters @ held.T).tocoo()
    covered = np.zeros(visible.shape)
    np.add.at(covered, (share.row, view[share.col]), share.data)
    masked = covered >= 0.5 * (clusters @ seen.T).toarray()
    return (visible & masked & (inside < 0)).sum(axis=1)


def _observers(
    clusters: sparse.csr_matrix, held: sparse.csr_matrix, seen: sparse.csr_matrix, view: np.ndarray, has_masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N, N) views that see both clusters, and those that hold both in one mask."""
    visible, inside = _views_of(clusters, held, seen, view, has_masks)
    common = visible.astype(np.int32) @ visible.T.astype(np.int32)
    rows, views = np.nonzero((inside >= 0) & visible)
    holds = sparse.csr_matrix((np.ones(len(rows)), (rows, inside[rows, views])), (len(visible), held.shape[0]))
    return common, (holds @ holds.T).toarray()


def pairwise_tree(incidence: Incidence, order: Sequence[str]) -> np.ndarray:
    """SAM3D's merging (Yang et al., 2023): images that are neighbours in ``order`` are merged up a binary tree; two groups are
    one if they share at least half of the points of the smaller, among the points both sides see."""
    held = incidence.matrix.astype(bool)
    leaves = []
    place = {name: k for k, name in enumerate(incidence.names)}
    for k in [place[name] for name in order if name in place]:
        rows = np.flatnonzero(incidence.segment_keyframe == k)
        leaves.append([({int(r)}, set(held[r].indices.tolist())) for r in rows if held[r].nnz])
    while len(leaves) > 1:
        leaves = [_merge(*leaves[i : i + 2]) for i in range(0, len(leaves), 2)]
    label = np.zeros(held.shape[0], np.int64)
    for number, (rows, _) in enumerate(leaves[0] if leaves else [], 1):
        label[list(rows)] = number
    return label


Group = tuple[set[int], set[int]]


def _merge(first: list[Group], second: list[Group] | None = None) -> list[Group]:
    if second is None:
        return first
    merged = [(set(rows), set(points)) for rows, points in first]
    here, there = set().union(*(p for _, p in first)), set().union(*(p for _, p in second))
    for rows, points in second:
        shares = []
        for _, other in merged:
            least = min(len(other & there), len(points & here))
            shares.append(len(other & points) / least if least else 0.0)
        best = int(np.argmax(shares)) if shares else -1
        if best >= 0 and shares[best] >= 0.5:
            merged[best][0].update(rows)
            merged[best][1].update(points)
        else:
            merged.append((set(rows), set(points)))
    return merged
