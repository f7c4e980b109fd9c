"""A new map takes the place of an old one, so that no crash loses both.

The new map lies beside the old one, is whole, and names the old one by its inode (``replaces`` in ``map.json``). Then both
change places, in one step where the system can do that. The old map is deleted last, and only what is known to be a map's.
Whatever interrupts this, ``settle`` completes it: the inode tells which of two folders is the old map.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from contextlib import suppress
from pathlib import Path

from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.mapstore.directory.inventory import delete_own
from seg2d3d_ros.mapstore.directory.lock import MapLock
from seg2d3d_ros.mapstore.directory.marker import WHOLE, Marker, mark, read_marker

log = logging.getLogger(__name__)

_BUILDING = ".building"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def building_path(root: Path) -> Path:
    """Where the map that is to replace ``root`` is built: beside it, because a rename needs the same file system."""
    return root.with_name(f"{root.name}{_BUILDING}")


def final_path(root: Path) -> Path:
    """The place of a map that may be under construction at ``root``."""
    return root.with_name(root.name.removesuffix(_BUILDING))


def inode(root: Path) -> int:
    """What a directory keeps when it is renamed; 0 where there is none."""
    try:
        return root.lstat().st_ino
    except OSError:
        return 0


def swap(root: Path) -> None:
    """Put the whole map beside ``root`` in its place, and delete the former one. Both are locked by the caller.

    Raises:
        DataError: the system refuses; the old map is at ``root`` as before.
    """
    fresh = building_path(root)
    mark(fresh, WHOLE, replaces=inode(root))
    _flush(fresh)
    try:
        if not exchange(fresh, root):
            former = _free_name(root)
            root.rename(former)
            try:
                fresh.rename(root)
            except OSError:
                former.rename(root)
                raise
    except OSError as error:
        raise DataError(
            f"{root}: the new map is whole and in {fresh}, but cannot take this place ({error.strerror}); "
            f"move both by hand: the one here is the old one, unchanged"
        ) from error
    retire(root)


def exchange(a: Path, b: Path) -> bool:
    """Swap two paths in one step; False where the system or the file system cannot.

    Raises:
        OSError: it can, but refuses.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_SUPPORTED:
        return False
    raise OSError(number, os.strerror(number))


def retire(root: Path) -> None:
    """Delete the former map, where the one at ``root`` has just taken its place; what is none of a map's is kept and named."""
    marker = read_marker(root)
    if marker is None or marker.replaces is None:
        return
    former = next((path for path in _beside(root) if inode(path) == marker.replaces), None)
    try:
        if former is not None:
            if former == building_path(root):
                former = former.rename(_free_name(root))
            if foreign := delete_own(former):
                log.warning(
                    "%s: the new map is in place; of the former one %s is kept, which belongs to no map: %s",
                    root,
                    former,
                    in_words(foreign),
                )
        mark(root, marker.state, replaces=None)
    except (OSError, Seg2d3dError) as error:
        log.warning("%s: the new map is in place; the former one is not deleted yet, the next run will (%s)", root, error)


def settle(root: Path) -> None:
    """Complete a swap that was interrupted.

    Raises:
        UsageError: another process builds a map there.
        DataError: a marker is damaged, or the system refuses.
    """
    fresh = building_path(root)
    marker = read_marker(fresh) if fresh.is_dir() and not fresh.is_symlink() else None
    if marker is not None and _was_interrupted(root, marker):
        with MapLock(fresh, root):
            if not root.exists():
                fresh.rename(root)
            elif inode(root) == marker.replaces:
                with MapLock(root):
                    swap(root)
    with suppress(DataError):  # told by whoever opens the map
        present = read_marker(root) if root.is_dir() else None
        if present is not None and present.replaces is not None:
            with MapLock(root):
                retire(root)


def _was_interrupted(root: Path, fresh: Marker) -> bool:
    """Whether a whole map beside ``root`` is still to take its place."""
    if fresh.state != WHOLE or fresh.replaces is None:
        return False
    there = inode(root)
    return there == fresh.replaces or (there == 0 and fresh.replaces in map(inode, _beside(root)))


def in_words(paths: list[str], shown: int = 3) -> str:
    """The first few of some paths."""
    return ", ".join(map(repr, paths[:shown])) + (f" and {len(paths) - shown} more" if len(paths) > shown else "")


def _beside(root: Path) -> list[Path]:
    """Where the former map may be."""
    names = (building_path(root).name, f"{root.name}.former")
    with suppress(OSError):
        device = root.parent.stat().st_dev  # elsewhere inodes are counted anew
        found = [entry for entry in os.scandir(root.parent) if entry.name.startswith(names)]
        return [Path(e.path) for e in found if e.is_dir(follow_symlinks=False) and Path(e.path).stat().st_dev == device]
    return []


def _free_name(root: Path) -> Path:
    number = 1
    while os.path.lexists(path := root.with_name(f"{root.name}.former" + (f"-{number}" if number > 1 else ""))):
        number += 1
    return path


def _flush(root: Path) -> None:
    """See to it that the new map is on the disk before the old one is deleted."""
    fd = os.open(root, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None)
        if not hasattr(libc, "syncfs") or libc.syncfs(fd) != 0:
            os.sync()
    finally:
        os.close(fd)
