"""Street furniture: in rows, labelled, found as a detector would, and with its places in the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seg2d3d_ros.images import read_labels
from seg2d3d_ros.simulation.furniture_detector import FURNITURE_DETECTORS, FurnitureQuality, detect_furniture
from seg2d3d_ros.simulation.scene.furniture import KINDS, ROWS
from seg2d3d_ros.simulation.scene.street import build_street
from seg2d3d_ros.simulation.street_folder import simulate


@pytest.fixture(scope="module")
def street():
    return build_street(np.random.SeedSequence(3), 6, furniture=True)


def test_all_kinds_stand_in_rows_where_the_truth_says(street):
    assert {fixture.kind for fixture in street.fixtures} == set(KINDS)
    ids = [fixture.id for fixture in street.fixtures]
    assert ids == list(range(len(street.lots) + 1, len(street.lots) + 1 + len(ids)))
    for fixture in street.fixtures:
        corners = street.mesh.triangles[street.mesh.label == fixture.id].reshape(-1, 3)
        assert np.linalg.norm(np.median(corners[:, :2], axis=0) - fixture.foot[:2]) < 0.5
        assert corners[:, 2].min() == pytest.approx(fixture.foot[2], abs=0.05)
    poles = np.array([f.foot for f in street.fixtures if f.kind == "pole"])
    every = next(row.every for row in ROWS if row.kind == "pole")
    steps = np.diff(np.sort(poles[poles[:, 1] > 0, 0])) / every
    assert len(steps)
    assert np.abs(steps - np.rint(steps)).max() < 0.1  # none stands in a side street


def test_the_houses_are_those_of_the_street_without_furniture(street):
    bare = build_street(np.random.SeedSequence(3), 6)
    assert bare.lots == street.lots
    assert bare.fixtures == ()


def _image():
    labels = np.zeros((200, 300), np.int32)
    for k in range(10):
        labels[40:160, 10 + 28 * k : 16 + 28 * k] = 50 + k
    return labels, {50 + k: "pole" for k in range(10)}


def test_a_clean_detector_finds_what_there_is_and_keeps_what_was_found():
    labels, kinds = _image()
    before = np.zeros(labels.shape, np.uint16)
    before[:, 295:] = 7
    segments, facts = detect_furniture(labels, kinds, FURNITURE_DETECTORS["clean"], np.random.default_rng(0), before)
    assert len(facts) == 10
    assert {fact["class"] for fact in facts.values()} == {"pole"}
    assert np.array_equal(segments == 7, before == 7)
    assert np.array_equal(np.isin(segments, list(facts)), labels > 0)


@pytest.mark.parametrize(
    ("quality", "low", "high"),
    [
        (FurnitureQuality(miss=0.5), 3, 7),
        (FurnitureQuality(split=1.0), 20, 20),
        (FurnitureQuality(false=1.0), 12, 25),
        (FurnitureQuality(part=1.0), 10, 10),
    ],
)
def test_each_fault_shows(quality, low, high):
    labels, kinds = _image()
    counts, areas = [], []
    for seed in range(5):
        segments, facts = detect_furniture(
            labels, kinds, quality, np.random.default_rng(seed), np.zeros(labels.shape, np.uint16)
        )
        counts.append(len(facts))
        areas.append((segments > 0).sum())
    assert low <= np.mean(counts) <= high
    if quality.part:
        assert max(areas) < 0.85 * (labels > 0).sum()


def test_a_folder_has_the_places_of_things_and_cameras(tmp_path):
    out = simulate(tmp_path / "s", seed=5, buildings=3, keyframes=4, cameras=2, width=320, height=214, furniture=True)
    document = json.loads((out / "truth" / "objects.json").read_text())
    names = {path.stem for path in (out / "truth").glob("*.png")}
    assert set(document["cameras"]) == names
    lines = [line.split() for line in (out / "truth_poses.txt").read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        assert np.allclose(document["cameras"][line[0].removesuffix(".jpg")], np.array(line[5:], float), atol=1e-3)
    shown = set(np.unique([read_labels(path) for path in (out / "truth").glob("*.png")]).tolist())
    things = {item["id"]: item["class"] for item in document["objects"]}
    assert shown & things.keys()
    facts = json.loads((out / "segments" / "segments.json").read_text())
    classes = {fact["class"] for found in facts.values() for fact in found.values()}
    assert "building" in classes
    assert classes & set(KINDS)
