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

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.trajectory import StampedSeries
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.keyframes.motion import SHARPNESS_WIDTH
from seg2d3d_ros.keyframes.selection import ImageSelector, small_gray
from seg2d3d_ros.keyframes.waiting import Companion, WaitingKeyframes
from seg2d3d_ros.recording.calibration import intrinsics
from seg2d3d_ros.recording.cameras import CameraTopic, find_cameras, resolve_camera
from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns
from seg2d3d_ros.recording.raw_images import raw_gray
from seg2d3d_ros.recording.topics import FIX
from seg2d3d_ros.ros.exchange.keyframe_exchange import KeyframePublisher
from seg2d3d_ros.ros.messages.conversion import compressed_to_bytes, image_to_rgb, keyframe_name
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import KeyframeParameters
from seg2d3d_ros.ros.node.qos import input_profile
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.types import Keyframe

PUBLISHED_PATIENCE = 5.0
"""Times ``camera_info_timeout`` that an image waits for a calibration whose topic has a publisher."""


@dataclass
class _Camera:
    """One subscribed camera; ``since`` is when its first image came (monotonic s)."""

    topic: CameraTopic
    info: CameraInfo | None = None
    since: float = 0.0
    warned: bool = False


@dataclass(eq=False)
class _Chosen:
    """An image that is a keyframe and waits for its companions."""

    camera: _Camera
    message: Any
    encoded: bytes


class KeyframeNode(ManagedNode):
    """See the module."""

    NAME = "keyframe_node"
    PARAMETERS = KeyframeParameters
    SECTIONS = ("keyframes",)
    ros: KeyframeParameters

    def configure(self) -> None:
        self._sender = KeyframePublisher(self)

    def activate(self) -> None:
        self._selector: ImageSelector[tuple[_Camera, Any]] = ImageSelector(self.config.keyframes)
        self._fixes = StampedSeries[GeoPosition](self.config.keyframes.max_fix_gap)
        self._fix_topic = ""
        self._cameras: dict[str, _Camera] = {}
        self._left_out: set[str] = set()
        self._topic_of: dict[str, str] = {}
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
        own = self.get_namespace().rstrip("/")
        ours = (f"{own}/keyframes/", f"{own}/instances/", f"{own}/map/")
        graph = {name: types for name, types in self.get_topic_names_and_types() if self.count_publishers(name)}
        if self.ros.camera_topics:
            named = {self.resolve_topic_name(topic) for topic in self.ros.camera_topics}
            found = {name: resolve_camera(name, graph) for name in named}
            missing = ", ".join(sorted(name for name, topic in found.items() if topic is None))
            cameras = [topic for topic in found.values() if topic]
        else:
            cameras, left_out = find_cameras(graph, own=ours)
            missing = "" if cameras or self._cameras else "any image topic with a camera_info beside it (or set camera_topics)"
            for name in left_out.keys() - self._left_out:
                self._left_out.add(name)
                self.get_logger().info(f"{name} is left out: {left_out[name]}; camera_topics chooses")
        for topic in cameras:
            if topic.topic not in self._cameras and topic.topic not in self._left_out:
                self._subscribe_camera(topic)
        self.diagnostics.problem("cameras", f"waiting for {missing}" if missing else "")
        self._search_fix(graph, ours)

    def _subscribe_camera(self, topic: CameraTopic) -> None:
        camera = self._cameras[topic.topic] = _Camera(topic)
        kind = CompressedImage if topic.compressed else Image
        # The calibration first: the executor serves subscriptions in the order of their creation.
        self.subscribe(CameraInfo, topic.info_topic, lambda m: setattr(camera, "info", m), self._profile(topic.info_topic))
        self.subscribe(kind, topic.topic, lambda m: self._image(camera, m), self._profile(topic.topic), required=True)
        self.get_logger().info(f"camera {topic.topic} with {topic.info_topic}")

    def _search_fix(self, graph: dict[str, list[str]], ours: tuple[str, ...]) -> None:
        if self._fix_topic or self.ros.fix_topic == "none":
            return
        known = [name for name, types in graph.items() if FIX in types and not name.startswith(ours)]
        if self.ros.fix_topic:
            known = [name for name in known if name == self.resolve_topic_name(self.ros.fix_topic)]
        if len(known) > 1:
            raise UsageError(f"several topics with positions: {', '.join(sorted(known))}; choose one with fix_topic, or none")
        for name in known:
            self._fix_topic = name
            self.subscribe(NavSatFix, name, self._fix, self._profile(name))
            self.get_logger().info(f"positions from {name}")

    def _profile(self, topic: str) -> Any:
        return input_profile(self.ros.input_qos, self.get_publishers_info_by_topic(topic))

    # What comes in (executor).

    def _image(self, camera: _Camera, message: Any) -> None:
        name = camera_name(message.header.frame_id)
        owner = self._topic_of.setdefault(name, camera.topic.topic)
        if owner != camera.topic.topic:
            raise UsageError(
                f"{camera.topic.topic} and {owner} have the same frame_id {message.header.frame_id!r}; images are told apart "
                "by it: give each camera its own, or leave one out of camera_topics"
            )
        if stamp_to_ns(message.header.stamp) == 0:
            raise DataError(f"{camera.topic.topic}: images without a time stamp cannot be matched with anything")
        camera.since = camera.since or time.monotonic()
        self._worker.put((camera, message))

    def _fix(self, message: NavSatFix) -> None:
        with self._lock:
            self._fixes.add(stamp_to_ns(message.header.stamp), GeoPosition.from_ros(message))
        self.diagnostics.set("positions used", self._fixes.used)

    # Choosing (worker).

    def _look(self, item: tuple[_Camera, Any] | None) -> None:
        """One image; None decides what is open."""
        if item is None:
            chosen = self._selector.flush()
        else:
            camera, message = item
            self._decided = False
            name, stamp = camera_name(message.header.frame_id), stamp_to_ns(message.header.stamp)
            chosen = self._selector.offer(name, stamp, lambda: _gray(message, camera.topic), item)
        for camera, message in chosen:
            waiting = _Chosen(camera, message, self._encoded(message))
            with self._lock:
                self._waiting.add(waiting, time.monotonic())
        for key, value in vars(self._selector.counts).items():
            self.diagnostics.set(f"images {key}", value)

    def _encoded(self, message: Any) -> bytes:
        if isinstance(message, CompressedImage):
            return compressed_to_bytes(message)
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
            camera = chosen.camera
            if camera.info is None and not camera.warned:
                camera.warned = True
                self.get_logger().warning(
                    f"{camera.topic.topic}: no camera_info on {camera.topic.info_topic}; its keyframes go on uncalibrated"
                )
            self._sender.send(chosen.encoded, chosen.message.header, _info(camera), geo)
            self.diagnostics.count("keyframes with position" if geo else "keyframes without position")

    def _positioned(self, chosen: _Chosen) -> bool:
        return not self._fix_topic or self._fixes.reaches(stamp_to_ns(chosen.message.header.stamp))

    def _calibrated(self, chosen: _Chosen) -> bool:
        """A calibration that somebody publishes will come, if late on a busy machine; one that nobody publishes will not."""
        camera = chosen.camera
        if camera.info is not None:
            return True
        published = self.count_publishers(camera.topic.info_topic) > 0
        patience = self.ros.camera_info_timeout * (PUBLISHED_PATIENCE if published else 1.0)
        return time.monotonic() - camera.since > patience

    def _flush(self) -> None:
        self._worker.put(None)
        self._worker.drain()
        self._send_ready(everything=True)


def _gray(message: Any, topic: CameraTopic) -> Any:
    source = f"{topic.topic} {keyframe_name(message.header)}"
    if isinstance(message, CompressedImage):
        return small_gray(Keyframe(source, "", 0, compressed_to_bytes(message), source=source))
    return raw_gray(message, SHARPNESS_WIDTH, source)


def _info(camera: _Camera) -> CameraInfo | None:
    """A copy of the camera's calibration; for rectified images that of P, without distortion."""
    if camera.info is None:
        return None
    info = copy.copy(camera.info)
    info.k, info.d = intrinsics(info, rectified=camera.topic.rectified)
    return info


def main() -> None:
    """Console script."""
    sys.exit(spin_node(KeyframeNode))


if __name__ == "__main__":
    main()
