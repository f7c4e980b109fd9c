"""Compression by rosbag2: single messages, or whole files (``drive_0.mcap.zstd``)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from seg2d3d_ros.errors import DataError

ZSTD_SUFFIXES = (".zstd", ".zst")
MAX_BYTES = 2 << 30
"""Of one message or chunk; more is a damaged or malicious length."""
_MAGIC = b"\x28\xb5\x2f\xfd"


def unpacked_message(raw: bytes) -> bytes:
    """A message of ROS 2 that may be compressed: CDR never begins as zstd does.

    Raises:
        DataError: it would be too large.
    """
    if raw[:4] != _MAGIC:
        return raw
    import zstandard

    if zstandard.frame_content_size(raw) > MAX_BYTES:
        raise DataError(f"a compressed message claims {zstandard.frame_content_size(raw)} bytes")
    with zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        data: bytes = stream.read(MAX_BYTES)
    return data


def unpack_file(path: Path) -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """A compressed file's content in a temporary folder that goes when the second value is closed.

    Raises:
        DataError: no zstd, damaged from its beginning on, or no room. What comes before a damaged place is kept.
    """
    import zstandard

    folder = tempfile.TemporaryDirectory(prefix="seg2d3d_")
    target = Path(folder.name) / path.stem
    try:
        with path.open("rb") as source, target.open("wb") as sink:
            shutil.copyfileobj(zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True), sink)
    except zstandard.ZstdError as error:
        if not target.stat().st_size:
            folder.cleanup()
            raise DataError(f"{path}: not compressed by zstd, or damaged at its beginning ({error})") from error
    except OSError as error:
        folder.cleanup()
        raise DataError(
            f"{path}: cannot be unpacked into {folder.name} ({error.strerror or error}); $TMPDIR names another"
        ) from error
    return target, folder
