"""Cutting: each keyframe is the core of one block, blocks are bounded and hang together, and the order plays no part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from seg2d3d_ros.city.cutting.block_cut import CutLimits
from seg2d3d_ros.city.cutting.cut_by_pairs import cut_by_pairs
from seg2d3d_ros.city.cutting.cut_by_place import cut_by_place


def groups(cuts) -> int:
    """Parts of the blocks that hang together by common keyframes."""
    holders = {}
    for k, cut in enumerate(cuts):
        for name in cut.names:
            holders.setdefault(name, []).append(k)
    pairs = np.array([(some[0], k) for some in holders.values() for k in some], int)
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (len(cuts), len(cuts)))
    return connected_components(graph, directed=False)[0]


def walk(seed: int, count: int, passes: int) -> np.ndarray:
    """(N, 2) a winding way that several drives took, a few metres between keyframes."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.15, count))
    way = np.cumsum(3.0 * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    return np.concatenate([way + rng.normal(0, 1.0, way.shape) for _ in range(passes)]) + rng.uniform(-1e4, 1e4, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 160), st.integers(1, 3), st.integers(30, 90))
def test_every_keyframe_is_in_one_core_and_blocks_are_bounded_and_connected_in_any_order(seed, count, passes, limit):
    xy = walk(seed, count, passes)
    names = [f"k{i:04d}" for i in range(len(xy))]
    limits = CutLimits(limit, 25.0)
    cuts = cut_by_place(names, xy, limits)
    assert sorted(name for cut in cuts for name in cut.core) == names
    assert max(len(cut.names) for cut in cuts) <= limit
    assert all(not set(cut.core) & set(cut.shared) for cut in cuts)
    assert groups(cuts) == 1, "the way is one, with steps far below the overlap"
    order = np.random.default_rng(seed).permutation(len(names))
    assert cut_by_place([names[i] for i in order], xy[order], limits) == cuts


def test_a_block_shares_all_keyframes_within_the_overlap_where_it_has_room():
    xy = np.stack([np.arange(0, 400, 2.0), np.zeros(200)], axis=1)
    names = [f"{i:03d}" for i in range(200)]
    cuts = cut_by_place(names, xy, CutLimits(60, 10.0))
    for cut in cuts:
        core = xy[[int(name) for name in cut.core], 0]
        near = {name for name in names if core.min() - 10 <= xy[int(name), 0] <= core.max() + 10} - set(cut.core)
        assert set(cut.shared) == near
        assert cut.trimmed == 0


def test_what_does_not_hang_together_is_never_one_block():
    street = np.stack([np.arange(0, 60, 3.0), np.zeros(20)], axis=1)
    xy = np.concatenate([street, street + [0.0, 70.0]])  # two streets, 70 m apart
    cuts = cut_by_place([f"{i:02d}" for i in range(40)], xy, CutLimits(100, 20.0))
    assert [set(cut.names) for cut in cuts] == [{f"{i:02d}" for i in range(20)}, {f"{i:02d}" for i in range(20, 40)}]


def test_a_vehicle_that_stands_is_cut_too_and_what_has_no_room_is_counted():
    xy = np.zeros((500, 2))
    cuts = cut_by_place([f"{i:03d}" for i in range(500)], xy, CutLimits(60, 20.0))
    assert max(len(cut.names) for cut in cuts) <= 60
    assert sum(len(cut.core) for cut in cuts) == 500
    assert all(cut.trimmed == 500 - len(cut.names) for cut in cuts)


def test_few_more_keyframes_leave_most_blocks_as_they_are():
    xy = np.stack([np.arange(0, 1200, 2.0), np.zeros(600)], axis=1)
    names = [f"{i:03d}" for i in range(600)]
    before = cut_by_place(names, xy, CutLimits(80, 10.0))
    more = np.concatenate([xy, [[1201.0, 0.5], [1202.0, 0.5]]])
    after = cut_by_place([*names, "x1", "x2"], more, CutLimits(80, 10.0))
    assert len(set(before) & set(after)) >= len(before) - 2


@pytest.mark.parametrize("limit", [30, 50])
def test_the_pair_graph_is_cut_where_no_place_is_known(limit):
    count, rng = 200, np.random.default_rng(1)
    names = [f"k{i:03d}" for i in range(count)]
    pairs = np.array([(i, j, 120 - 20 * (j - i)) for i in range(count) for j in range(i + 1, min(i + 4, count))])
    cuts = cut_by_pairs(names, pairs, CutLimits(limit))
    assert sorted(name for cut in cuts for name in cut.core) == names
    assert max(len(cut.names) for cut in cuts) <= limit
    assert groups(cuts) == 1
    for cut in cuts:  # a drive is a line: what is cut along it is one stretch of it
        core = sorted(int(name[1:]) for name in cut.core)
        assert core[-1] - core[0] < 1.3 * len(core)
    order = rng.permutation(count)
    place = np.argsort(order)
    turned = np.stack([place[pairs[:, 0]], place[pairs[:, 1]], pairs[:, 2]], axis=1)
    assert cut_by_pairs([names[i] for i in order], turned, CutLimits(limit)) == cuts


def test_keyframes_without_a_partner_are_alone():
    cuts = cut_by_pairs(["a", "b", "c"], np.array([(0, 1, 50)]), CutLimits(30))
    assert [cut.names for cut in cuts] == [("a", "b"), ("c",)]
