"""Blocks by place: the plane is halved until each part has few enough keyframes, and parts reach into their neighbours.

The result depends on the places alone, neither on the order of the keyframes nor on their drives. A line of division is, of
those that leave a quarter of the keyframes on either side, the one on the coarsest grid (…, 1024 m, 512 m, …): so it stays
where it is when a few keyframes come. Keyframes that do not hang together are never one block: they would be two models.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from seg2d3d_ros.city.cutting.block_cut import BlockCut, CutLimits

QUARTER = 0.25
COARSEST = 2.0**20
"""Metres between the lines of the coarsest grid; each finer one has half of it."""
ROOM = 0.5
"""Share of a block's keyframes up to which its own are always room enough; the rest is for those it shares."""


def cut_by_place(names: Sequence[str], xy: np.ndarray, limits: CutLimits) -> list[BlockCut]:
    """Blocks of keyframes.

    Args:
        names: of N keyframes.
        xy: (N, 2) metres.
        limits: how large blocks may be.

    Returns:
        blocks in the order of their places. Each keyframe is the core of one; the smallest may have fewer than ``least``.
    """
    order = np.array(sorted(range(len(names)), key=lambda k: names[k]), np.int64)
    xy = np.asarray(xy, np.float64).reshape(-1, 2)[order]
    sorted_names = [names[k] for k in order]
    tree = cKDTree(xy)
    cores = [core for part in _connected(np.arange(len(xy)), xy, limits.overlap) for core in _halved(part, xy, tree, limits)]
    cores = _joined(cores, xy, tree, limits)
    blocks = []
    for core in sorted(cores, key=lambda c: (*xy[c].mean(axis=0).round(3).tolist(), int(c[0]))):
        near = _near(core, xy, tree, limits.overlap)
        room = max(limits.keyframes - len(core), 0)
        taken = near[:room]
        chosen, shared = ([sorted_names[k] for k in sorted(ids.tolist())] for ids in (core, taken))
        blocks.append(BlockCut(tuple(chosen), tuple(shared), len(near) - len(taken)))
    return blocks


def _near(core: np.ndarray, xy: np.ndarray, tree: cKDTree, reach: float) -> np.ndarray:
    """Other keyframes within reach of a core, the nearest first."""
    found = tree.query_ball_point(xy[core], reach)
    others = np.setdiff1d(np.unique(np.concatenate([np.array(ids, np.int64) for ids in found])), core)
    away, _ = cKDTree(xy[core]).query(xy[others])
    return np.asarray(others[np.lexsort((others, np.round(away, 6)))], np.int64)


def _halved(part: np.ndarray, xy: np.ndarray, tree: cKDTree, limits: CutLimits) -> list[np.ndarray]:
    """The part, or parts of it that are small enough and hang together."""
    size = len(part)
    if size <= max(1, int(ROOM * limits.keyframes)) or size <= limits.least:
        return [part]
    if size <= limits.keyframes and size + len(_near(part, xy, tree, limits.overlap)) <= limits.keyframes:
        return [part]
    lower = _lower_side(xy[part])
    sides = [part[lower], part[~lower]]
    return [
        core for side in sides for piece in _connected(side, xy, limits.overlap) for core in _halved(piece, xy, tree, limits)
    ]


def _lower_side(xy: np.ndarray) -> np.ndarray:
    """(N,) bool: which side of the line of division; both have a quarter of the keyframes at least."""
    extent = np.ptp(xy, axis=0)
    for axis in np.argsort(-extent, kind="stable"):
        values = xy[:, axis]
        low, high = np.quantile(values, [QUARTER, 1.0 - QUARTER], method="nearest")
        if high > low:
            lower = values < _coarsest_between(float(low), float(high), float(np.median(values)))
            if 0 < lower.sum() < len(xy):
                return np.asarray(lower, bool)
    half = np.zeros(len(xy), bool)  # all in one place, a vehicle that stands: by name
    half[: len(xy) // 2] = True
    return half


def _coarsest_between(low: float, high: float, middle: float) -> float:
    """The value in (low, high] on the coarsest grid that has one there; of several the nearest to the middle."""
    step = COARSEST
    while step > 1e-6:
        first = np.floor(low / step) * step + step
        if first <= high:
            lines = np.arange(first, high + step / 2, step)
            return float(lines[np.argmin(np.abs(lines - middle))])
        step /= 2
    return high


def _connected(part: np.ndarray, xy: np.ndarray, reach: float) -> list[np.ndarray]:
    """Groups that hang together by steps of at most ``reach``, each sorted, in the order of their first keyframes."""
    if len(part) < 2:
        return [part]
    pairs = _links(xy[part], reach)
    graph = sparse.coo_matrix((np.ones(len(pairs), bool), pairs.T), (len(part), len(part)))
    count, label = connected_components(graph, directed=False)
    return [part[label == k] for k in range(count)]


def _links(xy: np.ndarray, reach: float) -> np.ndarray:
    """(M, 2) pairs within reach, enough to tell what hangs together: of those in one cell only a chain.

    A vehicle that stands for an hour has thousands of keyframes in one place, and their pairs would fill the memory.
    """
    cell = np.floor(xy / (reach / 2.0)).astype(np.int64)  # the diagonal of a cell is shorter than reach
    _, first, label = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    label = label.ravel()
    chain = np.stack([first[label], np.arange(len(xy))], axis=1)
    found = []
    members = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[members], np.arange(len(first) + 1))
    centers = np.array([xy[members[a:b]].mean(axis=0) for a, b in pairwise(starts)])
    for a, b in cKDTree(centers).query_pairs(2.5 * reach):  # cells whose members may be within reach
        one, other = members[starts[a] : starts[a + 1]], members[starts[b] : starts[b + 1]]
        away, nearest = cKDTree(xy[other]).query(xy[one])
        k = int(np.argmin(away))
        if away[k] <= reach:
            found.append((one[k], other[nearest[k]]))
    return np.concatenate([chain, np.array(found, np.int64).reshape(-1, 2)])


def _joined(cores: list[np.ndarray], xy: np.ndarray, tree: cKDTree, limits: CutLimits) -> list[np.ndarray]:
    """Cores of fewer than ``least`` keyframes, of corners that a line cut off, go to the nearest core that has room."""
    large = [core for core in cores if len(core) >= limits.least]
    owner = np.full(len(xy), -1)
    for k, core in enumerate(large):
        owner[core] = k
    alone = []
    for core in sorted((c for c in cores if len(c) < limits.least), key=lambda c: int(c[0])):
        owners = (int(owner[i]) for i in _near(core, xy, tree, limits.overlap))
        home = next((k for k in owners if k >= 0 and len(large[k]) + len(core) <= limits.keyframes), None)
        if home is None:
            alone.append(core)
        else:
            large[home] = np.union1d(large[home], core)
    return large + alone
