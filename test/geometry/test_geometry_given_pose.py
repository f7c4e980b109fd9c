"""Angles of navigation systems, ROS and photogrammetry against what they mean by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA, enu_from_camera, enu_from_vehicle, vehicle_angles
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.pose import Pose

EAST, NORTH, UP = np.eye(3)
FORWARD, LEFT, ABOVE = np.eye(3)


@pytest.mark.parametrize(
    ("convention", "roll", "pitch", "yaw", "ahead", "left"),
    [
        ("ned", 0, 0, 0, NORTH, -EAST),
        ("ned", 0, 0, 90, EAST, NORTH),
        ("ned", 0, 30, 0, NORTH * np.cos(np.pi / 6) + UP / 2, -EAST),  # nose up
        ("ned", 90, 0, 0, NORTH, UP),  # right wing down
        ("enu", 0, 0, 0, EAST, NORTH),
        ("enu", 0, 0, 90, NORTH, -EAST),
        ("enu", 0, 30, 0, EAST * np.cos(np.pi / 6) - UP / 2, NORTH),  # nose down
        ("enu", 90, 0, 0, EAST, UP),
    ],
)
def test_angles_mean_what_their_users_mean(convention, roll, pitch, yaw, ahead, left):
    turn = enu_from_vehicle(np.radians([roll, pitch, yaw]), convention)
    np.testing.assert_allclose(turn @ FORWARD, ahead, atol=1e-12)
    np.testing.assert_allclose(turn @ LEFT, left, atol=1e-12)


def test_an_aerial_camera_of_zero_angles_looks_down_with_north_at_the_top():
    turn = enu_from_camera(np.zeros(3))
    np.testing.assert_allclose(turn @ [0, 0, 1], -UP, atol=1e-12)
    np.testing.assert_allclose(turn @ [0, -1, 0], NORTH, atol=1e-12)
    np.testing.assert_allclose(enu_from_camera(np.radians([90, 0, 0])) @ [0, 0, 1], NORTH, atol=1e-12)


@given(st.tuples(*[st.floats(-170, 170), st.floats(-80, 80), st.floats(-170, 170)]), st.sampled_from(["ned", "enu"]))
def test_angles_come_back_from_their_rotation(degrees, convention):
    turn = enu_from_vehicle(np.radians(degrees), convention)
    np.testing.assert_allclose(np.degrees(vehicle_angles(turn, convention)), degrees, atol=1e-6)


def test_a_pose_has_all_meanings_that_its_file_leaves_open():
    mount = Pose(np.diag([-1.0, -1.0, 1.0]) @ FLU_FROM_CAMERA, np.zeros(3))  # looks back
    turn = enu_from_vehicle(np.radians([1, 2, 30]), "ned")

    def meanings(axes, body, known=None):
        return GivenPose(turn, None, axes, body, 0.1, 0.01).readings(known)

    looks = {
        name: np.round(world_from_camera @ [0, 0, 1], 1)
        for name, world_from_camera in meanings("angles", "auto", mount).items()
    }
    assert list(looks) == ["ned, of the vehicle", "ned, of the camera", "enu, of the vehicle", "enu, of the camera"]
    np.testing.assert_allclose(looks["ned, of the camera"], [0.5, 0.9, 0.0])
    np.testing.assert_allclose(looks["ned, of the vehicle"], [-0.5, -0.9, 0.0])
    np.testing.assert_allclose(looks["enu, of the camera"], [0.9, 0.5, 0.0])
    assert list(meanings("ned", "vehicle", mount)) == ["ned, of the vehicle"]
    assert list(meanings("angles", "auto")) == ["ned, of the camera", "enu, of the camera"]
    assert list(meanings("optical", "auto", mount)) == ["optical, of the camera", "optical, of the vehicle"]
    (camera,) = meanings("optical", "camera", mount).values()
    np.testing.assert_array_equal(camera, turn)
