"""Which masks of different views are the same thing: groups of masks, by the points that both views of a pair see.

For masks i and j, over the points that both their views see,

    same[i, j]  = |i ∩ j|                     expected[i, j] = |points of i that the view of j sees|
    likeness    = Σ same / max(Σ expected[i, j], Σ expected[j, i])

is the smaller of the shares that two groups have of each other, summed over all pairs of their masks. A view that sees only
half of a house compares that half, so that partial visibility does not count against it. Ragged borders take a little off both
shares; of a part and its whole one share is near 1 and the other is not, which the intersection over union cannot tell apart.
Groups that images show as whole and part (``nesting``) are not united. Each pair weighs as much as it has points, damped:
r[i] · r[j] times its points with r = (points + DAMPING)^-½. The sums are products of sparse matrices; groups are united best
pair first, by the intersection over union, and the likeness of united groups is computed anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import sample
from seg2d3d_ros.granularity.mask_points import MaskPoints
from seg2d3d_ros.granularity.nesting import nested_votes

DAMPING = 4.0
"""Points of a mask at which a pair with it has half its weight."""
SAME = 0.6
"""Likeness from which two groups are one thing. A part that is half of its whole has a likeness of a half."""
PRIOR = 0.5
"""Weight of an imaginary pair without anything in common."""
ROUNDING = 9
PAIRS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class _Sums:
    """Sums over the masks of G groups: ``same`` (G, G), points by view ``expected`` (G, K), weights by view ``masks`` (G, K),
    and the votes of single images for whole and part ``nested`` (G, G)."""

    same: sparse.csr_matrix
    expected: sparse.csr_matrix
    masks: sparse.csr_matrix
    nested: sparse.csr_matrix

    def contract(self, owner: np.ndarray, count: int) -> _Sums:
        merge = sparse.csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), (count, len(owner)))
        return _Sums(
            (merge @ self.same @ merge.T).tocsr(),
            (merge @ self.expected).tocsr(),
            (merge @ self.masks).tocsr(),
            (merge @ self.nested @ merge.T).tocsr(),
        )

    def likeness(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pairs (row < column) with points in common that may be united, their likeness, and what orders them."""
        common = sparse.triu(self.same, k=1).tocoo()
        rows, columns = common.row, common.col
        there, back = self._points_seen(rows, columns), self._points_seen(columns, rows)
        likeness = common.data / np.maximum(np.maximum(there, back), 1e-12)
        rated = np.round(common.data / (there + back - common.data + PRIOR), ROUNDING)
        one = sample(self.nested, rows, columns) <= 0
        return rows[one], columns[one], likeness[one], rated[one]

    def _points_seen(self, groups: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(N,) points of each group that the views of the other see. Only of these pairs: all that see common views are many
        times more."""
        found = np.empty(len(groups))
        for first in range(0, len(groups), PAIRS_AT_ONCE):
            chunk = slice(first, first + PAIRS_AT_ONCE)
            views = self.masks[others[chunk]]
            pair = np.repeat(np.arange(views.shape[0]), np.diff(views.indptr))
            seen = sample(self.expected, groups[chunk][pair], views.indices) * views.data
            found[chunk] = np.bincount(pair, seen, views.shape[0])
        return found


def group_masks(points: MaskPoints) -> np.ndarray:
    """(S,) int64 the group of each mask, 0, 1, … without gaps; masks without a point are alone."""
    size = np.asarray(points.held.sum(axis=1)).ravel()
    scale = sparse.diags(1.0 / np.sqrt(size + DAMPING))
    held = (scale @ points.held).tocsr()
    one = sparse.csr_matrix((np.ones(len(points)), (np.arange(len(points)), points.view)), (len(points), len(points.names)))
    expected = (held @ points.visible.T).tocsr()
    sums = _Sums((held @ held.T).tocsr(), expected, (scale @ one).tocsr(), nested_votes(points))
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
