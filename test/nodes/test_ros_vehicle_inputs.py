"""What a vehicle says beside its images reaches the keyframes of a live map, also where it comes a little later."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_map_nodes import header_of
from helpers_reconstruction_node import PreparedWorker, ReconstructionBench
from helpers_ros import wait_for
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Imu

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, fix_from_geo, make_header
from seg2d3d_ros.types import Keyframe

pytestmark = pytest.mark.ros


def test_keyframes_get_what_the_vehicle_says_a_little_later(world, tmp_path, monkeypatch):
    """Odometry, poses and an IMU on their topics; finalize waits for keyframes that wait for them."""
    given: list[Keyframe] = []
    add = PreparedWorker.add

    def remember(self, keyframe, *others):
        given.append(keyframe)
        add(self, keyframe, *others)

    monkeypatch.setattr(PreparedWorker, "add", remember)
    topics = {"odom_topic": "odom", "pose_topic": "ins", "imu_topic": "imu"}
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {}, keyframes__max_fix_gap=60.0, **topics)
    odometry, poses = (world.probe.create_publisher(Odometry, name, 10) for name in ("odom", "ins"))
    imu = world.probe.create_publisher(Imu, "imu", 10)
    assert wait_for(lambda: all(p.get_subscription_count() for p in (odometry, poses, imu)))
    name = f"front_{10**9}"
    bench.infos.publish(CameraInfo(header=header_of(name)))
    bench.fixes.publish(fix_from_geo(None, header_of(name)))
    bench.images.publish(bytes_to_compressed(encode_jpeg(np.full((48, 64, 3), 90, np.uint8)), header_of(name)))
    assert wait_for(lambda: bench.node._vehicle.pending == 1)
    assert given == []

    def tell():
        """Again and again: inputs are best effort."""
        for seconds in (0.9, 1.1, 5.0):
            for publisher, x in ((odometry, 3.0), (poses, 7.0)):
                message = Odometry(header=make_header(round(seconds * 1e9), "map"))
                message.pose.pose.position.x, message.pose.pose.orientation.w = x, 1.0
                publisher.publish(message)
            felt = Imu(header=make_header(round(seconds * 1e9), "front"))
            felt.orientation_covariance[0], felt.linear_acceleration.y = -1.0, -9.81
            imu.publish(felt)
        return bench.node._vehicle.pending == 0

    assert wait_for(tell)
    bench.finalize()
    (keyframe,) = given
    assert (keyframe.odometry.translation[0], keyframe.given.position[0]) == (3.0, 7.0)
    np.testing.assert_allclose(keyframe.up.direction, [0.0, -1.0, 0.0], atol=1e-9)
