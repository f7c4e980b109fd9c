"""Objects whose masks share no point fall apart.

Masks are united by the points that they share. Then each point goes to one object, and a mask may be left with points that no
other mask of its object holds: what tied it to the others is gone, and it may show something else, far away.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components


def split_disconnected(object_of: np.ndarray, held: sparse.csr_matrix, main: np.ndarray, fixed: int = 0) -> np.ndarray:
    """Give each part of an object that shares no point with the rest a number of its own.

    Args:
        object_of: (P,) object of each point, -1 = none.
        held: (S, P) CSR, the points in each mask.
        main: (S,) the object that each mask belongs to, -1 = none.
        fixed: the first ``fixed`` objects are left as they are.

    Returns:
        (P,) object of each point. The part with most points keeps its object's number, the others get new ones behind all.
        Points that no mask of their object holds stay with it.
    """
    row = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
    tied = (object_of[held.indices] == main[row]) & (main[row] >= fixed)
    if not tied.any():
        return object_of
    first = np.concatenate([[0], np.cumsum(np.bincount(row[tied], minlength=held.shape[0]))])
    ties = sparse.csr_matrix((np.ones(first[-1], bool), held.indices[tied], first), held.shape).tocsc()
    # The masks of a point one after the other: a chain ties them as well as all their pairs do.
    goes_on = np.ones(ties.nnz, bool)
    goes_on[ties.indptr[1:][np.diff(ties.indptr) > 0] - 1] = False
    one = np.flatnonzero(goes_on)
    chain = sparse.coo_matrix((np.ones(len(one), bool), (ties.indices[one], ties.indices[one + 1])), (held.shape[0],) * 2)
    _, part_of_mask = connected_components(chain, directed=False)
    there = np.flatnonzero(np.diff(ties.indptr))
    part_of = part_of_mask[ties.indices[ties.indptr[there]]]
    # Parts in the order of their first points: of equal ones, the first keeps the number.
    begin = np.full(int(part_of.max()) + 1, len(there))
    begin[part_of[::-1]] = np.arange(len(there))[::-1]
    parts = np.argsort(begin, kind="stable")[: int((begin < len(there)).sum())]
    place = np.empty(len(begin), np.int64)
    place[parts] = np.arange(len(parts))
    part, size = place[part_of], np.bincount(part_of, minlength=len(begin))[parts]
    owner = np.zeros(len(parts), np.int64)
    owner[part] = object_of[there]
    order = np.lexsort((np.arange(len(parts)), -size, owner))
    largest = order[np.diff(owner[order], prepend=-1) > 0]
    number = np.full(len(parts), -1, np.int64)
    number[largest] = owner[largest]
    others = np.flatnonzero(number < 0)
    if len(others) == 0:
        return object_of
    number[others] = int(object_of.max()) + 1 + np.arange(len(others))
    result = object_of.astype(np.int64)
    result[there] = number[part]
    return result
