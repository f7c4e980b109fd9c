"""The packets of one topic of video (H.264, H.265, …) → pictures like those of ``sensor_msgs/Image``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Finding, Kind
from seg2d3d_ros.image_files import pixel_limit
from seg2d3d_ros.recording.video.h264_gaps import FrameNumbers
from seg2d3d_ros.recording.video.pyav import require_pyav

BEFORE_KEYFRAME = Kind(
    "video_before_keyframe",
    "packets of video before the first keyframe",
    cause="the recording begins between two keyframes of {topic}: these pictures cannot be decoded",
    remedy="nothing need be done; let the encoder make keyframes more often if it is much",
    level=NOTE,
)
VIDEO_LOST = Kind(
    "video_pictures_lost",
    "pictures of topics of video that cannot be used",
    cause="{topic}: {reason}; what follows shows smeared pictures until the next keyframe, and is left out",
    remedy="record with reliable QoS and a larger cache (ros2 bag record --max-cache-size), and let the encoder make keyframes "
    "more often",
)
_CODECS = {"h264": r"h\.?264|x264|avc", "hevc": r"h\.?265|x265|hevc", "av1": r"av1|aom", "vp9": r"vp9", "vp8": r"vp8"}
_PENDING = 64
"""Packets that may wait for their picture: decoders hold some back where pictures come out of order."""
Tag = TypeVar("Tag")


def codec_of(message: Any) -> str:
    """FFmpeg's name of the codec of a message (``CompressedVideo``, ``FFMPEGPacket`` or ``CompressedImage``); empty where it is
    no video, or of an unknown codec."""
    words = str(getattr(message, "encoding", "") or getattr(message, "format", "")).lower()
    return next((name for name, pattern in _CODECS.items() if re.search(pattern, words)), "")


def is_packet(message: Any) -> bool:
    """Whether a message holds video: by its type, or a ``CompressedImage`` by its format."""
    return not hasattr(message, "header") or hasattr(message, "pts") or (hasattr(message, "format") and bool(codec_of(message)))


def header_of(message: Any) -> Any:
    """``stamp`` and ``frame_id`` of a message; Foxglove's messages have them without a header."""
    if hasattr(message, "header"):
        return message.header
    return SimpleNamespace(stamp=message.timestamp, frame_id=message.frame_id)


class DecodedPicture:
    """A decoded picture with the names of ``sensor_msgs/Image``; its colours are converted when somebody asks for them."""

    encoding, is_bigendian = "bgr8", 0

    def __init__(self, frame: Any, header: Any) -> None:
        self._frame, self.header = frame, header
        self.height, self.width = frame.height, frame.width
        self.step = 3 * frame.width

    @cached_property
    def data(self) -> Any:
        """(H · W · 3,) uint8."""
        return self._frame.to_ndarray(format="bgr24").reshape(-1)


class VideoStream(Generic[Tag]):
    """Decodes the packets of one topic in their order. After a loss nothing comes out until the next keyframe.

    Args:
        topic: for messages.

    Attributes:
        before_key: packets before the first picture.
        lost: pictures that did not come out, or would have been wrong.
    """

    def __init__(self, topic: str) -> None:
        self.topic, self.before_key, self.lost, self.reason = topic, 0, 0, ""
        self._av = require_pyav(f"{topic}: video")
        self._decoder: Any = None
        self._codec = ""
        self._numbers = FrameNumbers()
        self._waiting: dict[int, tuple[Tag, Any]] = {}
        self._count = 0
        self._started = self._broken = False

    def add(self, message: Any, tag: Tag) -> Iterator[tuple[DecodedPicture, Tag]]:
        """The pictures that can be shown now, each with the tag of its packet."""
        codec = codec_of(message)
        if self._decoder is None or codec != self._codec:
            yield from self.flush()
            self._codec, self._decoder = codec, self._open(codec)
        data = bytes(message.data)
        if codec == "h264" and self._numbers.misses(data):
            self._break("packets are missing")
        packet = self._av.Packet(data)
        packet.pts = packet.dts = self._count
        self._waiting[self._count] = tag, header_of(message)
        self._count += 1
        try:
            frames = self._decoder.decode(packet)
        except self._av.FFmpegError as error:
            self._break(f"a packet is damaged ({error.strerror or error})")
            self._drop(self._waiting.pop(self._count - 1, None))
            return
        yield from self._pictures(frames)
        while len(self._waiting) > _PENDING:
            self._drop(self._waiting.pop(next(iter(self._waiting))))

    def flush(self) -> Iterator[tuple[DecodedPicture, Tag]]:
        """What the decoder still holds; then it is closed."""
        if self._decoder is not None:
            try:
                frames = self._decoder.decode(None)
            except (self._av.FFmpegError, EOFError):
                frames = []
            yield from self._pictures(frames)
        self._decoder = None
        for item in self._waiting.values():
            self._drop(item)
        self._waiting.clear()

    def findings(self, packets: int) -> list[Finding]:
        """What there is to say of so many packets; kinds that do not apply have the count 0."""
        details = {"topic": self.topic, "reason": self.reason or "the decoder gave no picture"}
        return [
            Finding(BEFORE_KEYFRAME, self.before_key, packets, (), details),
            Finding(VIDEO_LOST, self.lost, packets, (), details),
        ]

    def _open(self, codec: str) -> Any:
        decoder = self._av.CodecContext.create(codec, "r")
        decoder.thread_count = 1  # threads would hold pictures back
        return decoder

    def _break(self, reason: str) -> None:
        if self._started:
            self._broken, self.reason = True, self.reason or reason

    def _drop(self, item: object) -> None:
        if item is not None:
            self.lost += self._started
            self.before_key += not self._started

    def _pictures(self, frames: Any) -> Iterator[tuple[DecodedPicture, Tag]]:
        for frame in frames:
            item = self._waiting.pop(frame.pts, None)
            if item is None:
                continue
            if frame.key_frame:
                self._broken = False
            if self._broken or frame.is_corrupt or frame.width * frame.height > pixel_limit():
                self._drop(item)
                continue
            self._started = True
            tag, header = item
            yield DecodedPicture(frame, header), tag


def why_unreadable(message: Any, topic: str) -> str:
    """Why a message of video cannot be read, with the way out; empty where it can."""
    if not codec_of(message):
        words = str(getattr(message, "encoding", "") or getattr(message, "format", "")) or "video of no stated codec"
        return f"{words[:40]} is not read; record another transport, or 'ros2 run image_transport republish' it as compressed"
    try:
        require_pyav(f"{topic}: {codec_of(message)} video")
    except DataError as error:
        return str(error).removeprefix(f"{topic}: ")
    return ""
