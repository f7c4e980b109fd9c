"""Blocks by who shows the same: the graph of verified pairs is halved where it hangs together least.

Spectral bisection (Fiedler, 1973): the second eigenvector of the normalised Laplacian orders the keyframes along the drive, and
the order is cut in the middle half where the fewest matches cross (a sweep cut).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError, eigsh

from seg2d3d_ros.city.cutting.block_cut import BlockCut, CutLimits

SHARED = 0.25
"""Of a block's keyframes, those that it shares with others at most."""
MOST = 200
"""Matches beyond which a pair counts no more."""


def cut_by_pairs(names: Sequence[str], pairs: np.ndarray, limits: CutLimits) -> list[BlockCut]:
    """Blocks of keyframes.

    Args:
        names: of N keyframes.
        pairs: (M, 3) int64 place in ``names``, another one, verified matches.
        limits: ``overlap`` plays no part here: a block shares a quarter of its keyframes.

    Returns:
        blocks, the one with the first name first. Each keyframe is the core of one; a keyframe without partner is alone.
    """
    order = sorted(range(len(names)), key=lambda k: names[k])
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    rows, columns = rank[pairs[:, 0]], rank[pairs[:, 1]]
    weight = np.minimum(pairs[:, 2], MOST).astype(np.float64)
    half = sparse.coo_matrix((weight, (rows, columns)), (len(names), len(names))).tocsr()
    graph = (half + half.T).tocsr()
    most = max(limits.least, int((1.0 - SHARED) * limits.keyframes))
    cores = [core for part in _parts(graph, np.arange(len(names))) for core in _bisected(graph, part, most)]
    blocks = []
    for core in sorted(cores, key=lambda c: int(c[0])):
        near = _neighbours(graph, core, max(limits.keyframes - len(core), 0))
        chosen, shared = (tuple(names[order[k]] for k in sorted(ids.tolist())) for ids in (core, near))
        blocks.append(BlockCut(chosen, shared))
    return blocks


def _parts(graph: sparse.csr_matrix, ids: np.ndarray) -> list[np.ndarray]:
    count, label = connected_components(graph[ids][:, ids], directed=False)
    return [ids[label == k] for k in range(count)]


def _bisected(graph: sparse.csr_matrix, ids: np.ndarray, most: int) -> list[np.ndarray]:
    if len(ids) <= most:
        return [ids]
    ordered = ids[_along(graph[ids][:, ids])]
    inner = graph[ordered][:, ordered].tocoo()
    crossing = np.zeros(len(ids) + 1)
    upper = inner.row < inner.col
    np.add.at(crossing, inner.row[upper] + 1, inner.data[upper])
    np.add.at(crossing, inner.col[upper] + 1, -inner.data[upper])
    cost = np.cumsum(crossing)[: len(ids)]  # of cutting before each place
    low, high = len(ids) // 4, len(ids) - len(ids) // 4
    at = low + int(np.argmin(cost[low : high + 1])) if low else len(ids) // 2
    sides = (np.sort(ordered[:at]), np.sort(ordered[at:]))
    return [core for side in sides for part in _parts(graph, side) for core in _bisected(graph, part, most)]


def _along(graph: sparse.csr_matrix) -> np.ndarray:
    """(N,) the order of the keyframes along what they show; the first keyframe lies in the first half."""
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = sparse.diags(1.0 / np.sqrt(np.maximum(degree, 1e-12)))
    likeness = sparse.identity(len(degree)) + scale @ graph @ scale
    start = np.linspace(-1.0, 1.0, len(degree)) + 0.1
    try:
        values, vectors = eigsh(likeness, k=2, which="LA", v0=start, tol=1e-6)
        second = vectors[:, np.argsort(-values, kind="stable")[1]] / np.sqrt(np.maximum(degree, 1e-12))
    except ArpackError:  # no convergence: by name
        second = np.arange(len(degree), dtype=np.float64)
    if second[0] > np.median(second):
        second = -second
    return np.lexsort((np.arange(len(second)), np.round(second, 9)))


def _neighbours(graph: sparse.csr_matrix, core: np.ndarray, room: int) -> np.ndarray:
    """Keyframes outside a core that have most matches with it; then those that have most with these, and so on."""
    most = min(room, max(1, int(SHARED / (1.0 - SHARED) * len(core))))
    taken = np.zeros(graph.shape[0], bool)
    taken[core] = True
    found: list[int] = []
    while len(found) < most:
        matches = np.asarray(graph[np.flatnonzero(taken)].sum(axis=0)).ravel()
        matches[taken] = 0.0
        order = np.lexsort((np.arange(len(matches)), -matches))
        fresh = [int(k) for k in order[: max(1, (most + 1) // 2)] if matches[k] > 0][: most - len(found)]
        if not fresh:
            break
        found += fresh
        taken[fresh] = True
    return np.array(found, np.int64)
