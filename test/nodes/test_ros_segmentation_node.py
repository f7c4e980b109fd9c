"""segmentation_node over real DDS: from a topic in either order, from files, and what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.images import encode_jpeg, encode_png
from seg2d3d_ros.nodes.segmentation_node import SegmentationNode
from seg2d3d_ros.ros.messages.conversion import (
    bytes_to_compressed,
    image_to_labels,
    is_unsegmented,
    keyframe_name,
    labels_to_image,
    make_header,
)
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.segmentation.encoding import UNKNOWN_CODES
from seg2d3d_ros.segmentation.files.mask_files import WITHOUT_MASK

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
JPEG = encode_jpeg(np.full((40, 60, 3), 90, np.uint8))
LABELS = np.zeros((40, 60), np.uint16)
LABELS[5:20, 10:30] = 1007


class Bench:
    """A camera's keyframes, a segmenter's topic, and what the node makes of them."""

    def __init__(self, world, **parameters):
        self.node = world.add(SegmentationNode, **parameters)
        self.keyframes = world.probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.segments = world.probe.create_publisher(Image, "/front/segments", qos.SEGMENTS)
        self.out = world.collect(Image, "keyframes/segments", qos.SEGMENTS)
        wanted = [self.keyframes] + [self.segments] * (parameters.get("segmenter") == "topic")
        assert wait_for(lambda: all(p.get_subscription_count() for p in wanted))
        assert wait_for(lambda: world.probe.count_publishers("keyframes/segments") == 1)
        assert wait_for(lambda: self.node._publisher.get_subscription_count() == 1)

    def keyframe(self, stamp):
        self.keyframes.publish(bytes_to_compressed(JPEG, make_header(stamp, "front")))

    def label(self, stamp, labels=LABELS):
        self.segments.publish(labels_to_image(labels, make_header(stamp, "front")))

    def results(self, count):
        assert wait_for(lambda: len(self.out) >= count), f"{len(self.out)} of {count}: {self.node.diagnostics.status()}"
        return {keyframe_name(m.header): None if is_unsegmented(m) else image_to_labels(m) for m in self.out}


@pytest.fixture
def world():
    with ros(DOMAIN) as made:
        yield made


def values(node):
    return {pair.key: pair.value for pair in node.diagnostics.status().values}


def test_segments_of_a_topic_match_their_keyframe_in_either_order(world):
    bench = Bench(world, segmenter="topic", segments_timeout=30.0)
    bench.keyframe(1)
    bench.label(2, LABELS * 0)
    bench.label(3)
    bench.label(1)
    bench.keyframe(3)
    results = bench.results(2)
    assert set(results) == {"front_1", "front_3"}, "segments of images that are no keyframes are of no interest"
    np.testing.assert_array_equal(results["front_1"], LABELS)
    np.testing.assert_array_equal(results["front_3"], LABELS)
    assert bench.out[0].encoding == "mono16"


def test_a_keyframe_without_segments_goes_on_as_unsegmented_until_they_come(world):
    bench = Bench(world, segmenter="topic", segments_timeout=0.3)
    bench.keyframe(5)
    assert bench.results(1)["front_5"] is None
    bench.label(5)
    assert wait_for(lambda: len(bench.out) == 2)
    np.testing.assert_array_equal(image_to_labels(bench.out[1]), LABELS)
    bench.keyframe(6)
    bench.label(6)
    assert bench.results(3)["front_6"].any()
    assert values(bench.node)["keyframes without segments"] == "1"
    assert values(bench.node)["segments that came late"] == "1"


def test_segments_of_another_size_are_fitted_or_refused(world):
    bench = Bench(world, segmenter="topic", segments_timeout=30.0)
    bench.label(1, LABELS[::2, ::2].copy())
    bench.keyframe(1)
    bench.label(2, LABELS[:, :30].copy())
    bench.keyframe(2)
    results = bench.results(2)
    assert (results["front_1"] == LABELS).mean() > 0.95
    assert results["front_2"] is None
    assert "30×40 for an image of 60×40" in bench.node.diagnostics.last_error


def test_objects_of_a_class_that_no_prompt_has_are_left_out_and_told(world):
    bench = Bench(world, segmenter="topic", prompts=["house"], segments_timeout=30.0)
    other = LABELS.copy()
    other[:5] = 2001
    bench.label(1, other)
    bench.keyframe(1)
    kept = np.where(other == 2001, 0, other)
    assert np.array_equal(bench.results(1)["front_1"], kept)
    assert kept.any()
    told = [finding.text for finding in bench.node.diagnostics.findings.list() if finding.kind is UNKNOWN_CODES]
    assert len(told) == 1
    assert "/front/segments go up to 2, and there are 1 prompts" in told[0]


def test_flush_answers_when_everything_went_through(world):
    bench = Bench(world, segmenter="topic", segments_timeout=0.5)
    for stamp in range(1, 6):
        bench.keyframe(stamp)
    bench.label(4)
    assert world.call(Trigger, "segmentation_node/flush").success
    assert values(bench.node)["keyframes segmented"] == "1"
    assert values(bench.node)["keyframes not segmented"] == "4"
    assert len(bench.results(5)) == 5


def test_segments_from_files(world, tmp_path):
    """A file without objects says that there are none; without a file nobody has looked."""
    (tmp_path / "front_1.png").write_bytes(encode_png(np.where(LABELS > 0, 3, 0).astype(np.uint16)))
    (tmp_path / "front_3.png").write_bytes(encode_png(np.zeros_like(LABELS)))
    bench = Bench(world, segmenter="label_images", segments_dir=str(tmp_path), prompts=["house"])
    bench.keyframe(1)
    bench.keyframe(2)
    bench.keyframe(3)
    results = bench.results(3)
    np.testing.assert_array_equal(results["front_1"] > 0, LABELS > 0)
    assert set(np.unique(results["front_1"]) // 1000) == {0, 1}
    assert results["front_2"] is None
    assert not results["front_3"].any()
    (found,) = bench.node.diagnostics.findings.list()
    assert (found.kind, found.count, found.examples) == (WITHOUT_MASK, 1, ("front_2",))


def test_without_a_segmenter_nothing_is_published(world):
    node = world.add(SegmentationNode, segmenter="none")
    assert node.state == "active"
    assert world.probe.count_publishers("/seg2d3d/keyframes/segments") == 0


def test_label_images_without_a_directory_says_what_to_give(world):
    with pytest.raises(UsageError, match="segments_dir"):
        world.add(SegmentationNode, segmenter="label_images")
