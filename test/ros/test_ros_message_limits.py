"""What is refused before anything of it is decoded, and what DDS says of partners that do not fit."""

from __future__ import annotations

import array
import types

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import String

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import CommonParameters
from seg2d3d_ros.ros.watching.message_limits import MESSAGES_TOO_LARGE, too_large
from seg2d3d_ros.ros.watching.qos_events import QOS_INCOMPATIBLE, QosEvents

LIMITS = CommonParameters(largest_message=1.0, largest_image=0.01, largest_cloud=100)


def jpeg(width, height):
    return CompressedImage(data=array.array("B", encode_jpeg(np.zeros((height, width, 3), np.uint8))))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Image(width=100, height=100), ""),
        (Image(width=101, height=100), "101×100 pixels, largest_image is 0.01 megapixels"),
        (jpeg(100, 100), ""),
        (jpeg(200, 100), "200×100 pixels"),
        (CompressedImage(data=array.array("B", b"no image")), ""),
        (PointCloud2(width=100, height=1), ""),
        (PointCloud2(width=101, height=1), "101 points, largest_cloud is 100"),
        (PointCloud2(width=1, height=1, data=array.array("B", bytes(1_000_001))), "1.0 MB, largest_message is 1"),
        (String(data="x" * 1_000_001), "1.0 MB"),
    ],
)
def test_each_limit_by_itself(message, words):
    assert words in too_large(message, LIMITS)
    assert bool(words) == bool(too_large(message, LIMITS))
    assert too_large(message, CommonParameters(largest_message=0, largest_image=0, largest_cloud=0)) == ""


class Listener(ManagedNode):
    NAME = "listener"

    def configure(self):
        self.heard = []
        self.volatile = self.advertise(String, "volatile", qos.KEYFRAMES)

    def activate(self):
        self.subscribe(Image, "images", self.heard.append, qos.INPUT_RELIABLE)


@pytest.fixture
def world():
    with ros(own_domain()) as made:
        yield made


def test_a_message_that_is_too_large_is_counted_told_and_not_handled(world):
    node = world.add(Listener, largest_image=0.01)
    images = world.probe.create_publisher(Image, "images", qos.INPUT_RELIABLE)
    assert wait_for(images.get_subscription_count)
    for width in (101, 10, 102):
        images.publish(Image(width=width, height=100))
    assert wait_for(lambda: node.diagnostics.findings.list() and node.diagnostics.findings.list()[0].count == 2)
    (found,) = node.diagnostics.findings.list()
    assert found.kind == MESSAGES_TOO_LARGE
    assert "102×100 pixels" in found.text
    assert [message.width for message in node.heard] == [10]
    assert node.diagnostics.status().level == b"\x01"


def test_partners_of_another_quality_of_service_are_told_on_either_side(world):
    node = world.add(Listener)
    world.probe.create_publisher(Image, "images", qos.INPUT_SENSOR_DATA)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    world.probe.create_subscription(String, "volatile", print, latched)

    def found():
        return next((one for one in node.diagnostics.findings.list() if one.kind == QOS_INCOMPATIBLE), None)

    assert wait_for(lambda: found() and found().count >= 2)
    assert set(found().examples) == {"/seg2d3d/images", "/seg2d3d/volatile"}
    assert "a publisher of /seg2d3d/images offers another RELIABILITY" in found().text
    assert "a subscriber of /seg2d3d/volatile asks for another DURABILITY" in found().text


def test_a_misfit_that_is_mended_at_once_is_no_finding():
    """A subscription that follows its publisher is renewed within a second."""
    clock, findings = [0.0], Findings()
    events = QosEvents(findings, print, lambda: clock[0])
    unfit = events.of_subscription("/images").incompatible_qos
    unfit(types.SimpleNamespace(last_policy_kind=QoSPolicyKind.RELIABILITY, total_count=1))
    events.look()
    assert findings.list() == []
    clock[0] = 3.1
    events.look()
    assert [finding.count for finding in findings.list()] == [1]
    events.unsubscribed("/images")
    events.look()
    assert findings.list() == []
