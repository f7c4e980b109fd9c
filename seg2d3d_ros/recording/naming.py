"""The names of keyframes from streams, the same from a bag and from live topics."""

from __future__ import annotations

import re


def camera_name(frame_id: str) -> str:
    """The camera's name in file names: what could leave the map directory or trouble a shell becomes ``_``."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", frame_id).strip("._-") or "camera"


def keyframe_name(camera: str, stamp_ns: int) -> str:
    """``<camera>_<stamp ns>``: the key of a keyframe everywhere on disk."""
    return f"{camera}_{stamp_ns}"
