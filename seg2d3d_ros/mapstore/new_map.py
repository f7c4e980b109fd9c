"""``--out MAP``: a new map, built so that a former one in the same place stays until the new one is whole."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.disk.leftovers import clear_scratch, is_temporary
from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError
from seg2d3d_ros.mapstore.directory.inventory import DATABASE, EDITS_FILE, clear_litter, delete_own, known_names, take_inventory
from seg2d3d_ros.mapstore.directory.lock import MapLock
from seg2d3d_ros.mapstore.directory.marker import (
    BUILDING,
    MARKER_FILE,
    WHOLE,
    Marker,
    is_copy,
    mark,
    read_marker,
    write_marker,
)
from seg2d3d_ros.mapstore.directory.swap import building_path, settle, swap
from seg2d3d_ros.mapstore.held_map import real, refuse_foreign
from seg2d3d_ros.mapstore.store import MapStore

log = logging.getLogger(__name__)


class NewMap:
    """A map in the making. A context manager: at its end nobody is kept from the directory any more.

    Where ``out`` holds a map already, the new one is built in ``<out>.building`` and takes its place by ``publish``.

    Args:
        out: where the map is to be; may be a symbolic link to a directory.
        resume: go on with ``<out>.building``, or where there is none, with the map in ``out``.
        way_out: what a person can do where files of others lie in the folder.

    Attributes:
        store: where the map is at present.

    Raises:
        UsageError: the folder is not entirely a map's, its format is newer, another process writes it, or it cannot be replaced
            as a whole.
        DataError: it cannot be made or opened.
    """

    def __init__(self, out: Path, *, resume: bool, way_out: str = "choose an empty folder for --out") -> None:
        self._out, self._root, self._way_out = Path(out), real(out), way_out
        self._locks: list[MapLock] = []
        self._made: list[Path] = []
        if self._root.exists() and not self._root.is_dir():
            raise UsageError(f"{out}: is a file; choose another --out")
        clear_scratch()
        settle(self._root)
        try:
            self.store = self._open(resume)
            write_marker(self.store.root, self._marker(resume))
            self._bring_edits()
            self._locks[-1].sign()
        except BaseException:
            self.close()
            raise

    def _open(self, resume: bool) -> MapStore:
        root, beside = self._root, building_path(self._root)
        self._make(root, self._out)
        if is_copy(beside):  # whoever changed it held the lock that this run holds now
            delete_own(beside)
        read_marker(root)
        refuse_foreign(root, self._way_out)
        self._replaces = not take_inventory(root).empty
        unfinished = os.path.lexists(beside)
        if not unfinished and (resume or not self._replaces):
            clear_litter(root)
            return MapStore(root)
        if unfinished and not (resume or self._replaces):
            return MapStore(root)  # the place is free, and what lies beside is not asked for
        _require_replaceable(root, self._out)
        if unfinished:
            self._take_over(beside, resume)
        else:
            self._make(beside, beside)
        if self._replaces:
            log.info("%s: the map there stays until the new one is whole; that is built in %s", self._out, beside)
        return MapStore(beside)

    def _take_over(self, beside: Path, resume: bool) -> None:
        """What an earlier run left unfinished is continued or replaced."""
        in_the_way = UsageError(f"{beside}: is in the way, and no unfinished map; rename it, or choose another --out")
        if beside.is_symlink() or not beside.is_dir():
            raise in_the_way
        self._hold(beside, beside)
        begun = [path for path in take_inventory(beside).files if not is_temporary(path)]
        if begun and read_marker(beside) is None:  # without one, and nothing else, a run was killed when it began
            raise in_the_way
        refuse_foreign(beside, "move that away")
        if resume:
            clear_litter(beside)
        else:
            log.info("%s: an unfinished map is replaced (--resume continues it)", beside)
            delete_own(beside, keep=(MARKER_FILE,))
            self._made.append(beside)

    def _make(self, folder: Path, name: Path) -> None:
        """Lock a folder, which is made where there is none."""
        there = folder.exists()
        MapStore(folder)
        self._hold(folder, name)
        if not there:
            self._made.append(folder)  # not before it is locked: else it is another process's

    def _hold(self, folder: Path, name: Path) -> None:
        self._locks.append(MapLock(folder, name))

    def _bring_edits(self) -> None:
        """What people corrected in the former map is tried on the new one: the log comes along."""
        log_file = self._root / EDITS_FILE
        if self.beside and log_file.is_file() and not log_file.is_symlink():
            target = self.store.root / EDITS_FILE
            try:
                content = log_file.read_bytes()
                if not target.exists() or not target.read_bytes().startswith(content):
                    write_bytes(target, content)
            except OSError as error:
                raise DataError(f"{log_file}: cannot be read ({error.strerror}); mend that, or move it away") from error

    def _marker(self, resume: bool) -> Marker:
        old = read_marker(self.store.root) if resume else None
        return Marker.new(BUILDING) if old is None else Marker(old.format, old.creator, old.created, BUILDING, more=old.more)

    def lend(self) -> None:
        """Let another process write the map, which takes the lock itself; the former map stays locked."""
        self._locks.pop().release()

    def take_back(self) -> None:
        """After ``lend``, when the other process has ended."""
        self._hold(self.store.root, self._out)
        self._locks[-1].sign()

    @property
    def beside(self) -> bool:
        """Whether the map is being built beside its place."""
        return self.store.root != self._root

    def publish(self) -> None:
        """The map is whole: put it in its place.

        Raises:
            DataError: that is impossible; the former map is where it was.
        """
        if not self.beside:
            mark(self._root, WHOLE)
            return
        if self._replaces:
            swap(self._root)
        else:
            mark(self.store.root, WHOLE)
            try:
                self.store.root.rename(self._root)  # over an empty folder
            except OSError as error:
                raise DataError(f"{self._out}: cannot be made ({error.strerror}); the map is in {self.store.root}") from error
        self._locks[-1].moved(self._root)
        self.store = MapStore(self._out)

    def remains(self) -> str:
        """After a failure: where what there is lies, and how to go on, in words; empty where nothing was kept."""
        unchanged = f"{self._out} is unchanged" if self.beside and self._replaces else ""
        if not self._worth_keeping():
            return unchanged
        where = self.store.root if self.beside else self._out
        words = f"what there is so far is in {where}, and --resume goes on with it"
        return f"{words}; {unchanged}" if unchanged else words

    def close(self) -> None:
        """Let others use the directory; folders that this run made, and in which nothing was kept, are removed."""
        with suppress(Seg2d3dError, OSError):
            for folder in reversed(self._made):
                if folder.is_dir() and not _kept_something(folder):
                    delete_own(folder)
        for lock in reversed(self._locks):
            lock.release()
        self._locks.clear()

    def _worth_keeping(self) -> bool:
        return self.store.root not in self._made or _kept_something(self.store.root)

    def __enter__(self) -> NewMap:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _kept_something(folder: Path) -> bool:
    """Whether a map has more than a configuration: keyframes, features, or figures that say why there are none."""
    if (folder / "metrics.json").exists() or known_names(folder):
        return True
    if (folder / DATABASE).is_file():
        address = f"file:{quote(str(folder / DATABASE))}?mode=ro"
        with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as database:
            return bool(database.execute("SELECT EXISTS (SELECT 1 FROM images)").fetchone()[0])
    return False


def _require_replaceable(root: Path, out: Path) -> None:
    """Raises ``UsageError`` where a directory cannot be renamed, before hours of work."""
    if not os.access(root.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"{out}: the map there cannot be replaced as a whole, because {root.parent} is not writable; "
            "choose a folder for --out whose parent folder you may write"
        )
    if _is_mount_point(root):
        raise UsageError(
            f"{out}: the map there cannot be replaced as a whole, because a file system is mounted at this folder; "
            f"move its files into a folder of their own, {out / '1'}, say, and give --out {out / '2'}"
        )
    here = real(Path())
    if here == root or root in here.parents:
        raise UsageError(
            f"{out}: the map there is to be replaced, and this is the folder that the command was called in; "
            f"go up to {root.parent} and call it with --out {root.name}"
        )


def _is_mount_point(root: Path) -> bool:
    if os.path.ismount(root):
        return True
    with suppress(OSError):  # also what is mounted from the same file system
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4])
            if place == str(root):
                return True
    return False
