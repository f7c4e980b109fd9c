"""cloud_node alone: the map's messages, labels and a LiDAR's scans in; labelled scans in the map frame out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from helpers_cloud_bench import CAMERA_FROM_AXES, LIDAR_TURN, SECOND, STAMP, START, Bench, check_labels, drive, wall
from helpers_ros import wait_for
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.learning.cloud_segmentation import SegmentedCloud
from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.nodes import cloud_node
from seg2d3d_ros.nodes.cloud_node import CloudNode
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.ros.messages.conversion import make_header
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.types import WorldFrame

pytestmark = pytest.mark.ros


def test_scans_come_out_labelled_in_the_map_frame(world, tmp_path):
    bench, model = Bench(world, tmp_path), drive()
    for seconds in (2.5, 2.6, 3.0, 9.0):  # the second one is too close to the first, the last one after all keyframes
        bench.send_scan(seconds)
    bench.send_map(model)
    bench.send_labels(model)
    assert wait_for(lambda: len(bench.clouds) == 2), "without being asked"
    answer = bench.flush()
    assert answer.success
    cloud = "cloud.ply: 300 points of 2 scans, 300 seen by keyframes, 100 labelled, 1 of 3 scans lost"
    assert answer.message == f"2 scans labelled, 1 lie between no keyframes, {cloud}"
    for message, seconds in zip(bench.clouds, (2.5, 3.0), strict=True):
        assert message.header.frame_id == "map"
        assert stamp_to_ns(message.header.stamp) == START + round(seconds * SECOND)
        points, expected = cloud_to_array(message), wall()
        assert points.dtype.names == ("x", "y", "z", "intensity", "instance_id", "class_id", "confidence")
        np.testing.assert_allclose(np.stack([points[k] for k in "xyz"], axis=1), expected, atol=1e-3)
        np.testing.assert_array_equal(points["intensity"], np.arange(len(expected)))
        left, right = expected[:, 0] < 1.3, expected[:, 0] > 3.7
        assert set(points["instance_id"][left]) == {6}
        assert set(points["class_id"][left]) == {2}
        assert set(points["instance_id"][right]) == set(points["class_id"][right]) == {0}
        assert (points["confidence"] >= 0.5).all()

    # The map grows: what waited is sent, nothing is sent again.
    longer = drive(11)
    bench.send_map(longer, STAMP + 1)
    bench.send_labels(longer, STAMP + 1)
    assert wait_for(lambda: len(bench.clouds) == 3)
    assert stamp_to_ns(bench.clouds[2].header.stamp) == START + 9 * SECOND
    assert bench.flush().message == "3 scans labelled, cloud.ply: 450 points of 3 scans, 450 seen by keyframes, 450 labelled"


def test_without_metres_it_says_why_and_the_oldest_scans_go(world, tmp_path):
    bench = Bench(world, tmp_path, cloud_queue=2)
    model = dataclasses.replace(drive(), frame=WorldFrame())
    for seconds in (1.0, 1.5, 2.0):
        bench.send_scan(seconds)
    bench.send_map(model)
    bench.send_labels(model)
    answer = bench.flush()
    assert "0 scans labelled, 2 lie between" in answer.message
    assert "scale is arbitrary" in answer.message
    assert bench.node._counts["scans dropped"] == 1
    assert not bench.clouds


def test_metres_without_a_place_on_the_earth_are_enough(world, tmp_path):
    """As a rig or odometry give them."""
    bench = Bench(world, tmp_path)
    model = dataclasses.replace(drive(), frame=WorldFrame("metric"))
    bench.send_scan(2.5)
    bench.send_map(model)
    bench.send_labels(model)
    assert wait_for(lambda: len(bench.clouds) == 1)
    check_labels(bench.clouds[0])


def test_a_scan_waits_until_more_of_the_drive_is_in_the_map(world, tmp_path):
    bench = Bench(world, tmp_path, cloud_delay=3.0)
    bench.send_scan(1.5)
    bench.send_scan(3.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 1), "the last keyframe is of second 5"
    assert stamp_to_ns(bench.clouds[0].header.stamp) == START + round(1.5 * SECOND)
    assert not wait_for(lambda: len(bench.clouds) > 1, 2.0)
    bench.send_map(drive(8), STAMP + 1)
    bench.send_labels(drive(8), STAMP + 1)
    assert wait_for(lambda: len(bench.clouds) == 2), "the last keyframe is of second 7"
    bench.send_scan(6.5)
    assert bench.flush().message.startswith("3 scans labelled"), "flush waits for no more of the drive"


@pytest.mark.parametrize("reason", ["the vehicle stands", "the queue is half full"])
def test_a_scan_does_not_wait_where(world, tmp_path, monkeypatch, reason):
    stands = reason == "the vehicle stands"
    monkeypatch.setattr(cloud_node, "PARKED_SECONDS", 2.0 if stands else 60.0)
    bench = Bench(world, tmp_path, cloud_delay=3600.0, cloud_queue=100 if stands else 3)
    for seconds in (2.5, 3.5):
        bench.send_scan(seconds)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 2)
    assert bench.node._counts["scans dropped"] == 0


def transform(parent: str, child: str, rotation: Rotation, translation: list[float]) -> TransformStamped:
    message = TransformStamped(header=make_header(START, parent), child_frame_id=child)
    t, q = message.transform.translation, message.transform.rotation
    (t.x, t.y, t.z), (q.x, q.y, q.z, q.w) = translation, rotation.as_quat().tolist()
    return message


@pytest.mark.parametrize("fixed_joint", ["static", "moving"])
def test_places_come_from_a_vehicle_that_publishes_tf(world, tmp_path, fixed_joint):
    """The camera hangs on ``mast``, the LiDAR on the vehicle, which drives in ``odom``; the mast's place comes late, and with
    ``moving`` on /tf, as from a robot_state_publisher."""
    tf2 = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not on PyPI")
    static = world.probe.create_publisher(tf2.TFMessage, "/tf_static", qos.TF_STATIC)
    other = world.probe.create_publisher(tf2.TFMessage, "/tf_static", qos.TF_STATIC)
    moving = world.probe.create_publisher(tf2.TFMessage, "/tf", qos.TF)
    # Vehicle axes: x right, y forward, turned by 20 degrees about z against the map's.
    vehicle = Rotation.from_euler("z", 20, degrees=True)
    lidar = transform("base_link", "lidar", vehicle.inv() * LIDAR_TURN, vehicle.inv().apply([0.0, 0.0, 1.0]).tolist())
    camera = transform("mast", "front", vehicle.inv() * Rotation.from_matrix(CAMERA_FROM_AXES.T), [0.0, 0.0, -0.5])
    mast = transform("base_link", "mast", Rotation.identity(), [0.0, 0.0, 0.5])
    static.publish(tf2.TFMessage(transforms=[lidar]))
    other.publish(tf2.TFMessage(transforms=[camera]))
    bench, model = Bench(world, tmp_path, reconstruction__rig="auto"), drive()
    assert wait_for(moving.get_subscription_count)
    seconds = iter(range(1000))

    def drives() -> None:
        k = next(seconds)
        moving.publish(tf2.TFMessage(transforms=[transform("odom", "base_link", vehicle, [100.0 + k, 3.0 * k, 0.0])]))

    timer = world.probe.create_timer(0.05, drives)
    bench.send_scan(2.5)
    bench.send_map(model)
    bench.send_labels(model)
    assert wait_for(lambda: "no transform between" in bench.node._problem), "what is missing is said"
    assert not bench.clouds
    (static if fixed_joint == "static" else moving).publish(tf2.TFMessage(transforms=[mast]))
    assert wait_for(lambda: len(bench.clouds) == 1), "and taken when it comes"
    check_labels(bench.clouds[0])
    bench.send_scan(3.5)
    assert (
        bench.flush().message
        == "2 scans labelled, cloud.ply: 300 points of 2 scans, 300 seen by keyframes, 100 labelled, 1 of 3 scans lost"
    )
    assert wait_for(lambda: len(bench.clouds) == 2)
    check_labels(bench.clouds[1])
    assert bench.node._problem == ""
    timer.cancel()


def test_a_topic_is_needed(world, tmp_path):
    with pytest.raises(UsageError, match="needs a LiDAR's topic"):
        world.add(CloudNode, map_dir=str(tmp_path))


class Halves:
    """Stands for a trained network: what lies left of x = 2.5 is one thing, and the rest another."""

    voxel = 0.25

    def __init__(self, folder, findings):
        self.folder = folder

    def segment(self, points):
        instance = np.where(points.xyz[:, 0] < 2.5, 1, 2).astype(np.int32)
        return SegmentedCloud(instance, np.full(len(instance), 0.7, np.float32), instance)


def test_a_network_labels_scans_without_any_mask(world, tmp_path, monkeypatch):
    monkeypatch.setattr(cloud_node, "CloudSegmenter", Halves)
    bench, model = Bench(world, tmp_path, cloud__model="trained"), drive()
    assert bench.node._segmenter.folder == Path("trained")
    bench.send_scan(2.5)
    bench.send_scan(3.0)
    bench.send_map(model)  # and no labels
    assert wait_for(lambda: len(bench.clouds) == 2), "without being asked"
    for message in bench.clouds:
        points = cloud_to_array(message)
        left = points["x"] < 2.49
        assert set(points["instance_id"][left]) == {1}
        assert set(points["instance_id"][points["x"] > 2.51]) == {2}
        assert set(points["class_id"]) == {0}
    assert "cloud.ply: 300 points of 2 scans, 300 seen by keyframes, 300 labelled" in bench.flush().message


def test_a_model_that_is_none_is_said_at_once(world, tmp_path):
    with pytest.raises(UsageError, match="no folder of a trained model"):
        world.add(CloudNode, map_dir=str(tmp_path / "map"), cloud_topic="/lidar/points", cloud__model=str(tmp_path / "nothing"))
