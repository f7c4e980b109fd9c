"""Temporary files and folders: named by the process that makes them, so that those of dead processes can be cleared away."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.processes import is_alive
from seg2d3d_ros.errors import DataError

WORK_FOLDER = ".seg2d3d-work"
"""In a map directory: temporary files of the worker; what a killed one leaves behind, the next one clears away."""
_FILE = re.compile(r"\.seg2d3d-(\d+)-[0-9a-f]{12}(\.\w+)?")
_SCRATCH = re.compile(r"seg2d3d_(\d+)_\w+(\.\w+)?")


def temporary_path(path: Path) -> Path:
    """A name beside ``path`` that nobody else uses, with the same suffix."""
    return path.with_name(f".seg2d3d-{os.getpid()}-{uuid.uuid4().hex[:12]}{path.suffix}")


def is_temporary(name: str) -> bool:
    """Whether a file is called as ``temporary_path`` calls them."""
    return _FILE.fullmatch(name) is not None


def scratch_prefix() -> str:
    """What the names of this process's files and folders in the folder for temporary files begin with."""
    return f"seg2d3d_{os.getpid()}_"


class ScratchFolder(tempfile.TemporaryDirectory[str]):
    """A folder for intermediate files: a context manager that yields its path and removes it in the end.

    Errors of the system and of libraries that name a file in it leave the context as ``DataError``.
    """

    def __init__(self) -> None:
        super().__init__(prefix=scratch_prefix(), ignore_cleanup_errors=True)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Remove it."""
        super().__exit__(kind, error, trace)
        if isinstance(error, OSError | RuntimeError | ValueError) and self.name in str(error):
            raise self.failure(error) from error

    def failure(self, error: BaseException) -> DataError:
        """What to raise where a file in it cannot be written, or reads back as less."""
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        return DataError(
            f"{self.name}: temporary files cannot be written ({reason}); free space there, or set TMPDIR to another folder"
        )


def clear_scratch() -> None:
    """Remove what killed processes of this user left in the folder for temporary files."""
    with suppress(OSError):
        for entry in list(os.scandir(tempfile.gettempdir())):
            if abandoned(entry.name) and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                remove(Path(entry.path))


def abandoned(name: str) -> bool:
    """Whether a name is one of ours, and the process that made it has ended."""
    found = _FILE.fullmatch(name) or _SCRATCH.fullmatch(name)
    return found is not None and not is_alive(int(found[1]))


def remove(path: Path) -> None:
    """Remove a temporary file or folder; a symbolic link is not followed, and what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
