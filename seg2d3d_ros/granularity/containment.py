"""Which node lies in which: the views that see both vote, each by what its masks of the one hold of the points of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import sample
from seg2d3d_ros.granularity.mask_points import MaskPoints
from seg2d3d_ros.granularity.nesting import nested_votes

MEMBER = 0.5
"""A point belongs to a node if its masks hold it in more than this share of the node's views that see it."""
DAMPING = 2.0
"""Points of a node in a view at which the view's vote has half its weight."""
INSIDE = 0.55
"""Share of a node's points in a view's masks of another node from which the view says that it lies in it; if
each lies in the other, they are one thing."""
MAJORITY = 0.5
LEAST = 0.3
"""Weight of the votes below which nothing is said."""


@dataclass(frozen=True)
class NodePoints:
    """N nodes as point sets. S masks, K views.

    Attributes:
        of_mask: (S,) int64 the node of each mask, -1 = none.
        member: (N, P) CSR float64 of ones.
        visible: (N, K) CSR float64 weight of a node's points that each view sees.
        held: (N, S) CSR float64 weight of a node's points in each mask.
        masks: (N, K) CSR float64, how many masks of a node each view has.
    """

    of_mask: np.ndarray
    member: sparse.csr_matrix
    visible: sparse.csr_matrix
    held: sparse.csr_matrix
    masks: sparse.csr_matrix

    @property
    def sizes(self) -> np.ndarray:
        """(N,) points of each node."""
        return np.diff(self.member.indptr).astype(np.int64)

    @property
    def views(self) -> np.ndarray:
        """(N,) views with masks of each node."""
        return np.diff(self.masks.indptr).astype(np.int64)

    @classmethod
    def of(cls, points: MaskPoints, of_mask: np.ndarray) -> NodePoints:
        """The points that the masks of each node hold in most of the views that see them."""
        count = int(of_mask.max(initial=-1)) + 1
        mine = np.flatnonzero(of_mask >= 0)
        ones = np.ones(len(mine))
        merge = sparse.csr_matrix((ones, (of_mask[mine], mine)), (count, len(points)))
        masks = sparse.csr_matrix((ones, (of_mask[mine], points.view[mine])), (count, len(points.names)))
        has = masks.copy()
        has.data[:] = 1.0
        inside = (merge @ points.held).tocsr()
        seen = (has @ points.visible).tocsr()
        seen = seen.multiply(inside.astype(bool)).tocsr()
        share = inside.multiply(_inverse(seen)).tocsr()
        share.data = (share.data > MEMBER).astype(float)
        share.eliminate_zeros()
        member = share
        return cls(of_mask, member, (member @ points.visible.T).tocsr(), (member @ points.held.T).tocsr(), masks)


def _inverse(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    result = matrix.copy()
    result.data = 1.0 / result.data
    return result


def inside_votes(points: MaskPoints, nodes: NodePoints) -> sparse.csr_matrix:
    """(N, N) CSR in (0, 1]: of the views that see points of node c and have masks of node d, weighed by how many of the points
    they see, the part that says "c lies in d": that so large a share of the points of c lies in its masks of d. Only where
    ``LEAST`` of weight speaks."""
    count, views = len(nodes.sizes), len(points.names)
    assigned = np.flatnonzero(nodes.of_mask >= 0)
    # The masks of one node in one view speak together: a thing in two pieces is one thing.
    pair, together = np.unique(nodes.of_mask[assigned] * views + points.view[assigned], return_inverse=True)
    pick = sparse.csr_matrix((np.ones(len(assigned)), (assigned, together)), (len(points), len(pair)))
    overlap = (nodes.held @ pick).tocoo()
    other, view = np.divmod(pair[overlap.col], views)
    expected = sample(nodes.visible, overlap.row, view)
    says = overlap.data >= INSIDE * expected
    weight = expected / (expected + DAMPING)
    yes = sparse.csr_matrix((weight[says], (overlap.row[says], other[says])), (count, count))
    heard = nodes.visible.copy()
    heard.data = heard.data / (heard.data + DAMPING)
    has = nodes.masks.copy()
    has.data[:] = 1.0
    entries = yes.tocoo()
    total = sample((heard @ has.T).tocsr(), entries.row, entries.col)
    good = (total >= LEAST) & (entries.row != entries.col)
    rows, columns = entries.row[good], entries.col[good]
    return sparse.csr_matrix((entries.data[good] / total[good], (rows, columns)), (count, count))


def united_by_points(points: MaskPoints, nodes: NodePoints) -> np.ndarray:
    """(N,) int64 nodes that are one thing by their points in the whole scene: each lies in the other, and no image shows
    them as whole and part. 0, 1, … without gaps."""
    votes = inside_votes(points, nodes)
    both = votes.minimum(votes.T).tocoo()
    nested = sample(_by_node(nested_votes(points), nodes.of_mask, len(nodes.sizes)), both.row, both.col)
    good = (both.row < both.col) & (both.data > MAJORITY) & (nested <= 0)
    rows, columns, rated = both.row[good], both.col[good], np.round(both.data[good], 9)
    order = np.lexsort((columns, rows, -rated))
    parent = np.arange(len(nodes.sizes))
    taken = np.zeros(len(parent), bool)
    for k in order.tolist():
        if not taken[rows[k]] and not taken[columns[k]]:
            taken[[rows[k], columns[k]]] = True
            parent[columns[k]] = rows[k]
    return np.unique(parent, return_inverse=True)[1]


def parents(points: MaskPoints, nodes: NodePoints) -> np.ndarray:
    """(N,) int64 the smallest node that each lies in by the majority of the views, -1 = none. Of two that lie in each other
    and are yet not one thing the smaller lies in the larger."""
    votes = inside_votes(points, nodes)
    entries = votes.tocoo()
    sizes = nodes.sizes
    # Sizes make sure that there is no circle.
    good = (entries.data > MAJORITY) & (sizes[entries.col] > sizes[entries.row])
    child, container = entries.row[good], entries.col[good]
    result = np.full(len(sizes), -1, np.int64)
    order = np.lexsort((container, sizes[container]))[::-1]  # the smallest is written last
    result[child[order]] = container[order]
    return result


def _by_node(between_masks: sparse.csr_matrix, of_mask: np.ndarray, count: int) -> sparse.csr_matrix:
    """(N, N) CSR, the sums over the masks of each two nodes."""
    mine = np.flatnonzero(of_mask >= 0)
    merge = sparse.csr_matrix((np.ones(len(mine)), (of_mask[mine], mine)), (count, len(of_mask)))
    return (merge @ between_masks @ merge.T).tocsr()
