"""Open a map directory that other programs may have written, or are writing."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from seg2d3d_ros.disk.leftovers import clear_scratch
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.directory.inventory import clear_litter, symbolic_links, take_inventory
from seg2d3d_ros.mapstore.directory.lock import MapLock
from seg2d3d_ros.mapstore.directory.marker import BUILDING, WHOLE, State, mark, read_marker
from seg2d3d_ros.mapstore.directory.swap import in_words, settle
from seg2d3d_ros.mapstore.store import MapStore

PARTS = ("map.json", "keyframes.json", "tracks.json", "points.ply", "metrics.json", "config.yaml", "sparse", "labels")
"""A folder with none of these is no map."""


class HeldMap:
    """A map directory that this process alone writes, but for nodes of the same pipeline. A context manager.

    Attributes:
        store: the map.
    """

    def __init__(self, store: MapStore, lock: MapLock) -> None:
        self.store, self._lock = store, lock
        marker = read_marker(store.root)
        self._state = marker.state if marker else None

    def mark(self, state: State) -> None:
        """Say in ``map.json`` that the map is ``building`` or ``whole``; nothing is written where it says so already."""
        if state != self._state:
            first = self._state is None
            mark(self.store.root, state)
            self._state = state
            if first:
                self._lock.sign()

    def release(self) -> None:
        """Let others write; harmless when called again."""
        self._lock.release()

    def __enter__(self) -> HeldMap:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def hold_map(root: Path) -> HeldMap:
    """The map directory of a live map: a new one, or one that is continued.

    Raises:
        UsageError: another process writes it, its format is newer, or the folder holds something that belongs to no map.
        DataError: it cannot be opened, or its marker is damaged.
    """
    settle(real(root))
    store = join_map(root)
    lock = MapLock(real(root), Path(root))
    try:
        clear_scratch()
        clear_litter(store.root)
        marker = read_marker(store.root)
        if marker is None:
            mark(store.root, BUILDING if take_inventory(store.root).empty else WHOLE)
        lock.sign()
        return HeldMap(store, lock)
    except BaseException:
        lock.release()
        raise


def join_map(root: Path) -> MapStore:
    """The map directory that another node of the same pipeline holds, or will hold; made where there is none.

    Raises:
        UsageError: its format is newer, or the folder holds something that belongs to no map.
        DataError: it cannot be made, or its marker is damaged.
    """
    store = MapStore(root)
    read_marker(store.root)
    refuse_foreign(store.root, "choose an empty folder, or a map, for map_dir")
    return store


def change_map(root: Path) -> HeldMap:
    """A finished map, to add something to it. Other files in the folder do not matter, links do.

    Raises:
        UsageError: another process writes it, its format is newer, or it holds symbolic links.
        DataError: it is no map directory.
    """
    settle(real(root))
    store = look_into(root)
    lock = MapLock(real(root), Path(root))
    try:
        clear_litter(store.root)
        if os.access(store.root, os.W_OK):
            lock.sign()
        return HeldMap(store, lock)
    except BaseException:
        lock.release()
        raise


def look_into(root: Path) -> MapStore:
    """A map, to read it.

    Raises:
        UsageError: its format is newer, or it holds symbolic links.
        DataError: it is no map directory.
    """
    root = Path(root)
    settle(real(root))
    if (root / "city.json").is_file():
        raise DataError(f"{root}: is a city; its blocks are maps: give {root}/blocks/NAME, with a name from report.html")
    if not root.is_dir() or not any((root / part).exists() for part in PARTS):
        raise DataError(f"{root}: is no map directory; make one with 'seg2d3d run IMAGES --label building --out {root}'")
    read_marker(root)
    if links := symbolic_links(root):
        raise UsageError(
            f"{root}: {in_words(links)}: symbolic links inside a map directory are not followed; put the files themselves there"
        )
    return MapStore(root)


def refuse_foreign(root: Path, remedy: str) -> None:
    """Refuse a folder with files that belong to no map.

    Raises:
        UsageError: there are such; it names the first ones.
    """
    if foreign := take_inventory(root).foreign:
        raise UsageError(f"{root}: holds {in_words(foreign)}, which belongs to no map; {remedy}")


def real(root: Path) -> Path:
    """The directory itself, where ``root`` is a symbolic link to it."""
    return Path(os.path.realpath(root))
