"""What the views say about two groups of points: one object or two?

Every view that sees points of both groups votes. Of group c it sees V[c, t] points, and B[c, m] of them lie in its mask m.
The share x = B / (V + k) is the mask's part of what the view sees, damped where the view sees few points: resolution is
evidence, and a far view that holds a whole row of houses with three points each weighs little beside a near one. The vote is

    sum over masks m, n of the view   x[c, m] · Q[m, n] · x[d, n]   −  γ (y[c] z[d] + z[c] y[d])

with Q[m, m] ≥ 0 for "in one mask", as far as the mask is trusted to show one object only, Q[m, n] ≤ 0 for "in two masks", as
far as these are trusted to be two objects (``reliability``), y a group's share inside masks and z outside any. Summed over
the views this is a product of sparse matrices. MaskClustering's view consensus (Yan et al., CVPR 2024) counts supporting
views in the same spirit; here contradiction counts too, and masks are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

DAMPING = 2.0
"""k: points at which a view's vote has half its weight for each of the groups."""
RESOLUTION = 0.25
"""Added to k for each point that the view seeing most of the group sees."""
OUTSIDE = 0.15
"""γ: weight of "one in a mask, the other in none": detectors miss objects, so it says little."""


@dataclass(frozen=True)
class Groups:
    """N groups of points as the views see them. M masks, K views.

    Attributes:
        inside: (N, M) CSR float64, weight of the group's points in each mask.
        visible: (N, K) CSR float64, weight of the group's points that each view sees.
        mask_view: (M,) the view of each mask.
        before: (N, O) CSR float64, the group's points that each object of an earlier solution owns; None = there is none.
    """

    inside: sparse.csr_matrix
    visible: sparse.csr_matrix
    mask_view: np.ndarray
    before: sparse.csr_matrix | None = None

    def __len__(self) -> int:
        return self.inside.shape[0]

    def take(self, rows: np.ndarray) -> Groups:
        """Some of the groups."""
        before = None if self.before is None else self.before[rows]
        return Groups(self.inside[rows], self.visible[rows], self.mask_view, before)

    def contract(self, owner: np.ndarray, count: int) -> Groups:
        """Unite the groups with the same ``owner`` (N,) < count."""
        merge = sparse.csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), (count, len(owner)))
        before = None if self.before is None else (merge @ self.before).tocsr()
        return Groups((merge @ self.inside).tocsr(), (merge @ self.visible).tocsr(), self.mask_view, before)


@dataclass(frozen=True)
class Shares:
    """Damped shares of groups: ``inside`` (N, M) in each mask, ``covered`` (N, K) in any mask of each view, ``bare``
    (N, K) in none, ``weight`` (N, K) their sum, V / (V + k)."""

    inside: sparse.csr_matrix
    covered: sparse.csr_matrix
    bare: sparse.csr_matrix
    weight: sparse.csr_matrix


def shares(groups: Groups) -> Shares:
    """The x, y and z of the module's formula."""
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


def votes(group_shares: Shares, trust: sparse.csr_matrix, outside: float = OUTSIDE) -> sparse.csr_matrix:
    """(N, N) CSR symmetric: the sum of all views' votes on each pair of groups, positive for "one object".

    Args:
        trust: (M, M) Q of the module's formula.
    """
    s = group_shares
    if outside == 0.0:
        return (s.inside @ trust @ s.inside.T).tocsr()
    left = sparse.hstack([s.inside @ trust, -outside * s.covered, -outside * s.bare]).tocsr()
    right = sparse.hstack([s.inside, s.bare, s.covered]).tocsr()
    return (left @ right.T).tocsr()


def common_weight(group_shares: Shares, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(n,) how much the views that see both groups weigh together, for n pairs of groups."""
    return sample((group_shares.weight @ group_shares.weight.T).tocsr(), rows, columns)


def votes_before(groups: Groups, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the earlier solution says of n pairs of groups, as one more view that saw all its points and is trusted.

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
    if before is None or before.shape[1] == 0:
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
