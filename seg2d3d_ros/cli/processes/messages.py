"""Errors of the system and of libraries in words."""

from __future__ import annotations

import errno
import shutil
import tempfile
import traceback
from pathlib import Path

from seg2d3d_ros.cli.output.events import DATA, UNEXPECTED, USAGE
from seg2d3d_ros.errors import Seg2d3dError, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_SPACE = ("disk is full", "No space left")
_FAILING = ("disk I/O error", "Input/output error")
"""What SQLite and others say of a disk that is full, or fails."""
_DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}
_SMALL = 1 << 20
"""Bytes free below which a file system counts as full."""


def reason_of(error: BaseException) -> str:
    """Which of the reasons in events an error is."""
    if isinstance(error, UsageError):
        return USAGE
    known = isinstance(error, Seg2d3dError) or disk_words(error) or (isinstance(error, OSError) and _system_words(error))
    return DATA if known else UNEXPECTED


def error_words(error: BaseException) -> str:
    """One line for the person: what is wrong, with which file, and the way out."""
    if isinstance(error, Seg2d3dError):
        return str(error)
    reason = " ".join(str(error).split())[:400]
    if isinstance(error, MemoryError):
        return "not enough memory; fewer or smaller images (--preset fast) need less"
    if words := disk_words(error):
        return words
    if isinstance(error, OSError) and (words := _system_words(error)):
        return words
    if "readonly database" in reason:
        return f"the map cannot be written ({reason}); make it writable or choose another folder"
    where = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    return f"unexpected {type(error).__name__}{place}: {reason or 'no reason given'}; -v shows where, please report it"


def disk_words(error: BaseException, place: Path | None = None) -> str:
    """What is wrong with the disk, from an error of the system, of SQLite or of COLMAP; empty where it is none of these.

    Args:
        place: what was written, where the error does not say.
    """
    named = getattr(error, "filename", None) or place
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:400]
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EIO or any(words in reason for words in _FAILING):
        remedy = "the disk is full or fails: look into dmesg, or choose another folder"
        what = f"{named}: cannot be read or written" if named else "a disk fails"
        return f"{what} ({reason}){full_places()}; {remedy}"
    if number in _FULL or any(words in reason for words in _NO_SPACE):
        what = f"{named}: cannot be written" if named else "a disk is full"
        return f"{what} ({reason}){full_places()}; free space or choose another folder"
    return ""


def full_places() -> str:
    """Which of the places for temporary data are full, as ``": /tmp is full"``; empty where none is."""
    places = dict.fromkeys((_temporary(), "/tmp", "/dev/shm"))
    full = [place for place in places if Path(place).is_dir() and shutil.disk_usage(place).free < _SMALL]
    return f": {' and '.join(full)} {'is' if len(full) == 1 else 'are'} full" if full else ""


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "/tmp"


def _system_words(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename is not None else ""
    reason = error.strerror or " ".join(str(error).split())
    if error.errno in _DENIED:
        return f"{name}not allowed ({reason}); change the rights or choose another folder"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{name}too many open files; raise the limit: ulimit -n 4096"
    if "temporary directory" in reason:
        return f"no folder for temporary files can be written{full_places()}; free space, or set TMPDIR to another folder"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP) and name:
        return f"{name}{reason}; give another path"
    return ""
