"""Which masks of different views are the same thing: groups of masks, by the points that both views of a pair see.

For masks i and j, over the points that both their views see,

    same[i, j]  = |i ∩ j|                     expected[i, j] = |points of i that the view of j sees|
    likeness    = Σ same / (Σ expected[i, j] + Σ expected[j, i] − Σ same)

is the intersection over union, summed over all pairs of masks of two groups. A view that sees only half of a house compares
that half, so that partial visibility does not count against it, and ragged borders take a small share off. Each pair weighs
as much as it has points, damped: r[i] · r[j] times its points with r = (points + DAMPING)^-½. The sums are products of sparse
matrices; groups are united best pair first, and the likeness of united groups is computed anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import sample
from seg2d3d_ros.granularity.mask_points import MaskPoints

DAMPING = 4.0
"""Points of a mask at which a pair with it has half its weight."""
SAME = 0.55
"""Likeness from which two groups are one thing. A part that is half of its whole has a likeness of a half."""
PRIOR = 0.5
"""Weight of an imaginary pair without anything in common."""
ROUNDING = 9


@dataclass(frozen=True)
class _Sums:
    """Sums over the masks of G groups: ``same`` (G, G), points by view ``expected`` (G, K), and weights by view (G, K)."""

    same: sparse.csr_matrix
    expected: sparse.csr_matrix
    masks: sparse.csr_matrix

    def contract(self, owner: np.ndarray, count: int) -> _Sums:
        merge = sparse.csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), (count, len(owner)))
        return _Sums((merge @ self.same @ merge.T).tocsr(), (merge @ self.expected).tocsr(), (merge @ self.masks).tocsr())

    def likeness(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pairs (row < column) with points in common, their likeness, and the same with the prior, which orders them."""
        common = sparse.triu(self.same, k=1).tocoo()
        rows, columns = common.row, common.col
        expected = (self.expected @ self.masks.T).tocsr()
        union = sample(expected, rows, columns) + sample(expected, columns, rows) - common.data
        return rows, columns, common.data / np.maximum(union, 1e-12), np.round(common.data / (union + PRIOR), ROUNDING)


def group_masks(points: MaskPoints) -> np.ndarray:
    """(S,) int64 the group of each mask, 0, 1, … without gaps; masks without a point are alone."""
    size = np.asarray(points.held.sum(axis=1)).ravel()
    scale = sparse.diags(1.0 / np.sqrt(size + DAMPING))
    held = (scale @ points.held).tocsr()
    one = sparse.csr_matrix((np.ones(len(points)), (np.arange(len(points)), points.view)), (len(points), len(points.names)))
    sums = _Sums((held @ held.T).tocsr(), (held @ points.visible.T).tocsr(), (scale @ one).tocsr())
    owner = np.arange(len(points))
    while True:
        rows, columns, likeness, rated = sums.likeness()
        good = (likeness > SAME) & (rated > 0)
        rows, columns, rated = rows[good], columns[good], rated[good]
        if len(rows) == 0:
            return owner
        order = np.lexsort((columns, rows, -rated))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        count = sums.same.shape[0]
        best = np.full(count, len(order))
        np.minimum.at(best, rows, rank)
        np.minimum.at(best, columns, rank)
        mutual = (best[rows] == rank) & (best[columns] == rank)
        parent = np.arange(count)
        parent[columns[mutual]] = rows[mutual]
        kept, united = np.unique(parent, return_inverse=True)
        sums = sums.contract(united, len(kept))
        owner = united[owner]
