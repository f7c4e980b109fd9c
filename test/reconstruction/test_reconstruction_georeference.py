"""A model is put into metres by noisy positions with outliers, or is left alone with a reason."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import Up, up_of_cameras
from seg2d3d_ros.geometry.vertical.camera_up import UNTOLD
from seg2d3d_ros.geometry.vertical.verticals import verticals
from seg2d3d_ros.reconstruction.world.georeference import fit_similarity, fit_upright

TRUE_SCALE = 7.0


def scene(rng, centers, headings, sigma, outliers=0, roll=0.0):
    """Cameras at ``centers`` (metres, z up), their poses in an arbitrary model frame, and measured positions.

    The cameras are upright, or rolled by ``roll`` radians.
    """
    rolled = Rotation.from_euler("z", roll).as_matrix()
    model_from_world = Rotation.from_rotvec([0.7, -1.1, 2.0]).as_matrix()
    shift = np.array([5.0, -3.0, 2.0])
    poses = []
    for center, heading in zip(centers, headings, strict=True):
        forward = np.array([np.cos(heading), np.sin(heading), 0.0])
        down = np.array([0.0, 0.0, -1.0])
        camera_from_metres = rolled @ np.stack([np.cross(down, forward), down, forward])
        rotation = camera_from_metres @ model_from_world.T
        center_model = model_from_world @ center / TRUE_SCALE + shift
        poses.append(np.column_stack([rotation, -rotation @ center_model]))
    measured = centers + rng.normal(0, sigma, centers.shape)
    wrong = rng.choice(len(centers), outliers, replace=False)
    measured[wrong] += rng.normal(0, 20 * sigma, (outliers, 3))
    return Pose.from_matrix(np.array(poses)), measured


def error(fit, poses, centers):
    return np.linalg.norm(fit.similarity.apply(poses.origin) - centers, axis=1)


@pytest.mark.parametrize("seed", range(4))
def test_recovers_a_bent_drive_with_a_fifth_of_outliers(seed):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 40)
    centers = np.column_stack([100 * t, 30 * np.sin(3 * t), 2 * t])
    poses, measured = scene(rng, centers, rng.uniform(-3, 3, 40), 1.0, outliers=8)
    fit = fit_similarity(poses, measured, np.full(40, 1.0), seed)
    assert fit.similarity.scale == pytest.approx(TRUE_SCALE, rel=0.03)
    assert np.median(error(fit, poses, centers)) < 0.7
    assert 25 <= fit.used <= 35


@pytest.mark.parametrize("known", [0, 20])
def test_positions_without_a_height_pull_east_and_north_only(known):
    rng = np.random.default_rng(5)
    t = np.linspace(0, 1, 40)
    centers = np.column_stack([100 * t, 30 * np.sin(3 * t), np.zeros(40)])
    poses, measured = scene(rng, centers, rng.uniform(-3, 3, 40), 1.0)
    heights = np.arange(40) < known
    measured[~heights, 2] = 0.0 if known == 0 else 500.0  # what stands where nothing was measured
    fit = fit_similarity(poses, measured, np.full(40, 1.0), heights=heights)
    assert fit.used >= 38
    assert np.median(error(fit, poses, centers)) < 0.7


def test_straight_street_stays_upright():
    """Positions on a line leave the roll about it open; the cameras' upright direction fixes it within 2 degrees."""
    rng = np.random.default_rng(0)
    centers = np.column_stack([np.linspace(0, 80, 30), np.zeros(30), np.zeros(30)])
    poses, measured = scene(rng, centers, rng.normal(0, 0.1, 30), 3.0)
    fit = fit_similarity(poses, measured, np.full(30, 3.0))
    up = fit.similarity.rotation @ up_of_cameras(poses).direction
    assert np.rad2deg(np.arccos(up[2])) < 2.0
    assert np.median(error(fit, poses, centers)) < 2.0


@pytest.mark.parametrize("roll", [0.0, np.pi])
def test_a_bend_tells_which_way_up_the_cameras_were(roll):
    rng = np.random.default_rng(7)
    t = np.linspace(0, 1, 40)
    bend, line = np.column_stack([100 * t, 30 * t**2, 2 * t]), np.column_stack([100 * t, 0 * t, 0 * t])
    heights, sigma = np.ones(40, bool), np.full(40, 1.0)

    def fitted(centers):
        poses, measured = scene(rng, centers, rng.normal(0, 0.2, 40), 1.0, outliers=4, roll=roll)
        return fit_upright(poses, measured, sigma, 0, None, verticals(poses, [UNTOLD] * 40), heights), poses

    fit, poses = fitted(bend)
    assert not fit.either_way_up
    assert np.median(error(fit, poses, bend)) < 0.7
    assert (fit.similarity.rotation @ up_of_cameras(poses).direction)[2] * np.cos(roll) > 0.99
    fit, poses = fitted(line)
    assert fit.either_way_up
    assert (fit.similarity.rotation @ up_of_cameras(poses).direction)[2] > 0.99, "upright, where nothing tells"


def test_reasons_for_no_georeference():
    rng = np.random.default_rng(1)
    centers = rng.normal(0, 1.0, (12, 3))
    poses, measured = scene(rng, centers, rng.uniform(-3, 3, 12), 10.0)
    assert "spread" in fit_similarity(poses, measured, np.full(12, 10.0)).problem
    assert "3 images" in fit_similarity(poses[:3], measured[:3], np.full(3, 1.0)).problem
    same = poses[np.zeros(6, int)]
    assert fit_similarity(same, measured[:6], np.full(6, 1.0)).similarity is None


@pytest.mark.parametrize("claimed", [2.0, 0.5, 8.0])
def test_outliers_do_not_pull_and_good_positions_count_as_in_least_squares(claimed):
    """20 drives with 10 % of outliers at 20 m, against least squares (heading, scale, shift) on the good positions."""
    found, ideal = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        centers = np.column_stack([np.linspace(0, 50, 60), rng.choice([-1.5, 1.5], 60), np.zeros(60)])
        poses, measured = scene(rng, centers, rng.uniform(-3, 3, 60), 2.0)
        away = rng.normal(size=(6, 3))
        wrong = rng.choice(60, 6, replace=False)
        measured[wrong] = centers[wrong] + 20.0 * away / np.linalg.norm(away, axis=1, keepdims=True)
        found.append(error(fit_similarity(poses, measured, np.full(60, claimed), seed), poses, centers))
        good = np.delete(np.arange(60), wrong)
        x, y = (c[:, 0] + 1j * c[:, 1] for c in (centers, measured))
        turn = np.vdot(x[good] - x[good].mean(), y[good] - y[good].mean()) / (np.abs(x[good] - x[good].mean()) ** 2).sum()
        flat = turn * (x - x[good].mean()) + y[good].mean() - x
        ideal.append(np.hypot(np.abs(flat), measured[good, 2].mean()))
    assert np.sqrt(np.mean(np.square(found))) < 1.12 * np.sqrt(np.mean(np.square(ideal)))  # Cauchy: 1.16, 1.31, 1.69


MODEL_FROM_WORLD = Rotation.from_rotvec([0.7, -1.1, 2.0]).as_matrix()


def pitched_street(length, count, grade, pitch, seed=0):
    """Cameras that look forward along a straight street with this slope, pitched up by ``pitch`` degrees against the road.

    Their poses in a model frame that is turned and smaller, and their true places in metres.
    """
    rng = np.random.default_rng(seed)
    t = np.linspace(0, length, count)
    centers = np.column_stack([t, rng.normal(0, 0.2, count), grade * t])
    optical = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    angles = rng.normal(0, [1.0, 0.5, 0.5], (count, 3)) - [0.0, pitch + np.degrees(np.arctan(grade)), 0.0]
    world_from_camera = Rotation.from_euler("ZYX", angles, degrees=True).as_matrix() @ optical
    return Pose(MODEL_FROM_WORLD @ world_from_camera, centers @ MODEL_FROM_WORLD.T / TRUE_SCALE).inverse(), centers


def degrees_off(up):
    """Between a vertical in the model's frame and the true one."""
    return float(np.degrees(np.arccos(np.clip(up @ MODEL_FROM_WORLD[:, 2], -1, 1))))


def tilt(fit):
    """Degrees between the map's vertical and the true one."""
    return degrees_off(fit.similarity.rotation.T @ [0.0, 0.0, 1.0])


@pytest.mark.parametrize("pitch", [-10.0, 0.0, 10.0])
def test_good_altitudes_decide_the_slope_of_a_street_seen_forward(pitch):
    """A road of 10 %: the cameras alone take it for level and err by degrees; positions to a centimetre know better."""
    poses, centers = pitched_street(60.0, 40, 0.1, pitch)
    assert degrees_off(up_of_cameras(poses).direction) > 3.0, "else this tells nothing of the positions"
    measured = centers + np.random.default_rng(1).normal(0, 0.01, centers.shape)
    assert tilt(fit_similarity(poses, measured, np.full(len(centers), 0.01))) < 1.0


@pytest.mark.parametrize("pitch", [-10.0, 0.0, 10.0])
def test_poor_altitudes_leave_the_slope_to_the_cameras(pitch):
    """A level road of 20 m, altitudes that drift by 3 m: 8.5°. At a standard deviation of 3 m the cameras know better."""
    poses, centers = pitched_street(20.0, 16, 0.0, pitch)
    measured = centers + np.random.default_rng(2).normal(0, 0.3, centers.shape)
    measured[:, 2] += np.linspace(0, 3, len(centers))
    assert tilt(fit_similarity(poses, measured, np.full(len(centers), 3.0))) < np.degrees(up_of_cameras(poses).sigma)
    assert tilt(fit_similarity(poses, measured, np.full(len(centers), 0.3))) > 6.0, "were they believed"


def test_up_is_that_of_all_images_where_it_is_given():
    """A model knows its vertical by images without a position, too."""
    poses, centers = pitched_street(20.0, 16, 0.0, 0.0)
    turned = Rotation.from_rotvec(np.deg2rad(10) * MODEL_FROM_WORLD[:, 1]).as_matrix()
    up = Up.exact(turned @ MODEL_FROM_WORLD[:, 2])
    assert tilt(fit_similarity(poses, centers, np.full(len(centers), 3.0), up=up)) == pytest.approx(10.0, abs=0.5)
