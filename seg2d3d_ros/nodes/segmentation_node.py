"""segmentation_node: keyframes in, ``keyframes/segments`` out (mono16, ``class_id * 1000 + k``).

``segmentation.segmenter`` says where the objects come from: ``topic`` = label images of another node, matched with the
keyframes by their header in either order; ``label_images`` = files; ``none`` = nothing is published.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.images import image_size
from seg2d3d_ros.ros.conversion import image_to_labels, keyframe_name, labels_to_image
from seg2d3d_ros.ros.graph import IMAGE, find_segments
from seg2d3d_ros.ros.keyframe_messages import KeyframeSubscription
from seg2d3d_ros.ros.matching import Matcher
from seg2d3d_ros.ros.node import ManagedNode
from seg2d3d_ros.ros.parameters import SegmentationParameters
from seg2d3d_ros.ros.qos import SEGMENTS, input_profile
from seg2d3d_ros.ros.run import spin_node
from seg2d3d_ros.segmentation.base import Segmenter, no_segments
from seg2d3d_ros.segmentation.encoding import from_mono16, to_mono16
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.types import Keyframe, Segments

SEGMENTS_TOPIC = "keyframes/segments"


class SegmentationNode(ManagedNode):
    """See the module. Keyframes whose segments fail or do not come go on with none, and are counted."""

    PARAMETERS = SegmentationParameters
    SECTIONS = ("segmentation",)
    ros: SegmentationParameters

    def __init__(self, **options: Any) -> None:
        super().__init__("segmentation_node", **options)

    def configure(self) -> None:
        self._segmenter: Segmenter | None = None
        self._matcher: Matcher | None = None
        kind = self.config.segmentation.segmenter
        if kind == "none":
            self.get_logger().info("segmenter is none: keyframes get no segments")
            return
        if kind != "topic":
            if kind == "label_images" and not self.ros.segments_dir:
                raise UsageError("segmenter label_images needs segments_dir:=DIR; or take segmenter:=topic or none")
            self._segmenter = create_segmenter(self.config.segmentation, Path(self.ros.segments_dir))
        self._publisher = self.advertise(Image, SEGMENTS_TOPIC, SEGMENTS)

    def activate(self) -> None:
        kind = self.config.segmentation.segmenter
        if kind == "none":
            return
        self._worker = self.worker("segmentation", self._segment)
        if kind == "topic":
            self._matcher = Matcher("image", ("segments",), timeout=self.ros.segments_timeout)
            self._topics: set[str] = set()
            self._find_topics()
            self.every(0.5, self._find_topics)
            self.every(0.1, self._expire)
        KeyframeSubscription(self, self._keyframe, whole=False)
        self.serve_flush(self._flush)

    def cleanup(self) -> None:
        if self._segmenter:
            self._segmenter.close()

    # Where keyframes and segments come in (executor).

    def _keyframe(self, keyframe: Keyframe, header: Header) -> None:
        if self._matcher is None:
            self._worker.put((keyframe, header, None))
        else:
            self._match("image", header, (keyframe, header))

    def _match(self, part: str, header: Header, value: object) -> None:
        assert self._matcher is not None
        if parts := self._matcher.add(part, keyframe_name(header), value, time.monotonic()):
            self._worker.put((*parts["image"], parts["segments"]))
        self.diagnostics.set("segments too late", self._matcher.late)

    def _expire(self) -> None:
        assert self._matcher is not None
        for parts in self._matcher.expired(time.monotonic()):
            keyframe, header = parts["image"]
            missed = self.diagnostics.count("keyframes without segments")
            if missed == 1:
                topics = ", ".join(sorted(self._topics)) or "no topic (set segments_topics)"
                self.get_logger().warning(
                    f"{keyframe.name}: no segments within {self.ros.segments_timeout:g} s from {topics}; it goes on without "
                    "(further ones are counted in /diagnostics)"
                )
            self._worker.put((keyframe, header, no_segments(keyframe.name, _shape(keyframe))))

    def _find_topics(self) -> None:
        """Subscribe to the named topics, or to those that the graph shows, as they appear."""
        own = self.get_namespace().rstrip("/")
        graph = dict(self.get_topic_names_and_types())
        named = [self.resolve_topic_name(topic) for topic in self.ros.segments_topics]
        for topic in named or find_segments(graph, own=(f"{own}/keyframes/", f"{own}/instances/")):
            if topic in self._topics or (publishers := self.get_publishers_info_by_topic(topic)) == []:
                continue
            if IMAGE not in graph.get(topic, [IMAGE]):
                raise UsageError(f"segments topic {topic} is a {', '.join(graph[topic])}, not a {IMAGE}")
            self._topics.add(topic)
            self.subscribe(Image, topic, self._segments_from(topic), input_profile("auto", publishers))
            self.get_logger().info(f"segments from {topic}")
        missing = ", ".join(topic for topic in named if topic not in self._topics)
        if not named and not self._topics:
            missing = "any mono16 topic called segments (or set segments_topics)"
        self.diagnostics.problem("segments", f"waiting for {missing}" if missing else "")

    def _segments_from(self, topic: str) -> Callable[[Image], None]:
        return lambda message: self._match("segments", message.header, (topic, message))

    # What becomes of them (worker).

    def _segment(self, item: tuple[Keyframe, Header, Any]) -> None:
        keyframe, header, given = item
        try:
            segments = self._segments(keyframe, given)
            labels = to_mono16(segments)
        except DataError as error:
            self.diagnostics.count("keyframes with bad segments")
            if self.diagnostics.error("segmentation", error):
                self.get_logger().error(str(error))
            labels = np.zeros(_shape(keyframe), np.uint16)
        self._publisher.publish(labels_to_image(labels, header))
        self.diagnostics.count("keyframes segmented")

    def _segments(self, keyframe: Keyframe, given: Any) -> Segments:
        if isinstance(given, Segments):
            return given
        if given is None:
            assert self._segmenter is not None
            return self._segmenter.segment(keyframe)
        topic, message = given
        labels, (height, width) = image_to_labels(message), _shape(keyframe)
        if labels.shape != (height, width):
            if abs(labels.shape[1] * height - labels.shape[0] * width) > max(width, height):
                raise DataError(f"{topic}: segments of {labels.shape[1]}×{labels.shape[0]} for an image of {width}×{height}")
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        options = self.config.segmentation
        return from_mono16(keyframe.name, labels, len(options.prompts), options.min_area, topic)

    def _flush(self) -> None:
        while self._matcher and self._matcher.pending and not self.stopping.wait(0.05):
            pass
        self._worker.drain()


def _shape(keyframe: Keyframe) -> tuple[int, int]:
    width, height = image_size(keyframe.encoded, keyframe.name)
    return height, width


def main() -> None:
    """Console script."""
    sys.exit(spin_node(SegmentationNode))


if __name__ == "__main__":
    main()
