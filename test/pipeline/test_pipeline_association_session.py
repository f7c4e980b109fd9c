"""Revisions and segments that come bit by bit: ids stay, and only what changed is written."""

from __future__ import annotations

import dataclasses

import numpy as np
from helpers_maps import two_houses

from seg2d3d_ros.config import make_config
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession

CONFIG = make_config({"association.min_images": 2, "association.min_points": 3})


def renumbered(model):
    """The same map solved again: other point ids, another order of points."""
    order = np.random.default_rng(1).permutation(len(model.point_ids))
    place = np.argsort(order)
    return dataclasses.replace(
        model,
        xyz=model.xyz[order],
        rgb=model.rgb[order],
        error=model.error[order],
        point_ids=np.arange(len(order), dtype=np.int64) + 1000,
        obs_point=place[model.obs_point].astype(np.int32),
        revision=model.revision + 1,
    )


def test_segments_one_by_one(tmp_path):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for name in list(segments)[:3]:
        session.receive(segments[name])
    first = session.update([model])
    assert set(first.changed) == set(list(segments)[:3])
    assert first.instances.ids.tolist() == [1, 2]
    before = {name: session.store.read_labels(name) for name in first.changed}

    last = list(segments)[3]
    session.receive(segments[last])
    second = session.update([renumbered(model)])
    assert second.changed == (last,), "the other label images are the same"
    assert second.instances.ids.tolist() == [1, 2]
    for name, labels in before.items():
        np.testing.assert_array_equal(session.store.read_labels(name), labels)
    # The new image shows the same houses under the same ids, in the same halves.
    np.testing.assert_array_equal(session.store.read_labels(last), before[first.changed[0]])
    assert session.store.label_path(last).exists()


def test_a_repeated_message_replaces_the_first(tmp_path):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    session.update([model])
    name = next(iter(segments))
    session.receive(segments[name])
    assert session.update([model]).changed == (name,)
    assert session.update([model]).changed == ()
    assert session.segmented == 4


def test_restart_keeps_segments_and_ids(tmp_path):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    # Only one house's masks hold points at first, so that it is not the first in the second run.
    right_only = dataclasses.replace(
        model,
        obs_keyframe=model.obs_keyframe[model.obs_point >= 20],
        obs_point=model.obs_point[model.obs_point >= 20],
        obs_xy=model.obs_xy[model.obs_point >= 20],
    )
    first = session.update([right_only])
    assert first.instances.ids.tolist() == [1]
    assert set(first.instances.point_instance[20:]) == {1}

    again = AssociationSession(MapStore(tmp_path), CONFIG)
    assert again.segmented == 4
    assert all(again.has_segments(name) for name in segments)
    second = again.update([model])
    assert set(second.instances.point_instance[20:]) == {1}
    assert set(second.instances.point_instance[:20]) == {2}
    assert {i["id"] for i in again.store.read_tracks()["instances"]} == {1, 2}


def test_no_map_leaves_empty_labels(tmp_path):
    _, segments = two_houses(2)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    result = session.update([])
    assert result.instances.ids.size == 0
    assert result.counts["images"] == 2
    assert all(session.store.read_labels(name).max() == 0 for name in segments)
