"""Objects whose masks share no point fall apart, and nothing else does."""

from __future__ import annotations

import numpy as np
from helpers_association import incidence_of, partition
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from seg2d3d_ros.association.connectivity import split_disconnected
from seg2d3d_ros.association.consensus import first_largest, refine
from seg2d3d_ros.association.evidence import ones_at


def test_the_part_with_most_points_keeps_the_number():
    held = ones_at(np.array([0, 0, 1, 1, 2, 3]), np.array([0, 1, 1, 2, 3, 4]), (4, 6))
    found = split_disconnected(np.array([5, 5, 5, 5, 7, 5]), held, np.array([5, 5, 5, 7]))
    assert found.tolist() == [5, 5, 5, 8, 7, 5], "the last point is in no mask of its object"
    assert split_disconnected(np.array([0, 0, 0, 0, 1, -1]), held, np.array([0, 0, 0, 1]), fixed=1).tolist() == [
        0,
        0,
        0,
        0,
        1,
        -1,
    ]
    assert split_disconnected(np.full(6, -1), held, np.full(4, -1)).tolist() == [-1] * 6


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_object_is_connected_afterwards_and_no_part_was_cut(seed):
    rng = np.random.default_rng(seed)
    held = sparse.random(12, 40, 0.1, "csr", random_state=rng.integers(2**31))
    before = rng.integers(-1, 3, 40)
    main = first_largest((held @ ones_at(np.flatnonzero(before >= 0), before[before >= 0], (40, 3))).tocsr())
    after = split_disconnected(before, held, main)
    assert ((after < 0) == (before < 0)).all()
    for i in np.unique(after[after >= 0]):
        assert len(np.unique(before[after == i])) == 1, "objects are divided, never united"
    row, column = held.nonzero()
    tied = before[column] == main[row]
    graph = sparse.coo_matrix((np.ones(int(tied.sum())), (column[tied], 40 + row[tied])), (52, 52))
    _, part = connected_components(graph, directed=False)
    shown = np.unique(column[tied])
    assert len(set(zip(after[shown].tolist(), part[shown].tolist(), strict=True))) == len(np.unique(part[shown]))
    assert len(np.unique(after[shown])) == len(np.unique(part[shown]))


def test_masks_that_share_no_point_are_no_object_whatever_was_united():
    first, second = set(range(10)), set(range(10, 20))
    incidence = incidence_of([[first], [first], [second], [second]], 20)
    held, visible = incidence.matrix.astype(float).tocsr(), incidence.visibility.astype(float).tocsr()
    views, united = incidence.segment_keyframe.astype(np.int64), sparse.csr_matrix(np.ones((1, 4)))
    object_of, held_by = refine(held, visible, views, united, np.full(20, -1), 0)
    assert partition(object_of + 1) == {frozenset(first), frozenset(second)}
    np.testing.assert_array_equal(held_by.toarray(), [[10, 0], [10, 0], [0, 10], [0, 10]])
    pinned, _ = refine(held, visible, views, united, np.zeros(20, np.int64), 1)
    assert (pinned == 0).all(), "what must not change does not"
