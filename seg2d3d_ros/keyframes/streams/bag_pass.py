"""One pass over a recording: images become keyframes, which wait for their position, odometry and masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Finding, Findings, Kind
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.keyframes.panoramas.panorama_cutting import as_keyframes
from seg2d3d_ros.keyframes.selection import ImageSelector
from seg2d3d_ros.keyframes.streams.camera_input import IMAGES_OUT_OF_ORDER, STAMPS_ZERO
from seg2d3d_ros.keyframes.streams.fixes import FixFilter
from seg2d3d_ros.keyframes.streams.recorded_images import RecordedImages
from seg2d3d_ros.keyframes.streams.recorded_masks import RecordedMasks
from seg2d3d_ros.keyframes.streams.vehicle_state import VehicleState, VehicleTopics
from seg2d3d_ros.keyframes.waiting import Companion, WaitingKeyframes
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.recording.cameras import CameraTopic
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.recording.reader import Recording
from seg2d3d_ros.recording.video.video_stream import VideoStream, header_of
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.types import Keyframe

SEGMENTS_DELAY = 5.0
"""Seconds: a segmentation that ran while recording answers this late at most."""
WITHOUT_POSITION = Kind(
    "keyframes_without_position",
    "keyframes without a GPS position",
    cause="{reason}",
    remedy="see the notes on GPS fixes; keyframes.max_fix_gap is the longest gap that is bridged",
)


class BagItem(NamedTuple):
    """A keyframe, and where the recording has one its label image (H, W) uint16, ``class_id * 1000 + k``; else why not."""

    keyframe: Keyframe
    segments: np.ndarray | None
    reason: str = ""


class BagSource(NamedTuple):
    """What a pass reads.

    Attributes:
        cameras: the camera topics.
        fix, odometry, poses, imu: topics, or None.
        frames: of the vehicle's sensors.
        infos: ``CameraInfo`` by image topic.
    """

    recording: Recording
    cameras: list[CameraTopic]
    fix: str | None
    odometry: str | None
    frames: FrameTree
    infos: dict[str, Any | None]
    poses: str | None = None
    imu: str | None = None


class _Image(NamedTuple):
    """A message, its camera, its stamp, and when it was recorded."""

    camera: CameraTopic
    message: Any
    stamp_ns: int
    log_ns: int


class _Chosen(NamedTuple):
    keyframe: Keyframe
    image: _Image


class BagPass:
    """Reads a recording once.

    Args:
        config: which images become keyframes.
        tolerance: seconds between the stamps of a mask and its image.
        findings: gets what was dropped or doubted.
        progress: called as ``progress("reading", messages so far, all)``.
    """

    def __init__(
        self,
        source: BagSource,
        config: KeyframeConfig,
        tolerance: float,
        findings: Findings,
        progress: Progress | None,
    ) -> None:
        self._source, self._config, self._findings, self._progress = source, config, findings, progress
        self._selector: ImageSelector[_Image] = ImageSelector(config)
        self._fixes = FixFilter(config)
        topics = VehicleTopics(source.odometry or "", source.poses or "", source.imu or "")
        self._vehicle, self._lacking = VehicleState(topics, source.frames, config), Findings()
        for camera in source.cameras:
            self._vehicle.know_camera(camera.name, camera.frame_id)
        self._images = RecordedImages(source.infos, findings)
        self._videos: dict[str, VideoStream[tuple[CameraTopic, int, int]]] = {}
        self._cameras = {camera.topic: camera for camera in source.cameras}
        self._camera_of_masks = {camera.segments: camera for camera in source.cameras if camera.segments}
        masks = {camera.name: topic for topic, camera in self._camera_of_masks.items()}
        self.masks = RecordedMasks(masks, tolerance, SEGMENTS_DELAY)
        self._counts: Counter[str] = Counter()
        self._unstamped: Counter[str] = Counter()
        self._newest_ns = 0
        self._newest_of: dict[str, int] = {}
        waits = ((source.fix, config.max_fix_gap), (masks, SEGMENTS_DELAY))
        self._hold_ns = int(1e9 * max([self._vehicle.patience, *(seconds for there, seconds in waits if there)]))
        there: list[Callable[[_Chosen], bool]] = [
            lambda chosen: not source.fix or self._fixes.reaches(chosen.image.stamp_ns),
            lambda chosen: self._vehicle.reaches(chosen.image.stamp_ns),
            lambda chosen: self.masks.is_there(chosen.image.camera.name, chosen.image.stamp_ns),
        ]
        self._waiting = WaitingKeyframes([Companion(is_there, self._hold_ns) for is_there in there], in_order=True)

    @property
    def counts(self) -> dict[str, int]:
        """What became of the messages so far."""
        fixes = {"fixes_seen": self._fixes.seen, "fixes": self._fixes.used, "fixes_refused": self._fixes.refused.total()}
        masks = {"segments": self.masks.read, "segments_refused": self.masks.unreadable}
        return {**asdict(self._selector.counts), **fixes, **masks, **self._counts}

    def items(self) -> Iterator[BagItem]:
        """All keyframes in about the order of time."""
        source = self._source
        others = dict.fromkeys(topic for topic in (source.fix, source.odometry, source.poses, source.imu) if topic)
        names = [*self._cameras, *self._camera_of_masks, *others]
        total = sum(source.recording.topics[name].count for name in names)
        for done, (topic, log_ns, message) in enumerate(source.recording.messages(names), start=1):
            stamp_ns = self._stamp(topic, message, log_ns)
            if topic in self._cameras:
                for image in self._pictures(self._cameras[topic], message, stamp_ns, log_ns):
                    yield from self._image(image)
            elif topic in (source.odometry, source.poses):
                if topic == source.odometry:
                    self._counts["odometry"] += self._vehicle.odometry.add_message(message, stamp_ns)
                if topic == source.poses:
                    self._counts["poses"] += self._vehicle.poses.add_message(message, stamp_ns)
            elif topic == source.imu:
                self._vehicle.gravity.add_message(message, stamp_ns)
                self._vehicle.gravity.forget(self._newest_ns - 2 * self._hold_ns - int(1e9 * (self._config.max_wait + 1)))
            elif topic == source.fix:
                self._fixes.add(message, stamp_ns, log_ns)
            else:
                camera = self._camera_of_masks[topic].name
                self.masks.add(camera, stamp_ns, message, log_ns)
                # Each camera by its own images: its last one may become a keyframe only when its next one comes.
                kept_ns = self._hold_ns + int(1e9 * (self._config.max_wait + 1))
                self.masks.forget(camera, self._newest_of.get(camera, 0) - kept_ns)
            yield from self._release()
            if self._progress is not None:
                self._progress("reading", done, max(done, total))
        for stream in self._videos.values():
            for picture, (video, taken_ns, recorded_ns) in stream.flush():
                yield from self._image(_Image(video, picture, taken_ns, recorded_ns))
        self._fixes.flush()
        self._queue(self._selector.flush())
        yield from self._release(everything=True)
        self._tell()

    def _stamp(self, topic: str, message: Any, log_ns: int) -> int:
        """When it was taken; the time of recording where the driver does not say."""
        stamp_ns = stamp_to_ns(header_of(message).stamp)
        if stamp_ns > 0:
            return stamp_ns
        self._unstamped[topic] += 1
        return log_ns

    def _pictures(self, camera: CameraTopic, message: Any, stamp_ns: int, log_ns: int) -> Iterator[_Image]:
        """The image of a message; of a packet of video those that can be decoded now, which may be of earlier ones."""
        if not camera.video:
            yield _Image(camera, message, stamp_ns, log_ns)
            return
        if camera.topic not in self._videos:
            self._videos[camera.topic] = VideoStream(camera.topic)
        stream = self._videos[camera.topic]
        for picture, (_, stamp, log) in stream.add(message, (camera, stamp_ns, log_ns)):
            yield _Image(camera, picture, stamp, log)

    def _image(self, image: _Image) -> Iterator[BagItem]:
        if image.stamp_ns < self._newest_ns - int(1e9):  # the recording starts again: what waits gets no more
            yield from self._release(everything=True)
            self._newest_ns = 0
            self._newest_of.clear()
        self._newest_ns = max(self._newest_ns, image.stamp_ns)
        self._newest_of[image.camera.name] = max(self._newest_of.get(image.camera.name, 0), image.stamp_ns)
        self._fixes.add_image(image.stamp_ns, image.log_ns)
        gray = lambda: self._images.gray(image.camera, image.message)  # noqa: E731
        self._queue(self._selector.offer(image.camera.name, image.stamp_ns, gray, image))

    def _queue(self, chosen: list[_Image]) -> None:
        for image in chosen:
            if (keyframe := self._images.keyframe(image.camera, image.message, image.stamp_ns)) is not None:
                self.masks.await_for(image.camera.name, image.stamp_ns)
                self._waiting.add(_Chosen(keyframe, image), image.stamp_ns)

    def _release(self, everything: bool = False) -> Iterator[BagItem]:
        """Yield what need not wait any longer."""
        for keyframe, image in self._waiting.release(self._newest_ns, everything):
            labels, reason = self.masks.take(image.camera.name, image.stamp_ns, image.log_ns)
            self._counts["segments_missing"] += image.camera.segments is not None and labels is None
            geo = self._fixes.at(image.stamp_ns)
            self._counts["without_position"] += bool(self._source.fix) and geo is None
            whole, lacking = self._vehicle.complete(replace(keyframe, geo=geo), image.camera.frame_id)
            self._lacking.update(lacking)
            try:
                for part in as_keyframes(whole, self._config, self._findings):
                    yield BagItem(part, labels if part.view is None or labels is None else part.view.cut(labels), reason)
            except DataError as error:
                self._images.refuse(image.camera, error)

    def _tell(self) -> None:
        counts = self._selector.counts
        late = {"late": counts.late, "repeated": counts.repeated}
        unstamped = ", ".join(f"{topic} {count}" for topic, count in self._unstamped.items())
        reason = "no fix is used" if not self._fixes.used else "they lie before the first fix, after the last, or in a gap"
        found = [
            self._images.finding(counts.seen),
            Finding(IMAGES_OUT_OF_ORDER, counts.late + counts.repeated, counts.seen, (), late),
            Finding(STAMPS_ZERO, self._unstamped.total(), 0, (), {"detail": unstamped}),
            Finding(WITHOUT_POSITION, self._counts["without_position"], counts.kept, (), {"reason": reason}),
            *(replace(finding, of=counts.kept) for finding in self._lacking.list()),
            *self._fixes.findings(),
            *self.masks.findings(),
            *(
                one
                for topic, stream in self._videos.items()
                for one in stream.findings(self._source.recording.topics[topic].count)
            ),
        ]
        self._findings.update(finding for finding in found if finding.count)
