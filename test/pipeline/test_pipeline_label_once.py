"""One mask in one image: the object is found, its points are labelled, and its mask appears wherever it is seen."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_boards import Board, boards_world

from seg2d3d_ros.config import make_config
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import SPREAD

HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def world():
    return boards_world(HOUSES, PLACES, missed={(2, 2)})  # in view 2 somebody drew the left house only


def updated(folder, world, names=("view2",), **parameters):
    session = AssociationSession(
        MapStore(folder), make_config({f"association.{key}": value for key, value in parameters.items()})
    )
    for name in names:
        session.receive(world.segments[name])
    return session, session.update([world.model], full=True)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_its_mask_appears_in_every_image_that_sees_it(tmp_path, world):
    session, result = updated(tmp_path, world)
    (track,) = session.store.read_tracks()["instances"]
    seen = {o["image"]: o.get("recovered", False) for o in track["observations"]}
    assert seen == {f"view{k}": k != 2 for k in range(5)}
    assert all(0 < o["score"] <= 1 for o in track["observations"] if o.get("recovered"))
    for name, truth in world.truth.items():
        assert iou(session.store.read_labels(name) == track["id"], truth == 1) > 0.9, name
    labelled = result.instances.point_instance == track["id"]
    assert labelled[world.board_of_point == 1].mean() > 0.95
    assert not labelled[world.board_of_point == 2].any()


def test_it_is_counted_and_said(tmp_path, world):
    _, result = updated(tmp_path, world)
    counts = {key: result.counts[key] for key in ("segmented", "spread_views", "missed_views", "instances")}
    assert counts == {"segmented": 1, "spread_views": 4, "missed_views": 0, "instances": 1}
    (finding,) = [finding for finding in result.findings if finding.kind is SPREAD]
    assert finding.count == 4
    assert "masks were given for 1 of 5 images" in finding.text


def test_it_can_be_switched_off(tmp_path, world):
    session, result = updated(tmp_path, world, spread=False)
    assert "spread_views" not in result.counts
    assert not (session.store.root / "labels/view0.png").exists()
    assert SPREAD not in {finding.kind for finding in result.findings}


def test_where_somebody_looked_and_drew_nothing_nothing_is_drawn_unless_asked_for(tmp_path, world):
    nothing = boards_world(HOUSES, PLACES, missed={(k, b) for k in range(5) for b in (1, 2)})
    session = AssociationSession(MapStore(tmp_path), make_config({}))
    session.receive(world.segments["view2"])
    for k in (0, 1, 3):
        session.receive(nothing.segments[f"view{k}"])
    result = session.update([world.model], full=True)
    assert "spread_views" not in result.counts  # one of four who looked saw it
    assert session.store.read_labels("view0").max() == 0


def test_each_object_may_be_labelled_in_another_image(tmp_path):
    """Masks in few images are examples: that they lack an object says nothing."""
    places = np.linspace(-2.0, 2.0, 9)
    wide = boards_world(HOUSES, places, missed={(0, 2), (8, 1)})
    session, result = updated(tmp_path, wide, ("view0", "view8"))
    assert result.counts["spread_views"] == 2 * 8
    left, right = (wide.instance_of(result.incidence, result.instances, board) for board in (1, 2))
    for name, truth in wide.truth.items():
        labels = session.store.read_labels(name)
        assert iou(labels == left, truth == 1) > 0.85, name
        assert iou(labels == right, truth == 2) > 0.85, name


def test_that_nobody_looked_is_remembered_until_somebody_does(tmp_path, world):
    session, _ = updated(tmp_path, world)
    session.pass_over("view0")
    session.pass_over("view2")
    again = AssociationSession(MapStore(tmp_path), make_config({}))
    assert [again.is_answered(f"view{k}") for k in range(3)] == [True, False, True]
    assert again.has_segments("view2"), "masks that are there are not forgotten"
    assert not again.has_segments("view0")
    again.receive(world.segments["view0"])
    assert MapStore(tmp_path).read_passed_over() == set()


def test_a_mask_that_is_drawn_later_takes_its_place(tmp_path, world):
    session, _ = updated(tmp_path, world)
    session.receive(world.segments["view0"])
    result = session.update([world.model], full=True)
    assert {key: result.counts[key] for key in ("segmented", "spread_views")} == {"segmented": 2, "spread_views": 3 + 3}
    left = result.instances.ids[0]
    np.testing.assert_array_equal(session.store.read_labels("view0") > 0, world.truth["view0"] > 0)
    assert iou(session.store.read_labels("view4") == left, world.truth["view4"] == 1) > 0.9


def test_a_restart_takes_no_drawn_mask_for_one_that_was_given(tmp_path, world):
    session, _ = updated(tmp_path, world)
    before = {name: session.store.read_labels(name) for name in world.truth}
    again = AssociationSession(MapStore(tmp_path), make_config({}))
    result = again.update([world.model], full=True)
    assert result.counts["segmented"] == 1
    for name, labels in before.items():
        np.testing.assert_array_equal(again.store.read_labels(name), labels)
    off = AssociationSession(MapStore(tmp_path), make_config({"association.spread": False}))
    off.update([world.model], full=True)
    assert off.store.read_labels("view0").max() == 0
