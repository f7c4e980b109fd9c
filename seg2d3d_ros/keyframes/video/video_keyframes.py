"""Keyframes from a video, with positions from a receiver's track."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import ERROR, Finding, Findings, Kind
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.keyframes.camera_file import CameraFile, read_camera_file
from seg2d3d_ros.keyframes.panoramas.panorama_cutting import as_keyframes
from seg2d3d_ros.keyframes.photo_findings import fit_calibration
from seg2d3d_ros.keyframes.selection import ImageSelector
from seg2d3d_ros.keyframes.streams.bag_pass import WITHOUT_POSITION
from seg2d3d_ros.keyframes.streams.camera_input import IMAGES_OUT_OF_ORDER
from seg2d3d_ros.keyframes.streams.fixes import FixFilter
from seg2d3d_ros.keyframes.video.track import EPOCH, Track
from seg2d3d_ros.keyframes.video.track_file import read_track
from seg2d3d_ros.keyframes.video.video_file import VIDEO_SUFFIXES, VideoFile, VideoFrame
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.recording.compressed_images import JPEG_QUALITY
from seg2d3d_ros.recording.naming import camera_name, stream_name
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.types import Keyframe

TRACK_ELSEWHERE = Kind(
    "track_of_another_time",
    "tracks that were recorded at another time than their video",
    cause="the video is of {video}, the track of {track} (UTC): another drive, or one of the clocks is wrong; many cameras "
    "write local time",
    remedy="if they belong together, give the difference: --set keyframes.fix_clock_offset={offset}",
    level=ERROR,
)
START_ASSUMED = Kind(
    "video_start_assumed",
    "videos that do not say when they were recorded",
    cause="the first position of the track is taken for the first frame",
    remedy="correct it with keyframes.fix_clock_offset, or write the time: ffmpeg -i in -c copy -metadata "
    "creation_time=2024-05-06T07:08:09Z out.mp4",
)
UNSTAMPED_START_NS = 1_000_000_000
"""A video without any time begins a second after the epoch: only differences matter."""


def is_video(path: Path) -> bool:
    """Whether a path is a video file, by its ending."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


class VideoKeyframes:
    """The keyframes of a video, one by one while iterating; nothing but one frame is held in memory.

    Iterating again reads again.

    Attributes:
        skipped: images that were left out, with reasons; none, for what is wrong with frames is a finding.
        photos: names of the images that are known beforehand; none.
    """

    def __init__(
        self,
        video: VideoFile,
        track: Track | None,
        cameras: CameraFile | None,
        config: KeyframeConfig,
        findings: Findings,
        progress: Progress | None,
    ) -> None:
        self._video, self._cameras, self._config, self._findings = video, cameras, config, findings
        self._progress = progress
        self.skipped: dict[str, str] = {}
        self.photos: list[tuple[str, str]] = []
        self._name = camera_name(video.path.stem)
        self._offset_ns = round(config.fix_clock_offset * 1e9)
        self._track = track
        self._start_ns = video.start_ns or UNSTAMPED_START_NS
        if track is not None and not video.start_ns:
            self._start_ns = track.fixes[0].stamp_ns
            findings.put(Finding(START_ASSUMED, 1, 0, (video.path.name,)))
        self._missing = self._kept = 0

    def __iter__(self) -> Iterator[Keyframe]:
        """Yield the keyframes in the order of time.

        Raises:
            DataError: at the end, if not one frame could be used.
        """
        selector: ImageSelector[tuple[int, VideoFrame]] = ImageSelector(self._config)
        fixes, last_ns = self._fixes(), self._start_ns
        self._missing = self._kept = 0
        for frame in self._video.frames():
            last_ns = self._start_ns + round(frame.seconds * 1_000_000_000)
            for chosen in selector.offer(self._name, last_ns, frame.small_gray, (last_ns, frame)):
                yield from self._keyframes(*chosen, fixes)
            if self._progress is not None:
                self._progress("reading", int(frame.seconds), max(int(frame.seconds), round(self._video.seconds)))
        for chosen in selector.flush():
            yield from self._keyframes(*chosen, fixes)
        counts = selector.counts
        late = {"late": counts.late, "repeated": counts.repeated}
        self._findings.put(Finding(IMAGES_OUT_OF_ORDER, counts.late + counts.repeated, counts.seen, (), late))
        self._tell_positions(fixes, last_ns)
        if not self._kept:
            told = "; ".join(finding.text for finding in self._findings.list()) or "no frame could be decoded"
            raise DataError(f"{self._video.path}: no keyframe among {counts.seen} frames: {told}")

    def _fixes(self) -> FixFilter | None:
        if self._track is None:
            return None
        fixes = FixFilter(self._config)
        fixes.add_image(
            self._start_ns, self._start_ns
        )  # the clocks are compared by the ends of both, for files have no arrival
        for fix in self._track.fixes:
            fixes.add(fix, fix.stamp_ns, fix.stamp_ns + self._offset_ns)
        fixes.flush()
        return fixes

    def _keyframes(self, stamp_ns: int, frame: VideoFrame, fixes: FixFilter | None) -> Iterator[Keyframe]:
        name, picture = stream_name(self._name, stamp_ns), frame.rgb()
        geo = None if fixes is None else fixes.at(stamp_ns)
        self._kept += 1
        self._missing += fixes is not None and geo is None
        keyframe = Keyframe(
            name=name,
            camera_name=self._name,
            stamp_ns=stamp_ns,
            encoded=encode_jpeg(picture, JPEG_QUALITY),
            geo=geo,
            camera=self._camera(picture.shape[1], picture.shape[0], name),
            file_name=f"{name}.jpg",
            source=self._video.path.name,
        )
        yield from as_keyframes(keyframe, self._config, self._findings)

    def _camera(self, width: int, height: int, name: str) -> Camera | None:
        if self._cameras is None:
            return None
        camera, kind, details = fit_calibration(self._cameras, self._name, width, height)
        if kind is not None:
            self._findings.add(kind, name, **details)
        return camera

    def _tell_positions(self, fixes: FixFilter | None, last_ns: int) -> None:
        if fixes is None or self._track is None:
            return
        begin, end = (fix.stamp_ns + self._offset_ns for fix in (self._track.fixes[0], self._track.fixes[-1]))
        elsewhere = end < self._start_ns or begin > last_ns
        details = {
            "video": f"{_clock(self._start_ns)} to {_clock(last_ns)}",
            "track": f"{_clock(begin)} to {_clock(end)}",
            "offset": f"{self._config.fix_clock_offset + _likely_offset(self._start_ns, last_ns, begin, end):g}",
        }
        self._findings.put(Finding(TRACK_ELSEWHERE, int(elsewhere), 0, (self._video.path.name,), details))
        reason = "no fix is used" if not fixes.used else "they lie before the first fix, after the last, or in a gap"
        for finding in (Finding(WITHOUT_POSITION, self._missing, self._kept, (), {"reason": reason}), *fixes.findings()):
            self._findings.put(finding)


def _likely_offset(video_begin: int, video_end: int, begin: int, end: int) -> float:
    """Seconds to add to a track that lies at another time: a time zone where one makes it cover the video, else so that both
    begin together."""
    quarter = 900 * 1_000_000_000
    for shift in range(-56 * quarter, 57 * quarter, quarter):
        if begin + shift <= video_begin and end + shift >= video_end:
            return shift * 1e-9
    return round((video_begin - begin) * 1e-9, 1)


def _clock(stamp_ns: int) -> str:
    return f"{EPOCH + timedelta(microseconds=stamp_ns // 1000):%Y-%m-%d %H:%M:%S}"


def read_video(
    video: Path,
    *,
    track: Path | None = None,
    camera: Path | None = None,
    config: KeyframeConfig | None = None,
    findings: Findings | None = None,
    progress: Progress | None = None,
) -> VideoKeyframes:
    """Open a video and the track of its drive.

    A keyframe is named ``<video>_<stamp ns>``: the recording's start by the file plus the frame's time in it. Frames are turned
    upright as the file says.

    Args:
        video: the file.
        track: GPX, NMEA or a table with times; None = no positions.
        camera: file with the intrinsics; else they are estimated.
        config: which frames become keyframes, and how far the track's clock is off.
        findings: gets what cannot be used.
        progress: called as ``progress("reading", seconds so far, all)``.

    Raises:
        UsageError: no such file.
        DataError: PyAV is missing, no video or no track in a file.
    """
    if not Path(video).is_file():
        raise UsageError(f"{video}: no such video")
    findings = Findings() if findings is None else findings
    known = None if track is None else read_track(Path(track), findings)
    cameras = None if camera is None else read_camera_file(Path(camera))
    return VideoKeyframes(VideoFile(Path(video), findings), known, cameras, config or KeyframeConfig(), findings, progress)
