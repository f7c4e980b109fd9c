"""How well the scale of a map is known: as often as it is drawn, a scale must scatter as it is said to."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from test_reconstruction_locator import locator, model, rows

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import fit_points
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.reconstruction.model_io import read_frame, sparse_model, write_frame
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.scale_certainty import (
    POOR,
    SCALE_UNCERTAIN,
    combined,
    sigma_by_positions,
    tell_uncertain,
)
from seg2d3d_ros.types import WorldFrame

STOPS, CAMERAS, SIGMA = 23, 4, 3.0


def street():
    """(92, 3): four cameras at each stop along 78 m, in the order of time."""
    along = np.repeat(np.arange(STOPS) * 3.5, CAMERAS)
    return np.column_stack([along, 0.3 * np.sin(along / 9), 0.1 * np.cos(along)])


def independent(rng):
    return rng.normal(0, SIGMA, (STOPS * CAMERAS, 3))


def of_one_receiver(rng):
    return np.repeat(rng.normal(0, SIGMA, (STOPS, 3)), CAMERAS, axis=0)


@pytest.mark.parametrize("errors", [independent, of_one_receiver])
def test_scales_scatter_as_they_are_said_to(errors):
    """What is told is the scatter of the scales of 60 drives, whose positions are independent or those of one receiver."""
    rng, centers = np.random.default_rng(1), street()
    scales, told = [], []
    for _ in range(60):
        positions = centers + errors(rng)
        fit = fit_points(centers, positions)
        scales.append(fit.scale)
        told.append(sigma_by_positions(fit.apply(centers), positions, np.full(92, SIGMA), np.ones(92, bool)))
    assert np.median(told) == pytest.approx(np.std(scales), rel=0.3)


def test_along_a_straight_drive_it_is_that_of_a_slope():
    centers = np.linspace([0.0, 0, 0], [80.0, 0, 0], 7)  # so few that they are taken for independent
    found = sigma_by_positions(centers, centers, np.full(7, 2.0), np.ones(7, bool))
    assert found == pytest.approx(2.0 / np.sqrt(((centers[:, 0] - 40.0) ** 2).sum()))


def test_positions_that_scatter_more_than_they_claim_count_by_their_scatter_and_wrong_ones_not_at_all():
    rng, centers = np.random.default_rng(2), street()
    noise = independent(rng)
    honest = sigma_by_positions(centers, centers + noise, np.full(92, SIGMA), np.ones(92, bool))
    claimed = sigma_by_positions(centers, centers + noise, np.full(92, 0.1), np.ones(92, bool))
    assert claimed == pytest.approx(honest, rel=0.15)
    better = sigma_by_positions(centers, centers + 0.01 * noise, np.full(92, SIGMA), np.ones(92, bool))
    assert better > 0.8 * honest, "a drift does not show as scatter"
    noise[::10] += 300.0
    assert sigma_by_positions(centers, centers + noise, np.full(92, SIGMA), np.ones(92, bool)) == pytest.approx(honest, rel=0.2)


def test_heights_that_were_not_measured_tell_nothing():
    tower = np.linspace([0.0, 0, 0], [0.0, 0, 80.0], 7)
    assert sigma_by_positions(tower, tower, np.ones(7), np.zeros(7, bool)) == np.inf
    assert sigma_by_positions(tower, tower, np.ones(7), np.ones(7, bool)) < 0.1
    assert sigma_by_positions(tower[:1], tower[:1], np.ones(1), np.ones(1, bool)) == np.inf


def test_what_is_known_independently_is_taken_together():
    assert combined(0.03, 0.04) == pytest.approx(0.024)
    assert combined(np.inf, 0.04) == pytest.approx(0.04)
    assert combined(np.inf, None) is None


@pytest.mark.parametrize(("sigma", "told"), [(None, 0), (0.9 * POOR, 0), (1.6 * POOR, 1)])
def test_a_poor_scale_is_said(sigma, told):
    findings = Findings()
    tell_uncertain(sigma, "92 positions (3 m) over 78 m", "92 images from a", findings)
    assert len(findings.list()) == told
    if told:
        (finding,) = findings.list()
        assert finding.kind == SCALE_UNCERTAIN
        assert "the errors of 92 positions (3 m) over 78 m leave it open by 1.6 %" in finding.text


@pytest.fixture
def database(tmp_path):
    return FeatureDatabase(tmp_path / "d.db")


def test_a_georeferenced_model_says_how_well_positions_and_mounts_tell_its_scale(database):
    located, findings = locator(database, rows(gps=range(1, 13), sigma=0.5)), Findings()
    alone = located.georeference(model(), None, findings).scale_sigma
    x = np.array([[2.0 * i, 0.2 * i**2] for i in range(1, 13)])
    assert alone == pytest.approx(0.5 / np.sqrt(((x - x.mean(0)) ** 2).sum()), rel=0.05)
    together = located.georeference(model(), Scale(2.0, alone), findings).scale_sigma
    assert together == pytest.approx(alone / np.sqrt(2), rel=0.01)
    solved = model()
    found = sparse_model(solved, {}, frame=located.georeference(solved, None, findings))
    located.tell_scales([found], findings)
    (finding,) = [finding for finding in findings.list() if finding.kind == SCALE_UNCERTAIN]
    assert "12 positions (0.5 m) over 36 m" in finding.text
    findings = Findings()
    located.tell_scales([replace(found, frame=replace(found.frame, scale_sigma=0.001))], findings)
    assert findings.list() == []


def test_mounts_alone_tell_a_scale_and_how_well(database):
    frame = locator(database, rows()).georeference(model(), Scale(2.0, 0.015), Findings())
    assert (frame.kind, frame.scale_sigma) == ("metric", 0.015)
    assert locator(database, rows()).georeference(model(), None, Findings()).scale_sigma is None


def test_it_stands_beside_the_model_and_does_not_make_another_frame(tmp_path):
    frame = WorldFrame("enu", (1.0, 2.0, 3.0), scale_sigma=0.016)
    assert frame == WorldFrame("enu", (1.0, 2.0, 3.0))
    write_frame(tmp_path, frame, 1, {})
    assert read_frame(tmp_path)[0].scale_sigma == 0.016
    path = next(tmp_path.iterdir())
    document = json.loads(path.read_text())
    for wrong in (0.0, -1.0, "much", [1]):
        path.write_text(json.dumps({**document, "scale_sigma": wrong}))
        with pytest.raises(DataError, match="says not what the model's coordinates mean"):
            read_frame(tmp_path)
    del document["scale_sigma"]  # of a map that was made before
    path.write_text(json.dumps(document))
    assert read_frame(tmp_path)[0].scale_sigma is None


def test_of_models_that_poses_settle_it_is_told_without_moving_them(database):
    located, found = locator(database, rows(gps=range(1, 13), sigma=0.5)), model()
    frame = located.georeference(found, None, Findings())
    before = Pose.from_colmap(found.image(3).cam_from_world()).matrix
    assert located.frame_of(found, None).scale_sigma == frame.scale_sigma > 0.0
    np.testing.assert_array_equal(Pose.from_colmap(found.image(3).cam_from_world()).matrix, before)
