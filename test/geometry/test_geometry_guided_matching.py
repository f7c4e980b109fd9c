"""Matches along epipolar lines: where the line decides, where it does not, and what an uncertain pose does to it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.epipolar.guided_matching import epipolar_lines, guided_matches
from seg2d3d_ros.geometry.pose import Pose

CAMERA = Camera("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0))


@dataclass
class Seen:
    xy: np.ndarray
    rays: np.ndarray
    descriptors: np.ndarray
    focal: float
    camera_from_world: Pose


def view(xy: np.ndarray, pose: Pose, descriptors: np.ndarray) -> Seen:
    return Seen(xy, CAMERA.rays(xy), descriptors, CAMERA.pixels_per_tangent, pose)


def pose(x: float) -> Pose:
    return Pose(np.eye(3), np.array([-x, 0.0, 0.0]))


def relative(first: Seen, second: Seen) -> Pose:
    return second.camera_from_world @ first.camera_from_world.inverse()


def matched(first: Seen, second: Seen, sigma: float = 0.0) -> np.ndarray:
    return guided_matches(first, second, relative(first, second), sigma=sigma)


def test_the_epipolar_line_tells_equal_descriptors_apart() -> None:
    """Four windows of one façade look the same; two of them lie on other lines."""
    rng = np.random.default_rng(0)
    look = rng.integers(0, 255, (1, 128)).astype(np.uint8)
    first = np.array([[100.0, 50.0], [100.0, 150.0]])
    second = first - [30.0, 0.0]
    a, b = view(first, pose(0), look.repeat(2, 0)), view(second, pose(1), look.repeat(2, 0))
    np.testing.assert_array_equal(matched(a, b), [[0, 0], [1, 1]])


@pytest.mark.parametrize(("off", "there"), [(1.8, True), (2.2, False)])
def test_a_match_lies_within_two_pixels_of_its_line(off: float, there: bool) -> None:
    descriptor = np.random.default_rng(0).integers(0, 255, (1, 128)).astype(np.uint8)
    first, second = np.array([[100.0, 50.0]]), np.array([[70.0, 50.0 + off]])
    assert len(matched(view(first, pose(0), descriptor), view(second, pose(1), descriptor))) == there


@pytest.mark.parametrize(("cosine", "there"), [(0.91, True), (0.89, False)])
def test_a_match_has_similar_descriptors(cosine: float, there: bool) -> None:
    one, two = np.zeros((2, 1, 128))
    one[0, 0], two[0, :2] = 250, 250 * np.array([cosine, np.sqrt(1 - cosine**2)])
    views = (view(np.array([[100.0 - 30 * x, 50.0]]), pose(x), item.astype(np.uint8)) for x, item in ((0, one), (1, two)))
    assert len(matched(*views)) == there


def test_equal_windows_on_one_line_are_not_matched() -> None:
    rng = np.random.default_rng(0)
    look = rng.integers(0, 255, (1, 128)).astype(np.uint8)
    first = np.array([[100.0, 50.0], [160.0, 50.0]])
    a, b = view(first, pose(0), look.repeat(2, 0)), view(first - [30.0, 0.0], pose(1), look.repeat(2, 0))
    assert len(matched(a, b)) == 0


def test_points_of_both_views_lie_on_their_epipolar_lines() -> None:
    rng = np.random.default_rng(2)
    turn = cv2.Rodrigues(np.array([0.1, -0.3, 0.05]))[0]
    xyz = np.column_stack([rng.uniform(-3, 3, (20, 2)), rng.uniform(5, 15, 20)])
    views = []
    for placed in (pose(0.5), Pose(turn, np.array([0.3, -0.2, 1.0]))):
        xy = CAMERA.project(placed.apply(xyz))
        views.append(view(xy, placed, np.zeros((len(xy), 128), np.uint8)))
    lines = epipolar_lines(views[0].rays, relative(*views))
    np.testing.assert_allclose((lines * views[1].rays).sum(axis=1), 0, atol=1e-12)
    # A ray a thousandth beside its line has that distance from it.
    beside = views[1].rays + 1e-3 * np.column_stack([lines[:, :2], np.zeros(20)])
    np.testing.assert_allclose((lines * beside).sum(axis=1), 1e-3, atol=1e-12)


@pytest.mark.parametrize(("sigma", "share"), [(0.0, 0.2), (np.deg2rad(1.0), 0.9)])
def test_an_uncertain_pose_is_given_room(sigma: float, share: float) -> None:
    """The pose is one degree off: without room for it the lines miss their points by up to ten pixels."""
    rng = np.random.default_rng(3)
    xyz = np.column_stack([rng.uniform(-3, 3, 200), rng.uniform(-2, 2, 200), rng.uniform(5, 15, 200)])
    descriptors = rng.integers(0, 255, (200, 128)).astype(np.uint8)
    off = Pose(cv2.Rodrigues(np.deg2rad([1.0, 0.0, 0.0]))[0], np.zeros(3))
    first, second = (view(CAMERA.project(p.apply(xyz)), p, descriptors) for p in (pose(0), pose(1)))
    found = guided_matches(first, second, off @ relative(first, second), sigma=sigma)
    assert (found[:, 0] == found[:, 1]).all()
    assert len(found) >= share * 200 if sigma else len(found) <= share * 200


def test_matches_lie_before_both_cameras() -> None:
    """A point that the second camera would see behind itself, or that moves along with it, is no match, however alike."""
    descriptor = np.random.default_rng(0).integers(0, 255, (1, 128)).astype(np.uint8)
    here = np.array([[300.0, 200.0]])
    for shift, there in ((-30.0, 1), (30.0, 0), (-0.5, 0)):
        assert len(matched(view(here, pose(0), descriptor), view(here + [shift, 0.0], pose(1), descriptor))) == there
