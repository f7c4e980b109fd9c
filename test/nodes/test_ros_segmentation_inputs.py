"""segmentation_node: nobody who makes masks, masks that do not fit, a segmenter that is too slow, prompts in every spelling."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from seg2d3d_ros.images import encode_jpeg, encode_png
from seg2d3d_ros.nodes.segmentation_node import MASKS_REFUSED, NO_MASKS, SegmentationNode
from seg2d3d_ros.ros.exchange import topic_search
from seg2d3d_ros.ros.exchange.postponed import SEGMENTATION_BEHIND
from seg2d3d_ros.ros.exchange.segment_topics import KEYFRAMES_WITHOUT_MASKS
from seg2d3d_ros.ros.messages.class_names import read_class_names
from seg2d3d_ros.ros.messages.conversion import (
    bytes_to_compressed,
    image_to_labels,
    keyframe_name,
    labels_to_image,
    make_header,
)
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.segmentation.encoding import CODES_MISSING, WITHOUT_CODES

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
JPEG = encode_jpeg(np.full((40, 60, 3), 90, np.uint8))
LABELS = np.zeros((40, 60), np.uint16)
LABELS[5:20, 10:30] = 1007
T0, FRAME, MS = 10**12, 100_000_000, 1_000_000


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(topic_search, "GRACE_SECONDS", 0.0)
    with ros(DOMAIN) as made:
        yield made


class Bench:
    """The node, its keyframes, and what it sends; with ``segments`` somebody's masks, too."""

    def __init__(self, world, *, segments="", **parameters):
        self.node = world.add(SegmentationNode, **parameters)
        self.keyframes = world.probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.segments = world.probe.create_publisher(Image, segments, qos.SEGMENTS) if segments else None
        self.out = world.collect(Image, "keyframes/segments", qos.SEGMENTS)
        assert wait_for(self.keyframes.get_subscription_count)
        assert self.segments is None or wait_for(self.segments.get_subscription_count)
        assert wait_for(self.node._publisher.get_subscription_count)

    def keyframe(self, n):
        self.keyframes.publish(bytes_to_compressed(JPEG, make_header(T0 + n * FRAME, "front")))

    def label(self, n, off=0, labels=LABELS):
        self.segments.publish(labels_to_image(labels, make_header(T0 + n * FRAME + off * MS, "front")))

    def found(self):
        return {finding.kind: finding for finding in self.node.diagnostics.findings.list()}


def test_where_nobody_makes_masks_the_node_says_how_to_choose_and_ends_with_an_error(world):
    node = world.add(SegmentationNode, segmenter="topic", segments_search=0.1)
    assert wait_for(lambda: node.exit_code == 1)
    (finding,) = [finding for finding in node.diagnostics.findings.list() if finding.kind == NO_MASKS]
    assert "segmenter:=grounded_sam" in finding.text
    assert "segments_topics:=[TOPIC]" in finding.text


def test_whoever_chose_a_topic_waits_for_it_and_a_misspelt_one_is_told(world):
    world.probe.create_publisher(Image, "/front/segments", qos.SEGMENTS)
    node = world.add(SegmentationNode, segmenter="topic", segments_topics=["/front/segmnets"])
    assert wait_for(lambda: "there is /front/segments" in node.diagnostics.status().message)
    assert node.exit_code is None


def test_masks_a_little_off_are_taken_and_masks_far_off_are_told_with_the_distance(world):
    bench = Bench(world, segments="/front/segments", segmenter="topic", segments_timeout=0.5)
    for n in range(4):
        bench.keyframe(n)
        bench.label(n, off=3)
    assert wait_for(lambda: len(bench.out) == 4)
    assert all(image_to_labels(message).any() for message in bench.out)
    assert bench.found() == {}
    for n in range(10, 14):
        bench.keyframe(n)
        bench.label(n, off=20)
    assert wait_for(lambda: len(bench.out) == 8)
    finding = bench.found()[KEYFRAMES_WITHOUT_MASKS]
    assert (finding.count, finding.of) == (4, 8)
    assert "20 ms off, more than segmentation.stamp_tolerance (5 ms)" in finding.text


def test_masks_that_cannot_be_used_are_counted_and_told_without_a_traceback(world):
    bench = Bench(world, segments="/front/segments", segmenter="topic", segments_timeout=30.0)
    lines = []
    bench.node.get_logger().error = lambda text, **_: lines.append(text)
    for n in range(4):
        bench.keyframe(n)
        bench.label(n, labels=LABELS[:, :30].copy())
    assert wait_for(lambda: len(bench.out) == 4)
    assert bench.found()[MASKS_REFUSED].count == 4
    assert "30×40 for an image of 60×40" in bench.node.diagnostics.status().message
    assert not any("Traceback" in line for line in lines)


def test_a_segmenter_that_is_too_slow_puts_keyframes_aside_and_segments_all_of_them_in_the_end(world, tmp_path, monkeypatch):
    for n in range(8):
        (tmp_path / f"front_{T0 + n * FRAME}.png").write_bytes(encode_png(LABELS))
    gate, turns = threading.Event(), []
    bench = Bench(world, segmenter="label_images", segments_dir=str(tmp_path), max_wait=0.001)
    segment = bench.node._asking.segmenter.segment

    def slowly(keyframe):
        turns.append(keyframe.name)
        gate.wait(30)
        return segment(keyframe)

    monkeypatch.setattr(bench.node._asking.segmenter, "segment", slowly)
    bench.keyframe(0)
    assert wait_for(lambda: len(turns) == 1 or len(bench.node._postponed) == 1)
    for n in range(1, 8):
        bench.keyframe(n)
    assert wait_for(lambda: bench.node._worker.pending + len(bench.node._postponed) + len(bench.out) == 8)
    gate.set()
    assert world.call(Trigger, "segmentation_node/flush", timeout=30.0).success
    assert wait_for(lambda: len(bench.out) == 8)
    assert {keyframe_name(m.header) for m in bench.out} == {f"front_{T0 + n * FRAME}" for n in range(8)}
    assert bench.node._postponed.total >= 6
    assert SEGMENTATION_BEHIND not in bench.found(), "all have followed"


def text(value):
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)


def texts(*values):
    return ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=values)


def test_prompts_are_changed_under_either_name_and_in_every_spelling(world, tmp_path):
    node = world.add(SegmentationNode, segmenter="label_images", segments_dir=str(tmp_path), prompts="[house]")
    classes = world.collect(String, "keyframes/classes", qos.LATCHED)
    assert wait_for(lambda: classes and read_class_names(classes[-1]) == ("house",))
    for name, value, names in [
        ("prompts", texts("door"), ("door",)),
        ("segmentation.prompts", texts("door", "gate"), ("door", "gate")),
        ("prompts", text("door, window"), ("door", "window")),
        ("segmentation.prompts", text("[door]"), ("door",)),
        ("prompts", text("window"), ("window",)),
    ]:
        request = SetParameters.Request(parameters=[ParameterMessage(name=name, value=value)])
        (result,) = world.call(SetParameters, "segmentation_node/set_parameters", request).results
        assert result.successful, result.reason
        assert node._asking.prompts == names
        assert {tuple(node.get_parameter(key).value) for key in ("prompts", "segmentation.prompts")} == {names}
    assert wait_for(lambda: read_class_names(classes[-1]) == ("house", "door", "gate", "window"))
    request = SetParameters.Request(parameters=[ParameterMessage(name="prompts", value=text("[door"))])
    (result,) = world.call(SetParameters, "segmentation_node/set_parameters", request).results
    assert not result.successful
    assert node._asking.prompts == ("window",)


def test_masks_without_class_codes_belong_to_the_only_prompt_and_with_two_that_is_said(world):
    bench = Bench(world, segments="/front/segments", segmenter="topic", segments_timeout=30.0)
    bench.keyframe(1)
    bench.label(1, labels=np.where(LABELS > 0, 7, 0).astype(np.uint16))
    assert wait_for(lambda: bench.out)
    assert set(np.unique(image_to_labels(bench.out[0]))) == {0, 1001}
    assert set(bench.found()) == {WITHOUT_CODES}
    two = bench.node.config.segmentation
    bench.node.config = dataclasses.replace(bench.node.config, segmentation=dataclasses.replace(two, prompts=("a", "b")))
    bench.keyframe(2)
    bench.label(2, labels=np.where(LABELS > 0, 7, 0).astype(np.uint16))
    assert wait_for(lambda: len(bench.out) == 2)
    assert CODES_MISSING in bench.found()
