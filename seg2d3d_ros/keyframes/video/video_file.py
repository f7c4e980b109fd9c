"""A video file, frame by frame: when each was taken, upright, and what is wrong with the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Finding, Findings, Kind
from seg2d3d_ros.image_files import PIXEL_LIMIT, pixel_limit
from seg2d3d_ros.keyframes.motion import SHARPNESS_WIDTH
from seg2d3d_ros.keyframes.video.track import parse_time
from seg2d3d_ros.recording.video.pyav import require_pyav

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp")
FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,3gp"
"""What FFmpeg may take a file for: none of these opens other files or addresses."""
EARLY = 1.0
"""Seconds by which the frames may end before the length that the file states."""

VIDEO_DAMAGED = Kind(
    "video_frames_damaged",
    "parts of the video that cannot be decoded",
    cause="bytes are missing or wrong ({reason}); the frames around are used",
    remedy="copy the file from the camera again",
)
VIDEO_ENDS_EARLY = Kind(
    "video_ends_early",
    "videos that are cut off",
    cause="{found} s of {stated} s could be read: a copy that was broken off, or a full card",
    remedy="copy the file from the camera again; what could be read is used",
)
VIDEO_TURNED = Kind(
    "video_turned",
    "videos that were turned upright",
    cause="the file says that its frames are shown turned by {degrees}° clockwise; the keyframes are stored upright",
    remedy="nothing need be done; a calibration must be for the upright frames",
    level=NOTE,
)
VIDEO_INTERLACED = Kind(
    "video_interlaced",
    "videos of interlaced frames",
    cause="each frame is two half pictures taken one after the other, which a moving camera shows as combs",
    remedy="deinterlace it: ffmpeg -i in -vf bwdif out.mp4; or record progressively",
)
SEVERAL_VIDEO_STREAMS = Kind(
    "video_streams_not_read",
    "further video streams in the file",
    cause="a file of several lenses, or previews; the first, largest one is read",
    remedy="write each lens into a file of its own: ffmpeg -i in -map 0:v:1 -c copy second.mp4",
    level=NOTE,
)


@dataclass(frozen=True)
class VideoFrame:
    """One frame, decoded but not converted; its memory is the decoder's until it is dropped.

    Attributes:
        seconds: since the video's start.
        turns: quarter turns counter-clockwise that bring it upright.
        decoded: PyAV's frame.
    """

    seconds: Fraction
    turns: int
    decoded: Any

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, upright."""
        return np.ascontiguousarray(np.rot90(self.decoded.to_ndarray(format="rgb24"), self.turns))

    def small_gray(self) -> np.ndarray:
        """(H, W) uint8, upright, ``SHARPNESS_WIDTH`` pixels wide or less."""
        width, height = self.decoded.width, self.decoded.height
        shown = height if self.turns % 2 else width
        scale = min(1.0, SHARPNESS_WIDTH / shown)
        size = {"width": max(2, round(width * scale)), "height": max(2, round(height * scale))}
        gray = self.decoded.reformat(**size, format="gray").to_ndarray()
        return np.ascontiguousarray(np.rot90(gray, self.turns))


class VideoFile:
    """A video file. Frames are decoded while they are asked for, and none is held.

    Attributes:
        path: of the file.
        start_ns: when the recording began by the file's own word, since the epoch; 0 = unknown.
        seconds: length that the file states; 0 = unknown.

    Raises:
        DataError: PyAV is missing, no video in it, or frames of more pixels than are decoded.
    """

    def __init__(self, path: Path, findings: Findings) -> None:
        self.path, self._findings = Path(path), findings
        self._av = require_pyav(f"{path}: a video")
        with self._opened() as container:
            stream = self._stream(container)
            facts = {**stream.metadata, **container.metadata}
            self.start_ns = _creation(facts)
            self.seconds = float(container.duration or 0) / self._av.time_base
            width, height = stream.codec_context.width, stream.codec_context.height
            others = sum(1 for other in container.streams.video if other is not stream)
        if width * height > pixel_limit():
            raise DataError(
                f"{path}: {width}×{height} pixels are more than the {pixel_limit():,} that are decoded; scale it down, or set "
                f"the environment variable {PIXEL_LIMIT}"
            )
        findings.put(Finding(SEVERAL_VIDEO_STREAMS, others))

    def frames(self) -> Iterator[VideoFrame]:
        """All frames in the order of time; what cannot be decoded is counted.

        Raises:
            DataError: the file is gone.
        """
        last, reasons, interlaced, turned = Fraction(0), [], False, 0
        with self._opened() as container:
            stream = self._stream(container)
            stream.thread_type = "AUTO"
            begin = stream.start_time or 0
            packets = container.demux(stream)
            while True:
                try:
                    frames = next(packets).decode()
                except StopIteration:
                    break
                except self._av.FFmpegError as error:
                    reasons.append(str(error.strerror or error))
                    if len(reasons) > 100 and last == 0:
                        break  # nothing but errors
                    continue
                for frame in frames:
                    if frame.is_corrupt or frame.pts is None:
                        reasons.append("a frame that is incomplete")
                        continue
                    last = (frame.pts - begin) * Fraction(frame.time_base)
                    interlaced = interlaced or bool(frame.interlaced_frame)
                    turned = round(getattr(frame, "rotation", 0) / 90) % 4
                    yield VideoFrame(last, turned, frame)
        name = self.path.name
        early = self.seconds > 0 and float(last) < self.seconds - EARLY
        lengths = {"found": f"{float(last):.1f}", "stated": f"{self.seconds:.1f}"}
        self._findings.put(Finding(VIDEO_DAMAGED, len(reasons), 0, (name,), {"reason": reasons[0] if reasons else ""}))
        self._findings.put(Finding(VIDEO_ENDS_EARLY, int(early), 0, (name,), lengths))
        self._findings.put(Finding(VIDEO_TURNED, int(turned > 0), 0, (name,), {"degrees": (360 - 90 * turned) % 360}))
        self._findings.put(Finding(VIDEO_INTERLACED, int(interlaced), 0, (name,)))

    def _opened(self) -> Any:
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        try:
            return self._av.open(f"file:{self.path.resolve()}", options=options)
        except (self._av.FFmpegError, OSError) as error:
            raise DataError(
                f"{self.path}: no video that can be read ({error.strerror or error}): damaged, of another kind, or the "
                "recording ended without its index (power loss), which programs like untrunc restore"
            ) from error

    def _stream(self, container: Any) -> Any:
        streams = [s for s in container.streams.video if s.codec_context is not None and s.codec_context.width]
        if not streams:
            raise DataError(f"{self.path}: no video in this file, or its codec is not known to FFmpeg")
        return max(streams, key=lambda s: (s.codec_context.width * s.codec_context.height, -s.index))


def _creation(facts: dict[str, str]) -> int:
    """Nanoseconds since the epoch; Apple's own entry is of the recording and has the zone, the other may be of an export."""
    for name in ("com.apple.quicktime.creationdate", "creation_time", "date"):
        try:
            stamp_ns = parse_time(facts.get(name, ""))
        except ValueError:
            continue
        if stamp_ns > 0:
            return stamp_ns
    return 0
