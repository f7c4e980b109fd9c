"""Evidence of the views on whether two groups of points are one object or two: the edge weights of a signed graph.

Every view that sees points of both groups votes. Of group c it sees ``visible[c, view]`` points, and ``inside[c, m]`` of them
lie in its mask m. The damped share of the mask in what the view sees is

    share[c, m] = inside[c, m] / (visible[c, view] + damping[c])

The damping lowers the vote of views that see few points of a group: a far view that holds a row of houses in one mask, with
three points each, weighs little beside a near one. The vote of a view is

    sum over its masks m, n of  share[c, m] · weights[m, n] · share[d, n]
    − OUTSIDE · (covered[c] · bare[d] + bare[c] · covered[d])

``weights[m, m]`` ≥ 0 is the reliability of mask m: how sure it is that the mask shows one object only. ``weights[m, n]`` ≤ 0 is
a cannot-link weight: how sure it is that the masks m and n of one view show two objects (both from ``reliability``).
``covered`` and ``bare`` are a group's shares inside and outside the view's masks. The sum over all views is a product of sparse
matrices. The view consensus rate of MaskClustering (Yan et al., CVPR 2024) counts supporting views in a similar way; here
contradicting views count too, and masks have weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.extents import Extents

DAMPING = 2.0
"""Points of a group in a view at which the view's vote has half its weight."""
RESOLUTION = 0.25
"""Added to the damping for each point that is seen by the view that sees most points of the group."""
OUTSIDE = 0.15
"""Cannot-link weight of "one group in a mask, the other in none": it is small, because detectors miss objects."""


@dataclass(frozen=True)
class Groups:
    """N groups of points as the views see them. M masks, K views.

    Attributes:
        inside: (N, M) CSR float64, weight of the group's points in each mask.
        visible: (N, K) CSR float64, weight of the group's points that each view sees.
        mask_view: (M,) the view of each mask.
        before: (N, O) CSR float64, the group's points that each object of an earlier solution owns; None = there is none.
        extents: where the groups lie; None = it is unknown.
    """

    inside: sparse.csr_matrix
    visible: sparse.csr_matrix
    mask_view: np.ndarray
    before: sparse.csr_matrix | None = None
    extents: Extents | None = None

    def __len__(self) -> int:
        return self.inside.shape[0]

    def take(self, rows: np.ndarray) -> Groups:
        """Some of the groups."""
        before = None if self.before is None else self.before[rows]
        extents = None if self.extents is None else self.extents.take(rows)
        return Groups(self.inside[rows], self.visible[rows], self.mask_view, before, extents)

    def contract(self, owner: np.ndarray, count: int) -> Groups:
        """Unite the groups with the same ``owner`` (N,) < count."""
        merge = sparse.csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), (count, len(owner)))
        before = None if self.before is None else (merge @ self.before).tocsr()
        extents = None if self.extents is None else self.extents.contract(owner, count)
        return Groups((merge @ self.inside).tocsr(), (merge @ self.visible).tocsr(), self.mask_view, before, extents)


@dataclass(frozen=True)
class Shares:
    """Damped shares of groups: ``inside`` (N, M) in each mask, ``covered`` (N, K) in any mask of each view, ``bare``
    (N, K) in none; ``weight`` (N, K) = covered + bare = visible / (visible + damping)."""

    inside: sparse.csr_matrix
    covered: sparse.csr_matrix
    bare: sparse.csr_matrix
    weight: sparse.csr_matrix


def shares(groups: Groups) -> Shares:
    """The shares in the module's formula."""
    entries = groups.inside.tocoo()
    seen = sample(groups.visible, entries.row, groups.mask_view[entries.col])
    damping = DAMPING + RESOLUTION * groups.visible.max(axis=1).toarray().ravel()
    inside = sparse.csr_matrix((entries.data / (seen + damping[entries.row]), (entries.row, entries.col)), groups.inside.shape)
    weight = groups.visible.copy()
    weight.data = weight.data / (weight.data + np.repeat(damping, np.diff(weight.indptr)))
    masks = np.arange(len(groups.mask_view))
    view_of = sparse.csr_matrix((np.ones(len(masks)), (masks, groups.mask_view)), (len(masks), weight.shape[1]))
    covered = (inside @ view_of).tocsr()
    bare = (weight - covered).tocsr()
    bare.data[bare.data < 1e-9] = 0.0
    bare.eliminate_zeros()
    return Shares(inside, covered, bare, weight)


def votes(group_shares: Shares, weights: sparse.csr_matrix, outside: float = OUTSIDE) -> sparse.csr_matrix:
    """(N, N) CSR symmetric: the sum of all views' votes on each pair of groups, positive for "one object".

    Args:
        weights: (M, M) reliabilities and cannot-link weights of the masks (``reliability.weight_matrix``).
    """
    s = group_shares
    if outside == 0.0:
        return (s.inside @ weights @ s.inside.T).tocsr()
    left = sparse.hstack([s.inside @ weights, -outside * s.covered, -outside * s.bare]).tocsr()
    right = sparse.hstack([s.inside, s.bare, s.covered]).tocsr()
    return (left @ right.T).tocsr()


def common_weight(group_shares: Shares, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(n,) the sum of the weights of the views that see both groups, for n pairs of groups."""
    return sample((group_shares.weight @ group_shares.weight.T).tocsr(), rows, columns)


def votes_before(groups: Groups, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vote of an earlier solution on n pairs of groups: it counts as one more view, which saw all its points.

    Returns:
        The vote (n,) in [-1, 1], positive for "one object", and its weight (n,) in [0, 1]: little for groups of few points.
    """
    assert groups.before is not None
    size = np.asarray(groups.before.sum(axis=1)).ravel()
    share = (sparse.diags(1.0 / (size + DAMPING)) @ groups.before).tocsr()
    alike = np.asarray(share[rows].multiply(share[columns]).sum(axis=1)).ravel()
    weight = size / (size + DAMPING)
    known = weight[rows] * weight[columns]
    return 2.0 * alike - known, known


def main_object_before(groups: Groups) -> np.ndarray:
    """(N,) the object of the earlier solution that owns most of each group's points, -1 = none."""
    before = groups.before
    assert before is not None
    if before.shape[1] == 0:
        return np.full(len(groups), -1)
    return np.where(before.max(axis=1).toarray().ravel() > 0, np.asarray(before.argmax(axis=1)).ravel(), -1)


def sample(matrix: sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(n,) entries of a sparse matrix; 0 where it has none."""
    return np.asarray(matrix[rows, columns]).ravel() if len(rows) else np.empty(0)


def ones_at(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """CSR float64 of this shape with 1 at these places, also where one is named twice."""
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape)
    matrix.data[:] = 1.0
    return matrix
