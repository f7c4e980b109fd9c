"""Segmentation of a graph: as the paper's algorithm does it edge by edge, and never with two labels in one part."""

from __future__ import annotations

import numpy as np
import pytest

from seg2d3d_ros.superpoints import graph_segmentation
from seg2d3d_ros.superpoints.graph_segmentation import numbered, segment_graph


def plain(count, edges, weight, scale, least, label):
    """The algorithm as it is written in the paper, with sets in place of a forest."""
    part = {k: {k} for k in range(count)}
    inside = dict.fromkeys(range(count), 0.0)

    def label_of(nodes):
        return max(label[k] for k in nodes)

    def may(a, b):
        return label_of(a) == label_of(b) or min(label_of(a), label_of(b)) < 0

    def unite(a, b, heaviest):
        united = a | b
        for k in united:
            part[k], inside[k] = united, heaviest

    order = np.argsort(weight, kind="stable")
    for (a, b), w in zip(edges[order].tolist(), weight[order].tolist(), strict=True):
        first, second = part[a], part[b]
        most = min(inside[a] + scale / len(first), inside[b] + scale / len(second))
        if first is not second and w <= most and may(first, second):
            unite(first, second, w)
    for a, b in edges[order].tolist():
        first, second = part[a], part[b]
        if first is not second and min(len(first), len(second)) < least and may(first, second):
            unite(first, second, 0.0)
    return numbered(np.array([min(part[k]) for k in range(count)]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("block", [5, 20_000])
def test_as_the_paper_has_it(seed: int, block: int, monkeypatch):
    """In many blocks, so that what is dropped between them is tried, and in one."""
    monkeypatch.setattr(graph_segmentation, "LEAST_BLOCK", block)
    rng = np.random.default_rng(seed)
    count = 60
    pairs = np.array([(a, b) for a in range(count) for b in range(a + 1, count)])
    edges = pairs[rng.random(len(pairs)) < 0.3]
    weight = rng.random(len(edges))
    for scale, least in ((0.0, 1), (0.5, 1), (2.0, 4), (0.3, 12)):
        for label in (np.full(count, -1), rng.integers(-1, 3, count)):
            got = segment_graph(count, edges, weight, scale=scale, least=least, label=label)
            np.testing.assert_array_equal(got, plain(count, edges, weight, scale, least, label))


def test_no_part_has_two_labels_however_alike_its_nodes_are():
    chain = np.stack([np.arange(99), np.arange(1, 100)], axis=1)
    label = np.full(100, -1)
    label[[3, 40, 90]] = 0, 7, 7
    part = segment_graph(100, chain, np.linspace(0, 0.01, 99), scale=100.0, least=50, label=label)
    assert part[3] != part[40]
    assert part[40] == part[90]
    assert part.max() == 1, "what has no label joins a neighbour"


def test_nothing_and_no_edge():
    none = np.empty((0, 2), np.int32)
    assert len(segment_graph(0, none, np.empty(0), scale=1.0, least=5)) == 0
    np.testing.assert_array_equal(segment_graph(3, none, np.empty(0), scale=1.0, least=5), [0, 1, 2])
    np.testing.assert_array_equal(numbered(np.array([9, 4, 9, 1])), [0, 1, 0, 2])
