"""Covariances of poses against errors that are drawn: of keypoints, of positions that err alike or do not, and of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_certainty import CENTERS, FOCAL, IMAGES, NOISE, TURN, centers_of, wall_model
from scipy import sparse
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.similarity import weighted_similarity
from seg2d3d_ros.mapstore.pose_covariance import center_rows, gauge_directions, skew
from seg2d3d_ros.reconstruction.adjustment import robust_options
from seg2d3d_ros.reconstruction.certainty import solved_covariance as module
from seg2d3d_ros.reconstruction.certainty.free_covariance import free_covariance, pixel_sigma, without_gauge
from seg2d3d_ros.reconstruction.certainty.held_covariance import HeldPositions, held_covariance
from seg2d3d_ros.reconstruction.certainty.image_windows import WHOLE, image_windows
from seg2d3d_ros.reconstruction.certainty.position_noise import PositionRests, position_noise
from seg2d3d_ros.reconstruction.world.position_priors import adjust_to_priors, make_priors

RUNS = 30
"""Drawn models."""
ALL = center_rows(np.arange(IMAGES))


@pytest.fixture(scope="module")
def free():
    """(6K, 6K) of the wall, for keypoints good to one pixel, without the gauge."""
    ids, matrix = free_covariance(wall_model(0.0, np.random.default_rng(0), adjusted=False), [1], 1)
    assert ids == list(range(1, IMAGES + 1))
    return without_gauge(matrix, CENTERS)


def test_keypoints_leave_the_errors_that_adjusted_models_have(free):
    rng, off, sigmas = np.random.default_rng(1), [], []
    for _ in range(RUNS):
        model = wall_model(NOISE, rng)
        sigmas.append(pixel_sigma(model))
        centers = centers_of(model)
        off.append((weighted_similarity(centers, CENTERS, np.ones(IMAGES)).apply(centers) - CENTERS).ravel())
    said = NOISE**2 * free[np.ix_(ALL, ALL)]
    seen = np.array(off).T @ np.array(off) / RUNS
    assert np.median(sigmas) == pytest.approx(NOISE, rel=0.05)
    assert np.trace(seen) == pytest.approx(np.trace(said), rel=0.3)
    values, vectors = np.linalg.eigh(said)
    for k in (-1, -2, -3):  # the ways in which the drive bends most
        assert vectors[:, k] @ seen @ vectors[:, k] == pytest.approx(values[k], rel=0.7)


def test_it_is_the_inverse_of_the_normal_equations(free):
    """Written out here for pinhole cameras, points eliminated, the gauge taken out by a pseudo-inverse."""
    model = wall_model(0.0, np.random.default_rng(0), adjusted=False)
    normal = np.zeros((6 * IMAGES, 6 * IMAGES))
    for point in model.points3D.values():
        by_point, mixed = np.zeros((3, 3)), np.zeros((6 * IMAGES, 3))
        for element in point.track.elements:
            row = slice(6 * (element.image_id - 1), 6 * element.image_id)
            offset = point.xyz - CENTERS[element.image_id - 1]
            x, y, z = TURN @ offset
            pixels = FOCAL * np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2]]) @ TURN
            of_pose = np.hstack([-pixels, pixels @ skew(offset[None])[0]])
            by_point += pixels.T @ pixels
            normal[row, row] += of_pose.T @ of_pose
            mixed[row] = of_pose.T @ pixels
        normal -= mixed @ np.linalg.inv(by_point) @ mixed.T
    values = np.linalg.eigvalsh(normal)
    assert values[6] < 1e-6 < 1.0 < values[7]  # seven ways are open
    expected = without_gauge(np.linalg.pinv(normal, rcond=1e-12, hermitian=True), CENTERS)
    np.testing.assert_allclose(free, expected, atol=1e-5 * np.abs(expected).max())


def test_nothing_is_left_of_the_gauge(free):
    assert np.allclose(free, free.T)
    np.testing.assert_allclose(np.linalg.pinv(gauge_directions(CENTERS)[ALL]) @ free[ALL], 0.0, atol=1e-9)
    assert np.linalg.eigvalsh(free)[0] > -1e-6 * np.linalg.eigvalsh(free)[-1]


def test_a_turned_model_has_a_turned_covariance(free):
    model = wall_model(0.0, np.random.default_rng(0), adjusted=False)
    turn = Rotation.from_euler("zyx", [40, 20, -30], degrees=True).as_matrix()
    model.transform(pycolmap.Sim3d(2.0, pycolmap.Rotation3d(turn), np.array([5.0, -3.0, 2.0])))
    _, matrix = free_covariance(model, [1], 1)
    found = without_gauge(matrix, centers_of(model))
    whole = np.kron(np.eye(IMAGES), np.block([[2.0 * turn, np.zeros((3, 3))], [np.zeros((3, 3)), turn]]))
    np.testing.assert_allclose(found, whole @ free @ whole.T, atol=1e-5 * np.abs(found).max())


def errors(kind, rng, sigma=0.5):
    fresh = rng.normal(size=(IMAGES, 3))
    return sigma * (fresh if kind == "white" else np.sqrt(0.9) * rng.normal(size=3) + np.sqrt(0.1) * fresh)


@pytest.mark.parametrize("kind", ["white", "alike"])
def test_positions_hold_a_model_as_well_as_is_said(free, kind):
    rng, sigma = np.random.default_rng(2), 0.5
    squared, held = [], None
    for _ in range(RUNS):
        model = wall_model(NOISE, rng)
        positions = CENTERS + errors(kind, rng, sigma)
        priors = make_priors(model, dict(enumerate(positions, 1)), dict.fromkeys(range(1, IMAGES + 1), sigma))
        options = robust_options(pycolmap.LossFunctionType.TRIVIAL, 30, 1)
        adjust_to_priors(model, priors, options, [1], 10 * sigma, pycolmap.LossFunctionType.TRIVIAL)
        centers = centers_of(model)
        held = HeldPositions(
            images=np.arange(IMAGES),
            rest=positions - centers,
            sigmas=np.full(IMAGES, sigma),
            claimed=np.full((IMAGES, 2), sigma),
            heights=np.ones(IMAGES, bool),
            times=np.arange(IMAGES, dtype=float),
            pulled=True,
            gauge=np.zeros((7, 7)),
        )
        said = held_covariance(free, CENTERS, NOISE, held)
        assert np.linalg.eigvalsh(said)[0] > -1e-9
        middle = slice(6 * (IMAGES // 2), 6 * (IMAGES // 2) + 3)
        off = centers[IMAGES // 2] - CENTERS[IMAGES // 2]
        squared.append(off @ np.linalg.solve(said[middle, middle], off))
    assert 1.2 < np.mean(squared) < 4.5  # 3 where all is known; eight images tell little of how errors hang together
    assert np.mean(np.array(squared) < 7.815) > 0.88


def rests(rest, claimed=1.0):
    count = len(rest)
    design = np.zeros((count, 2, 2))
    design[:, 0, 0] = design[:, 1, 1] = 1.0
    return PositionRests(rest, design, np.zeros((count, 2, count, 2)), np.full(count, claimed), np.arange(count, dtype=float))


def test_errors_that_are_alike_are_told_from_those_that_are_not():
    rng = np.random.default_rng(3)
    white = rests(rng.normal(size=(80, 2)))
    small = rests(0.3 * rng.normal(size=(80, 2)))
    off = {}
    for name, case in (("white", white), ("small", small)):
        found = position_noise(case)
        np.testing.assert_allclose(found, found.T)
        assert np.linalg.eigvalsh(found)[0] > 0
        off[name] = found.sum() / 80**2  # variance of the mean
    assert off["white"] < 0.2
    assert off["small"] > 0.6  # so small a rest says that the claimed metre is common to all
    steps = np.cumsum(0.3 * rng.normal(size=(80, 2)), axis=0)
    assert position_noise(rests(steps - steps.mean(axis=0))).sum() / 80**2 > 0.4


def test_errors_scale_with_what_is_claimed_and_seen():
    rest = np.random.default_rng(4).normal(size=(20, 2))
    np.testing.assert_allclose(position_noise(rests(3 * rest, 3.0)), 9 * position_noise(rests(rest)), rtol=1e-6)
    assert np.trace(position_noise(rests(6 * rest))) > 15 * np.trace(position_noise(rests(rest)))  # claims that are too good


def test_more_noise_and_unmeasured_heights_make_places_less_sure(free):
    held = HeldPositions(
        images=np.arange(IMAGES),
        rest=errors("white", np.random.default_rng(6)),
        sigmas=np.full(IMAGES, 0.5),
        claimed=np.full((IMAGES, 2), 0.5),
        heights=np.ones(IMAGES, bool),
        times=np.arange(IMAGES, dtype=float),
        pulled=False,
        gauge=np.zeros((7, 7)),
    )
    said = held_covariance(free, CENTERS, NOISE, held)
    doubled = replace(held, rest=2 * held.rest, sigmas=2 * held.sigmas, claimed=2 * held.claimed)
    assert np.diag(held_covariance(free, CENTERS, NOISE, doubled))[ALL].sum() > 3 * np.diag(said)[ALL].sum()
    assert np.trace(held_covariance(free, CENTERS, 20 * NOISE, held)) > np.trace(said)
    flat = held_covariance(free, CENTERS, NOISE, replace(held, heights=np.zeros(IMAGES, bool)))
    assert flat[2, 2] > 100 * said[2, 2]
    upright = np.zeros((7, 7))
    upright[3, 3] = upright[4, 4] = 1e6
    level = held_covariance(free, CENTERS, NOISE, replace(held, gauge=upright))
    assert level[3, 3] < said[3, 3]  # a known vertical takes the tilt away


def test_large_models_are_seen_through_windows():
    count = 3 * WHOLE
    at = np.random.default_rng(0).permutation(count)
    centers = np.column_stack([at, np.zeros((count, 2))]).astype(float)
    seen = sparse.csr_matrix((np.ones(3 * count), (np.repeat(np.arange(count), 3), (at[:, None] + np.arange(3)).ravel())))
    windows = image_windows(centers, seen)
    assert max(map(len, windows)) <= WHOLE
    assert np.array_equal(np.unique(np.concatenate(windows)), np.arange(count))
    assert all((np.diff(window) > 0).all() for window in windows)
    whole = [np.ptp(at[window]) - len(window) for window in windows]
    assert max(whole) <= 4  # neighbours, not images from anywhere
    assert [len(window) for window in image_windows(centers[:5], seen[:5])] == [5]


class Place:
    """Stands for a locator that knows nothing."""

    world, positions = None, {}


def evidence(model, kind="arbitrary", scale=None):
    from seg2d3d_ros.reconstruction.database import ImageRow
    from seg2d3d_ros.types import WorldFrame

    rows = {i: ImageRow(i, 1, f"k{i}", model.image(i).name, "front", i, 10, None) for i in model.images}
    return module.ModelEvidence(Place(), rows, WorldFrame(kind, scale_sigma=scale), [1], False, False, None)


def test_windows_say_more_error_than_the_whole_and_agree_in_kind(monkeypatch):
    model = wall_model(NOISE, np.random.default_rng(8))
    whole = module.solved_covariance(model, evidence(model), 1, Findings())
    assert whole.names == tuple(f"k{i}" for i in range(1, IMAGES + 1))
    assert not whole.absolute
    assert whole.pixel_sigma == pytest.approx(NOISE, rel=0.2)
    metric = module.solved_covariance(model, evidence(model, "metric", 0.1), 1, Findings())
    more = metric.windows[0].matrix - whole.windows[0].matrix
    np.testing.assert_allclose(more[0, 0], (0.1 * (centers_of(model) - centers_of(model).mean(0))[0, 0]) ** 2, rtol=1e-2)
    monkeypatch.setattr(module, "image_windows", lambda *_: [np.arange(5, dtype=np.int32), np.arange(3, 8, dtype=np.int32)])
    parts = module.solved_covariance(model, evidence(model), 1, Findings())
    assert [window.rows.tolist() for window in parts.windows] == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]]
    assert parts.window_of(np.array([6, 7, 0])).rows[0] == 3


def test_a_model_without_a_covariance_is_told(monkeypatch):
    model, findings = wall_model(NOISE, np.random.default_rng(8)), Findings()
    monkeypatch.setattr(module, "free_covariance", lambda *_: None)
    assert module.solved_covariance(model, evidence(model), 1, findings) is None
    assert [(f.kind, f.examples) for f in findings.list()] == [(module.COVARIANCE_UNKNOWN, ("8 images from 00.jpg",))]


def test_a_part_that_no_positions_hold_is_not_said_to_be_sure(monkeypatch):
    """In a tunnel the covariance against the model's own cameras would be taken for one on the Earth."""
    model, findings = wall_model(NOISE, np.random.default_rng(8)), Findings()
    monkeypatch.setattr(module, "_is_held", lambda *_: True)
    monkeypatch.setattr(module, "_held_positions", lambda *_: None)
    assert module.solved_covariance(model, evidence(model), 1, findings) is None
    (finding,) = findings.list()
    assert (finding.kind, finding.details["reason"]) == (module.COVARIANCE_UNKNOWN, module.UNHELD)
