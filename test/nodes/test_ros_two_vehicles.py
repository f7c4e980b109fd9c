"""Two pipelines in one ROS domain, in namespaces of their own: neither sees the other's cameras, keyframes or map."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_reconstruction_node import PreparedWorker
from helpers_ros import own_domain, ros, wait_for
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_srvs.srv import Trigger

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.nodes.keyframe_node import KeyframeNode
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.ros.exchange.camera_topics import CAMERAS_SHARED
from seg2d3d_ros.ros.map_exchange import map_completion
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, make_header
from seg2d3d_ros.ros.node import qos

pytestmark = pytest.mark.ros
T0 = 1_700_000_000_000_000_000
WALL = cv2.normalize(
    cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (120, 3000, 3), np.uint8), (0, 0), 2),
    None,
    0,
    255,
    cv2.NORM_MINMAX,
)


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: PreparedWorker)
    monkeypatch.setattr(map_completion, "write_report_if_possible", lambda _store: "no report")
    with ros(own_domain()) as made:
        yield made


class Vehicle:
    """Keyframes and reconstruction in a namespace, with a camera of the name that every vehicle has."""

    def __init__(self, world, name, map_dir, cameras):
        self.name, self.place, self.world = name, f"/{name}/seg2d3d", world
        self.images = world.probe.create_publisher(CompressedImage, f"/{name}/front/image_raw/compressed", qos.KEYFRAMES)
        self.infos = world.probe.create_publisher(CameraInfo, f"/{name}/front/camera_info", qos.KEYFRAMES)
        self.store = MapStore(map_dir)
        quiet = {"update_every": 1000, "update_idle": 1000.0, "segmentation__segmenter": "none"}
        self.mapping = world.add(self._in(ReconstructionNode), map_dir=str(map_dir), **quiet)
        self.choosing = world.add(self._in(KeyframeNode), camera_topics=cameras, keyframes__max_wait=0.5)
        assert wait_for(lambda: self.images.get_subscription_count() and self.infos.get_subscription_count())
        assert wait_for(lambda: self.choosing._sender._image.get_subscription_count() == 1)

    def _in(self, node_class):
        return lambda **options: node_class(namespace=self.place, **options)

    def send(self, k, stamp):
        header = make_header(stamp, "front")
        self.infos.publish(CameraInfo(header=header, width=200, height=120, k=[200.0, 0, 100, 0, 200, 60, 0, 0, 1.0]))
        picture = np.ascontiguousarray(WALL[:, k * 40 : k * 40 + 200])
        self.images.publish(bytes_to_compressed(encode_jpeg(picture), header))

    def names(self):
        return sorted(record.name for record in self.store.read_keyframes())


def shared(vehicle):
    return [one for one in vehicle.choosing.diagnostics.findings.list() if one.kind == CAMERAS_SHARED]


def test_two_vehicles_do_not_mix(world, tmp_path):
    vehicles = [Vehicle(world, name, tmp_path / name, [f"/{name}/front/image_raw"]) for name in ("red", "blue")]
    for k in range(4):
        for number, vehicle in enumerate(vehicles):
            vehicle.send(k + 10 * number, T0 + (10 * number + k) * 200_000_000)
    for number, vehicle in enumerate(vehicles):
        own = [f"front_{T0 + (10 * number + k) * 200_000_000}" for k in range(4)]

        def arrived(vehicle=vehicle, own=own):
            assert world.call(Trigger, f"{vehicle.place}/keyframe_node/flush").success
            return vehicle.names() == own

        assert wait_for(arrived, 60.0), vehicle.names()
        assert shared(vehicle) == []
    assert not set(vehicles[0].names()) & set(vehicles[1].names())


def test_who_takes_every_camera_beside_another_vehicle_is_told(world, tmp_path):
    red = Vehicle(world, "red", tmp_path / "red", ["/red/front/image_raw"])
    blue = Vehicle(world, "blue", tmp_path / "blue", [])
    assert wait_for(lambda: shared(blue))
    assert "that of /red/seg2d3d, too" in shared(blue)[0].text
    assert shared(red) == []
