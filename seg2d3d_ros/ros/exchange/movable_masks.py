"""Keyframes and the masks of what moves in them: brought together before the keyframe is mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import String

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Kind
from seg2d3d_ros.keyframes.waiting import Synchronizer
from seg2d3d_ros.ros.messages.class_names import CLASSES_TOPIC, read_class_names
from seg2d3d_ros.ros.messages.conversion import image_to_labels, is_unsegmented, keyframe_name
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import LATCHED, SEGMENTS
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.encoding import PER_CLASS
from seg2d3d_ros.segmentation.movable import class_ids
from seg2d3d_ros.types import Keyframe

MOVING_THINGS_KEPT = Kind(
    "moving_things_kept",
    "keyframes that were mapped with what moves in them",
    cause="their masks did not come within movable_wait ({wait:g} s)",
    remedy="raise movable_wait, or take a faster segmenter",
)


class MovableMasks:
    """Holds keyframes back until ``keyframes/segments`` has theirs; make it in ``activate``.

    Without movable classes, or without a segmenter, keyframes pass at once. One that waits longer than ``wait`` goes on
    without a mask, and is counted: a keyframe with a car in its picture is better than none.

    Args:
        deliver: gets each keyframe with (H, W) bool, True where keypoints are not wanted, or None.
        wait: seconds.
    """

    def __init__(
        self, node: ManagedNode, deliver: Callable[[Keyframe, np.ndarray | None], None], config: SegmentationConfig, wait: float
    ) -> None:
        self._node, self._deliver, self._movable, self._wait = node, deliver, config.movable, wait
        self._names = config.asked
        self._masking = bool(config.movable) and config.segmenter != "none"
        parts = ("segments",) if self._masking else ()
        self._synchronizer = Synchronizer("keyframe", parts, self._give, timeout=wait)
        if self._masking:
            node.subscribe(String, CLASSES_TOPIC, self._classes, LATCHED)
            node.subscribe(Image, "keyframes/segments", self._segments, SEGMENTS)
            node.every(0.2, self._synchronizer.release)

    @property
    def pending(self) -> int:
        """Keyframes that wait."""
        return self._synchronizer.pending

    def take(self, keyframe: Keyframe) -> None:
        """A keyframe came."""
        self._synchronizer.add("keyframe", keyframe.name, keyframe)

    def _classes(self, message: String) -> None:
        self._names = read_class_names(message)

    def _segments(self, message: Image) -> None:
        name, late = keyframe_name(message.header), self._synchronizer.late
        self._synchronizer.add("segments", name, message)
        if self._synchronizer.late > late:
            self._node.diagnostics.count("masks of movable things that came late")

    def _give(self, parts: dict[str, Any]) -> None:
        if self._masking and "segments" not in parts:
            self._node.diagnostics.findings.add(MOVING_THINGS_KEPT, parts["keyframe"].name, wait=self._wait)
        self._deliver(parts["keyframe"], self._mask(parts["segments"]) if "segments" in parts else None)

    def _mask(self, message: Image) -> np.ndarray | None:
        if is_unsegmented(message):
            return None
        try:
            labels = image_to_labels(message)
        except DataError as error:
            self._node.errors.refused("keyframes/segments", error)
            return None
        return np.isin(labels // PER_CLASS, class_ids(self._names, self._movable))
