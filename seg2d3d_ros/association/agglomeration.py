"""Groups that the views take for one object are united, the surest pairs first.

Agglomeration on a signed graph, like greedy additive edge contraction for the multicut problem (Keuper et al., ICCV 2015),
with two differences that sparse matrices ask for: all pairs that are each other's best partner are united at once, and the
votes on a united group are counted anew from all its points instead of added up, so that no view votes twice.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import Groups, common_weight, shares, votes

DOUBT = 0.5
"""Weight of the view that nobody has seen, and that would vote neither way: agreement of many views goes first."""
ROUNDING = 9
"""Decimals of a verdict: the order in which sums were formed must not decide between equals."""


def agglomerate(groups: Groups, trust: sparse.csr_matrix) -> np.ndarray:
    """Unite groups until no two of them are rather one object than two.

    Args:
        trust: (M, M) see ``evidence``.

    Returns:
        (N,) int64 the united group of each group, 0, 1, … without gaps.
    """
    owner = np.arange(len(groups))
    while True:
        rows, columns, verdict = _attractive_pairs(groups, trust)
        if len(rows) == 0:
            return owner
        # A strict order of all pairs: the first one is each other's best, so every round unites something.
        order = np.lexsort((columns, rows, -verdict))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        best = np.full(len(groups), len(order))
        np.minimum.at(best, rows, rank)
        np.minimum.at(best, columns, rank)
        mutual = (best[rows] == rank) & (best[columns] == rank)
        parent = np.arange(len(groups))
        parent[columns[mutual]] = rows[mutual]
        kept, united = np.unique(parent, return_inverse=True)
        groups = groups.contract(united, len(kept))
        owner = united[owner]


def _attractive_pairs(groups: Groups, trust: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (row < column) with a positive sum of votes, and the mean vote of the views that see both."""
    group_shares = shares(groups)
    total = sparse.triu(votes(group_shares, trust), k=1).tocoo()
    positive = total.data > 1e-9
    rows, columns = total.row[positive], total.col[positive]
    weight = common_weight(group_shares, rows, columns)
    return rows, columns, np.round(total.data[positive] / (weight + DOUBT), ROUNDING)
