"""Masks from other nodes: mono16 label images on topics, brought together with the keyframes that they belong to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.keyframes.waiting import Synchronizer
from seg2d3d_ros.recording.cameras import find_segments
from seg2d3d_ros.recording.topics import IMAGE
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import input_profile
from seg2d3d_ros.types import Keyframe

LATE_KEPT = 100
"""Keyframes that went on without masks and still wait for them; encoded they take some ten megabytes."""


class SegmentTopics:
    """Subscribes to the topics as they appear in the graph, and waits for each keyframe's masks; make it in ``activate``.

    Args:
        deliver: gets each keyframe, its header, and the topic and message of its masks, or None where none came in time.
            Masks that come later are delivered then: what is made of them takes the place of the empty answer.
        topics: names; empty = those that the graph shows.
        timeout: seconds that a keyframe waits for its masks.
    """

    def __init__(
        self,
        node: ManagedNode,
        deliver: Callable[[Keyframe, Header, tuple[str, Image] | None], None],
        topics: Sequence[str],
        timeout: float,
    ) -> None:
        self._node, self._deliver, self._timeout = node, deliver, timeout
        self._named = [node.resolve_topic_name(topic) for topic in topics]
        self._found: set[str] = set()
        self._without: OrderedDict[str, tuple[Keyframe, Header]] = OrderedDict()
        self._synchronizer = Synchronizer("image", ("segments",), self._give, timeout=timeout)
        self._find_topics()
        node.every(0.5, self._find_topics)
        node.every(0.1, self._synchronizer.release)

    @property
    def pending(self) -> int:
        """Keyframes that wait."""
        return self._synchronizer.pending

    def take(self, keyframe: Keyframe, header: Header) -> None:
        """A keyframe came."""
        self._synchronizer.add("image", keyframe_name(header), (keyframe, header))

    def _segments(self, topic: str, message: Image) -> None:
        name = keyframe_name(message.header)
        if without := self._without.pop(name, None):
            self._node.diagnostics.count("segments that came late")
            self._deliver(*without, (topic, message))
        else:
            self._synchronizer.add("segments", name, (topic, message))

    def _give(self, parts: dict[str, Any]) -> None:
        keyframe, header = parts["image"]
        self._deliver(keyframe, header, parts.get("segments"))
        if "segments" in parts:
            return
        if self._node.diagnostics.count("keyframes without segments") == 1:
            topics = ", ".join(sorted(self._found)) or "no topic (set segments_topics)"
            self._node.get_logger().warning(
                f"{keyframe.name}: no segments within {self._timeout:g} s from {topics}; it waits no longer "
                "(further ones are counted in /diagnostics)"
            )
        self._without[keyframe.name] = (keyframe, header)
        while len(self._without) > LATE_KEPT:
            self._without.popitem(last=False)

    def _find_topics(self) -> None:
        own, node = self._node.get_namespace().rstrip("/"), self._node
        graph = dict(node.get_topic_names_and_types())
        for topic in self._named or find_segments(graph, own=(f"{own}/keyframes/", f"{own}/instances/")):
            if topic in self._found or not (publishers := node.get_publishers_info_by_topic(topic)):
                continue
            if IMAGE not in graph.get(topic, [IMAGE]):
                raise UsageError(f"segments topic {topic} is a {', '.join(graph[topic])}, not a {IMAGE}")
            self._found.add(topic)
            node.subscribe(Image, topic, partial(self._segments, topic), input_profile("auto", publishers))
            node.get_logger().info(f"segments from {topic}")
        missing = ", ".join(topic for topic in self._named if topic not in self._found)
        if not self._named and not self._found:
            missing = "any mono16 topic called segments (or set segments_topics)"
        node.diagnostics.problem("segments", f"waiting for {missing}" if missing else "")


def fitting_labels(topic: str, message: Image, keyframe: Keyframe) -> np.ndarray:
    """The masks (H, W) uint16 of a message in the size of the keyframe's image.

    Raises:
        DataError: another encoding than mono16 or mono8, or another aspect ratio.
    """
    labels, (width, height) = image_to_labels(message), keyframe.size
    if labels.shape == (height, width):
        return labels
    if abs(labels.shape[1] * height - labels.shape[0] * width) > max(width, height):
        raise DataError(f"{topic}: segments of {labels.shape[1]}×{labels.shape[0]} for an image of {width}×{height}")
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
