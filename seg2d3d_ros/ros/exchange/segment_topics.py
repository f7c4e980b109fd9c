"""Masks from other nodes: mono16 label images on topics, brought together with the keyframes that they belong to."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import EXAMPLES, Finding, Kind
from seg2d3d_ros.keyframes.streams.mask_matching import MaskMatching, Moment
from seg2d3d_ros.keyframes.waiting import Synchronizer
from seg2d3d_ros.recording.cameras import find_segments
from seg2d3d_ros.recording.topics import COMPRESSED, IMAGE, TopicTypes
from seg2d3d_ros.ros.exchange.topic_search import NamedTopics, graph_of, without_results
from seg2d3d_ros.ros.messages.conversion import image_to_labels
from seg2d3d_ros.ros.node.following import FollowingSubscription
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.types import Keyframe

KEYFRAMES_WITHOUT_MASKS = Kind(
    "keyframes_without_masks",
    "keyframes for which another node sent no masks",
    cause="{reason}",
    remedy="let the segmenter copy the image's header and keep up with the images; see segments_timeout, segments_topics",
)
Masks = tuple[str, Image | CompressedImage]
"""The topic and message of a keyframe's masks."""
LATE_KEPT = 100
"""Keyframes that went on without masks and still wait for them; encoded they take some ten megabytes."""


class SegmentTopics:
    """Subscribes to the topics as they appear in the graph, and waits for each keyframe's masks; make it in ``activate``.

    Args:
        deliver: gets each keyframe, its header, and the topic and message of its masks, or None where none came in time.
            Masks that come later are delivered then: what is made of them takes the place of the empty answer.
        topics: names; empty = those that the graph shows.
        timeout: seconds that a keyframe waits for its masks.
        tolerance: seconds between the stamps of a mask and its image.
    """

    def __init__(
        self,
        node: ManagedNode,
        deliver: Callable[[Keyframe, Header, Masks | None], None],
        topics: Sequence[str],
        timeout: float,
        tolerance: float,
    ) -> None:
        self._node, self._deliver, self._timeout = node, deliver, timeout
        self._names = [node.resolve_topic_name(topic) for topic in topics]
        self._named = NamedTopics(node)
        self._found: dict[str, FollowingSubscription] = {}
        self._since = time.monotonic()
        self._matching = MaskMatching(tolerance)
        self._without: OrderedDict[Moment, tuple[Keyframe, Header]] = OrderedDict()
        self._keyframes = self._lacking = 0
        self._examples: list[str] = []
        self._reason = ""
        self._synchronizer = Synchronizer("image", ("segments",), self._give, timeout=timeout)
        self._find_topics()
        node.every(0.5, self._find_topics)
        node.every(0.1, self._synchronizer.release)

    @property
    def pending(self) -> int:
        """Keyframes that wait."""
        return self._synchronizer.pending

    @property
    def searching(self) -> float:
        """Seconds since which no topic with masks is there; 0 where one was found."""
        return 0.0 if self._found else time.monotonic() - self._since

    def forget(self) -> None:
        """The map begins anew: the keyframes of before may come once more, and get their masks once more."""
        self._synchronizer.forget()
        self._matching, self._keyframes, self._lacking, self._examples = self._matching.anew(), 0, 0, []
        self._without.clear()

    def take(self, keyframe: Keyframe, header: Header) -> None:
        """A keyframe came."""
        self._keyframes += 1
        moment = Moment.of(header)
        if early := self._matching.keyframe(moment):
            self._synchronizer.add("segments", moment, early)
        self._synchronizer.add("image", moment, (keyframe, header))

    def _segments(self, topic: str, message: Image | CompressedImage) -> None:
        for moment, found in self._matching.mask(Moment.of(message.header), (topic, message)):
            if without := self._without.pop(moment, None):
                self._node.diagnostics.count("segments that came late")
                self._reason = f"masks come later than segments_timeout, {self._timeout:g} s after their keyframe"
                self._lack(-1)
                self._deliver(*without, found)
            else:
                self._synchronizer.add("segments", moment, found)

    def _give(self, parts: dict[str, Any]) -> None:
        keyframe, header = parts["image"]
        moment = Moment.of(header)
        found = parts.get("segments") or self._matching.settle(moment)
        self._deliver(keyframe, header, found)
        if found is not None:
            return
        self._node.diagnostics.count("keyframes without segments")
        self._reason = self._why_none(moment)
        self._lack(1, keyframe.name)
        self._without[moment] = (keyframe, header)
        while len(self._without) > LATE_KEPT:
            self._without.popitem(last=False)

    def _lack(self, more: int, name: str = "") -> None:
        self._lacking += more
        self._examples = [*self._examples, name][:EXAMPLES] if name else self._examples
        details = {"reason": self._reason}
        found = Finding(KEYFRAMES_WITHOUT_MASKS, self._lacking, self._keyframes, tuple(self._examples), details)
        self._node.diagnostics.findings.put(found)

    def _why_none(self, moment: Moment) -> str:
        topics = ", ".join(sorted(self._found))
        if not topics:
            return "no topic with masks is there"
        if not self._matching.came:
            return f"nothing came on {topics} within {self._timeout:g} s"
        return self._matching.why_not(moment) or f"{topics} had none of the last ones within {self._timeout:g} s"

    def _find_topics(self) -> None:
        graph = graph_of(self._node)
        for topic in self._named_topics(graph) if self._names else find_segments(without_results(self._node, graph, (IMAGE,))):
            if topic not in self._found:
                kind = Image if IMAGE in graph[topic] else CompressedImage
                self._found[topic] = FollowingSubscription(self._node, kind, topic, partial(self._segments, topic))
                self._node.get_logger().info(f"segments from {topic}")
        for subscription in self._found.values():
            subscription.look()
        missing = ", ".join(topic for topic in self._names if topic not in self._found)
        if not self._names and not self._found:
            missing = "any mono16 topic called segments (or set segments_topics)"
        self._node.diagnostics.problem("segments", f"waiting for {missing}" if missing else "")

    def _named_topics(self, graph: TopicTypes) -> list[str]:
        return [topic for topic in self._names if self._named.check(topic, (IMAGE, COMPRESSED), graph)]


def fitting_labels(topic: str, message: Image | CompressedImage, keyframe: Keyframe) -> np.ndarray:
    """The masks (H, W) uint16 of a message in the size of the keyframe's image.

    Raises:
        DataError: no masks, or another aspect ratio.
    """
    labels, (width, height) = image_to_labels(message), keyframe.size
    if labels.shape == (height, width):
        return labels
    if abs(labels.shape[1] * height - labels.shape[0] * width) > max(width, height):
        raise DataError(f"{topic}: segments of {labels.shape[1]}×{labels.shape[0]} for an image of {width}×{height}")
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
