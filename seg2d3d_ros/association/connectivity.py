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
    points = len(object_of)
    row = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
    tied = np.flatnonzero((object_of[held.indices] == main[row]) & (main[row] >= fixed))
    if len(tied) == 0:
        return object_of
    edges = (np.ones(len(tied), bool), (held.indices[tied], points + row[tied]))
    graph = sparse.coo_matrix(edges, (points + held.shape[0],) * 2)
    _, part_of = connected_components(graph, directed=False)
    there = np.unique(held.indices[tied])
    parts, part, size = np.unique(part_of[there], return_inverse=True, return_counts=True)
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
