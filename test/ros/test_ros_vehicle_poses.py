"""Keyframes wait for what the vehicle says of their moment, not for ever; then they go on, and what they lack is counted."""

from __future__ import annotations

import time
import types

import numpy as np
import pytest
from helpers_remembering_node import RememberingNode

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

import geometry_msgs.msg  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from sensor_msgs.msg import Imu  # noqa: E402

from seg2d3d_ros.config import make_config  # noqa: E402
from seg2d3d_ros.geometry.pose import Pose  # noqa: E402
from seg2d3d_ros.keyframes.positions.pose_rows import WITHOUT_POSE  # noqa: E402
from seg2d3d_ros.keyframes.streams.gravity import IMU_NOT_USED, WINDOW_NS  # noqa: E402
from seg2d3d_ros.keyframes.streams.vehicle_state import WITHOUT_ODOMETRY, VehicleTopics  # noqa: E402
from seg2d3d_ros.ros.exchange import vehicle_poses  # noqa: E402
from seg2d3d_ros.ros.exchange.vehicle_poses import TRANSPORT_SECONDS, VehiclePoses  # noqa: E402
from seg2d3d_ros.ros.messages.conversion import make_header  # noqa: E402
from seg2d3d_ros.types import Keyframe  # noqa: E402

SECOND = 10**9
GAP = 2.0


class Drive:
    """Topics of a vehicle, the clock, and the keyframes that went on."""

    def __init__(self, monkeypatch, **topics):
        self.clock = types.SimpleNamespace(now=100.0)
        monkeypatch.setattr(time, "monotonic", lambda: self.clock.now)
        self.node, self.found = RememberingNode(), []
        config = make_config({"reconstruction.rig": "none", "keyframes.max_fix_gap": GAP})
        self.poses = VehiclePoses(self.node, VehicleTopics(**topics), self.found.append, config)

    def image(self, seconds, name="a"):
        stamp = round(seconds * SECOND)
        self.poses.take(Keyframe(name, "front", stamp, b""), make_header(stamp, "front"))

    def odometry(self, seconds, x):
        message = Odometry(header=make_header(round(seconds * SECOND), "odom"), child_frame_id="base_link")
        message.pose.pose.position.x, message.pose.pose.orientation.w = float(x), 1.0
        self.node.callbacks["/odom"](message)

    def imu(self, seconds, felt=(0.0, -9.81, 0.0), frame="front"):
        message = Imu(header=make_header(round(seconds * SECOND), frame))
        message.orientation_covariance[0] = -1.0
        message.linear_acceleration.x, message.linear_acceleration.y, message.linear_acceleration.z = felt
        self.node.callbacks["/imu"](message)

    def tick(self):
        for timer in self.node.timers:
            timer()

    @property
    def lacking(self):
        return [(f.kind, f.count, f.examples) for f in self.node.findings.list()]


def test_without_topics_nothing_waits(monkeypatch):
    drive = Drive(monkeypatch)
    drive.image(1.0)
    ((found,), pending) = drive.found, drive.poses.pending
    assert (found.mount, found.odometry, found.given, found.up, pending) == (None, None, None, None, 0)
    assert (drive.node.callbacks, drive.node.timers, drive.lacking) == ({}, [], [])


@pytest.mark.parametrize("kind", ["Odometry", "PoseWithCovarianceStamped", "PoseStamped"])
def test_keyframes_get_the_pose_of_their_moment_whatever_message_says_it(monkeypatch, kind):
    drive, make = Drive(monkeypatch, poses="ins"), getattr(geometry_msgs.msg, kind, Odometry)
    drive.tick()
    assert "/ins" not in drive.node.callbacks, "nobody publishes yet"
    drive.node.graph["/ins"] = [f"{'nav_msgs' if kind == 'Odometry' else 'geometry_msgs'}/msg/{kind}"]
    drive.tick()
    drive.tick()
    drive.image(1.1)
    for k in (0, 1):
        assert (drive.found, drive.poses.pending) == ([], 1), "the pose after the image comes later than it"
        message = make(header=make_header(SECOND + k * SECOND // 5, "map"))
        pose = message.pose if kind == "PoseStamped" else message.pose.pose
        pose.position.x, pose.orientation.w = float(k), 1.0
        drive.node.callbacks["/ins"](message)
        drive.tick()
    (complete,) = drive.found
    np.testing.assert_allclose(complete.given.position, [0.5, 0, 0])
    assert (complete.odometry, drive.lacking, drive.poses.pending) == (None, [], 0)


def test_a_pose_that_does_not_come_is_not_awaited_for_ever(monkeypatch):
    drive = Drive(monkeypatch, poses="ins")
    drive.image(9.0, "b")
    drive.clock.now += GAP + TRANSPORT_SECONDS - 0.01
    drive.tick()
    assert drive.found == []
    drive.clock.now += 0.02
    drive.tick()
    assert [(k.name, k.given) for k in drive.found] == [("b", None)]
    assert drive.lacking == [(WITHOUT_POSE, 1, ("b",))]


def test_keyframes_get_the_odometry_of_their_moment_in_the_order_in_which_they_came(monkeypatch):
    drive = Drive(monkeypatch, odometry="odom")
    drive.odometry(1.0, 0.0)
    drive.image(1.1, "late")
    drive.image(1.0, "early")
    assert drive.found == [], "none overtakes another"
    drive.odometry(1.2, 1.0)
    drive.tick()
    assert [k.name for k in drive.found] == ["late", "early"]
    np.testing.assert_allclose(drive.found[0].odometry.translation, [0.5, 0, 0])
    assert drive.found[0].mount is None
    assert "/tf_static" not in drive.node.callbacks


def test_odometry_that_is_lacking_is_counted(monkeypatch):
    drive = Drive(monkeypatch, odometry="odom")
    drive.odometry(1.0, 0.0)
    drive.odometry(9.0, 0.0)
    drive.image(5.0, "gap")
    assert [k.odometry for k in drive.found] == [None]
    assert drive.lacking == [(WITHOUT_ODOMETRY, 1, ("gap",))]
    assert "odom has no message just before and after them (0.5 s)" in drive.node.findings.list()[0].text


def test_keyframes_get_the_vertical_of_an_imu_as_in_bags(monkeypatch):
    """The IMU's frame is the camera's: y is down, and it feels 9.81 m/s² the other way."""
    drive = Drive(monkeypatch, imu="imu")
    for k in range(10):
        drive.imu(1.0 + 0.1 * k)
    drive.image(1.5)
    assert drive.found == [], "what is felt after an image counts, too"
    drive.imu(1.5 + WINDOW_NS / SECOND)
    drive.tick()
    np.testing.assert_allclose(drive.found[0].up.direction, [0.0, -1.0, 0.0], atol=1e-9)
    assert drive.lacking == []


def test_an_imu_of_which_nobody_knows_where_it_is_is_not_used_and_that_is_said(monkeypatch):
    drive = Drive(monkeypatch, imu="imu")
    drive.imu(1.0, frame="imu_link")
    drive.imu(4.0, frame="imu_link")
    drive.image(1.5)
    assert drive.found[0].up is None
    assert drive.lacking == [(IMU_NOT_USED, 1, ("a",))]
    assert "TF does not say how the IMU is mounted" in drive.node.findings.list()[0].text


def test_transforms_tie_the_imu_to_the_cameras_also_where_mounts_are_not_wanted(monkeypatch):
    monkeypatch.setattr(vehicle_poses, "tf_message_type", lambda node, otherwise: object)
    drive = Drive(monkeypatch, imu="imu")
    pose = Pose(np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), np.zeros(3))  # the IMU stands, z up
    x, y, z, w = pose.quaternion
    link = types.SimpleNamespace(
        header=types.SimpleNamespace(frame_id="imu_link"),
        child_frame_id="front",
        transform=types.SimpleNamespace(
            translation=types.SimpleNamespace(x=0.0, y=0.0, z=0.0), rotation=types.SimpleNamespace(x=x, y=y, z=z, w=w)
        ),
    )
    drive.node.callbacks["/tf_static"](types.SimpleNamespace(transforms=[link]))
    drive.imu(1.0, (0.0, 0.0, 9.81), "imu_link")
    drive.imu(4.0, (0.0, 0.0, 9.81), "imu_link")
    drive.image(1.5)
    np.testing.assert_allclose(drive.found[0].up.direction, [0.0, -1.0, 0.0], atol=1e-9)


def test_what_an_imu_said_long_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(vehicle_poses, "FORGET_EVERY", 10)
    drive = Drive(monkeypatch, imu="imu")
    for k in range(100):
        drive.imu(1.0 + 10 * k)
    assert len(drive.poses._state.gravity._stamps) < 20


def test_those_that_wait_are_let_go_at_the_end(monkeypatch):
    drive = Drive(monkeypatch, odometry="odom")
    drive.image(1.0)
    drive.poses.flush()
    assert (len(drive.found), drive.poses.pending) == (1, 0)
