"""Scores: in [0, 1], higher with more evidence and lower with contradiction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers_boards import Board, boards_world

from seg2d3d_ros.association.judging.scores import FEATURES, features, score_instances
from seg2d3d_ros.association.votes import agreement
from seg2d3d_ros.types import Cuts, Observation

HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def measured(world, incidence, instances):
    return [dict(zip(FEATURES, row, strict=True)) for row in features([world.model], incidence, instances)]


def test_of_two_clean_houses_all_evidence_agrees():
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    for row in measured(world, incidence, instances):
        assert row["views"] == pytest.approx(5 / 9)
        assert row["purity"] == pytest.approx(1.0)
        assert row["foreign"] == 0.0
        assert row["own"] > 0.9
        assert row["spread"] > 0.7
    assert (score_instances([world.model], incidence, instances) > 0.5).all(), score_instances(
        [world.model], incidence, instances
    )


def test_every_measure_lies_between_0_and_1_and_pulls_as_its_sign_says():
    world = boards_world(HOUSES, PLACES, missed={(1, 1), (3, 2)})
    incidence, instances = world.solved()
    found = features([world.model], incidence, instances)
    assert found.shape == (2, len(FEATURES))
    assert ((found >= 0) & (found <= 1)).all()
    assert all(value <= 0 if name == "foreign" else value >= 0 for name, value in FEATURES.items())
    assert FEATURES["views"] > 0
    assert FEATURES["points"] > 0


def test_fewer_views_and_points_score_less():
    many, few = boards_world(HOUSES, PLACES), boards_world(HOUSES, PLACES[:2])
    scores = [score_instances([world.model], *world.solved()).max() for world in (many, few)]
    assert scores[0] > scores[1]


def test_contradiction_is_measured():
    """A mask of the left house that is said to show the right one."""
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    row = int(np.flatnonzero(incidence.segment_keyframe == 2)[0])
    mine = int(instances.segment_instance[row])
    (other,) = set(instances.ids.tolist()) - {mine}
    wrong = instances.segment_instance.copy()
    wrong[row] = other
    contradicted = dataclasses.replace(instances, segment_instance=wrong)
    before, after = (measured(world, incidence, found) for found in (instances, contradicted))
    k, n = ((instances.ids == i).argmax() for i in (mine, other))
    assert after[k]["foreign"] == pytest.approx(0.2, abs=0.05)
    assert after[k]["own"] < before[k]["own"] - 0.1
    assert after[n]["purity"] < before[n]["purity"] - 0.1
    assert after[k]["views"] < before[k]["views"]
    # Where that mask is divided between the two, its points are each with the right part.
    seeds = Cuts(np.full(2, row, np.int32), np.array([mine, other], np.int32), np.zeros((2, 2), np.float32))
    divided = measured(world, incidence, dataclasses.replace(contradicted, cuts=seeds))
    assert divided[k]["foreign"] == 0.0
    assert divided[n]["purity"] == pytest.approx(1.0)
    assert divided[k]["views"] == before[k]["views"]


def test_an_instance_without_a_point_scores_nothing():
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    boxes = dataclasses.replace(instances.boxes, center=np.where([[True], [False]], np.nan, instances.boxes.center))
    points = np.where(instances.point_instance == instances.ids[0], 0, instances.point_instance).astype(np.int32)
    bare = dataclasses.replace(instances, boxes=boxes, point_instance=points)
    scores = score_instances([world.model], incidence, bare)
    assert scores[0] == 0.0 < scores[1]
    assert np.isfinite(features([world.model], incidence, bare)).all()


def test_an_observation_is_as_sure_as_its_instance_and_its_points():
    world = boards_world(HOUSES, PLACES)
    incidence, instances = world.solved()
    shares = agreement(incidence.matrix, instances.segment_instance, instances.point_instance)
    np.testing.assert_allclose(shares, 1.0)
    row = int(np.flatnonzero(instances.segment_instance)[0])
    mixed = instances.point_instance.copy()
    held = incidence.matrix[row].indices
    mixed[held[::2]] = instances.ids[instances.ids != instances.segment_instance[row]][0]
    assert agreement(incidence.matrix, instances.segment_instance, mixed)[row] == pytest.approx(0.5, abs=0.05)
    seen = Observation("a", 1, 2, 1, (0, 0, 1, 1), score=0.4, agreement=0.5)
    assert seen.sureness(0.9) == pytest.approx(0.45)
    assert dataclasses.replace(seen, recovered=True).sureness(0.9) == pytest.approx(0.18)
