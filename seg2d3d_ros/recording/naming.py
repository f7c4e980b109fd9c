"""Names and stamps of keyframes from streams, the same from a bag and from live topics; and the order of file names."""

from __future__ import annotations

import re
from typing import Any


def camera_name(frame_id: str) -> str:
    """The camera's name in file names: what could leave the map directory or trouble a shell becomes ``_``."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", frame_id).strip("._-") or "camera"


def stream_name(camera: str, stamp_ns: int) -> str:
    """``<camera>_<stamp ns>``: the key of a keyframe everywhere on disk."""
    return f"{camera}_{stamp_ns}"


def stamp_to_ns(stamp: Any) -> int:
    """Nanoseconds since the epoch of a ``builtin_interfaces/Time`` of any origin."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key under which ``img2`` comes before ``img10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
