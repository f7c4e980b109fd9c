"""cloud_node alone: the map's messages, labels and a LiDAR's scans in; labelled scans in the map frame out."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray, TransformStamped
from helpers_ros import wait_for
from lifecycle_msgs.srv import GetState
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, NavSatFix, PointCloud2
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.learning.cloud_segmentation import SegmentedCloud
from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.nodes import cloud_node
from seg2d3d_ros.nodes.cloud_node import CloudNode
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.ros.messages import map_messages
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, camera_to_info, labels_to_image, make_header
from seg2d3d_ros.ros.messages.instance_messages import LABELLED_POINT
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.error_reports import MESSAGES_REFUSED
from seg2d3d_ros.types import SparseModel, WorldFrame

pytestmark = pytest.mark.ros
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STAMP = START + 100 * SECOND
CAMERA = Camera("PINHOLE", 200, 100, (100.0, 100.0, 100.0, 50.0))
CAMERA_FROM_AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""World x right, y forward, z up."""
LIDAR_TURN = Rotation.from_euler("z", 30, degrees=True)
SCAN = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4")])


def drive(keyframes: int = 6) -> SparseModel:
    """One keyframe a second, 1 m apart; all see 30 points of a wall at y = 8."""
    rng = np.random.default_rng(1)
    xyz = np.stack([rng.uniform(1, 4, 30), np.full(30, 8.0), rng.uniform(-1, 1, 30)], axis=1)
    poses = [np.hstack([CAMERA_FROM_AXES, -CAMERA_FROM_AXES @ [[k], [0.0], [0.0]]]) for k in range(keyframes)]
    local = np.array([xyz @ p[:, :3].T + p[:, 3] for p in poses])
    xy = local[:, :, :2] / local[:, :, 2:] * 100 + [100, 50]
    return SparseModel(
        tuple(f"front_{START + k * SECOND}" for k in range(keyframes)), (CAMERA,) * keyframes, np.array(poses), xyz,
        np.zeros((30, 3), np.uint8), np.zeros(30, np.float32), np.arange(30),
        np.repeat(np.arange(keyframes, dtype=np.int32), 30), np.tile(np.arange(30, dtype=np.int32), keyframes),
        xy.reshape(-1, 2).astype(np.float32), WorldFrame("enu", (52.0, 13.0, 40.0)),
    )  # fmt: skip


def wall() -> np.ndarray:
    a, b = np.meshgrid(np.arange(1, 4, 0.2), np.arange(-1, 1, 0.2))
    return np.stack([a.ravel(), np.full(a.size, 8.0), b.ravel()], axis=1)


class Bench:
    """The node, and a probe in the place of the other nodes and the LiDAR."""

    def __init__(self, world, folder, **parameters):
        rig = folder / "rig.json"
        x, y, z, w = LIDAR_TURN.as_quat()
        turn = Rotation.from_matrix(CAMERA_FROM_AXES.T).as_quat()
        sensors = {
            "lidar": {"rig_from_sensor": {"translation": [0.0, 0.0, 1.0], "quaternion_wxyz": [w, x, y, z]}},
            "front": {"rig_from_sensor": {"translation": [0.0, 0.0, 0.0], "quaternion_xyzw": turn.tolist()}},
        }
        rig.write_text(json.dumps({"cameras": sensors}))
        probe = world.probe
        self.world = world
        self.out = {
            "map/points": probe.create_publisher(PointCloud2, "map/points", qos.LATCHED),
            "map/observations": probe.create_publisher(PointCloud2, "map/observations", qos.OBSERVATIONS),
            "map/cameras": probe.create_publisher(PoseArray, "map/cameras", qos.LATCHED),
            "map/camera_info": probe.create_publisher(CameraInfo, "map/camera_info", qos.OBSERVATIONS),
            "map/datum": probe.create_publisher(NavSatFix, "map/datum", qos.LATCHED),
            "instances/labels": probe.create_publisher(Image, "instances/labels", qos.LABELS),
            "instances/points": probe.create_publisher(PointCloud2, "instances/points", qos.LATCHED),
            "lidar": probe.create_publisher(PointCloud2, "/lidar/points", qos.PLAYER),
        }
        values = {"reconstruction__rig": str(rig), "cloud__voxel": 0.0, "cloud_delay": 0.0, **parameters}
        self.node = world.add(CloudNode, map_dir=str(folder / "map"), cloud_topic="/lidar/points", **values)
        self.clouds = world.collect(PointCloud2, "instances/cloud", qos.LABELS)
        assert wait_for(lambda: all(p.get_subscription_count() for p in self.out.values()))
        assert wait_for(lambda: self.node._cloud.get_subscription_count())

    def send_map(self, model: SparseModel, stamp: int = STAMP):
        header = make_header(stamp, "map")
        headers = {name: make_header(int(name.split("_")[1]), "front") for name in model.names}
        for name in model.names:
            self.out["map/camera_info"].publish(camera_to_info(CAMERA, headers[name]))
        self.out["map/cameras"].publish(map_messages.cameras_to_poses([model], headers, header))
        for name, rows in map_messages.observations_of([model]).items():
            self.out["map/observations"].publish(map_messages.observations_to_cloud(rows, headers[name]))
        self.out["map/observations"].publish(map_messages.end_mark(header))
        self.out["map/datum"].publish(map_messages.frame_to_fix(model.frame, header))
        self.out["map/points"].publish(map_messages.points_to_cloud([model], header))

    def send_labels(self, model: SparseModel, stamp: int = STAMP, instance: int = 6):
        """An instance, of class 2, in the left half of every keyframe."""
        labels = np.zeros((100, 200), np.uint16)
        labels[:, :100] = instance
        for name in model.names:
            self.out["instances/labels"].publish(labels_to_image(labels, make_header(int(name.split("_")[1]), "front")))
        points = np.zeros(1, LABELLED_POINT)
        points["instance_id"], points["class_id"] = instance, 2
        self.out["instances/points"].publish(array_to_cloud(points, make_header(stamp, "map")))

    def send_scan(self, seconds: float):
        local = LIDAR_TURN.inv().apply(wall() - [seconds, 0, 1])
        points = np.zeros(len(local), SCAN)
        points["x"], points["y"], points["z"] = local.T
        points["intensity"] = np.arange(len(local))
        self.out["lidar"].publish(array_to_cloud(points, make_header(START + round(seconds * SECOND), "lidar")))

    def flush(self) -> Trigger.Response:
        return self.world.call(Trigger, "cloud_node/flush")


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


def check_labels(message: PointCloud2) -> None:
    """The wall at its place; instance 6 on its left, nothing on its right."""
    points, expected = cloud_to_array(message), wall()
    np.testing.assert_allclose(np.stack([points[k] for k in "xyz"], axis=1), expected, atol=1e-3)
    assert set(points["instance_id"][expected[:, 0] < 1.3]) == {6}
    assert set(points["instance_id"][expected[:, 0] > 3.7]) == {0}


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


def test_the_file_has_all_scans_with_the_final_labels_also_those_of_an_earlier_run(world, tmp_path):
    """Also where the live queue had dropped them."""
    bench, file = Bench(world, tmp_path, cloud_queue=1), tmp_path / "map/cloud.ply"
    bench.send_scan(1.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 1)
    assert not file.exists(), "before the map is finalized"
    check_labels(bench.clouds[0])
    for seconds in (9.0, 9.5):
        bench.send_scan(seconds)
    assert wait_for(lambda: bench.node._counts["scans dropped"] == 1)
    bench.send_map(drive(11), STAMP + 1)
    bench.send_labels(drive(11), STAMP + 1, instance=7)
    assert bench.flush().message == "2 scans labelled, cloud.ply: 450 points of 3 scans, 450 seen by keyframes, 450 labelled"
    points = read_points(file, CLOUD_POINT)
    np.testing.assert_allclose(np.stack([points[k] for k in "xyz"], axis=1), np.tile(wall(), (3, 1)), atol=1e-3)
    left = points["x"] < 1.3
    assert set(points["instance"][left]) == {7}

    bench.node.trigger_deactivate()
    bench.node.trigger_activate()
    assert wait_for(lambda: all(p.get_subscription_count() for p in bench.out.values()))
    bench.send_map(drive(11), STAMP + 2)
    bench.send_labels(drive(11), STAMP + 2, instance=8)
    assert wait_for(lambda: bench.node._topic), "it found the LiDAR again"
    assert bench.flush().message == "0 scans labelled, cloud.ply: 450 points of 3 scans, 450 seen by keyframes, 450 labelled"
    assert set(read_points(file, CLOUD_POINT)["instance"][left]) == {8}


def test_a_node_that_is_stopped_writes_no_half_file(world, tmp_path, monkeypatch):
    bench = Bench(world, tmp_path)
    write_cloud = cloud_node.write_cloud

    def stopped(*arguments):
        bench.node.stopping.set()
        write_cloud(*arguments)

    monkeypatch.setattr(cloud_node, "write_cloud", stopped)
    bench.send_scan(1.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 1)
    answer = bench.flush()
    assert not answer.success
    assert "stopped before cloud.ply was written" in answer.message
    assert [path.name for path in (tmp_path / "map").iterdir()] == ["scans"]


def test_without_room_on_disk_no_file_is_written(world, tmp_path):
    bench = Bench(world, tmp_path, cloud_disk=0.0)
    bench.send_scan(1.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert bench.flush().message == "1 scans labelled"
    assert not (tmp_path / "map/cloud.ply").exists()
    assert not (tmp_path / "map/scans").exists()


def test_reading_and_encoding_is_no_work_for_callbacks_and_its_errors_are_said(world, tmp_path, monkeypatch):
    """The node answers while a scan is read; a cloud without x, y, z ends nothing."""
    at_work, gate, threads = threading.Event(), threading.Event(), set()
    read_scan, encode_png = cloud_node.read_scan, cloud_node.encode_png

    def slowly(message, topic):
        threads.add(threading.current_thread().name)
        at_work.set()
        assert gate.wait(20)
        return read_scan(message, topic)

    def encoded(image):
        threads.add(threading.current_thread().name)
        return encode_png(image)

    monkeypatch.setattr(cloud_node, "read_scan", slowly)
    monkeypatch.setattr(cloud_node, "encode_png", encoded)
    bench = Bench(world, tmp_path)
    bench.out["lidar"].publish(array_to_cloud(np.zeros(3, np.dtype([("range", "f4")])), make_header(START + SECOND, "lidar")))
    assert at_work.wait(10)
    assert world.call(GetState, "cloud_node/get_state", timeout=5.0).current_state.label == "active"
    gate.set()
    bench.send_scan(2.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 1)
    assert threads == {"scans", "labels"}
    (found,) = bench.node.diagnostics.findings.list()
    assert found.kind == MESSAGES_REFUSED
    assert "no field x, y, z" in found.text


def test_what_is_dropped_is_a_finding_and_a_reset_forgets_all(world, tmp_path):
    bench = Bench(world, tmp_path, cloud_queue=1)
    bench.send_scan(1.0)
    bench.send_scan(2.0)
    assert wait_for(lambda: bench.node._counts["scans dropped"] == 1)
    bench.node._labels_dropped(labels_to_image(np.zeros((2, 2), np.uint16), make_header(START, "front")))
    found = {finding.kind: finding.count for finding in bench.node.diagnostics.findings.list()}
    assert found == {cloud_node.SCANS_DROPPED: 1, cloud_node.LABELS_DROPPED: 1}
    assert wait_for(lambda: len(bench.node._kept) == 2)
    assert world.call(Trigger, "cloud_node/reset").success
    assert bench.node.diagnostics.findings.list() == []
    assert len(bench.node._waiting) == len(bench.node._kept) == 0
    assert not (tmp_path / "map/scans").exists()
    bench.send_scan(1.0)
    assert wait_for(lambda: len(bench.node._kept) == 1), "a new drive is taken"


def test_the_end_of_the_scans_is_no_warning(world, tmp_path):
    bench = Bench(world, tmp_path)
    bench.send_scan(2.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    bench.flush()
    (lidar,) = (watched for topic, watched in bench.node.diagnostics._inputs.items() if topic == "/lidar/points")
    lidar.times[-1] -= 300.0  # five minutes later
    assert "no data" not in bench.node.diagnostics.status().message
    bench.send_scan(2.9)
    assert wait_for(lambda: lidar.count == 2)
    lidar.times[-1] -= 300.0
    assert "no data on topic /lidar/points" in bench.node.diagnostics.status().message, "it had begun again"


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
