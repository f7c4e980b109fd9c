"""Frames: the way between two of them, and poses between keyframes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.trajectory import Trajectory

SECOND = 1_000_000_000


def pose(x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Pose:
    return Pose(Rotation.from_euler("z", yaw, degrees=True).as_matrix(), np.array([x, y, z]))


def test_frames_are_found_along_static_ways_first():
    tree = FrameTree()
    tree.add("base", "/camera", pose(1, 0, 2, 90))
    tree.add("base", "lidar", pose(0, 0, 3))
    got = tree.get("camera", "lidar").apply(np.zeros((1, 3)))
    np.testing.assert_allclose(got, pose(1, 0, 2, 90).inverse().apply(np.array([[0.0, 0, 3]])), atol=1e-12)
    tree.add("base", "lidar", pose(9, 9, 9), static=False)
    np.testing.assert_allclose(tree.get("base", "lidar").translation, [0, 0, 3])
    tree.add("odom", "base", pose(5), static=False)
    assert tree.find("odom", "lidar") is not None
    with pytest.raises(DataError, match=r"no transform between 'radar' and 'camera'.*base, camera, lidar, odom.*tf_static"):
        tree.get("camera", "radar")


def test_between_keyframes_positions_and_turns_are_interpolated_and_gaps_are_not():
    stamps = np.array([0, 1, 2, 3, 10, 11]) * SECOND
    poses = Pose.stack([pose(2.0 * k, yaw=10.0 * k) for k in (0, 1, 2, 3, 10, 11)])
    path = Trajectory(stamps[[3, 1, 0, 2, 5, 4]], poses[[3, 1, 0, 2, 5, 4]], max_gap=3.0)
    got = path.at(SECOND, np.array([0.0, 0.25, 1.0]))
    for k, at in enumerate([1.0, 1.25, 2.0]):
        np.testing.assert_allclose(got[k].matrix, pose(2 * at, yaw=10 * at).matrix, atol=1e-6)
    assert path.covers(2 * SECOND)
    assert path.covers(10 * SECOND)
    assert not path.covers(5 * SECOND)
    assert not path.covers(12 * SECOND)
    assert not path.covers(-1)
    with pytest.raises(DataError, match="not known there"):
        path.at(5 * SECOND, np.zeros(1))
    # Offsets beyond the end take the end.
    np.testing.assert_allclose(path.at(11 * SECOND, np.array([0.1]))[0].matrix, pose(22, yaw=110).matrix, atol=1e-6)


def test_cameras_of_one_moment_are_averaged_and_nothing_is_a_path_of_nothing():
    stamps = np.array([0, 5_000_000, SECOND, SECOND + 5_000_000])
    path = Trajectory(stamps, Pose.stack([pose(0.0), pose(0.2), pose(1.0), pose(1.2)]), max_gap=3.0)
    np.testing.assert_allclose(path.at(2_500_000, np.array([0.0, 1.0])).translation[:, 0], [0.1, 1.1])
    empty = Trajectory(np.empty(0, np.int64), Pose.stack([]), 3.0)
    assert not empty.covers(0)
    assert not Trajectory(np.zeros(1, np.int64), Pose.stack([pose()]), 3.0).covers(0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_noisy_poses_are_not_overshot(seed: int):
    rng = np.random.default_rng(seed)
    stamps = np.sort(rng.choice(100, 8, replace=False)) * 30_000_000
    x = rng.normal(0, 1, 8)
    path = Trajectory(stamps, Pose.stack([pose(v) for v in x]), max_gap=10.0)
    got = path.at(int(stamps[0]), np.linspace(0, (stamps[-1] - stamps[0]) * 1e-9, 200)).translation[:, 0]
    assert x.min() - 1e-9 <= got.min() <= got.max() <= x.max() + 1e-9
