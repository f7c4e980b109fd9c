"""One process at a time writes a map directory.

The lock is ``flock`` on the directory itself: it goes with the directory when that is renamed, ends with the process however
the process ends, and leaves no file. Where the file system knows no ``flock``, the owner in ``map.json`` is believed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from seg2d3d_ros.disk.processes import ProcessIdentity
from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError
from seg2d3d_ros.mapstore.directory.marker import mark, read_marker

log = logging.getLogger(__name__)

TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class MapLock:
    """The lock on an existing directory, held from now on. A context manager, or call ``release``.

    Args:
        root: the directory.
        name: what messages call it.

    Raises:
        UsageError: another process holds it; the message says which, and since when.
        DataError: the directory cannot be opened.
    """

    def __init__(self, root: Path, name: Path | None = None) -> None:
        self.root, self._signed = Path(root), False
        self._fd = _locked(self.root, name or self.root)

    def sign(self) -> None:
        """Say in ``map.json`` that this process is the owner."""
        marker = read_marker(self.root)
        if marker is not None:
            mark(self.root, marker.state, owner=ProcessIdentity.own())
            self._signed = True

    def moved(self, root: Path) -> None:
        """The directory has another path now."""
        self.root = Path(root)

    def release(self) -> None:
        """Give the lock back; harmless when called again."""
        if self._fd < 0:
            return
        if self._signed:
            # A disk that is full now must not hide why the work ended; an owner that has ended is ignored anyway.
            with suppress(Seg2d3dError):
                if (marker := read_marker(self.root)) is not None:
                    mark(self.root, marker.state, owner=None)
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> MapLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _locked(root: Path, name: Path) -> int:
    while True:
        try:
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"{name}: cannot be opened ({error.strerror}); choose another map directory") from error
        try:
            _take(fd, root, name)
            if os.path.samestat(os.fstat(fd), root.stat()):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # another directory took its place meanwhile


def _take(fd: int, root: Path, name: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            raise UsageError(in_use(root, name)) from None
        log.debug("%s: no flock here (%s)", root, error)
        owner = _owner(root)
        if owner is None or owner == ProcessIdentity.own():
            return
        if owner.alive:
            raise UsageError(in_use(root, name)) from None
        if not owner.here:
            raise UsageError(
                f"{name}: belongs to {owner}; when that has ended, remove the entry 'owner' from map.json there"
            ) from None


def in_use(root: Path, name: Path) -> str:
    """Who works on a map directory, in words."""
    # While a new map is being built beside it, the old one is locked, too, but not written: the new one has the owner.
    owners = [owner for path in (root, root.with_name(f"{root.name}.building")) if (owner := _owner(path)) is not None]
    who = next((str(owner) for owner in owners if owner.alive), "another process")
    return f"{name}: in use by {who}; wait for it or end it, or choose another map directory"


def _owner(root: Path) -> ProcessIdentity | None:
    with suppress(Seg2d3dError):
        if (marker := read_marker(root)) is not None:
            return marker.owner
    return None
