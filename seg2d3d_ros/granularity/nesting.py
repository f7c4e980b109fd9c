"""Which overlapping masks one image shows inside each other: what a segmenter takes for a whole and its part in the same image
is two things, however much of the whole the part is."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.granularity.mask_points import MaskPoints

INSIDE = 0.7
"""Share of the smaller mask's points from which it lies in the larger one."""
PART = 0.7
"""Share of the larger mask's points below which the smaller one is a part of it; above, both show the same."""


def nested_votes(points: MaskPoints) -> sparse.csr_matrix:
    """(S, S) CSR, symmetric: 1 where two masks of one image are a whole and its part, -1 where they show the same thing.

    Masks that overlap otherwise, or not at all, say nothing: a thing may show in two pieces.
    """
    held = points.held.tocoo()
    place = points.view[held.row] * points.held.shape[1] + held.col
    column = np.unique(place, return_inverse=True)[1]
    shape = len(points), int(column.max(initial=-1)) + 1
    inside = sparse.csr_matrix((np.ones(len(column)), (held.row, column)), shape)
    common = (inside @ inside.T).tocoo()
    size = np.diff(inside.indptr)
    other = common.row != common.col
    rows, columns, shared = common.row[other], common.col[other], common.data[other]
    smaller, larger = np.minimum(size[rows], size[columns]), np.maximum(size[rows], size[columns])
    votes = np.where(shared >= INSIDE * smaller, np.where(shared < PART * larger, 1.0, -1.0), 0.0)
    return sparse.csr_matrix((votes, (rows, columns)), common.shape)
