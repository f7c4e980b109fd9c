"""keyframe_node in a changing graph: drivers that come back otherwise, other pipelines, names that are wrong, bad images."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix
from std_msgs.msg import String
from std_srvs.srv import Trigger

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.nodes.keyframe_node import FIXES_AMBIGUOUS, IMAGES_UNREADABLE, KeyframeNode
from seg2d3d_ros.ros.exchange import camera_topics, topic_search
from seg2d3d_ros.ros.exchange.topic_search import TOPICS_ABSENT, TOPICS_MISTYPED, similar
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, fill, make_header
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.following import PUBLISHER_CHANGED
from seg2d3d_ros.ros.node.managed_node import ManagedNode

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
PICTURE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(topic_search, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(camera_topics, "GONE_SECONDS", 0.0)
    with ros(DOMAIN) as made:
        yield made


def found(node):
    return {finding.kind: finding for finding in node.diagnostics.findings.list()}


def driver(world, base, kind, profile=qos.KEYFRAMES):
    """A driver's publishers of images and calibrations."""
    topic = f"{base}/compressed" if kind is CompressedImage else base
    infos = world.probe.create_publisher(CameraInfo, f"{base.rpartition('/')[0]}/camera_info", profile)
    return world.probe.create_publisher(kind, topic, profile), infos


def stop(world, publishers):
    for publisher in publishers:
        world.probe.destroy_publisher(publisher)


def send(publisher, n):
    header = make_header(1_000_000_000 + n, "front")
    if publisher.msg_type is Image:
        publisher.publish(Image(header=header, height=40, width=60, encoding="rgb8", step=180, data=fill(PICTURE)))
    else:
        publisher.publish(bytes_to_compressed(encode_jpeg(PICTURE), header))


def seen(node):
    return node._selector.counts.seen


def arrives(node, publisher):
    """Whether images of this publisher come to be seen; sent again and again, because subscriptions are found one by one."""
    before, stamps = seen(node), itertools.count(1000 * seen(node))
    return wait_for(lambda: send(publisher, next(stamps)) or seen(node) > before + 1, 20.0)


@pytest.mark.parametrize("named", [[], ["/front/image"]], ids=["found", "named"])
def test_a_driver_that_comes_back_with_another_transport_and_quality_is_followed(world, named):
    node = world.add(KeyframeNode, camera_topics=named)
    raw = driver(world, "/front/image", Image)
    assert arrives(node, raw[0])
    stop(world, raw)
    compressed = driver(world, "/front/image", CompressedImage, qos.INPUT_SENSOR_DATA)
    assert arrives(node, compressed[0])
    assert wait_for(lambda: PUBLISHER_CHANGED in found(node), 20.0), "images of the former driver may still have come"
    assert "in place of /front/image;" in found(node)[PUBLISHER_CHANGED].text
    stop(world, compressed)
    reliable = driver(world, "/front/image", CompressedImage)
    (camera,) = node._cameras._cameras.values()
    assert wait_for(lambda: all(one._profile is qos.INPUT_RELIABLE for one in camera.subscriptions), 20.0)
    assert arrives(node, reliable[0])
    assert set(found(node)) == {PUBLISHER_CHANGED}, "all the time it is one camera"


def test_a_transport_that_appears_later_changes_nothing(world):
    node = world.add(KeyframeNode)
    raw = driver(world, "/front/image", Image)
    assert wait_for(raw[0].get_subscription_count)
    later = world.probe.create_publisher(CompressedImage, "/front/image/compressed", qos.KEYFRAMES)
    assert wait_for(lambda: "/front/image" in node._cameras._left_out), "the compressed one would be preferred"
    send(raw[0], 0)
    assert wait_for(lambda: seen(node) == 1)
    assert later.get_subscription_count() == 0


class Renamed(ManagedNode):
    """Another pipeline's node under a name of its user's."""

    NAME = "my_labels"

    def activate(self):
        self.advertise(Image, "drawing/image", qos.KEYFRAMES)
        self.advertise(CameraInfo, "drawing/camera_info", qos.KEYFRAMES)
        self.serve_flush(lambda: None)


def test_the_results_of_other_pipelines_are_no_cameras(world):
    other = world.add(lambda **options: KeyframeNode(namespace="/second", **options))
    world.add(lambda **options: Renamed(namespace="/third", **options))
    node = world.add(KeyframeNode)
    recorded = [
        world.probe.create_publisher(CompressedImage, "/old/keyframes/image/compressed", qos.KEYFRAMES),
        world.probe.create_publisher(CameraInfo, "/old/keyframes/camera_info", qos.KEYFRAMES),
    ]
    front = driver(world, "/front/image", Image)
    assert wait_for(lambda: front[0].get_subscription_count() == 2), "both pipelines take the camera"
    for pipeline in (node, other):
        assert wait_for(lambda pipeline=pipeline: len(pipeline._cameras._cameras) == 1)
    names = {"/second/keyframes/image/compressed", "/third/drawing/image", "/old/keyframes/image/compressed"}
    assert wait_for(lambda: names <= set(topic_search.graph_of(node)))
    assert not wait_for(lambda: any(world.probe.count_subscribers(name) for name in names), 1.5)
    assert len(recorded) == 2


def test_a_name_with_a_mistake_is_told_with_its_neighbours_and_the_right_type(world):
    node = world.add(KeyframeNode, camera_topics=["/front/imge", "/gps/status"], fix_topic="/gps/fixx")
    driver(world, "/front/image", CompressedImage)
    world.probe.create_publisher(String, "/gps/status", qos.KEYFRAMES)
    fix = world.probe.create_publisher(NavSatFix, "/gps/fix", qos.KEYFRAMES)
    assert wait_for(lambda: found(node).keys() >= {TOPICS_ABSENT, TOPICS_MISTYPED} and "/gps/fix " in told(node))
    assert "of type Image or CompressedImage there is /front/image/compressed " in told(node)
    assert "/gps/status is a std_msgs/msg/String" in found(node)[TOPICS_MISTYPED].text
    status = node.diagnostics.status()
    assert status.level == b"\x02"
    assert "/front/imge has no publisher" in status.message
    world.probe.destroy_publisher(fix)


def told(node):
    return found(node)[TOPICS_ABSENT].text.replace(";", " ")


def test_similar_names_where_there_are_many_and_where_there_are_none():
    graph = {f"/camera{n}/image": ["sensor_msgs/msg/Image"] for n in range(9)} | {"/lidar": ["sensor_msgs/msg/PointCloud2"]}
    words = similar("/camera7/imag", ("sensor_msgs/msg/Image",), graph)
    assert words.startswith("of type Image there are /camera7/image, ")
    assert words.endswith(", …")
    assert "ROS_DOMAIN_ID" in similar("/x", ("sensor_msgs/msg/NavSatFix",), graph)


def test_of_several_topics_with_positions_none_is_taken_and_that_is_said(world):
    node = world.add(KeyframeNode)
    both = [world.probe.create_publisher(NavSatFix, f"/{name}/fix", qos.KEYFRAMES) for name in ("gps", "ins")]
    assert wait_for(lambda: FIXES_AMBIGUOUS in found(node))
    assert "(/gps/fix, /ins/fix)" in found(node)[FIXES_AMBIGUOUS].text
    world.probe.destroy_publisher(both[0])
    assert wait_for(both[1].get_subscription_count)
    assert FIXES_AMBIGUOUS not in found(node)


def test_images_that_cannot_be_read_are_counted_told_once_and_the_others_go_on(world):
    node = world.add(KeyframeNode)
    raw = driver(world, "/front/image", Image)
    assert wait_for(raw[0].get_subscription_count)
    for n in range(8):
        raw[0].publish(Image(header=make_header(10**9 + n, "front"), height=40, width=60, encoding="yuv_of_mine", step=180))
    send(raw[0], 100)
    assert wait_for(lambda: seen(node) == 9)
    assert wait_for(lambda: found(node)[IMAGES_UNREADABLE].count == 8)
    assert "'yuv_of_mine' is not supported" in node.diagnostics.status().message
    assert world.call(Trigger, "keyframe_node/flush").success
    assert node._selector.counts.kept == 1


def test_fixes_count_though_images_wait_for_a_node_that_is_busy(world, monkeypatch):
    node = world.add(KeyframeNode)
    image = driver(world, "/front/image", Image)
    fixes = world.probe.create_publisher(NavSatFix, "/gps/fix", qos.KEYFRAMES)
    assert wait_for(image[0].get_subscription_count)
    assert wait_for(fixes.get_subscription_count)
    send(image[0], 0)
    assert wait_for(lambda: seen(node) == 1)
    compared = []
    monkeypatch.setattr(node._fixes, "add", lambda message, stamp_ns, arrival_ns: compared.append(arrival_ns))
    begin = time.time_ns()
    with node._lock:
        fixes.publish(NavSatFix())
        time.sleep(0.01)
        sent = time.time_ns()
        time.sleep(0.5)
    assert wait_for(lambda: compared)
    assert begin - 10**7 <= compared[0] <= sent, "when it was sent, not when the node had time for it"
