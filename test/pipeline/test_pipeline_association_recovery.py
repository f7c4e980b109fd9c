"""Recovered regions in a live map: as offline when everything is solved, and never stale in between."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers_boards import Board, boards_world

from seg2d3d_ros.association.masks.recovered_masks import Recovered
from seg2d3d_ros.association.online.identity import Identity, Merge
from seg2d3d_ros.association.online.online_recovery import LiveRecovery
from seg2d3d_ros.config import make_config
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession

HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)
CONFIG = make_config({"association.enough_points": 0})


def session_of(root, world, config=CONFIG, names=None):
    session = AssociationSession(MapStore(root), config)
    for name in names or world.segments:
        session.receive(world.segments[name])
    return session


def first_views(model, count):
    """The model before the last keyframes came."""
    rows = model.obs_keyframe < count
    return dataclasses.replace(
        model,
        names=model.names[:count],
        cameras=model.cameras[:count],
        camera_from_world=model.camera_from_world[:count],
        obs_keyframe=model.obs_keyframe[rows],
        obs_point=model.obs_point[rows],
        obs_xy=model.obs_xy[rows],
    )


def recovered_in(store):
    return sorted(
        (track["id"], o["image"]) for track in store.read_tracks()["instances"] for o in track["observations"]
        if o.get("recovered", False)
    )  # fmt: skip


def test_a_full_update_gives_what_offline_gives(tmp_path):
    world = boards_world(HOUSES, PLACES, missed={(2, 1), (3, 2)})
    alone = session_of(tmp_path / "offline", world)
    outcome, offline = alone.update([world.model], full=True), alone.store
    assert outcome.counts["recovered_views"] == 2

    session = session_of(tmp_path / "live", world)
    session.update([first_views(world.model, 3)])
    session.update([world.model])
    result = session.update([world.model], full=True)
    assert {key: result.counts[key] for key in ("missed_views", "recovered_views")} == {"missed_views": 2, "recovered_views": 2}
    assert [(item.name, item.box) for item in result.missed] == [(item.name, item.box) for item in outcome.missed]
    for name in world.segments:
        np.testing.assert_array_equal(session.store.read_labels(name), offline.read_labels(name))
    assert session.store.read_tracks() == offline.read_tracks()


def test_only_label_images_with_new_regions_are_sent(tmp_path):
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    session = session_of(tmp_path, world)
    assert session.update([world.model]).counts["recovered_views"] == 0
    assert recovered_in(session.store) == []
    assert session.update([world.model], full=True).labels.keys() == {"view2"}
    assert [image for _, image in recovered_in(session.store)] == ["view2"]
    # What did not change is not sent again, solved whole or not, and stays what it is.
    labels = session.store.read_labels("view2")
    assert session.update([world.model]).labels == {}
    assert session.update([world.model], full=True).labels == {}
    np.testing.assert_array_equal(session.store.read_labels("view2"), labels)
    assert session.latest.counts["recovered_views"] == 1


def test_nothing_is_drawn_where_it_is_switched_off(tmp_path):
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    session = session_of(tmp_path, world, make_config({"association.recover": False, "association.enough_points": 0}))
    session.update([world.model])
    result = session.update([world.model], full=True)
    assert result.labels == {}
    assert result.counts["missed_views"] == 1
    assert "recovered_views" not in result.counts
    assert recovered_in(session.store) == []


def test_a_mask_that_comes_after_all_takes_the_regions_place(tmp_path):
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    session = session_of(tmp_path, world)
    session.update([world.model], full=True)
    session.receive(boards_world(HOUSES, PLACES).segments["view2"])
    result = session.update([world.model])
    assert result.labels.keys() == {"view2"}
    assert result.counts["recovered_views"] == 0
    np.testing.assert_array_equal(session.store.read_labels("view2") > 0, world.truth["view2"] > 0)
    session.update([world.model], full=True)
    assert recovered_in(session.store) == []
    assert session.latest.missed == ()


def test_regions_are_drawn_around_the_segments_that_there_are(tmp_path):
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    session = session_of(tmp_path, world)
    session.update([world.model], full=True)
    nothing = boards_world(HOUSES, PLACES, missed={(2, 1), (2, 2)})
    session.receive(nothing.segments["view2"])
    assert session.update([world.model]).counts["recovered_views"] == 0
    assert session.store.read_labels("view2").max() == 0
    assert session.update([world.model], full=True).counts["recovered_views"] == 2


def test_a_restart_takes_no_region_for_a_segment(tmp_path):
    """A recovered region has the number that the detector's next segment of the image gets."""
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    session = session_of(tmp_path, world)
    session.update([world.model], full=True)
    ((_, image),) = recovered_in(session.store)
    identity = Identity.from_tracks(session.store.read_tracks())
    assert {key for key in identity.of_segment if key[0] == image} == {(image, 20)}
    labels = {name: session.store.read_labels(name) for name in world.segments}
    again = AssociationSession(MapStore(tmp_path), CONFIG)
    again.update([world.model], full=True)
    for name, before in labels.items():
        np.testing.assert_array_equal(again.store.read_labels(name), before)


def test_a_full_disk_is_tried_again(tmp_path, monkeypatch):
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    session = session_of(tmp_path, world)
    session.update([world.model])
    monkeypatch.setattr(session.store, "write_labels", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        session.update([world.model], full=True)
    monkeypatch.undo()
    assert session.update([world.model], full=True).labels.keys() == {"view2"}
    assert [image for _, image in recovered_in(session.store)] == ["view2"]


class TestFollowing:
    region = Region((0, 0, 2, 2), np.ones((2, 2), bool))

    def made(self, world, *regions):
        live = LiveRecovery()
        live.renew({name: [Recovered(i, 1, self.region, 0.3)] for name, i in regions})
        return live, *world.solved()

    def test_merges_are_followed_to_the_end(self):
        world = boards_world(HOUSES, PLACES, missed={(2, 1)})
        live, incidence, instances = self.made(world, ("view2", 9))
        left = world.instance_of(incidence, instances, 1)
        assert live.follow(incidence, instances, [Merge(left, (7, 8)), Merge(8, (9,))]) == {"view2"}
        assert [item.instance for item in live.regions["view2"]] == [left]
        assert live.follow(incidence, instances, []) == set()

    def test_what_is_gone_is_not_drawn(self):
        world = boards_world(HOUSES, PLACES, missed={(2, 1)})
        live, incidence, instances = self.made(world, ("view2", 99), ("elsewhere", 1))
        assert live.follow(incidence, instances, []) == {"view2", "elsewhere"}
        assert live.count == 0

    def test_what_a_mask_shows_is_not_drawn(self):
        world = boards_world(HOUSES, PLACES, missed={(2, 1)})
        live, incidence, instances = self.made(world)
        left, right = (world.instance_of(incidence, instances, board) for board in (1, 2))
        live.renew({"view2": [Recovered(i, 1, self.region, 0.3) for i in (left, right)]})
        assert live.follow(incidence, instances, []) == {"view2"}
        assert [item.instance for item in live.regions["view2"]] == [left]


class TestSecondLook:
    def test_it_asks_for_what_offline_asks_for_and_only_when_everything_is_solved(self, tmp_path):
        world = boards_world(HOUSES, PLACES, missed={(2, 1)})
        session = session_of(tmp_path, world)
        session.update([world.model])
        assert list(session.asks()) == []
        session.update([world.model], full=True)
        ((name, (ask,)),) = session.asks()
        assert name == "view2"
        truth = world.truth["view2"] == 1
        assert ask.expected.pixels.sum() == pytest.approx(truth.sum(), rel=0.05)
        session.update([world.model])
        assert list(session.asks()) == []

    def test_new_masks_are_marked_and_the_old_ones_stay(self, tmp_path):
        world = boards_world(HOUSES, PLACES, missed={(2, 1)})
        session = session_of(tmp_path, world)
        session.update([world.model], full=True)
        before = world.segments["view2"]
        assert not session.receive_again(before)
        assert session.update([world.model]).labels == {}
        labels = np.where(world.truth["view2"] == 1, 21, before.labels).astype(np.uint16)
        ids, ones = np.array([20, 21], np.uint16), np.ones(2, np.int32)
        again = dataclasses.replace(before, labels=labels, ids=ids, classes=ones, scores=ones.astype(np.float32))
        assert session.receive_again(again)
        result = session.update([world.model], full=True)
        assert {key: result.counts[key] for key in ("second_looks", "missed_views", "recovered_views")} == {
            "second_looks": 1, "missed_views": 0, "recovered_views": 0,
        }  # fmt: skip
        stored = session.store.read_named_segments("view2").numbered(["building"])
        np.testing.assert_allclose(stored.scores, [1.0, 0.6])
        assert session.store._read_json("segments/view2.json", {})["21"]["second_look"]

    def test_segments_that_were_made_anew_meanwhile_are_no_second_look(self, tmp_path):
        world = boards_world(HOUSES, PLACES, missed={(2, 1)})
        session = session_of(tmp_path, world)
        assert session.receive_again(boards_world(HOUSES, PLACES, missed={(2, 2)}).segments["view2"])
        assert not session.store._read_json("segments/view2.json", {})["10"].get("second_look", False)
