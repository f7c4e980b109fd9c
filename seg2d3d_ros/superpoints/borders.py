"""The borders of objects on a cloud, as the views show them.

After OVSeg3R's boundary-aware superpoints (arXiv 2509.23541), where each point comes from one pixel and an edge is cut if the
masks at the pixels of its ends differ. Here a point is seen by many views, whose masks' borders are all a little wrong, each in
its own way. So two things are asked. Of an edge: which share of the views that see both ends draw a border between them; most
of them where the border is clear, few along a ragged one, where geometry and colour then tell where in that band it lies. Of a
point: whether most views agree on its object.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.association.votes import vote_labels
from seg2d3d_ros.superpoints.shown_labels import ShownLabels, votes

MAJORITY = 0.5
"""Share of the votes above which an edge is cut, and a point belongs to an object."""


def border_shares(count: int, edges: np.ndarray, shown: Sequence[ShownLabels]) -> np.ndarray:
    """(E,) float32 of the views that see both ends of an edge, which share shows them as different objects, or one as none.

    A view counts by its resolution there, the number of pixels between the ends. What it shows as no object at both ends counts
    only if it shows the object in question somewhere else: otherwise it has missed it, and knows no border.

    Args:
        count: N points.
        edges: (E, 2) int, ascending by their first ends.
        shown: of each view; labels mean the same in all views.
    """
    share = np.zeros(len(edges), np.float32)
    table = np.full(count, -1, np.int32)
    doubtful = np.zeros(len(edges), bool)
    for item in shown:
        edge, first, second = _seen_edges(edges, table, item)
        doubtful[edge[first != second]] = True
    rows = np.flatnonzero(doubtful)
    if len(rows) == 0:
        return share
    looks = _looks(edges[rows], table, shown)
    edge, first, second, pixels, view = (np.concatenate(column) for column in zip(*looks, strict=True))
    main = _most_named(np.concatenate([first, second]), np.tile(edge, 2), np.tile(pixels, 2), len(rows))
    counted = (first > 0) | (second > 0) | _shows(shown, view, main[edge])
    whole = np.bincount(edge[counted], pixels[counted], len(rows))
    crossing = np.bincount(edge, pixels * (first != second), len(rows))
    share[rows] = np.divide(crossing, whole, out=np.zeros(len(rows)), where=whole > 0)
    return share


def majority_labels(shown: Sequence[ShownLabels], count: int) -> np.ndarray:
    """(count,) int32 the label of each point, 0 = no object, where most views agree; -1 where they do not, or none sees it.

    Near views count more, by the inverse of their distance; views that do not show the point's object anywhere have missed it.
    """
    label, point, weight = votes(shown)
    view = np.repeat(np.arange(len(shown)), [len(item.point) for item in shown])
    main = _most_named(label, point, weight, count)
    counted = (label > 0) | (main[point] == 0) | _shows(shown, view, main[point])
    found, share = vote_labels(label[counted], point[counted], weight[counted], count)
    return np.where(share > MAJORITY, found, -1).astype(np.int32)


def _looks(edges: np.ndarray, table: np.ndarray, shown: Sequence[ShownLabels]) -> list[tuple[np.ndarray, ...]]:
    """Of each view: the edges both of whose ends it sees, the labels of both, the pixels between them, the view's number."""
    looks: list[tuple[np.ndarray, ...]] = []
    place = np.empty((len(table), 2), np.float32)
    for number, item in enumerate(shown):
        edge, first, second = _seen_edges(edges, table, item)
        place[item.point] = item.pixels
        pixels = np.linalg.norm(place[edges[edge, 0]] - place[edges[edge, 1]], axis=1)
        looks.append((edge, first, second, pixels, np.full(len(edge), number, np.int32)))
    return looks


def _seen_edges(edges: np.ndarray, table: np.ndarray, item: ShownLabels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The edges both of whose ends a view sees (e,), and the labels of their ends, (e,) each.

    ``table`` (N,) holds -1 for every point, before and after.
    """
    table[item.point] = item.label
    start, stop = (np.searchsorted(edges[:, 0], item.point, side) for side in ("left", "right"))
    length = stop - start
    edge = np.repeat(start - np.cumsum(length) + length, length) + np.arange(length.sum())
    edge = edge[table[edges[edge, 1]] >= 0]
    first, second = table[edges[edge, 0]], table[edges[edge, 1]]
    table[item.point] = -1
    return edge, first, second


def _most_named(label: np.ndarray, place: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """(count,) int32 the label above 0 with most weight at each place; 0 where there is none."""
    named = label > 0
    return vote_labels(label[named], place[named], weight[named], count)[0]


def _shows(shown: Sequence[ShownLabels], view: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(L,) bool: whether the view of each look shows its label anywhere."""
    if not shown:
        return np.zeros(len(label), bool)
    present = [np.unique(item.label) for item in shown]
    known = np.concatenate([number * (1 << 32) + labels.astype(np.int64) for number, labels in enumerate(present)])
    return np.isin(view.astype(np.int64) * (1 << 32) + label, known)
