"""keyframe_node: camera images in, keyframes out (see ``ros.exchange.keyframe_exchange``).

Cameras are the named topics, or every image topic in the graph that has a ``camera_info`` beside it. Chosen images wait
a bounded time for their calibration and for the GPS fix behind them; then they go on without, and that is said.
"""

from __future__ import annotations

import copy
import math
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, NavSatFix

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import EXAMPLES, Finding, Kind
from seg2d3d_ros.images import encode_jpeg, image_size
from seg2d3d_ros.keyframes.motion import SHARPNESS_WIDTH
from seg2d3d_ros.keyframes.selection import ImageSelector, small_gray
from seg2d3d_ros.keyframes.streams.camera_input import (
    CALIBRATION_UNUSABLE,
    IMAGES_OUT_OF_ORDER,
    IMAGES_UNREADABLE,
    NO_CAMERA_INFO,
)
from seg2d3d_ros.keyframes.streams.fixes import FixFilter
from seg2d3d_ros.keyframes.waiting import Companion, WaitingKeyframes
from seg2d3d_ros.recording.calibration import camera_from_message, intrinsics
from seg2d3d_ros.recording.compressed_images import compressed_image
from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns
from seg2d3d_ros.recording.raw_images import raw_gray
from seg2d3d_ros.recording.topics import FIX, TopicTypes
from seg2d3d_ros.ros.exchange.camera_topics import CameraTopics, LiveCamera
from seg2d3d_ros.ros.exchange.keyframe_exchange import KeyframePublisher
from seg2d3d_ros.ros.exchange.topic_search import NamedTopics, graph_of, without_results
from seg2d3d_ros.ros.messages.conversion import image_to_rgb, keyframe_name
from seg2d3d_ros.ros.node.following import FollowingSubscription
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import KeyframeParameters
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.types import Keyframe

FIXES_AMBIGUOUS = Kind(
    "fixes_ambiguous",
    "topics with positions, none of which is used",
    cause="there are several",
    remedy="choose one with fix_topic, or none",
)
PUBLISHED_PATIENCE = 5.0
"""Times ``camera_info_timeout`` that an image waits for a calibration whose topic has a publisher."""


@dataclass(eq=False)
class _Chosen:
    """An image that is a keyframe and waits for its companions."""

    camera: LiveCamera
    message: Any
    encoded: bytes


class KeyframeNode(ManagedNode):
    """See the module."""

    NAME = "keyframe_node"
    PARAMETERS = KeyframeParameters
    SECTIONS = ("keyframes",)
    ros: KeyframeParameters

    def configure(self) -> None:
        if self.config.keyframes.panorama == "always":
            raise UsageError(
                "keyframes.panorama=always: nodes do not cut panoramas into views; let a node publish views as cameras, or "
                "record the drive and map it with 'seg2d3d bag --panorama'"
            )
        self._sender = KeyframePublisher(self)

    def activate(self) -> None:
        self._selector: ImageSelector[tuple[LiveCamera, Any]] = ImageSelector(self.config.keyframes)
        self._fixes = FixFilter(self.config.keyframes)
        self._fix_topic: FollowingSubscription | None = None
        self._named = NamedTopics(self)
        self._cameras = CameraTopics(self, self._named, self.ros.camera_topics, self.ros.input_qos, self._image)
        self._camera_of: dict[str, LiveCamera] = {}
        self._counts: dict[str, int] = {}
        # A calibration's time depends on its publishers, who may appear meanwhile.
        calibration = Companion(self._calibrated, math.inf)
        position = Companion(self._positioned, self.config.keyframes.max_fix_gap + 0.5)
        self._waiting: WaitingKeyframes[_Chosen] = WaitingKeyframes([calibration, position])
        self._lock = threading.Lock()
        self._decided = True
        self._worker = self.worker("keyframes", self._look, depth=self.config.keyframes.max_pending)
        self._search()
        self.every(0.5, self._search)
        self.every(0.1, self._send_ready)
        self.serve_flush(self._flush)

    # Finding topics (executor).

    def _search(self) -> None:
        """Subscribe to cameras and positions as their publishers appear in the graph."""
        graph = graph_of(self)
        self._cameras.look(graph)
        self._search_fix(graph)

    def _search_fix(self, graph: TopicTypes) -> None:
        if self._fix_topic:
            self._fix_topic.look()
        if self._fix_topic or self.ros.fix_topic == "none":
            return
        if self.ros.fix_topic:
            wanted = self.resolve_topic_name(self.ros.fix_topic)
            known = [wanted] if self._named.check(wanted, (FIX,), graph) else []
        else:
            known = sorted(name for name, types in without_results(self, graph, (FIX,)).items() if FIX in types)
        several = Finding(FIXES_AMBIGUOUS, len(known) if len(known) > 1 else 0, examples=tuple(known[:EXAMPLES]))
        self.diagnostics.findings.put(several)
        if len(known) == 1:
            self._fix_topic = FollowingSubscription(self, NavSatFix, known[0], self._fix, self.ros.input_qos, with_time=True)
            self.get_logger().info(f"positions from {known[0]}")

    # What comes in (executor).

    def _image(self, camera: LiveCamera, message: Any, sent_ns: int) -> None:
        name = camera_name(message.header.frame_id)
        owner = self._camera_of.setdefault(name, camera)
        if owner is not camera:
            raise UsageError(
                f"{camera.topic.topic} and {owner.topic.topic} have the same frame_id {message.header.frame_id!r}; images are "
                "told apart by it: give each camera its own, or leave one out of camera_topics"
            )
        if stamp_to_ns(message.header.stamp) == 0:
            raise DataError(f"{camera.topic.topic}: images without a time stamp cannot be matched with anything")
        with self._lock:
            self._fixes.add_image(stamp_to_ns(message.header.stamp), sent_ns)
        camera.since = camera.since or time.monotonic()
        self._worker.put((camera, message))

    def _fix(self, message: NavSatFix, sent_ns: int) -> None:
        with self._lock:
            self._fixes.add(message, stamp_to_ns(message.header.stamp), sent_ns)
            found = self._fixes.findings()
        for finding in found:
            self._tell(finding)
        self.diagnostics.set("positions used", self._fixes.used)

    def _tell(self, finding: Finding) -> None:
        """What was counted elsewhere, when its number has changed: then it is news in /diagnostics."""
        if self._counts.get(finding.kind.code, 0) != finding.count:
            self._counts[finding.kind.code] = finding.count
            self.diagnostics.findings.put(finding)

    # Choosing (worker).

    def _look(self, item: tuple[LiveCamera, Any] | None) -> None:
        """One image; None decides what is open."""
        if item is None:
            chosen = self._selector.flush()
        else:
            camera, message = item
            self._decided = False
            name, stamp = camera_name(message.header.frame_id), stamp_to_ns(message.header.stamp)
            chosen = self._selector.offer(name, stamp, lambda: self._gray(camera, message), item)
        for camera, message in chosen:
            self._choose(camera, message)
        counts = self._selector.counts
        for key, value in vars(counts).items():
            self.diagnostics.set(f"images {key}", value)
        details = {"late": counts.late, "repeated": counts.repeated}
        self._tell(Finding(IMAGES_OUT_OF_ORDER, counts.late + counts.repeated, counts.seen, details=details))

    def _gray(self, camera: LiveCamera, message: Any) -> np.ndarray:
        """The small grey picture; what cannot be read is counted here, and left out by the selector."""
        try:
            return _small(message, f"{camera.topic.topic} {keyframe_name(message.header)}")
        except DataError as error:
            self.diagnostics.findings.add(IMAGES_UNREADABLE, camera.topic.topic, reason=str(error))
            raise

    def _choose(self, camera: LiveCamera, message: Any) -> None:
        try:
            waiting = _Chosen(camera, message, self._encoded(message))
        except DataError as error:
            self.diagnostics.findings.add(IMAGES_UNREADABLE, camera.topic.topic, reason=str(error))
            return
        with self._lock:
            self._waiting.add(waiting, time.monotonic())

    def _encoded(self, message: Any) -> bytes:
        if isinstance(message, CompressedImage):
            return compressed_image(message, keyframe_name(message.header))
        return encode_jpeg(image_to_rgb(message), self.ros.jpeg_quality)

    # Sending (executor, or a flush's thread).

    def _send_ready(self, everything: bool = False) -> None:
        quiet = self.diagnostics.quiet_seconds()
        if not self._decided and quiet > max(1.0, self.config.keyframes.max_wait):
            self._decided = True
            self._worker.put(None)
        with self._lock:
            ready = self._waiting.release(time.monotonic(), everything)
            positions = [self._fixes.at(stamp_to_ns(chosen.message.header.stamp)) for chosen in ready]
        for chosen, geo in zip(ready, positions, strict=True):
            self._sender.send(chosen.encoded, chosen.message.header, self._usable_calibration(chosen), geo)
            self.diagnostics.count("keyframes with position" if geo else "keyframes without position")

    def _usable_calibration(self, chosen: _Chosen) -> CameraInfo | None:
        """The camera's calibration as it is sent; None, counted, where there is none that fits the image."""
        topic, name = chosen.camera.topic, keyframe_name(chosen.message.header)
        info = _info(chosen.camera)
        if info is None:
            self.diagnostics.findings.add(NO_CAMERA_INFO, topic.topic, topic=topic.info_topic)
            return None
        reason = f"{topic.info_topic}: K is zero, the camera is not calibrated"
        try:
            if camera_from_message(info, image_size(chosen.encoded, name), topic.info_topic) is not None:
                return info
        except DataError as error:
            reason = str(error)
        self.diagnostics.findings.add(CALIBRATION_UNUSABLE, topic.topic, reason=reason)
        return None

    def _positioned(self, chosen: _Chosen) -> bool:
        return not self._fix_topic or self._fixes.reaches(stamp_to_ns(chosen.message.header.stamp))

    def _calibrated(self, chosen: _Chosen) -> bool:
        """A calibration that somebody publishes will come, if late on a busy machine; one that nobody publishes will not."""
        camera = chosen.camera
        if camera.calibration is not None:
            return True
        published = self.count_publishers(camera.topic.info_topic) > 0
        patience = self.ros.camera_info_timeout * (PUBLISHED_PATIENCE if published else 1.0)
        return time.monotonic() - camera.since > patience

    def _flush(self) -> None:
        self._worker.put(None)
        self._worker.drain()
        with self._lock:
            self._fixes.flush()
            found = self._fixes.findings()
        for finding in found:
            self._tell(finding)
        self._send_ready(everything=True)


def _small(message: Any, source: str) -> np.ndarray:
    if isinstance(message, CompressedImage):
        return small_gray(Keyframe(source, "", 0, compressed_image(message, source), source=source))
    return raw_gray(message, SHARPNESS_WIDTH, source)


def _info(camera: LiveCamera) -> CameraInfo | None:
    """A copy of the camera's calibration; for rectified images that of P, without distortion."""
    if camera.calibration is None:
        return None
    info = copy.copy(camera.calibration)
    info.k, info.d = intrinsics(info, rectified=camera.topic.rectified)
    return info


def main() -> None:
    """Console script."""
    sys.exit(spin_node(KeyframeNode))


if __name__ == "__main__":
    main()
