"""Image messages of a recording as keyframes with their camera's calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Finding, Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.image_files import damage
from seg2d3d_ros.images import image_size, image_suffix
from seg2d3d_ros.keyframes.motion import SHARPNESS_WIDTH
from seg2d3d_ros.keyframes.photo_findings import DAMAGED
from seg2d3d_ros.keyframes.selection import small_gray
from seg2d3d_ros.keyframes.streams.camera_input import CALIBRATION_UNUSABLE, IMAGES_UNREADABLE, NO_CAMERA_INFO
from seg2d3d_ros.recording.calibration import camera_from_message
from seg2d3d_ros.recording.cameras import CameraTopic
from seg2d3d_ros.recording.compressed_images import JPEG_QUALITY, compressed_image
from seg2d3d_ros.recording.naming import stream_name
from seg2d3d_ros.recording.raw_images import raw_gray, raw_picture
from seg2d3d_ros.types import Keyframe


class RecordedImages:
    """Decodes the images of some cameras, and counts those that cannot be read.

    Args:
        infos: the ``CameraInfo`` message by image topic, None where there is none.
        findings: gets what is wrong with calibrations.
    """

    def __init__(self, infos: Mapping[str, Any | None], findings: Findings) -> None:
        self._infos, self._findings = infos, findings
        self._unreadable: Counter[str] = Counter()
        self._why: dict[str, str] = {}

    def gray(self, camera: CameraTopic, message: Any) -> np.ndarray:
        """(H, W) uint8 grey, small, for the choice of keyframes. Raises ``DataError``, counted, where it cannot be read."""
        try:
            if camera.compressed:
                encoded = compressed_image(message, camera.topic)
                return small_gray(Keyframe("", camera.name, 0, encoded, source=camera.topic))
            return raw_gray(message, SHARPNESS_WIDTH, camera.topic)
        except DataError as error:
            self.refuse(camera, error)
            raise

    def keyframe(self, camera: CameraTopic, message: Any, stamp_ns: int) -> Keyframe | None:
        """The keyframe of a message; None, counted, where its image cannot be read."""
        name = stream_name(camera.name, stamp_ns)
        try:
            if camera.compressed:
                encoded = compressed_image(message, camera.topic)
            else:
                picture = raw_picture(message, camera.topic)
                encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
            size = image_size(encoded, camera.topic)
        except DataError as error:
            self.refuse(camera, error)
            return None
        if words := damage(encoded):
            self._findings.add(DAMAGED, name, words=words)
        return Keyframe(
            name=name,
            camera_name=camera.name,
            stamp_ns=stamp_ns,
            encoded=encoded,
            camera=self._calibration(camera, size, name),
            file_name=f"{name}.{image_suffix(encoded)}",
            source=camera.topic,
        )

    def finding(self, seen: int) -> Finding:
        """The images, of so many, that could not be read, by camera."""
        words = "; ".join(f"{topic} {count}: {self._why[topic]}" for topic, count in self._unreadable.items())
        return Finding(IMAGES_UNREADABLE, self._unreadable.total(), seen, (), {"reason": words})

    def refuse(self, camera: CameraTopic, error: DataError) -> None:
        """Count an image that cannot be read."""
        self._unreadable[camera.topic] += 1
        self._why.setdefault(camera.topic, str(error).removeprefix(f"{camera.topic}: "))

    def _calibration(self, camera: CameraTopic, size: tuple[int, int], name: str) -> Camera | None:
        if (info := self._infos[camera.topic]) is None:
            self._findings.add(NO_CAMERA_INFO, name, topic=camera.info_topic)
            return None
        reason = f"{camera.info_topic}: K is zero, the camera is not calibrated"
        try:
            found = camera_from_message(info, size, camera.info_topic, rectified=camera.rectified)
        except DataError as error:
            found, reason = None, str(error)
        if found is None:
            self._findings.add(CALIBRATION_UNUSABLE, name, reason=reason)
        return found
