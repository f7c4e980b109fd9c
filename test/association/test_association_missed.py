"""Missed views: exactly those that show an object without a mask, and none that something hides."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_boards import Board, boards_world

from seg2d3d_ros.association.masks.missed import MissedView, find_missed, near_enough, solid_points
from seg2d3d_ros.geometry.views import View

HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def listed(world, incidence, instances):
    return [(m.name, m.instance) for m in find_missed([world.model], world.segments, incidence, instances)]


def test_exactly_the_views_that_were_missed():
    world = boards_world(HOUSES, PLACES, missed={(1, 1), (3, 2), (4, 2)})
    incidence, instances = world.solved()
    left, right = (world.instance_of(incidence, instances, b) for b in (1, 2))
    assert left != right
    assert listed(world, incidence, instances) == [("view1", left), ("view3", right), ("view4", right)]


@pytest.mark.parametrize(
    ("distances", "away", "missed"),
    [((10, 20, 40), 35, False), ((10, 20, 40), 31, True), ((30, 35, 40), 45, True), ((10, 11, 12), 25, False)],
)
def test_from_farther_than_anybody_saw_it_nothing_is_missed(distances, away, missed):
    """What counts is both: far beside the farthest mask, and far beside the nearest one."""
    centers = [np.array([0.0, 0, -z]) for z in (*distances, away)]
    views = [SimpleNamespace(center=center) for center in centers]
    item = MissedView("view3", 3, 1, 1, np.arange(3), np.zeros((3, 2)), np.zeros((0, 2)), 0.9)
    known = views, [{1}, {1}, {1}, set()], np.zeros((3, 3)), np.ones(3, np.int32)
    assert near_enough([item], *known) == ([item] if missed else [])
    (carried,) = near_enough([dataclasses.replace(item, segmented=False)], *known)
    assert carried.confidence == pytest.approx(0.9 if missed else 0.45)


def test_nothing_is_missed_where_all_was_found():
    world = boards_world(HOUSES, PLACES)
    assert listed(world, *world.solved()) == []


def test_what_a_missed_view_says():
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    incidence, instances = world.solved()
    (item,) = find_missed([world.model], world.segments, incidence, instances)
    truth = world.truth["view2"]
    u, v = np.floor(item.xy).astype(int).T
    assert (truth[v, u] == 1).all()
    assert (world.board_of_point[item.point] == 1).all()
    assert len(item.point) >= 0.9 * (world.board_of_point == 1).sum()
    rows, columns = np.nonzero(truth == 1)
    np.testing.assert_allclose(item.box, [columns.min(), rows.min(), columns.max(), rows.max()], atol=6)
    assert item.confidence > 0.9
    assert (item.class_id, item.keyframe) == (1, 2)
    u, v = np.floor(item.others).astype(int).T
    assert (truth[v, u] == 2).all()
    assert len(item.others) > 20


def test_points_that_nobody_matched_there_count_less():
    seen = boards_world(HOUSES, PLACES, missed={(2, 1)})
    unseen = boards_world(HOUSES, PLACES, missed={(2, 1)}, unmatched={(2, 1)})
    (sure,) = find_missed([seen.model], seen.segments, *seen.solved())
    (less,) = find_missed([unseen.model], unseen.segments, *unseen.solved())
    assert less.confidence < sure.confidence


def test_where_something_nearer_hides_it_nothing_is_missed():
    # A hoarding, no object, right in front of the left house; its view has no keypoints on the house.
    hoarding = Board(-3.0, 0.5, 3.0, points=120, masked=False)
    world = boards_world((*HOUSES, hoarding), (-8.0, -7.0, -6.0, 4.0, 5.0, -1.2), unmatched={(5, 1)})
    assert (world.truth["view5"] == 1).sum() == 0
    assert listed(world, *world.solved()) == []


def test_what_another_mask_has_swallowed_is_not_missed():
    world = boards_world(HOUSES, PLACES, missed={(1, 1)})
    whole = world.segments["view1"]
    glued = dataclasses.replace(whole, labels=np.where(world.truth["view1"] > 0, 20, 0).astype(np.uint16))
    world.segments["view1"] = glued
    incidence, instances = world.solved()
    assert listed(world, incidence, instances) == []


def test_objects_that_few_views_hold_for_one_are_not_missed():
    world = boards_world(HOUSES, PLACES, missed={(k, 1) for k in range(5) if k != 2})
    assert listed(world, *world.solved()) == []


def test_keyframes_that_nobody_segmented_are_told_from_those_where_nothing_was_found():
    world = boards_world(HOUSES, PLACES, missed={(1, 1), (1, 2)})
    assert len(world.segments["view1"].ids) == 0
    for segmented in (True, False):
        if not segmented:
            del world.segments["view1"]
        incidence, instances = world.solved()
        found = find_missed([world.model], world.segments, incidence, instances)
        assert [(m.name, m.instance, m.segmented) for m in found] == [
            ("view1", world.instance_of(incidence, instances, board), segmented) for board in (1, 2)
        ]


@pytest.mark.parametrize(("missed", "carried"), [((), True), ((1,), True), ((1, 2), False)])
def test_an_object_is_carried_on_where_half_of_those_who_looked_saw_it(missed, carried):
    """View 0 has its mask, views 3 and 4 were never segmented; of the others some were, in vain."""
    world = boards_world(HOUSES, PLACES, missed={(k, 1) for k in missed})
    for name in [name for name in world.segments if name not in {"view0", *(f"view{k}" for k in missed)}]:
        del world.segments[name]
    incidence, instances = world.solved()
    left = world.instance_of(incidence, instances, 1)
    found = find_missed([world.model], world.segments, incidence, instances)
    names = {m.name for m in found if m.instance == left and not m.segmented}
    assert names == ({f"view{k}" for k in (1, 2, 3, 4) if k not in missed} if carried else set())
    assert not [m for m in found if m.segmented]  # one mask is not enough to speak of missed detections


def test_without_poses_nothing_is_said():
    world = boards_world(HOUSES, PLACES, missed={(1, 1)})
    incidence, instances = world.solved()
    blind = dataclasses.replace(world.model, camera_from_world=np.full_like(world.model.camera_from_world, np.nan))
    assert find_missed([blind], world.segments, incidence, instances) == []


def test_stray_points_do_not_count():
    world = boards_world(HOUSES, PLACES)
    _, instances = world.solved()
    xyz = world.model.xyz.copy()
    left = np.flatnonzero(world.board_of_point == 1)
    xyz[left[:2]] += [[0, 0, 40.0], [0, -30.0, 0]]
    solid = solid_points(xyz, instances)
    assert solid[left[:2]].tolist() == [0, 0]
    assert (solid[left[2:]] > 0).mean() > 0.9


def test_a_view_projects_and_back_projects():
    world = boards_world(HOUSES, PLACES)
    view, *_ = world.model.views()
    pixels, depth = view.project(world.model.xyz)
    np.testing.assert_allclose(view.back_project(pixels, depth), world.model.xyz, atol=1e-9)
    np.testing.assert_allclose(view.center, [-2.0, 0, 0])
    assert np.isnan(view.project(np.array([[0.0, 0, -1]]))[0]).all()


@pytest.mark.parametrize("camera", [dataclasses.replace, None])
def test_models_without_cameras_have_no_views(camera):
    world = boards_world(HOUSES, PLACES)
    model = world.model if camera else dataclasses.replace(world.model, cameras=())
    assert all(isinstance(view, View) == bool(camera) for view in model.views())
