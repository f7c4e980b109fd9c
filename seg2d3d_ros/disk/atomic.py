"""Write a file whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.leftovers import temporary_path
from seg2d3d_ros.errors import DataError

_LEFT = ("", "-journal", "-wal", "-shm")
"""Endings of what may be left of a temporary file: itself, and what SQLite keeps beside a database."""


@contextmanager
def replacing(path: Path, *library_errors: type[Exception]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; on success it is flushed to disk and renamed over ``path``.

    What a library leaves beside the temporary file (SQLite's journals) goes with it.

    Args:
        library_errors: what the library that writes the file raises, beside ``OSError``, where it cannot.

    Raises:
        DataError: the disk is full or the folder cannot be written; ``path`` keeps its former content.
    """
    path = Path(path)
    temporary = temporary_path(path)
    unwritable: tuple[type[Exception], ...] = (OSError, *library_errors)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except DataError as error:  # nobody knows the temporary name
        raise DataError(str(error).replace(str(temporary), str(path))) from error
    except unwritable as error:
        words = str(getattr(error, "strerror", None) or error).replace(str(temporary), str(path)).split()
        reason = " ".join(words)[:200]  # a library may quote a whole statement
        raise DataError(f"{path}: cannot be written ({reason}); free space or choose another folder") from error
    finally:
        for ending in _LEFT:
            with suppress(OSError):  # where its folder is a file, say, which was reported above
                temporary.with_name(temporary.name + ending).unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically, as indented JSON (NaN refused: it is not JSON)."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
