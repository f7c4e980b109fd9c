"""Labels that cannot be: dropped where the object cannot be seen, and nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers_boards import Board, boards_world

from seg2d3d_ros.association.judging.impossible import without_impossible
from seg2d3d_ros.types import Cuts

HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)
LOOKS = {
    "behind": np.diag([-1.0, 1.0, -1.0]),
    "to the left of": np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
    "to the right of": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
    "below": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "above": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
}


def turned(world, keyframe: int, rotation: np.ndarray):
    """The world in which one camera looks elsewhere, while its masks and keypoints stay: as wrong matches make it seem."""
    poses = world.model.camera_from_world.copy()
    center = world.model.centers[keyframe]
    poses[keyframe] = np.column_stack([rotation, -rotation @ center])
    return dataclasses.replace(world.model, camera_from_world=poses)


@pytest.mark.parametrize("where", LOOKS)
def test_a_label_of_what_lies_beyond_the_view_is_dropped(where):
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    model = turned(world, 2, LOOKS[where])
    kept, dropped = without_impossible([model], incidence, instances)
    assert {(label.name, label.instance) for label in dropped} == {("view2", 1), ("view2", 2)}
    at_view2 = incidence.segment_keyframe == 2
    assert sorted(row for label in dropped for row in label.rows) == np.flatnonzero(at_view2).tolist()
    np.testing.assert_array_equal(kept.segment_instance, np.where(at_view2, 0, instances.segment_instance))
    np.testing.assert_array_equal(kept.point_instance, instances.point_instance), "other views hold these points"


def test_what_fills_more_than_the_view_can_lie_behind_it():
    world = boards_world((Board(-30, 30, 5, -20, 20, points=4000),), PLACES)
    incidence, instances = world.solved()
    assert len(without_impossible([turned(world, 2, LOOKS["behind"])], incidence, instances)[1]) == 1


def test_nothing_that_reaches_into_the_picture_is_dropped():
    world = boards_world(HOUSES, (-8.0, -7.0, *PLACES, 7.0, 8.0))
    incidence, instances = world.solved()
    assert without_impossible([world.model], incidence, instances) == (instances, [])
    # A camera that turns by so little that a part of the left house stays in view, or would if it were a little larger.
    for degrees in (-30, 0, 30):
        a = np.radians(degrees)
        turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
        assert without_impossible([turned(world, 6, turn)], incidence, instances)[1] == [], degrees


def test_where_nothing_is_known_nothing_is_dropped():
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    poses = turned(world, 2, LOOKS["behind"]).camera_from_world
    unknown = dataclasses.replace(world.model, camera_from_world=np.full_like(poses, np.nan), cameras=())
    assert without_impossible([unknown], incidence, instances)[1] == []
    # If no view can see the object, its box is wrong and not its labels.
    everywhere = world.model
    for k in range(len(PLACES)):
        everywhere = turned(dataclasses.replace(world, model=everywhere), k, LOOKS["behind"])
    assert without_impossible([everywhere], incidence, instances) == (instances, [])


def test_a_point_that_only_the_dropped_label_held_belongs_to_nothing():
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    left = int(instances.segment_instance[incidence.segment_keyframe == 2][0])
    row = int(np.flatnonzero((incidence.segment_keyframe == 2) & (instances.segment_instance == left))[0])
    point = int(incidence.matrix[row].indices[0])
    matrix = incidence.matrix.tolil()
    matrix[[r for r in range(matrix.shape[0]) if r != row], point] = 0
    lonely = dataclasses.replace(incidence, matrix=matrix.tocsr().astype(np.float32))
    kept, _ = without_impossible([turned(world, 2, LOOKS["behind"])], lonely, instances)
    assert (instances.point_instance[point], kept.point_instance[point]) == (left, 0)
    assert (kept.point_instance == 0).sum() == (instances.point_instance == 0).sum() + 1
    assert kept.point_confidence[point] == 0


def test_a_divided_segment_keeps_its_other_part():
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    row = int(np.flatnonzero(incidence.segment_keyframe == 2)[0])
    mine = int(instances.segment_instance[row])
    (other,) = set(instances.ids.tolist()) - {mine}
    cuts = Cuts(np.full(3, row, np.int32), np.array([mine, mine, other], np.int32), np.zeros((3, 2), np.float32))
    far = instances.boxes.center.copy()
    far[
        instances.ids == mine, 2
    ] = -50.0  # the box of one of the two stands behind this camera, and it is kept by its other views
    boxes = dataclasses.replace(instances.boxes, center=far)
    others_turned = world.model
    for k in (0, 1, 3, 4):
        others_turned = turned(dataclasses.replace(world, model=others_turned), k, LOOKS["behind"])
    divided = dataclasses.replace(instances, cuts=cuts, boxes=boxes)
    kept, dropped = without_impossible([others_turned], incidence, divided)
    assert ("view2", mine) in {(label.name, label.instance) for label in dropped}
    assert kept.segment_instance[row] == other
    assert kept.cuts.instance.tolist() == [0, 0, other]
