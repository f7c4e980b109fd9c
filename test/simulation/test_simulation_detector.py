"""The detector's statistics on labels whose answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.simulation.detector import DETECTORS, DetectorQuality, detect, neighbours
from seg2d3d_ros.simulation.scene.street import FAR_HOUSE


def _row(houses: int = 6, height: int = 160, width: int = 240) -> np.ndarray:
    """A row of equal touching houses with sky above and road below."""
    labels = np.zeros((height, width), np.int32)
    edges = np.linspace(0, width, houses + 1).astype(int)
    for i in range(houses):
        labels[30:130, edges[i] : edges[i + 1]] = i + 1
    return labels


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_clean_is_the_truth_under_other_names() -> None:
    labels = _row()
    labels[0:4, 0:4] = 9
    labels[140:, :] = FAR_HOUSE
    segments, facts = detect(labels, DETECTORS["clean"], _rng())
    assert segments.dtype == np.uint16
    assert len(facts) == 6
    for house in range(1, 7):
        (segment,) = np.unique(segments[labels == house])
        assert facts[int(segment)]["class"] == "building"
        assert 0.5 < facts[int(segment)]["score"] <= 1.0
        np.testing.assert_array_equal(segments == segment, labels == house)
    assert not segments[(labels == 0) | (labels == 9) | (labels == FAR_HOUSE)].any()


def test_local_ids_mean_nothing_across_images() -> None:
    labels = _row()
    ids = [detect(labels, DETECTORS["clean"], _rng(seed))[0][80, 10] for seed in range(40)]
    assert len(set(ids)) > 30


@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(DETECTORS)), houses=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_facts_and_pixels_agree(seed: int, name: str, houses: int) -> None:
    segments, facts = detect(_row(houses), DETECTORS[name], _rng(seed))
    assert set(np.unique(segments).tolist()) - {0} == set(facts)
    assert all(1 <= i <= 999 and 0.2 <= f["score"] <= 0.99 for i, f in facts.items())
    again, _ = detect(_row(houses), DETECTORS[name], _rng(seed))
    np.testing.assert_array_equal(segments, again)


def test_miss_rate() -> None:
    quality = dataclasses.replace(DETECTORS["clean"], miss=0.1)
    found = [len(detect(_row(), quality, _rng(seed))[1]) for seed in range(300)]
    assert 1 - np.mean(found) / 6 == pytest.approx(0.1, abs=0.025)


def test_split_rate_keeps_all_pixels() -> None:
    quality = dataclasses.replace(DETECTORS["clean"], split=0.2)
    counts = []
    for seed in range(200):
        segments, facts = detect(_row(), quality, _rng(seed))
        counts.append(len(facts) - 6)
        np.testing.assert_array_equal(segments > 0, _row() > 0)
    assert np.mean(counts) / 6 == pytest.approx(0.2, abs=0.035)


def test_only_neighbours_merge() -> None:
    labels = _row()
    labels[:, 118:122] = 0
    quality = dataclasses.replace(DETECTORS["clean"], merge=0.3)
    merges = 0
    for seed in range(200):
        segments, facts = detect(labels, quality, _rng(seed))
        merges += 6 - len(facts)
        for segment in facts:
            houses = sorted(set(np.unique(labels[segments == segment]).tolist()))
            assert houses == list(range(houses[0], houses[-1] + 1))
            assert not {3, 4} <= set(houses), "houses on both sides of a gap were merged"
    assert merges / 200 / 4 == pytest.approx(0.3, abs=0.05)


def test_neighbours_need_a_common_border() -> None:
    labels = _row(3, 40, 60)
    labels[30:, :] = 0
    assert neighbours(labels, [1, 2, 3], border=1) == []
    assert neighbours(_row(3), [1, 2, 3]) == [(1, 2), (2, 3)]
    assert neighbours(_row(3), [1, 3]) == []
    labels = _row(2)
    labels[34:, :] = 0
    assert neighbours(labels, [1, 2], border=4) == [(1, 2)]
    assert neighbours(labels, [1, 2], border=5) == []


def test_far_rows_come_out_as_one_blob() -> None:
    labels = np.zeros((400, 600), np.int32)
    for i in range(4):
        labels[180:215, 300 + 20 * i : 320 + 20 * i] = i + 1
    quality = DetectorQuality(min_area=0.001, far_merge=1.0)
    segments, facts = detect(labels, quality, _rng())
    assert len(facts) == 1
    np.testing.assert_array_equal(segments > 0, labels > 0)


def test_borders_move_by_about_the_stated_jitter() -> None:
    labels = np.zeros((640, 960), np.int32)
    labels[100:500, 200:700] = 1
    quality = DetectorQuality(min_area=0.001, jitter=2.5)
    offsets = []
    for seed in range(20):
        segments, _ = detect(labels, quality, _rng(seed))
        columns = [np.flatnonzero(segments[row])[0] - 200 for row in range(150, 450, 20)]
        offsets += columns
    assert 1.5 < np.std(offsets) < 5.5
    assert np.abs(offsets).max() < 20


def test_poles_are_overlooked_but_cars_are_not() -> None:
    labels = np.ones((300, 960), np.int32)
    labels[:, 100:105] = 0
    labels[200:260, 400:500] = 0
    segments, _ = detect(labels, DetectorQuality(min_area=0.001, fill=9.0), _rng())
    assert segments[150, 102] > 0
    assert segments[230, 450] == 0


def test_false_positives_lie_off_the_buildings() -> None:
    labels = np.zeros((300, 400), np.int32)
    labels[:, :150] = 1
    extra = 0
    for seed in range(60):
        segments, facts = detect(labels, DetectorQuality(min_area=0.001, false=1.0), _rng(seed))
        own = segments[10, 10]
        np.testing.assert_array_equal(segments == own, labels == 1)
        extra += len(facts) - 1
    assert extra / 60 == pytest.approx(1.0, abs=0.45)


def test_hard_is_harder_than_typical_is_harder_than_clean() -> None:
    def mean_best_iou(name: str) -> float:
        labels, values = _row(), []
        for seed in range(60):
            segments, facts = detect(labels, DETECTORS[name], _rng(seed))
            for house in range(1, 7):
                mask = labels == house
                ious = [(mask & (segments == s)).sum() / (mask | (segments == s)).sum() for s in facts]
                values.append(max(ious, default=0.0))
        return float(np.mean(values))

    clean, typical, hard = (mean_best_iou(name) for name in ("clean", "typical", "hard"))
    assert clean == 1.0
    assert 0.65 < typical < 0.92
    assert 0.35 < hard < typical - 0.08


def test_an_image_without_houses() -> None:
    segments, facts = detect(np.zeros((50, 60), np.int32), DETECTORS["typical"], _rng())
    assert facts == {}
    assert not segments.any()
