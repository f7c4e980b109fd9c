"""3D metrics: the owner of a point, and AP and PQ on cases worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers_maps import two_houses
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.evaluation.overlaps import IGNORE
from seg2d3d_ros.evaluation.points import (
    UNKNOWN,
    average_precision,
    panoptic_quality,
    point_metrics,
    true_owners,
)


def cloud(*parts: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Owner and instance (P,) of parts (points, owner, instance)."""
    count, owner, instance = np.array(parts).T
    return np.repeat(owner, count), np.repeat(instance, count)


def measure(*parts: tuple[int, int, int], score: dict[int, float] | None = None) -> dict[str, float | None]:
    owner, instance = cloud(*parts)
    confidence = np.array([(score or {}).get(int(i), 1.0) for i in instance])
    return point_metrics(owner, instance, confidence)


def test_perfect_and_nothing():
    perfect = measure((50, 1, 7), (20, 2, 8), (100, 0, 0))
    assert perfect == dict.fromkeys(("ap", "ap50", "ap25", "pq", "sq", "rq"), 1.0)
    nothing = measure((50, 1, 0), (20, 2, 0))
    assert set(nothing.values()) == {0.0}
    assert set(measure((50, 0, 3)).values()) == {None}, "no object, nothing to measure"


def test_iou_over_known_points():
    # Instance 7: 60 of the object's 80 points and 20 of the background: IoU 60 / 100.
    partly = measure((60, 1, 7), (20, 1, 0), (20, 0, 7))
    assert partly["ap"] == pytest.approx(0.2)  # right at .5 and .55 of ten thresholds: a match needs more than .6
    assert (partly["ap50"], partly["ap25"]) == (1.0, 1.0)
    assert partly["pq"] == partly["sq"] == pytest.approx(0.6)
    # Unknown points under the instance change nothing.
    assert measure((60, 1, 7), (20, 1, 0), (20, 0, 7), (500, UNKNOWN, 7)) == partly


def test_one_instance_on_two_objects_is_found_once():
    merged = measure((60, 1, 7), (30, 2, 7))
    assert merged["ap50"] == pytest.approx(0.5)  # IoU 60/90 with the first, 30/90 with the second
    assert merged["ap25"] == pytest.approx(1.0)
    assert merged["pq"] == pytest.approx((2 / 3) / (1 + 0.5))


def test_precision_recall_curve_by_hand():
    """Objects 1, 2; right at score .9, wrong at .8, right at .7: ScanNet's points are (R, P) = (1, 2/3), (.5, .5), (.5, 1),
    (0, 1); its step widths .25, .25, .25, .25."""
    got = measure((20, 1, 7), (20, 0, 8), (20, 2, 9), score={7: 0.9, 8: 0.8, 9: 0.7})
    assert got["ap50"] == pytest.approx(0.25 * (2 / 3 + 0.5 + 1 + 1))
    assert got["pq"] == pytest.approx(2 / 2.5)
    # Ranked last the wrong one costs nothing but the curve's end: (1, 2/3), (1, 1), (.5, 1), (0, 1).
    last = measure((20, 1, 7), (20, 0, 8), (20, 2, 9), score={7: 0.9, 8: 0.1, 9: 0.7})
    assert last["ap50"] == pytest.approx(0 * 2 / 3 + 0.25 + 0.5 + 0.25)


def test_of_two_instances_on_one_object_the_worse_ranked_is_an_error():
    parts = ((40, 1, 7), (40, 1, 8))
    # IoU .5 each: matches at .25 only.
    got = measure(*parts, score={7: 0.9, 8: 0.8})
    assert got["ap50"] == 0.0
    assert got["ap25"] == pytest.approx(0 * 0.5 + 0.5 * 1.0 + 0.5 * 1.0)
    assert got["pq"] == 0.0


def test_small_and_unknown_things_are_left_out():
    assert measure((50, 1, 7), (9, 2, 8))["pq"] == 1.0, "an object of 9 points and its instance"
    assert measure((50, 1, 7), (60, UNKNOWN, 8))["pq"] == 1.0, "an instance where nothing is known"
    assert measure((50, 1, 7), (30, 0, 8))["pq"] == pytest.approx(1 / 1.5), "an instance on the background is an error"
    mostly = measure((50, 1, 7), (30, UNKNOWN, 8), (15, 0, 8))
    assert (mostly["pq"], mostly["ap50"], mostly["ap25"]) == (1.0, 1.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_renaming_and_reordering_change_nothing_and_all_lie_between_0_and_1(seed: int):
    rng = np.random.default_rng(seed)
    owner = rng.integers(-1, 5, 400)
    instance = np.where(rng.random(400) < 0.7, owner.clip(0), rng.integers(0, 6, 400))
    confidence = rng.random(400)
    first = point_metrics(owner, instance, confidence)
    order, names = rng.permutation(400), np.append(0, 3 + rng.permutation(9))
    second = point_metrics(np.where(owner > 0, owner + 40, owner)[order], names[instance][order], confidence[order])
    for key, value in first.items():
        assert value is not None
        assert 0 <= value <= 1
        assert second[key] == pytest.approx(value)
    assert first["ap"] <= first["ap50"] + 1e-12


def test_matrices_directly():
    iou = np.array([[0.8, 0.1], [0.0, 0.6]])
    assert average_precision(iou, np.array([0.5, 0.5]), np.zeros(2), 0.5) == pytest.approx(1.0)
    assert average_precision(iou, np.array([0.5, 0.5]), np.zeros(2), 0.7) == pytest.approx(0.5 * (0.5 + 1) / 2 * 1.0)
    assert panoptic_quality(iou, np.zeros(2)) == {"pq": pytest.approx(0.7), "sq": pytest.approx(0.7), "rq": 1.0}


def test_owner_is_what_more_than_half_of_the_observations_show():
    model, _ = two_houses()
    truth = {name: np.zeros((48, 64), np.uint16) for name in model.names}
    for k, image in enumerate(truth.values()):
        image[:, :32] = 3 if k < 3 else 0  # three of four views
        image[:, 32:] = 4 if k < 2 else 0  # half of them: nobody's
    owner = true_owners([model], truth.get, [3, 4])
    assert set(owner[:20]) == {3}
    assert set(owner[20:]) == {UNKNOWN}
    for image in list(truth.values())[2:]:
        image[:, 32:] = IGNORE  # ignored pixels do not count
    assert set(true_owners([model], truth.get, [3, 4])[20:]) == {4}
    assert set(true_owners([model], truth.get, [3])[20:]) == {UNKNOWN}, "an object that does not count"
    only = {model.names[3]: truth[model.names[3]]}
    assert set(true_owners([model], only.get, [3, 4])[:20]) == {0}, "one view with truth, and it shows the background"
    twice = true_owners([model, dataclasses.replace(model, component=1)], truth.get, [3, 4])
    np.testing.assert_array_equal(twice, np.tile(true_owners([model], truth.get, [3, 4]), 2))
    assert len(true_owners([], truth.get, [3])) == 0
