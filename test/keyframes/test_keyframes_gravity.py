"""The vertical by an IMU: by its orientation, by what it feels, and not where these say nothing sensible."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers_bags import ROS2, SECOND, START, jpeg, view, wall, write_bag
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import IMU
from seg2d3d_ros.keyframes.bag_keyframes import read_bag
from seg2d3d_ros.keyframes.streams.gravity import IMU_NOT_USED, VehicleGravity, camera_up, tells_vertical
from seg2d3d_ros.mapstore.records import KeyframeRecord

TILTED = Rotation.from_euler("ZYX", [50, 12, -7], degrees=True)
"""``world_from_imu``."""
UP = TILTED.inv().apply([0.0, 0.0, 1.0])


def imu(stamp, *, orientation=None, felt=None, sigma=0.0, frame="imu_link"):
    """A message; what is None is marked as absent."""
    x, y, z, w = (0.0, 0.0, 0.0, 0.0) if orientation is None else map(float, orientation.as_quat())
    ax, ay, az = (0.0, 0.0, 0.0) if felt is None else map(float, felt)
    known, absent = (sigma**2 * np.eye(3)).ravel(), np.array([-1.0] + 8 * [0.0])
    return ROS2.make(
        "sensor_msgs/msg/Imu",
        header=ROS2.header(stamp, frame),
        orientation=ROS2.make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        orientation_covariance=absent if orientation is None else known,
        angular_velocity=ROS2.make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=ROS2.make("geometry_msgs/msg/Vector3", x=ax, y=ay, z=az),
        linear_acceleration_covariance=absent if felt is None else np.zeros(9),
    )


def seconds(gravity, say, count=41):
    """Ten messages a second."""
    for k in range(count):
        stamp = START + k * SECOND // 10
        gravity.add_message(say(k, stamp), stamp)
    return gravity.at(START + 2 * SECOND)


def degrees_off(direction, truth):
    return np.degrees(np.arccos(np.clip(np.dot(direction, truth), -1, 1)))


def test_an_orientation_tells_the_vertical():
    up, sigma = seconds(VehicleGravity(), lambda _, stamp: imu(stamp, orientation=TILTED, sigma=0.05))
    assert degrees_off(up, UP) < 1e-6
    assert sigma == pytest.approx(0.05)


def test_what_is_felt_over_some_seconds_tells_the_vertical():
    rng = np.random.default_rng(0)
    drive = lambda k, stamp: imu(stamp, felt=9.81 * UP + rng.normal(0, 0.6, 3) + [1.5 * np.sin(k), 0, 0])  # noqa: E731
    up, sigma = seconds(VehicleGravity(), drive)
    assert degrees_off(up, UP) < 2.0
    assert 2.0 < np.degrees(sigma) < 8.0


def test_an_orientation_that_gravity_contradicts_is_not_believed():
    """Never filled in, or from north, east, down."""
    over = Rotation.from_euler("x", 180, degrees=True)
    up, _ = seconds(VehicleGravity(), lambda _, stamp: imu(stamp, orientation=over, felt=9.81 * UP))
    assert degrees_off(up, UP) < 1e-6


@pytest.mark.parametrize("felt", [None, 3.0 * UP, [np.nan, 0.0, 9.8]])
def test_nothing_is_made_of_nothing(felt):
    gravity = VehicleGravity()
    assert gravity.at(START) is None
    assert not gravity.reaches(START)
    assert seconds(gravity, lambda _, stamp: imu(stamp, felt=felt)) is None
    assert gravity.reaches(START + SECOND)
    assert not gravity.reaches(START + 3 * SECOND)
    gravity.forget(START + 100 * SECOND)
    assert not gravity.reaches(START)


def test_gyroscopes_tell_nothing():
    assert not tells_vertical(imu(START))
    assert tells_vertical(imu(START, felt=UP))


def test_a_vertical_that_the_mounts_contradict_is_not_used():
    level = Pose(FLU_FROM_CAMERA, np.zeros(3))
    camera_from_imu = Pose(FLU_FROM_CAMERA.T, np.zeros(3))
    found, why_not = camera_up((np.array([0.0, 0.0, 1.0]), 0.02), camera_from_imu, level)
    assert (found.direction, found.sigma, found.source, why_not) == ((0.0, -1.0, 0.0), 0.02, IMU, "")
    for gravity, tie, words in (
        ((np.array([0.0, 0.0, -1.0]), 0.02), camera_from_imu, "contradicts the mounts"),
        (None, camera_from_imu, "neither an orientation"),
        ((np.array([0.0, 0.0, 1.0]), 0.02), None, "TF does not say"),
    ):
        found, why_not = camera_up(gravity, tie, level)
        assert found is None
        assert words in why_not


def transform(parent, child, rotation):
    x, y, z, w = map(float, rotation.as_quat())
    make = ROS2.make
    return make(
        "geometry_msgs/msg/TransformStamped",
        header=ROS2.header(START, parent),
        child_frame_id=child,
        transform=make(
            "geometry_msgs/msg/Transform",
            translation=make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0),
            rotation=make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        ),
    )


@pytest.mark.parametrize("tied", [True, False])
def test_keyframes_of_a_bag_get_the_vertical(tmp_path, tied):
    """A level camera; its IMU lies on its side, beside a gyroscope that is busier."""
    picture, on_side = wall(), Rotation.from_euler("x", 90, degrees=True)
    frames = [transform("base_link", "optical", Rotation.from_matrix(FLU_FROM_CAMERA))]
    frames += [transform("base_link", "imu_link", on_side)] if tied else []
    records = [("/tf_static", START, ROS2.make("tf2_msgs/msg/TFMessage", transforms=frames))]
    for k in range(4):
        stamp = START + k * SECOND
        records.append(("/cam/image/compressed", stamp, ROS2.compressed(stamp, "optical", jpeg(view(picture, 40 * k)))))
    for k in range(40):
        stamp = START + k * SECOND // 10
        records += [("/gyro", stamp, imu(stamp)), ("/gyro", stamp + 1, imu(stamp + 1))]
        records.append(("/imu", stamp, imu(stamp, felt=on_side.inv().apply([0.0, 0.0, 9.81]))))
    with read_bag(write_bag(tmp_path / "b", records)) as bag:
        keyframes = [item.keyframe for item in bag]
        notes = [finding for finding in bag.findings.list() if finding.kind == IMU_NOT_USED]
    assert len(keyframes) > 1
    if tied:
        assert all(degrees_off(keyframe.up.direction, [0.0, -1.0, 0.0]) < 1e-3 for keyframe in keyframes)
        assert notes == []
        record = KeyframeRecord.from_json(json.loads(json.dumps(KeyframeRecord.of(keyframes[0], "a.jpg").to_json())))
        assert record.keyframe(b"").up == keyframes[0].up, "on disk, too"
    else:
        assert [keyframe.up for keyframe in keyframes] == [None] * len(keyframes)
        assert (notes[0].count, "TF does not say" in notes[0].text) == (len(keyframes), True)
