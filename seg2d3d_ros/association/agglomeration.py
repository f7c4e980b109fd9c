"""Groups that the views take for one object are united, the surest pairs first.

Agglomeration on a signed graph, like greedy additive edge contraction for the multicut problem (Keuper et al., ICCV 2015),
with two differences that sparse matrices ask for: all pairs that are each other's best partner are united at once, and the
votes on a united group are counted anew from all its points instead of added up, so that no view votes twice.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import Groups, common_weight, main_object_before, shares, votes, votes_before

DOUBT = 0.5
"""Weight of the view that nobody has seen, and that would vote neither way: agreement of many views goes first."""
HOLD = 0.25
"""What an earlier solution weighs, in standard deviations of a sum of votes by views that toss coins: only evidence clearer
than that unites what was two objects, or divides what was one."""
LEAST_VERDICT = 1e-9
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
    """Pairs (row < column) with a positive sum of votes, and the mean vote of those who know both."""
    group_shares = shares(groups)
    total = sparse.triu(votes(group_shares, trust), k=1).tocoo()
    rows, columns, sums = total.row, total.col, total.data
    candidate = sums > LEAST_VERDICT
    if groups.before is not None:
        # Below zero, only what was mostly one object before can come out above.
        main = main_object_before(groups)
        candidate |= (main[rows] == main[columns]) & (main[rows] >= 0)
    rows, columns, sums = rows[candidate], columns[candidate], sums[candidate]
    weight = common_weight(group_shares, rows, columns)
    if groups.before is not None:
        vote, known = votes_before(groups, rows, columns)
        hold = HOLD * np.sqrt(weight)
        sums, weight = sums + hold * vote, weight + hold * known
    positive = sums > LEAST_VERDICT
    verdict = sums[positive] / (weight[positive] + DOUBT)
    return rows[positive], columns[positive], np.round(verdict, ROUNDING)
