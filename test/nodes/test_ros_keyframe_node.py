"""keyframe_node over real DDS: raw and compressed cameras, calibration, positions, and what goes wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import decode_rgb, encode_jpeg
from seg2d3d_ros.nodes.keyframe_node import NO_CAMERA_INFO, KeyframeNode
from seg2d3d_ros.ros.exchange.keyframe_exchange import KeyframeSubscription
from seg2d3d_ros.ros.messages.conversion import (
    bytes_to_compressed,
    fill,
    fix_from_geo,
    keyframe_name,
    make_header,
)
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.managed_node import ManagedNode

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
T0 = 1_700_000_000_000_000_000
STEP = 100_000_000
WORLD = cv2.normalize(
    cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (120, 3000, 3), np.uint8), (0, 0), 2),
    None,
    0,
    255,
    cv2.NORM_MINMAX,
)


def view(n):
    """The picture of a camera that moved by n times 40 pixels (a fifth of its width)."""
    return np.ascontiguousarray(WORLD[:, n * 40 : n * 40 + 200])


def raw_image(pixels, header):
    """(H, W, 3) uint8 RGB as an uncompressed image."""
    height, width = pixels.shape[:2]
    return Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=fill(pixels))


class Receiver(ManagedNode):
    """Collects keyframes as values."""

    def __init__(self, **options):
        super().__init__("receiver", **options)
        self.got = []

    def activate(self):
        KeyframeSubscription(self, lambda keyframe, header: self.got.append((keyframe, header)))


class Camera:
    """A publisher of images with camera_info beside it."""

    def __init__(self, world, name="front", *, raw=False, info=True, profile=qos.KEYFRAMES, frame=None):
        self.frame, self.raw = frame or name, raw
        kind, topic = (Image, f"/{name}/image_raw") if raw else (CompressedImage, f"/{name}/image_raw/compressed")
        self.images = world.probe.create_publisher(kind, topic, profile)
        self.infos = world.probe.create_publisher(CameraInfo, f"/{name}/camera_info", profile) if info else None

    def ready(self):
        """Whether the node listens."""
        return self.images.get_subscription_count() and (self.infos is None or self.infos.get_subscription_count())

    def send(self, n, pixels=None):
        header = make_header(T0 + n * STEP, self.frame)
        if self.infos:
            info = CameraInfo(header=header, width=200, height=120, distortion_model="plumb_bob", d=[0.0] * 5)
            info.k = [200.0, 0.0, 100.0, 0.0, 200.0, 60.0, 0.0, 0.0, 1.0]
            self.infos.publish(info)
        pixels = view(n) if pixels is None else pixels
        self.images.publish(raw_image(pixels, header) if self.raw else bytes_to_compressed(encode_jpeg(pixels), header))


@pytest.fixture
def world():
    with ros(DOMAIN) as made:
        yield made


def run(world, cameras, **parameters):
    """keyframe_node and a receiver, connected to each other and to the cameras."""
    node, receiver = world.add(KeyframeNode, keyframes__max_wait=10.0, **parameters), world.add(Receiver)
    assert wait_for(lambda: all(camera.ready() for camera in cameras))
    assert wait_for(
        lambda: all(p.get_subscription_count() for p in (node._sender._image, node._sender._info, node._sender._fix))
    )
    return node, receiver


def flushed(world, receiver, count):
    assert world.call(Trigger, "keyframe_node/flush").success
    # Less than ``max_wait``, after which the node decides about the last image by itself.
    assert wait_for(lambda: len(receiver.got) >= count, 5.0), f"{len(receiver.got)} of {count}"
    return sorted((k for k, _ in receiver.got), key=lambda k: (k.camera_name, k.stamp_ns))


@pytest.mark.parametrize("profile", [qos.KEYFRAMES, qos.INPUT_SENSOR_DATA], ids=["reliable", "best effort"])
@pytest.mark.parametrize("raw", [False, True], ids=["compressed", "raw"])
def test_cameras_found_in_the_graph_become_keyframes_with_calibration(world, raw, profile):
    camera = Camera(world, raw=raw, profile=profile)
    _, receiver = run(world, [camera])
    for n in range(6):
        camera.send(n)
    keyframes = flushed(world, receiver, 6)
    assert [k.name for k in keyframes] == [f"front_{T0 + n * STEP}" for n in range(6)]
    assert [k.file_name for k in keyframes] == [f"{k.name}.jpg" for k in keyframes]
    for n, keyframe in enumerate(keyframes):
        assert (keyframe.camera.model, keyframe.camera.params) == ("PINHOLE", (200.0, 200.0, 100.5, 60.5))
        assert keyframe.geo is None
        assert np.abs(decode_rgb(keyframe.encoded).astype(int) - view(n)).mean() < 4.0
    assert all(keyframe_name(header) == keyframe.name for keyframe, header in receiver.got)


def test_what_does_not_move_is_no_keyframe(world):
    camera = Camera(world)
    node, receiver = run(world, [camera])
    for n in range(8):
        camera.send(n, view(n // 4))
    assert len(flushed(world, receiver, 2)) == 2
    counts = node._selector.counts
    assert (counts.seen, counts.kept, counts.redundant) == (8, 2, 6)


def test_positions_are_interpolated_at_the_time_of_the_image(world):
    camera = Camera(world)
    fixes = world.probe.create_publisher(NavSatFix, "/gps/fix", qos.INPUT_SENSOR_DATA)
    _, receiver = run(world, [camera])
    assert wait_for(fixes.get_subscription_count)
    for n in range(5):
        camera.send(n)
    assert not wait_for(lambda: receiver.got, 0.5), "keyframes wait for the fix behind them"
    for n, latitude in ((0, 49.0), (4, 49.00004)):
        fixes.publish(fix_from_geo(GeoPosition(latitude, 8.0, 100.0, np.eye(3)), make_header(T0 + n * STEP, "gps")))
    fixes.publish(fix_from_geo(None, make_header(T0 + 5 * STEP, "gps")))
    keyframes = flushed(world, receiver, 5)
    assert [k.geo.latitude for k in keyframes] == pytest.approx([49.0, 49.00001, 49.00002, 49.00003, 49.00004], abs=1e-9)
    np.testing.assert_allclose(keyframes[1].geo.covariance, np.eye(3))


def test_keyframes_wait_for_a_calibration_that_comes_late(world):
    camera = Camera(world)
    _, receiver = run(world, [camera])
    for n in (0, 1):
        camera.images.publish(bytes_to_compressed(encode_jpeg(view(n)), make_header(T0 + n * STEP, "front")))
    assert not wait_for(lambda: receiver.got, 1.0), "somebody publishes a calibration"
    camera.send(2)
    assert wait_for(lambda: len(receiver.got) == 2)
    assert all(keyframe.camera is not None for keyframe, _ in receiver.got)


def test_a_camera_without_camera_info_goes_on_uncalibrated_and_the_topic_is_named(world):
    camera = Camera(world, info=False)
    warnings = []
    node, receiver = run(world, [camera], camera_topics=["/front/image_raw"], camera_info_timeout=0.5)
    node.get_logger().warning = lambda text, **_: warnings.append(text)
    camera.send(0)
    camera.send(1)
    assert wait_for(lambda: len(receiver.got) == 1), "the second one still competes to be the next keyframe"
    assert receiver.got[0][0].camera is None
    assert [finding.kind for finding in node.diagnostics.findings.list()] == [NO_CAMERA_INFO]
    assert len(warnings) == 1
    assert "(/front/image_raw/compressed); no camera_info on /front/camera_info" in warnings[0]


def test_two_cameras_that_claim_one_frame_id_do_not_mix(world):
    first, second = Camera(world, "a", frame="cam"), Camera(world, "b", frame="cam")
    node, receiver = run(world, [first, second])
    first.send(0)
    assert wait_for(lambda: node._camera_of)
    second.send(1)
    assert len(flushed(world, receiver, 1)) == 1
    assert "/b/image_raw/compressed and /a/image_raw/compressed have the same frame_id 'cam'" in node.diagnostics.last_error


def test_a_looping_bag_gives_its_keyframes_once(world):
    camera = Camera(world)
    node, receiver = run(world, [camera])
    for _ in range(2):
        for n in range(15):
            camera.send(n)
    assert len(flushed(world, receiver, 15)) == 15
    assert node._selector.counts.restarts == 1


def test_damaged_images_are_counted_and_the_others_go_on(world):
    camera = Camera(world)
    node, receiver = run(world, [camera])
    camera.send(0)
    camera.images.publish(bytes_to_compressed(encode_jpeg(view(1))[:300], make_header(T0 + STEP, "front")))
    camera.images.publish(bytes_to_compressed(b"", make_header(T0 + 2 * STEP, "front")))
    camera.send(3)
    assert [k.stamp_ns for k in flushed(world, receiver, 2)] == [T0, T0 + 3 * STEP]
    assert node._selector.counts.undecodable == 2


def test_the_status_says_which_topics_are_missing(world):
    node = world.add(KeyframeNode, camera_topics=["/nowhere/image"])
    assert "waiting for /nowhere/image" in node.diagnostics.status().message
    found = world.add(lambda **options: KeyframeNode(**options))
    assert "any image topic with a camera_info beside it" in found.diagnostics.status().message


def test_rectified_images_go_on_with_the_projection_and_without_distortion():
    from seg2d3d_ros.nodes.keyframe_node import _info
    from seg2d3d_ros.recording.cameras import CameraTopic
    from seg2d3d_ros.ros.exchange.camera_topics import LiveCamera

    info = CameraInfo(d=[0.1, 0.2, 0.0, 0.0, 0.0], k=[200.0, 0, 100, 0, 200, 60, 0, 0, 1], width=200, height=120)
    info.p = [180.0, 0, 90, 0, 0, 190, 50, 0, 0, 0, 1, 0]
    rectified = _info(LiveCamera(CameraTopic("/front/image_rect/compressed", True, "/front/camera_info"), info))
    assert (list(rectified.d), list(rectified.k)) == ([], [180.0, 0, 90, 0, 190, 50, 0, 0, 1])
    assert list(info.d)[:2] == [0.1, 0.2], "the received message stays as it is"
    assert list(_info(LiveCamera(CameraTopic("/front/image_raw", False, "/front/camera_info"), info)).k) == list(info.k)


def test_panoramas_are_refused_in_words_before_anything_is_received(world):
    with pytest.raises(UsageError, match="nodes do not cut panoramas"):
        world.add(KeyframeNode, keyframes__panorama="always")
