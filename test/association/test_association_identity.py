"""Ids persist while clusters, points and even the number of instances change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from seg2d3d_ros.association.online.identity import Identity, Merge, inherit, inherit_ids
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.types import Incidence, Instances


def scene(cluster_of_segment: list[int]) -> tuple[Incidence, Instances]:
    """One segment per keyframe ``k0, k1, …``, one point per segment, which belongs to the segment's cluster."""
    clusters = np.array(cluster_of_segment, np.int32)
    n, ids = len(clusters), np.unique(clusters[clusters > 0]).astype(np.int32)
    incidence = Incidence(
        sparse.identity(n, np.float32, "csr"),
        sparse.identity(n, bool, "csr"),
        tuple(f"k{i}" for i in range(n)),
        np.arange(n, dtype=np.int32),
        np.ones(n, np.uint16),
        np.ones(n, np.int32),
        np.ones(n, np.float32),
        np.arange(n, dtype=np.int64),
    )
    # Class and box repeat the cluster's number, so that a test sees whether they move with their instance.
    instances = Instances(
        clusters,
        clusters.copy(),
        np.ones(n, np.float32),
        ids,
        ids.copy(),
        ids.astype(np.float32),
        OrientedBoxes(*(np.tile(ids[:, None].astype(float), (1, 3)) for _ in range(2)), np.tile(np.eye(3), (len(ids), 1, 1))),
    )
    return incidence, instances


def remember(ids: list[int], next_id: int | None = None) -> Identity:
    known = {(f"k{i}", 1): value for i, value in enumerate(ids) if value}
    return Identity(known, max(ids, default=0) + 1 if next_id is None else next_id)


@pytest.mark.parametrize(
    ("before", "clusters", "after", "merges"),
    [
        ([0, 0, 0], [2, 1, 1], [2, 1, 1], []),  # nothing known: new ids in the order of the clusters
        ([5, 5, 3, 3], [1, 1, 2, 2], [5, 5, 3, 3], []),  # renumbered clusters keep their ids
        ([3, 3, 3, 3], [1, 1, 1, 2], [3, 3, 3, 4], []),  # a split: the larger part keeps the id
        ([3, 3, 7, 7, 7, 7], [1, 1, 1, 1, 1, 1], [3] * 6, [Merge(3, (7,))]),  # a merge keeps the older id, even if smaller
        ([2, 7, 7, 4, 4], [1, 1, 1, 1, 1], [2] * 5, [Merge(2, (4, 7))]),
        ([1, 1, 2, 2], [1, 1, 1, 2], [1, 1, 1, 2], []),  # a segment changes sides
        ([1, 2], [1, 0], [1, 0], []),  # an instance vanishes
        ([1, 2, 0], [1, 0, 2], [1, 0, 3], []),  # a new one does not get the vanished one's id
        ([4, 6], [1, 1], [4, 4], [Merge(4, (6,))]),
        ([], [], [], []),
    ],
)
def test_inherits(before, clusters, after, merges):
    instances, _, found = inherit_ids(*scene(clusters), remember(before))
    assert instances.segment_instance.tolist() == after
    assert found == merges


def test_everything_of_an_instance_moves_with_it():
    incidence, instances = scene([1, 1, 2, 3])
    renamed, identity, _ = inherit_ids(incidence, instances, remember([9, 9, 4, 0]))
    assert renamed.ids.tolist() == [4, 9, 10]
    assert renamed.classes.tolist() == [2, 1, 3]
    assert renamed.scores.tolist() == [2, 1, 3]
    assert renamed.boxes.center[:, 0].tolist() == [2, 1, 3]
    assert renamed.point_instance.tolist() == [9, 9, 4, 10]
    assert identity.next_id == 11
    assert identity.of_segment[("k3", 1)] == 10


def shared(*pairs: tuple[int, int, int]) -> np.ndarray:
    """(2, N) of (cluster, old id, how often)."""
    return np.repeat([pair[:2] for pair in pairs], [pair[2] for pair in pairs], axis=0).T


@pytest.mark.parametrize(
    ("segments", "points", "names"),
    [
        ([(0, 1, 1), (1, 2, 1)], [(0, 2, 100), (1, 1, 100)], [1, 2]),  # one segment outweighs all points
        ([(0, 1, 1), (1, 1, 1)], [(0, 1, 10), (1, 1, 30)], [2, 1]),  # between equals most of the points decide
        ([(0, 1, 1), (1, 1, 1)], [(0, 1, 50), (1, 1, 50)], [1, 2]),  # half of the points say nothing
        ([], [(1, 1, 3), (0, 1, 1)], [2, 1]),  # an instance that shows in parts of segments only
    ],
)
def test_points_decide_between_equals_only(segments, points, names):
    of_segments = shared(*segments) if segments else np.empty((2, 0), int)
    next_id = 1 + max(old for _, old, _ in [*segments, *points])
    assert inherit(2, of_segments, next_id, shared(*points)).names.tolist() == names


def test_an_instance_that_was_away_for_a_revision_comes_back_under_its_id():
    away, identity, _ = inherit_ids(*scene([1, 1, 0, 0]), remember([1, 1, 2, 2]))
    assert away.ids.tolist() == [1]
    back, _, _ = inherit_ids(*scene([2, 2, 1, 1]), identity)
    assert back.segment_instance.tolist() == [1, 1, 2, 2]


def test_a_union_that_is_taken_back_gives_the_ids_back():
    united, identity, _ = inherit_ids(*scene([1, 1, 1, 1, 2]), remember([1, 1, 2, 2, 3]))
    assert united.segment_instance.tolist() == [1, 1, 1, 1, 3]
    split, again, _ = inherit_ids(*scene([1, 1, 2, 2, 3]), identity)
    assert split.segment_instance.tolist() == [1, 1, 2, 2, 3]
    assert not any(again.absorbed.values())


def test_an_absorbed_id_does_not_come_back_for_something_else():
    _, identity, _ = inherit_ids(*scene([1, 1, 1, 1, 1]), remember([1, 1, 1, 2, 2]))
    torn, _, _ = inherit_ids(*scene([1, 1, 2, 3, 4]), identity)
    assert torn.segment_instance.tolist() == [1, 1, 3, 4, 5], "neither half is most of what 2 was"


def test_of_unions_of_unions_each_comes_back():
    _, identity, _ = inherit_ids(*scene([1, 1, 2, 2, 2, 2]), remember([1, 1, 2, 2, 3, 3]))
    united, identity, _ = inherit_ids(*scene([1] * 6), identity)
    assert united.segment_instance.tolist() == [1] * 6
    assert identity.absorbed[("k4", 1)] == 3
    apart, _, _ = inherit_ids(*scene([1, 1, 2, 2, 3, 3]), identity)
    assert apart.segment_instance.tolist() == [1, 1, 2, 2, 3, 3]


def test_memory_of_a_written_map():
    tracks = {
        "instances": [
            {"id": 4, "observations": [{"image": "k0", "segment": 1}, {"image": "k1", "segment": 1}]},
            {"id": 9, "observations": [{"image": "k2", "segment": 1}]},
        ]
    }
    identity = Identity.from_tracks(tracks)
    assert identity.next_id == 10
    renamed, _, _ = inherit_ids(*scene([1, 1, 2, 3]), identity)
    assert renamed.segment_instance.tolist() == [4, 4, 9, 10]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_the_partition_never_changes_and_ids_are_unique(before, clusters):
    clusters = clusters[: len(before)]
    incidence, instances = scene(clusters)
    renamed, identity, _ = inherit_ids(incidence, instances, remember(before))
    new = renamed.segment_instance
    assert (new > 0).tolist() == [c > 0 for c in clusters]
    same = new[:, None] == new[None]
    assert same.tolist() == (np.array(clusters)[:, None] == np.array(clusters)[None]).tolist()
    assert len(set(renamed.ids.tolist())) == len(renamed.ids) == len(instances.ids)
    assert identity.next_id > renamed.ids.max(initial=0)
    again, _, merges = inherit_ids(incidence, renamed, identity)
    assert again.segment_instance.tolist() == new.tolist()
    assert merges == []
