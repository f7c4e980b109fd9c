"""Correlation clustering (multicut) of groups of points by greedy agglomeration: pairs with the best votes are united first.

The method is greedy additive edge contraction on a signed graph (Keuper et al., ICCV 2015) with two differences: all pairs that
are each other's best partner are united at once, and the votes on a united group are computed anew from all its points instead
of added up, so that no view votes twice.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import Groups, common_weight, main_object_before, shares, votes, votes_before

PRIOR_WEIGHT = 0.5
"""Weight of an imaginary view with a vote of 0: of equal mean votes, that of more views goes first."""
HYSTERESIS = 0.25
"""Weight of an earlier solution, in standard deviations of a sum of random votes: only evidence clearer than that unites what
was two objects, or divides what was one."""
MIN_VOTE = 1e-9
NEAR, DISTANCE_VOTE = 3.0, 0.05
"""Groups farther apart than ``NEAR`` times the sum of their radii need a sum of votes of this much for each radius beyond: a
single point that two views share gives a tenth."""
ROUNDING = 9
"""Decimals of a mean vote: the order in which sums were formed must not decide between equals."""


def agglomerate(groups: Groups, weights: sparse.csr_matrix) -> np.ndarray:
    """Unite groups until no pair has a positive sum of votes, or enough for how far apart they lie.

    Args:
        weights: (M, M) reliabilities and cannot-link weights of the masks (``evidence``).

    Returns:
        (N,) int64 the united group of each group, 0, 1, … without gaps.
    """
    owner = np.arange(len(groups))
    while True:
        rows, columns, mean_vote = _attractive_pairs(groups, weights)
        if len(rows) == 0:
            return owner
        # A strict order of all pairs: the first one is each other's best, so every round unites something.
        order = np.lexsort((columns, rows, -mean_vote))
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


def _attractive_pairs(groups: Groups, weights: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (row < column) with a positive sum of votes, and the mean vote of the views that see both."""
    group_shares = shares(groups)
    total = sparse.triu(votes(group_shares, weights), k=1).tocoo()
    rows, columns, sums = total.row, total.col, total.data
    candidate = sums > MIN_VOTE
    if groups.before is not None:
        # Below zero, only what was mostly one object before can come out above.
        main = main_object_before(groups)
        candidate |= (main[rows] == main[columns]) & (main[rows] >= 0)
    rows, columns, sums = rows[candidate], columns[candidate], sums[candidate]
    weight = common_weight(group_shares, rows, columns)
    if groups.before is not None:
        vote, known = votes_before(groups, rows, columns)
        strength = HYSTERESIS * np.sqrt(weight)
        sums, weight = sums + strength * vote, weight + strength * known
    positive = sums > MIN_VOTE
    if groups.extents is not None:
        positive &= sums > DISTANCE_VOTE * (groups.extents.gaps(rows, columns) - NEAR)
    mean_vote = sums[positive] / (weight[positive] + PRIOR_WEIGHT)
    return rows[positive], columns[positive], np.round(mean_vote, ROUNDING)
