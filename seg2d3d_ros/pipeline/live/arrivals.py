"""What is odd about the keyframes that arrive: counted, so that nobody has to guess why a map looks as it does.

Only a picture that is there already is left out. All else is used: a map does not depend on the order of time, and an
image with another size or calibration gets intrinsics of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.types import Keyframe

AGAIN = Kind(
    "keyframes_again",
    "keyframes that came again",
    cause="a bag is played in a loop, or twice into one map",
    remedy="they are left out; for a second map take another map_dir, or call reset",
    level=NOTE,
)
SAME_STAMP = Kind(
    "keyframes_same_stamp",
    "other pictures under a known stamp",
    cause="a camera's driver repeats stamps, or two recordings of one time go into one map",
    remedy="they are left out: a keyframe is known by camera and stamp; mend the stamps, or take another map_dir",
)
SAME_PICTURE = Kind(
    "keyframes_same_picture",
    "pictures that came twice",
    cause="the camera's driver sends the last picture again, or a topic is relayed",
    remedy="they are left out; look whether the camera delivers (its rate in /diagnostics)",
)
LATE = Kind(
    "keyframes_late",
    "keyframes out of order",
    cause="messages overtake each other on their way",
    remedy="nothing: they are used, for a map does not depend on the order",
    level=NOTE,
)
JUMP_BACK = Kind(
    "time_jumps_back",
    "jumps back in time",
    cause="the clock was set, or a recording began again",
    remedy="they are used; where two drives must not be in one map, take another map_dir",
)
JUMP_AHEAD = Kind(
    "time_jumps_ahead",
    "jumps ahead in time",
    cause="the clock was set, or another recording follows",
    remedy="they are used; where two drives must not be in one map, take another map_dir",
)
RESIZED = Kind(
    "keyframes_resized",
    "changes of image size",
    cause="the camera's driver changed its resolution, or two cameras have one frame_id",
    remedy="they are used with intrinsics of their own; give each camera its own frame_id",
)
RECALIBRATED = Kind(
    "keyframes_recalibrated",
    "changes of calibration",
    cause="camera_info changed during the drive",
    remedy="they are used with the new intrinsics; check which calibration is right",
)

JUMP_BACK_S = 1.0
"""What is older than the newest by more is no late message but another clock, or a recording that began again."""
JUMP_AHEAD_S = 3600.0


@dataclass
class _Camera:
    newest_ns: int
    size: tuple[int, int] | None
    calibration: Camera | None


class Arrivals:
    """Watches the keyframes of all cameras.

    Args:
        bytes_of: the encoded bytes of an earlier keyframe, by name; ``DataError`` where they are gone.
        findings: gets each oddity.

    Attributes:
        counts: how often each oddity came, in the words of its kind.
    """

    def __init__(self, bytes_of: Callable[[str], bytes], findings: Findings) -> None:
        self.counts: dict[str, int] = {}
        self._findings = findings
        self._bytes_of = bytes_of
        self._of_length: dict[int, list[str]] = {}
        self._cameras: dict[str, _Camera] = {}

    def remember(self, records: Iterable[KeyframeRecord], length: Callable[[KeyframeRecord], int]) -> None:
        """Keyframes of an earlier run.

        Args:
            length: of a keyframe's file in bytes; ``OSError`` where it is gone.
        """
        for record in records:
            with contextlib.suppress(OSError):  # the worker says so when it wants it
                self._of_length.setdefault(length(record), []).append(record.name)

    def again(self, keyframe: Keyframe) -> None:
        """A keyframe whose name (camera and stamp) is known."""
        self._count(AGAIN if self._same(keyframe.name, keyframe.encoded) else SAME_STAMP, keyframe.name)

    def twin(self, keyframe: Keyframe) -> str | None:
        """The name of an earlier keyframe with exactly the same picture, of any camera; None for a new one."""
        for name in self._of_length.get(len(keyframe.encoded), ()):
            if self._same(name, keyframe.encoded):
                self._count(SAME_PICTURE, f"{keyframe.name} is {name}")
                return name
        return None

    def take(self, keyframe: Keyframe) -> None:
        """A new keyframe."""
        self._of_length.setdefault(len(keyframe.encoded), []).append(keyframe.name)
        try:
            size = keyframe.size
        except DataError:
            size = None  # whoever decodes it says so
        before = self._cameras.get(keyframe.camera_name)
        if before is None:
            self._cameras[keyframe.camera_name] = _Camera(keyframe.stamp_ns, size, keyframe.camera)
            return
        ahead = (keyframe.stamp_ns - before.newest_ns) * 1e-9
        if ahead < -JUMP_BACK_S:
            self._count(JUMP_BACK, f"{keyframe.name}, {-ahead:.1f} s")
        elif ahead < 0:
            self._count(LATE, keyframe.name)
        elif ahead > JUMP_AHEAD_S:
            self._count(JUMP_AHEAD, f"{keyframe.name}, {ahead:.0f} s")
        if ahead > 0 or ahead < -JUMP_BACK_S:
            before.newest_ns = keyframe.stamp_ns
        if size is not None and before.size not in (None, size):
            self._count(RESIZED, f"{keyframe.name}, {size[0]} x {size[1]}")
        elif size is not None and keyframe.camera != before.calibration:
            self._count(RECALIBRATED, keyframe.name)
        if size is not None:
            before.size, before.calibration = size, keyframe.camera

    def _same(self, name: str, encoded: bytes) -> bool:
        try:
            return self._bytes_of(name) == encoded
        except DataError:
            return False

    def _count(self, kind: Kind, example: str) -> None:
        self.counts[kind.what] = self.counts.get(kind.what, 0) + 1
        self._findings.add(kind, example)
