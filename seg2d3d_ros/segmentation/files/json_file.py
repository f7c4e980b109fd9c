"""JSON files of segments, whose single values may be bad: anything else about them ends in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError

MAX_BYTES = 1 << 29
"""Of a file; in memory it takes several times as much."""


def read_json(path: Path, expected: str) -> Any:
    """The document in a file.

    Args:
        expected: what should be in it, for the message.

    Raises:
        DataError: unreadable, no JSON, too large or too deeply nested.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path}: {size >> 20} MB of JSON; {expected} is read up to {MAX_BYTES >> 20} MB: split it by images"
            )
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except RecursionError as error:
        raise DataError(f"{path}: nested too deeply; expected {expected}") from error
    except (OSError, ValueError, MemoryError) as error:
        raise DataError(f"{path}: cannot be read as {expected} ({error})") from error
