"""Pose, Similarity and Camera do what matrices, COLMAP and the messages of ROS say."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.camera import PARAMETERS, Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity, fit_points, weighted_similarity
from seg2d3d_ros.geometry.up import rotation_between
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.types import SparseModel


def poses(seed: int, count: int) -> Pose:
    rng = np.random.default_rng(seed)
    return Pose(Rotation.random(count, random_state=seed).as_matrix(), rng.normal(size=(count, 3)))


@given(st.integers(0, 1000))
def test_a_pose_is_its_matrix(seed: int):
    many, other = poses(seed, 4), poses(seed + 1, 4)
    np.testing.assert_allclose((many @ other).matrix, many.matrix @ other.matrix, atol=1e-12)
    np.testing.assert_allclose(many.inverse().matrix, np.linalg.inv(many.matrix), atol=1e-12)
    np.testing.assert_allclose((many @ many.inverse()).matrix, np.tile(np.eye(4), (4, 1, 1)), atol=1e-12)
    xyz = np.random.default_rng(seed).normal(size=(7, 3))
    for k, one in enumerate(many):
        np.testing.assert_allclose(one.apply(xyz), many.apply(xyz)[k])
        np.testing.assert_allclose(one.apply(one.origin[None]), np.zeros((1, 3)), atol=1e-12)
        np.testing.assert_allclose(many.apply_each(xyz[:4])[k], one.apply(xyz[k : k + 1])[0])
        np.testing.assert_allclose((one @ other[k]).apply(xyz), one.apply(other[k].apply(xyz)), atol=1e-12)
    np.testing.assert_allclose((many[1] @ other).matrix, many[1].matrix @ other.matrix, atol=1e-12)
    assert (len(many), len(many[0]), len(Pose.stack([]))) == (4, 1, 0)
    np.testing.assert_array_equal(Pose.stack(list(many)).matrix, many.matrix)


def test_a_pose_goes_to_colmap_and_ros_and_back():
    one = poses(3, 1)[0]
    np.testing.assert_allclose(Pose.from_colmap(one.to_colmap()).matrix, one.matrix, atol=1e-12)
    x, y, z, w = one.quaternion
    assert w >= 0
    vector = SimpleNamespace(**dict(zip("xyz", one.translation, strict=True)))
    back = Pose.from_ros(vector, SimpleNamespace(x=x, y=y, z=z, w=w))
    np.testing.assert_allclose(back.matrix, one.matrix, atol=1e-12)
    for bad in ([0.0, 0.0, 0.0, 0.0], [np.nan, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 2.0]):
        assert Pose.from_ros(vector, SimpleNamespace(**dict(zip("xyzw", bad, strict=True)))) is None
    assert Pose.from_ros(SimpleNamespace(x=np.inf, y=0, z=0), SimpleNamespace(x=0, y=0, z=0, w=1)) is None


def test_unknown_poses_are_told_apart():
    many = Pose.from_matrix(np.stack([np.eye(4), np.full((4, 4), np.nan)]))
    assert many.finite.tolist() == [True, False]


def test_a_scaled_pose_keeps_its_directions():
    one = poses(5, 1)[0]
    np.testing.assert_allclose(one.scaled(3.0).origin, 3.0 * one.origin)


@given(st.integers(0, 500))
def test_a_similarity_is_found_inverted_and_given_to_colmap(seed: int):
    rng = np.random.default_rng(seed)
    truth = Similarity(float(rng.uniform(0.2, 5)), Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3))
    source = rng.normal(size=(40, 3))
    target = truth.apply(source)
    target[:8] += rng.normal(size=(8, 3)) * 30
    found = fit_points(source, target)
    np.testing.assert_allclose(found.apply(source[8:]), target[8:], atol=1e-3)
    np.testing.assert_allclose(truth.inverse().apply(truth.apply(source)), source, atol=1e-9)
    colmap = truth.to_colmap()
    np.testing.assert_allclose(np.array([colmap * p for p in source]), truth.apply(source), atol=1e-9)
    assert fit_points(source[:5], target[:5]) is None
    line = np.outer(np.arange(12.0), [1.0, 2.0, 3.0])
    assert weighted_similarity(line, line, np.ones(12)) is None


@given(st.integers(0, 300))
def test_the_smallest_rotation_between_two_directions(seed: int):
    rng = np.random.default_rng(seed)
    a, b = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    for source, target in ((a, b), (a, a), (a, -a), (a, np.cross(a, b) / np.linalg.norm(np.cross(a, b)))):
        turn = rotation_between(source, target)
        np.testing.assert_allclose(turn @ source, target, atol=1e-7)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        angle = np.arccos(np.clip(source @ target, -1, 1))
        assert Rotation.from_matrix(turn).magnitude() == pytest.approx(angle, abs=1e-6)


LENSES = {
    "SIMPLE_PINHOLE": (800, 500, 300),
    "PINHOLE": (800, 820, 500, 300),
    "SIMPLE_RADIAL": (800, 500, 300, -0.1),
    "RADIAL": (800, 500, 300, -0.1, 0.02),
    "OPENCV": (800, 820, 500, 300, -0.1, 0.02, 1e-3, -1e-3),
    "OPENCV_FISHEYE": (500, 510, 500, 300, 0.02, 0.0, 0.0, 0.0),
    "FULL_OPENCV": (800, 820, 500, 300, -0.1, 0.02, 1e-3, -1e-3, 0.0, 0.01, 0.0, 0.0),
    "FOV": (800, 820, 500, 300, 0.5),
    "SIMPLE_RADIAL_FISHEYE": (500, 500, 300, 0.02),
    "RADIAL_FISHEYE": (500, 500, 300, 0.02, 0.0),
    "THIN_PRISM_FISHEYE": (500, 510, 500, 300, 0.02, 0.0, 1e-3, 1e-3, 0.0, 0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("model", PARAMETERS)
def test_every_lens_projects_as_colmap_does_and_back(model: str):
    camera = Camera(model, 1000, 600, tuple(map(float, LENSES[model])))
    assert len(camera.params) == PARAMETERS[model]
    rng = np.random.default_rng(1)
    xyz = rng.uniform([-2, -1, 3], [2, 1, 9], (50, 3))
    pixels = camera.project(xyz)
    np.testing.assert_allclose(pixels, pycolmap.Camera(
        model=model, width=1000, height=600, params=list(camera.params)
    ).img_from_cam(xyz))  # fmt: skip
    np.testing.assert_allclose(camera.rays(pixels), xyz / xyz[:, 2:], atol=1e-6)
    assert Camera.from_colmap(camera.to_colmap()) == camera
    assert pickle.loads(pickle.dumps(camera)) == camera
    # The same lens at half the size: the same rays.
    np.testing.assert_allclose(camera.scaled(500, 300, "x").project(xyz), pixels / 2, atol=1e-9)


def test_what_no_camera_sees_is_nan():
    camera = Camera("PINHOLE", 100, 80, (50.0, 50.0, 50.0, 40.0))
    pixels = camera.project(np.array([[0, 0, 1.0], [0, 0, -1.0], [0, 0, 0.0], [10.0, 0, 1.0]]))
    assert np.isfinite(pixels).all(axis=1).tolist() == [True, False, False, True]
    assert camera.inside(pixels).tolist() == [True, False, False, False]
    assert camera.project(np.empty((0, 3))).shape == (0, 2)
    assert camera.rays(np.empty((0, 2))).shape == (0, 3)


def test_a_cropped_image_has_no_known_lens():
    with pytest.raises(DataError, match="aspect ratio differs"):
        Camera("PINHOLE", 100, 80, (50.0, 50.0, 50.0, 40.0)).scaled(100, 60, "front.jpg")
    with pytest.raises(UsageError):
        Camera("PINHOLE", 0, 80, (50.0, 50.0, 50.0, 40.0))


def test_the_guess_is_known_for_a_guess():
    guess = Camera.guess(400, 300)
    assert not guess.focal_known
    assert not guess.calibrated
    assert Camera("SIMPLE_RADIAL", 400, 300, (500.0, 200.0, 150.0, 0.0), calibrated=False).focal_known


def test_parts_of_the_parameters_by_name():
    one, two = (Camera(model, 1000, 600, tuple(map(float, LENSES[model]))) for model in ("RADIAL", "OPENCV"))
    assert (one.focal_lengths, one.principal_point, one.distortion) == ((800, 800), (500, 300), (-0.1, 0.02))
    assert (two.focal_lengths, two.principal_point, two.distortion) == ((800, 820), (500, 300), (-0.1, 0.02, 1e-3, -1e-3))


def test_pixels_per_tangent_are_the_lens_s_whatever_the_model_calls_f():
    assert Camera("PINHOLE", 640, 480, (500.0, 510.0, 320.0, 240.0)).pixels_per_tangent == pytest.approx(500.0, rel=1e-6)
    # FOV: the distorted radius is atan(2 r tan(w / 2)) / w.
    fov = Camera("FOV", 640, 480, (500.0, 500.0, 320.0, 240.0, 0.9))
    assert fov.pixels_per_tangent == pytest.approx(500.0 * 2 * np.tan(0.45) / 0.9, rel=1e-5)


def test_a_view_projects_into_its_own_frame_and_back():
    view = View(Camera("PINHOLE", 100, 80, (50.0, 50.0, 50.0, 40.0)), poses(7, 1)[0])
    pixels = np.array([[10.0, 20.0], [70.0, 33.0]])
    xyz = view.back_project(pixels, np.array([3.0, 5.0]))
    found, depth = view.project(xyz)
    np.testing.assert_allclose(found, pixels, atol=1e-9)
    np.testing.assert_allclose(depth, [3.0, 5.0])
    np.testing.assert_allclose(view.depth(xyz), depth)
    np.testing.assert_allclose(view.camera_from_world.apply(view.center[None]), np.zeros((1, 3)), atol=1e-12)
    assert view.axis @ (xyz[0] - view.center) == pytest.approx(3.0)


@given(st.integers(0, 500), st.floats(0, 1))
def test_between_two_poses_the_turn_is_even_and_the_line_straight(seed: int, share: float):
    first, second = poses(seed, 5), poses(seed + 1, 5)
    between = first.interpolate(second, share)
    np.testing.assert_allclose(between.translation, (1 - share) * first.translation + share * second.translation, atol=1e-12)
    whole, part = (Rotation.from_matrix(np.swapaxes(first.rotation, 1, 2) @ p.rotation).as_rotvec() for p in (second, between))
    np.testing.assert_allclose(part, share * whole, atol=1e-6)
    each = first.interpolate(second, np.full(5, share))
    np.testing.assert_allclose(each.matrix, between.matrix, atol=1e-12)
    np.testing.assert_allclose(first[0].interpolate(second[0], share).matrix, between.matrix[0], atol=1e-12)


def test_the_mean_of_poses_is_between_them_by_weight():
    turns = Rotation.from_euler("z", [[0.0], [0.4], [3.0]]).as_matrix()
    some = Pose(turns, np.array([[0.0, 0, 0], [4.0, 2, 0], [99.0, 0, 0]]))
    np.testing.assert_allclose(some[:2].mean().matrix, some[0].interpolate(some[1], 0.5).matrix, atol=1e-9)
    weighted = some.mean(np.array([3.0, 1.0, 0.0]))
    np.testing.assert_allclose(weighted.translation, [1.0, 0.5, 0.0])
    angle = Rotation.from_matrix(weighted.rotation).as_rotvec()[2]
    assert 0.09 < angle < 0.11, "nearly a quarter of the way"


def test_quaternions_become_rotations_of_any_batch():
    many = poses(2, 6)
    again = Pose.from_quaternion(2 * many.quaternion.reshape(2, 3, 4), many.translation.reshape(2, 3, 3))
    np.testing.assert_allclose(again.rotation.reshape(6, 3, 3), many.rotation, atol=1e-12)


def test_depths_of_observations_are_those_of_the_views():
    rng = np.random.default_rng(3)
    camera = Camera("PINHOLE", 64, 48, (50.0, 50.0, 32.0, 24.0))
    poses = Pose(Rotation.random(3, random_state=4).as_matrix(), rng.normal(size=(3, 3)))
    seen, points = np.repeat(np.arange(3, dtype=np.int32), 5), np.tile(np.arange(5, dtype=np.int32), 3)
    model = SparseModel(
        ("a", "b", "c"), (camera,) * 3, poses.matrix[:, :3], rng.normal(size=(5, 3)), np.zeros((5, 3), np.uint8),
        np.zeros(5, np.float32), np.arange(5), seen, points, np.zeros((15, 2), np.float32),
    )  # fmt: skip
    views = [view for view in model.views() if view is not None]
    np.testing.assert_allclose(model.observation_depths(), np.concatenate([view.depth(model.xyz) for view in views]))
