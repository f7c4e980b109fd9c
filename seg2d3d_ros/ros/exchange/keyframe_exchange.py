"""Keyframes on the wire: ``keyframes/image/compressed``, ``keyframes/camera_info`` and ``keyframes/fix``.

The three messages of one keyframe share its header, which is its identity. A camera without calibration sends a
``camera_info`` whose K is zero (ROS's convention), a keyframe without position a fix without status: so a receiver
need not wait to find out, and also works with publishers that send only the image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, NavSatFix
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import image_size, image_suffix
from seg2d3d_ros.keyframes.streams.camera_input import CALIBRATION_UNUSABLE
from seg2d3d_ros.keyframes.waiting import Synchronizer
from seg2d3d_ros.recording.calibration import camera_from_message
from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, compressed_to_bytes, fix_from_geo, keyframe_name
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import KEYFRAMES
from seg2d3d_ros.types import Keyframe

IMAGE_TOPIC, INFO_TOPIC, FIX_TOPIC = "keyframes/image/compressed", "keyframes/camera_info", "keyframes/fix"


class KeyframePublisher:
    """Sends keyframes; make it in ``configure``."""

    def __init__(self, node: ManagedNode) -> None:
        self._image = node.advertise(CompressedImage, IMAGE_TOPIC, KEYFRAMES)
        self._info = node.advertise(CameraInfo, INFO_TOPIC, KEYFRAMES)
        self._fix = node.advertise(NavSatFix, FIX_TOPIC, KEYFRAMES)

    def send(self, encoded: bytes, header: Header, info: CameraInfo | None, geo: GeoPosition | None) -> None:
        """Send one keyframe; ``info`` None marks an uncalibrated camera."""
        if info is None:
            width, height = image_size(encoded, keyframe_name(header))
            info = CameraInfo(width=width, height=height)
        info.header = header
        self._info.publish(info)
        self._fix.publish(fix_from_geo(geo, header))
        self._image.publish(bytes_to_compressed(encoded, header))


class KeyframeSubscription:
    """Receives keyframes as values; make it in ``activate``.

    Args:
        node: its callbacks run in the node's executor.
        receive: gets each keyframe together with its header.
        whole: False for the image alone (no calibration, no position), at once.
        timeout: how long an image waits for its ``camera_info`` and fix before it goes on without.
    """

    def __init__(
        self, node: ManagedNode, receive: Callable[[Keyframe, Header], None], *, whole: bool = True, timeout: float = 2.0
    ) -> None:
        self._receive = receive
        self._synchronizer = Synchronizer("image", ("info", "fix") if whole else (), self._give, timeout=timeout)
        self._findings = node.diagnostics.findings
        node.subscribe(CompressedImage, IMAGE_TOPIC, partial(self._add, "image"), KEYFRAMES)
        if whole:
            node.subscribe(CameraInfo, INFO_TOPIC, partial(self._add, "info"), KEYFRAMES)
            node.subscribe(NavSatFix, FIX_TOPIC, partial(self._add, "fix"), KEYFRAMES)
            node.every(0.2, self._synchronizer.release)

    @property
    def pending(self) -> int:
        """Images that wait for their other messages."""
        return self._synchronizer.pending

    def _add(self, part: str, message: Any) -> None:
        self._synchronizer.add(part, keyframe_name(message.header), message)

    def _give(self, parts: dict[str, Any]) -> None:
        image: CompressedImage = parts["image"]
        encoded = compressed_to_bytes(image)
        name = keyframe_name(image.header)
        camera = self._camera(parts["info"], encoded, name) if "info" in parts else None
        geo = GeoPosition.from_ros(parts["fix"]) if "fix" in parts else None
        keyframe = Keyframe(
            name=name,
            camera_name=camera_name(image.header.frame_id),
            stamp_ns=stamp_to_ns(image.header.stamp),
            encoded=encoded,
            camera=camera,
            geo=geo,
            file_name=f"{name}.{image_suffix(encoded)}",
            source=IMAGE_TOPIC,
        )
        self._receive(keyframe, image.header)

    def _camera(self, info: CameraInfo, encoded: bytes, name: str) -> Camera | None:
        """Intrinsics that fit the image; a calibration that does not is counted, and treated as none."""
        try:
            size = image_size(encoded, name)
        except DataError:
            return None  # the image is damaged, not the calibration; whoever decodes it says so
        try:
            return camera_from_message(info, size, f"camera_info of {info.header.frame_id}")
        except DataError as error:
            self._findings.add(CALIBRATION_UNUSABLE, info.header.frame_id, reason=str(error))
            return None
