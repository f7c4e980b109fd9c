"""Segmentation of a graph by what is usual inside its parts.

P. Felzenszwalb and D. Huttenlocher, Efficient graph-based image segmentation, IJCV 2004: edges are taken from the lightest to
the heaviest; an edge unites the parts at its ends unless it is heavier than the heaviest edge inside one of them by more than
``scale`` divided by the part's size. Beside it nodes may have labels, and no part gets nodes of two labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_BLOCK = 20_000
"""Edges are taken in blocks; before each one, those that cannot unite anything any more are dropped together."""


@dataclass
class _Parts:
    """A partition that grows coarser: union-find over N nodes.

    Attributes:
        parent: of each node, a root is its own.
        size: of each root's part.
        limit: of each root's part, the heaviest edge that may still unite it with another.
        label: of each root's part, -1 = none of its nodes has one.
    """

    parent: list[int]
    size: list[int]
    limit: list[float]
    label: list[int]

    def roots(self) -> np.ndarray:
        """(N,) int64 the root of each node; all paths are shortened."""
        root = np.array(self.parent, np.int64)
        while not np.array_equal(above := root[root], root):
            root = above
        self.parent = root.tolist()
        return root


def segment_graph(
    count: int, edges: np.ndarray, weight: np.ndarray, *, scale: float, least: int = 1, label: np.ndarray | None = None
) -> np.ndarray:
    """(N,) int32 part of each node, 0, 1, … in the order of their first nodes.

    Args:
        count: N nodes.
        edges: (E, 2) int.
        weight: (E,) finite. Equally heavy edges are taken in their order.
        scale: the larger, the larger the parts.
        least: parts of fewer nodes are united with a neighbour afterwards, over the lightest edge there is.
        label: (N,) int of each node, -1 = it may be with any.
    """
    labels = [-1] * count if label is None else label.tolist()
    parts = _Parts(list(range(count)), [1] * count, [scale] * count, labels)
    order = np.argsort(weight, kind="stable")
    first, second, heavy = edges[order, 0], edges[order, 1], weight[order].astype(np.float64)
    block = max(count, LEAST_BLOCK)
    for start in range(0, len(order), block):
        some = slice(start, start + block)
        root, limit = parts.roots(), np.array(parts.limit)
        a, b, w = root[first[some]], root[second[some]], heavy[some]
        open_ = (a != b) & (np.minimum(limit[a], limit[b]) >= w[0])
        _unite_alike(parts, a[open_].tolist(), b[open_].tolist(), w[open_].tolist(), scale)
    if least > 1:
        for start in range(0, len(order), block):
            some = slice(start, start + block)
            root, size = parts.roots(), np.array(parts.size)
            a, b = root[first[some]], root[second[some]]
            open_ = (a != b) & (np.minimum(size[a], size[b]) < least)
            _unite_small(parts, a[open_].tolist(), b[open_].tolist(), least)
    return numbered(parts.roots())


def numbered(label: np.ndarray) -> np.ndarray:
    """(N,) int32 the labels as 0, 1, … in the order in which they first occur."""
    _, first, place = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[place.ravel()]


def _unite_alike(parts: _Parts, first: list[int], second: list[int], weight: list[float], scale: float) -> None:
    # All is done in place: calls for each of millions of edges would take most of the time.
    parent, size, limit, label = parts.parent, parts.size, parts.limit, parts.label
    for a, b, w in zip(first, second, weight, strict=True):
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if a != b and w <= limit[a] and w <= limit[b] and (label[a] == label[b] or label[a] < 0 or label[b] < 0):
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            limit[a] = w + scale / size[a]
            label[a] = max(label[a], label[b])


def _unite_small(parts: _Parts, first: list[int], second: list[int], least: int) -> None:
    parent, size, label = parts.parent, parts.size, parts.label
    for a, b in zip(first, second, strict=True):
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if a != b and (size[a] < least or size[b] < least) and (label[a] == label[b] or label[a] < 0 or label[b] < 0):
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            label[a] = max(label[a], label[b])
