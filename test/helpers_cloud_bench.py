"""``cloud_node`` alone on a bench: a drive along a wall, and a probe in the place of the other nodes and the LiDAR."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray
from helpers_ros import wait_for
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, NavSatFix, PointCloud2
from std_srvs.srv import Trigger

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.nodes.cloud_node import CloudNode
from seg2d3d_ros.ros.messages import map_messages
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, camera_to_info, labels_to_image, make_header
from seg2d3d_ros.ros.messages.instance_messages import LABELLED_POINT
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.types import SparseModel, WorldFrame

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


def check_labels(message: PointCloud2) -> None:
    """The wall at its place; instance 6 on its left, nothing on its right."""
    points, expected = cloud_to_array(message), wall()
    np.testing.assert_allclose(np.stack([points[k] for k in "xyz"], axis=1), expected, atol=1e-3)
    assert set(points["instance_id"][expected[:, 0] < 1.3]) == {6}
    assert set(points["instance_id"][expected[:, 0] > 3.7]) == {0}
