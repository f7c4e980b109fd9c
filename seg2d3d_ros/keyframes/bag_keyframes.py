"""Keyframes from a recording, without ROS and as fast as it can be read."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from seg2d3d_ros.config import KeyframeConfig
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.trajectory import StampedSeries
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import decode_labels, encode_png, image_size, image_suffix
from seg2d3d_ros.keyframes.motion import SHARPNESS_WIDTH
from seg2d3d_ros.keyframes.odometry import MAX_GAP, VehicleOdometry
from seg2d3d_ros.keyframes.selection import ImageSelector, small_gray
from seg2d3d_ros.keyframes.waiting import Companion, WaitingKeyframes
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.recording.calibration import camera_from_message
from seg2d3d_ros.recording.cameras import CameraTopic, recorded_cameras
from seg2d3d_ros.recording.naming import stamp_to_ns, stream_name
from seg2d3d_ros.recording.raw_images import raw_gray, raw_picture, raw_pixels
from seg2d3d_ros.recording.reader import Recording, open_recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames
from seg2d3d_ros.recording.topics import FIX, INFO, ODOMETRY
from seg2d3d_ros.types import Keyframe

log = logging.getLogger(__name__)

JPEG_QUALITY = 95
SEGMENTS_DELAY = 5.0
"""Seconds: a segmentation that ran while recording answers this late at most."""


class BagItem(NamedTuple):
    """A keyframe, and where the recording has one its label image (H, W) uint16, ``class_id * 1000 + k``."""

    keyframe: Keyframe
    segments: np.ndarray | None


class _Chosen(NamedTuple):
    keyframe: Keyframe
    camera: CameraTopic


class BagKeyframes(AbstractContextManager["BagKeyframes"]):
    """The keyframes of a recording, read one by one while iterating; nothing but a few seconds is held in memory.

    Attributes:
        recording: open until ``close``.
        cameras: the camera topics that are read.
        left_out: the image topics that are not, with the reasons.
        counts: what became of the messages (``seen``, ``kept``, ``redundant``, …, ``fixes``, ``segments``).
        findings: complete after an iteration.
    """

    def __init__(
        self,
        recording: Recording,
        cameras: Sequence[str],
        fix_topic: str,
        config: KeyframeConfig,
        progress: Progress | None,
        odom_topic: str = "",
        findings: Findings | None = None,
    ):
        self.recording, self._config, self._progress = recording, config, progress
        self.cameras, self.left_out = recorded_cameras(recording, cameras)
        for topic, reason in self.left_out.items():
            log.info("%s is not read: %s", topic, reason)
        self._fix = recording.find(fix_topic, FIX) if fix_topic else _busiest_fix_topic(recording)
        self._odom = recording.find(odom_topic, ODOMETRY) if odom_topic else None
        self._tree = recorded_frames(recording)
        self.findings = Findings() if findings is None else findings
        there = [topic for topic, types in recording.types.items() if INFO in types]
        self._infos = {c.topic: recording.first(c.info_topic) if c.info_topic in there else None for c in self.cameras}
        for camera in self.cameras:
            if self._infos[camera.topic] is None:
                self._warn(
                    f"{camera.topic}: no calibration, there is no camera_info on {camera.info_topic}; "
                    "the intrinsics are estimated from the images"
                )
        self.counts: dict[str, int] = {}

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self.recording.close()

    def __iter__(self) -> Iterator[BagItem]:
        """Yield the keyframes in about the order of time.

        Raises:
            DataError: at the end, if not one image could be used.
        """
        run = _Reading(self)
        yield from run.items()
        for words in self.recording.damage:
            self._warn(words)
        if not self.counts.get("kept"):
            reasons = "; ".join(finding.text for finding in self.findings.list()) or "no image could be decoded"
            raise DataError(f"{self.recording.path}: no keyframe among {self.counts.get('seen', 0)} images: {reasons}")

    def _warn(self, words: str) -> None:
        kind = Kind(words, words, "", "")
        if kind not in [finding.kind for finding in self.findings.list()]:
            self.findings.add(kind)
            log.warning("%s", words)


class _Reading:
    """One pass over the recording."""

    def __init__(self, bag: BagKeyframes):
        self.bag = bag
        self.config = bag._config
        self.selector: ImageSelector[tuple[CameraTopic, Any]] = ImageSelector(self.config)
        self.fixes = StampedSeries[GeoPosition](self.config.max_fix_gap)
        self.odometry = VehicleOdometry()
        self.mounts: dict[str, Pose] | None = None
        self.images = {camera.topic: camera for camera in bag.cameras}
        self.segments_of = {camera.segments: camera for camera in bag.cameras if camera.segments}
        # Label images as PNG: a hundredth of the memory while they wait for the decision about their image.
        self.labels: dict[str, OrderedDict[int, bytes]] = {camera.name: OrderedDict() for camera in bag.cameras}
        self.extra: Counter[str] = Counter()
        self.newest_ns = 0
        waits = (bag._fix, self.config.max_fix_gap), (bag._odom, MAX_GAP), (self.segments_of, SEGMENTS_DELAY)
        self.hold_ns = int(1e9 * max((seconds for there, seconds in waits if there), default=0.0))
        there: list[Callable[[_Chosen], bool]] = [
            lambda chosen: not bag._fix or self.fixes.reaches(chosen.keyframe.stamp_ns),
            lambda chosen: not bag._odom or self.odometry.reaches(chosen.keyframe.stamp_ns),
            lambda chosen: not chosen.camera.segments or chosen.keyframe.stamp_ns in self.labels[chosen.camera.name],
        ]
        self.waiting = WaitingKeyframes([Companion(is_there, self.hold_ns) for is_there in there], in_order=True)

    def items(self) -> Iterator[BagItem]:
        """All keyframes."""
        names = [*self.images, *self.segments_of, *filter(None, [self.bag._fix, self.bag._odom])]
        total = sum(self.bag.recording.topics[name].count for name in names)
        for done, (topic, _, message) in enumerate(self.bag.recording.messages(names), start=1):
            if topic in self.images:
                yield from self._image(self.images[topic], message)
            elif topic == self.bag._odom:
                self.extra["odometry"] += self.odometry.add_message(message, stamp_to_ns(message.header.stamp))
            elif topic == self.bag._fix:
                self.extra["fixes"] += self.fixes.add(stamp_to_ns(message.header.stamp), GeoPosition.from_ros(message))
            else:
                self._segments(self.segments_of[topic], message)
            yield from self._release()
            if self.bag._progress is not None:
                self.bag._progress("reading", done, max(done, total))
            self._count()
        self._queue(self.selector.flush())
        yield from self._release(everything=True)
        self._count()

    def _image(self, camera: CameraTopic, message: Any) -> Iterator[BagItem]:
        stamp = stamp_to_ns(message.header.stamp)
        if stamp < self.newest_ns - int(1e9):  # the recording starts again: what waits gets no more
            yield from self._release(everything=True)
            self.newest_ns = 0
        self.newest_ns = max(self.newest_ns, stamp)

        def gray() -> np.ndarray:
            try:
                if camera.compressed:
                    return small_gray(Keyframe("", camera.name, stamp, message.data.tobytes(), source=camera.topic))
                return raw_gray(message, SHARPNESS_WIDTH, camera.topic)
            except DataError as error:
                self.bag._warn(str(error))
                raise

        self._queue(self.selector.offer(camera.name, stamp, gray, (camera, message)))

    def _segments(self, camera: CameraTopic, message: Any) -> None:
        try:
            if message.encoding not in ("mono16", "16UC1"):
                raise DataError(f"{camera.segments}: label images must be mono16, these are {message.encoding}: left out")
            store = self.labels[camera.name]
            store[stamp_to_ns(message.header.stamp)] = encode_png(raw_pixels(message, camera.segments or ""))
        except DataError as error:
            self.bag._warn(str(error))
            self.extra["segments_refused"] += 1
            return
        self.extra["segments"] += 1
        oldest = self.newest_ns - self.hold_ns - int(1e9 * (self.config.max_wait + 1))
        while store and next(iter(store)) < oldest:
            store.popitem(last=False)

    def _queue(self, chosen: list[tuple[CameraTopic, Any]]) -> None:
        for camera, message in chosen:
            keyframe = self._keyframe(camera, message)
            self.waiting.add(_Chosen(keyframe, camera), keyframe.stamp_ns)

    def _release(self, everything: bool = False) -> Iterator[BagItem]:
        """Yield what need not wait any longer."""
        for keyframe, camera in self.waiting.release(self.newest_ns, everything):
            stamp, labels = keyframe.stamp_ns, self.labels[camera.name]
            segments = None
            if stamp in labels:
                segments = decode_labels(labels.pop(stamp), camera.segments or "")
            elif camera.segments:
                self.extra["segments_missing"] += 1
            geo = self.fixes.at(stamp)
            self.extra["without_position"] += bool(self.bag._fix) and geo is None
            mount, odometry = self._mounts().get(camera.name), self.odometry.at(stamp)
            yield BagItem(replace(keyframe, geo=geo, mount=mount, odometry=odometry), segments)

    def _mounts(self) -> dict[str, Pose]:
        """Where the cameras are on the vehicle; asked when the first keyframe is due, so that odometry has named its base."""
        if self.mounts is None:
            frames = {camera.name: camera.frame_id for camera in self.bag.cameras}
            self.mounts = self.bag._tree.mounts(frames, self.odometry.base)
        return self.mounts

    def _keyframe(self, camera: CameraTopic, message: Any) -> Keyframe:
        stamp = stamp_to_ns(message.header.stamp)
        name = stream_name(camera.name, stamp)
        if camera.compressed:
            encoded = message.data.tobytes()
        else:
            picture = raw_picture(message, camera.topic)
            encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        return Keyframe(
            name=name,
            camera_name=camera.name,
            stamp_ns=stamp,
            encoded=encoded,
            camera=self._calibration(camera, image_size(encoded, name)),
            file_name=f"{name}.{image_suffix(encoded)}",
            source=camera.topic,
        )

    def _calibration(self, camera: CameraTopic, size: tuple[int, int]) -> Camera | None:
        if (info := self.bag._infos[camera.topic]) is None:
            return None
        try:
            found = camera_from_message(info, size, camera.info_topic, rectified=camera.rectified)
        except DataError as error:
            self.bag._warn(f"{error}; {camera.topic} counts as uncalibrated")
            return None
        if found is None:
            self.bag._warn(f"{camera.info_topic}: K is zero, the camera is not calibrated; the intrinsics are estimated")
        return found

    def _count(self) -> None:
        self.bag.counts = {**asdict(self.selector.counts), "fixes_ignored": self.fixes.ignored, **self.extra}


def read_bag(
    bag: Path,
    *,
    cameras: Sequence[str] = (),
    fix_topic: str = "",
    odom_topic: str = "",
    config: KeyframeConfig | None = None,
    progress: Progress | None = None,
    findings: Findings | None = None,
) -> BagKeyframes:
    """Open a recording and find its cameras.

    A keyframe is named ``<camera>_<stamp ns>`` after its header. Segments are matched by camera and stamp; positions are
    interpolated to the stamp.

    Args:
        bag: rosbag2 directory, or a ``.mcap``, ``.db3`` or (ROS 1) ``.bag`` file.
        cameras: image topics; empty = every camera there is.
        fix_topic: ``NavSatFix`` topic; empty = the only one, or the one with most messages.
        odom_topic: ``nav_msgs/Odometry`` topic; empty = none. The cameras' mounts come from ``/tf_static``.
        progress: called as ``progress("reading", messages so far, all)``.
        findings: gets what cannot be used.

    Raises:
        UsageError: no such bag or topic.
        DataError: no camera in it, or nothing that can be read.
    """
    recording = open_recording(Path(bag))
    try:
        return BagKeyframes(recording, cameras, fix_topic, config or KeyframeConfig(), progress, odom_topic, findings)
    except (DataError, UsageError) as error:
        damage = recording.damage
        recording.close()
        raise type(error)("; ".join([f"{bag}: {error}", *damage])) from error


def _busiest_fix_topic(recording: Recording) -> str | None:
    """The topic with most fixes; None where there is none."""
    fixes = {name: topic.count for name, topic in recording.topics.items() if topic.msgtype == FIX and topic.count}
    if len(fixes) > 1:
        log.info("several NavSatFix topics (%s): the one with most messages is used", ", ".join(fixes))
    return max(fixes, key=lambda name: fixes[name], default=None)
