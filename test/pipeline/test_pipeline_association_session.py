"""Revisions and segments that come bit by bit: ids stay, and only what changed is written."""

from __future__ import annotations

import dataclasses
import threading

import cv2
import numpy as np
import pytest
from helpers_boards import Board, boards_world
from helpers_maps import two_houses

from seg2d3d_ros.config import make_config
from seg2d3d_ros.mapstore.journal import JOURNAL, IdentityJournal
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline import association_session as sessions
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


def right_only(model):
    """The map before anything of the left house was matched."""
    rows = model.obs_point >= 20
    return dataclasses.replace(
        model, obs_keyframe=model.obs_keyframe[rows], obs_point=model.obs_point[rows], obs_xy=model.obs_xy[rows]
    )


def test_what_an_update_that_failed_had_taken_over_is_done_anew(tmp_path, monkeypatch):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    assert session.update([right_only(model)]).instances.ids.tolist() == [1]
    monkeypatch.setattr(session._online, "_attach", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        session.update([model])
    result = session.update([model])
    assert result.instances.ids.tolist() == [1, 2]
    assert set(result.instances.point_instance[:20]) == {2}


def test_masks_without_points_find_their_object_when_everything_is_solved(tmp_path):
    """The cameras stand still: the left house, of which nothing was matched, is where it was in the other images."""
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    assert session.update([right_only(model)]).instances.ids.tolist() == [1], "it may get points yet"
    instances = session.update([right_only(model)], full=True).instances
    assert instances.ids.tolist() == [1, 2]
    assert np.bincount(instances.segment_instance).tolist() == [0, 4, 4]


def test_segments_one_by_one(tmp_path):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for name in list(segments)[:3]:
        session.receive(segments[name])
    first = session.update([model])
    assert set(first.labels) == set(list(segments)[:3])
    assert first.instances.ids.tolist() == [1, 2]
    before = {name: session.store.read_labels(name) for name in first.labels}

    last = list(segments)[3]
    session.receive(segments[last])
    second = session.update([renumbered(model)])
    assert second.labels.keys() == {last}, "the other label images are the same"
    assert second.instances.ids.tolist() == [1, 2]
    for name, labels in before.items():
        np.testing.assert_array_equal(session.store.read_labels(name), labels)
    # The new image shows the same houses under the same ids, in the same halves.
    np.testing.assert_array_equal(session.store.read_labels(last), before[next(iter(first.labels))])
    assert session.store.label_path(last).exists()


def test_a_repeated_message_replaces_the_first(tmp_path):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    session.update([model])
    name = next(iter(segments))
    session.receive(segments[name])
    assert session.update([model]).labels.keys() == {name}
    assert session.update([model]).labels == {}
    assert session.segmented == 4


def test_masks_of_a_keyframe_outside_the_map_are_replaced_too(tmp_path):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    outside = dataclasses.replace(segments[model.names[0]], name="outside")
    session.receive(outside)
    assert session.update([model]).labels.keys() == {"outside"}
    session.receive(dataclasses.replace(outside, labels=outside.labels[::2, ::2]))
    assert session.update([model]).labels.keys() == {"outside"}
    assert session.store.read_labels("outside").shape == outside.labels[::2, ::2].shape


def test_restart_keeps_segments_and_ids(tmp_path):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    # Only one house's masks hold points at first, so that it is not the first in the second run.
    first = session.update([right_only(model)])
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


def test_masks_that_come_during_an_update_are_kept_at_once_and_taken_over_by_the_next(tmp_path, monkeypatch):
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    *first, last = segments.values()
    for item in first:
        session.receive(item)
    solving, go_on, solve = threading.Event(), threading.Event(), session._online.update

    def slowly(*arguments, **options):
        solving.set()
        assert go_on.wait(10)
        return solve(*arguments, **options)

    monkeypatch.setattr(session._online, "update", slowly)
    results = []
    updating = threading.Thread(target=lambda: results.append(session.update([model], full=True)))
    updating.start()
    assert solving.wait(10)
    swapped = dataclasses.replace(first[0], ids=first[0].ids[:1], classes=first[0].classes[:1], scores=first[0].scores[:1])
    waiting = [threading.Thread(target=session.receive, args=(item,)) for item in (last, swapped)]
    for thread in waiting:
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), "a mask waits for the update"
    assert session.store.segment_path(last.name).exists()
    assert (session.pending, session.segmented, session.has_segments(last.name)) == (True, 4, True)
    session.know(("house", *session.class_names))
    go_on.set()
    updating.join(10)
    # The update went on with the masks, and the classes, that it began with.
    assert {name for name, seen in results[0].observations.items() if not all(o.recovered for o in seen)} == {
        item.name for item in first
    }
    assert results[0].class_names == ("building",)
    assert set(np.unique(session.store.read_labels(first[0].name)).tolist()) == {0, 1, 2}
    second = session.update([model])
    assert not session.pending
    assert {last.name, swapped.name} <= set(second.labels)
    assert len(np.unique(session.store.read_labels(swapped.name))) == 2
    assert second.class_names == ("house", "building")


def test_masks_of_an_earlier_run_that_are_replaced_during_an_update_stay_for_it(tmp_path, monkeypatch):
    model, segments = two_houses(4)
    for item in segments.values():
        MapStore(tmp_path).write_segments(item, ("building",))
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    name = model.names[2]
    item = segments[name]
    one_house = dataclasses.replace(item, ids=item.ids[:1], classes=item.classes[:1], scores=item.scores[:1])
    solve = session._online.update

    def meanwhile(*arguments, **options):
        monkeypatch.undo()
        session.receive(one_house)
        return solve(*arguments, **options)

    monkeypatch.setattr(session._online, "update", meanwhile)
    session.update([model])
    assert len(np.unique(session.store.read_labels(name))) == 3
    assert session.update([model]).labels.keys() == {name}
    assert len(np.unique(session.store.read_labels(name))) == 2


def test_no_label_image_is_decoded_that_was_received(tmp_path, monkeypatch):
    """The whole way with every step: evidence, second look, recovery, labels handed on."""
    decoded = []
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(arguments))
    world = boards_world((Board(-4, 0, 10), Board(0, 4, 10)), (-2.0, -1.0, 0.0, 1.0, 2.0), missed={(2, 1)})
    session = AssociationSession(MapStore(tmp_path), make_config({"association.recover": True}))
    for item in world.segments.values():
        session.receive(item)
    session.update([world.model])
    result = session.update([world.model], full=True)
    assert [name for name, _ in session.asks()] == list(result.labels) == ["view2"]
    session.receive_again(world.segments["view2"])
    assert decoded == []


def test_label_images_of_an_earlier_run_are_decoded_once(tmp_path, monkeypatch):
    world = boards_world((Board(-4, 0, 10), Board(0, 4, 10)), (-2.0, -1.0, 0.0, 1.0, 2.0), missed={(2, 1)})
    for item in world.segments.values():
        MapStore(tmp_path).write_segments(item, ("building",))
    decoded, decode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(1) or decode(*arguments))
    session = AssociationSession(MapStore(tmp_path), make_config({"association.recover": True}))
    session.update([world.model], full=True)
    session.update([world.model], full=True)
    assert list(session.asks())
    assert len(decoded) == len(world.segments)


def test_the_journal_begins_anew_when_tracks_json_has_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "UNWRITTEN", 100.0)  # written whole on request only
    model, segments = two_houses(4)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    session.update([model], full=True)
    assert not (tmp_path / JOURNAL).exists(), "tracks.json tells all there is to remember"
    session.receive(next(iter(segments.values())))
    session.update([model])
    assert IdentityJournal(tmp_path).read()[1] != {}
    session.update([model], full=True)
    assert IdentityJournal(tmp_path).read() == (3, {})
