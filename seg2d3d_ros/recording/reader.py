"""The messages of a rosbag2 (mcap, sqlite3) or rosbag1 without ROS; of a damaged one, what can be read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.recording.cut_off import CutOffMcap, CutOffSqlite
from seg2d3d_ros.recording.naming import natural_key
from seg2d3d_ros.recording.storage import IndexedStorage, Storage
from seg2d3d_ros.recording.topics import Topic, TopicTypes

log = logging.getLogger(__name__)

STORAGE_SUFFIXES = (".mcap", ".db3", ".bag")


class Recording(AbstractContextManager["Recording"]):
    """All files of a recording, one after the other. A context manager.

    Attributes:
        path: as given.
        topics: by name, over all files.
        start_ns, duration_ns: time of recording.
    """

    def __init__(self, path: Path, storages: list[Storage], damage: list[str]):
        self.path = path
        self._storages = storages
        self._damage = damage
        found: dict[tuple[str, str], Topic] = {}
        for topic in (topic for storage in storages for topic in storage.topics):
            key = topic.name, topic.msgtype
            before = found.get(key, Topic(*key, 0))
            found[key] = Topic(*key, before.count + topic.count, before.latched or topic.latched)
        self.topics = {name: topic for (name, _), topic in sorted(found.items())}
        self.start_ns = min(storage.start_ns for storage in storages)
        self.duration_ns = max(storage.end_ns for storage in storages) - self.start_ns

    @property
    def types(self) -> TopicTypes:
        """The types of the topics that have messages, by name."""
        return {topic.name: (topic.msgtype,) for topic in self.topics.values() if topic.count}

    @property
    def damage(self) -> list[str]:
        """What could not be read, in words; complete after reading."""
        return list(dict.fromkeys([*self._damage, *(storage.damage for storage in self._storages if storage.damage)]))

    def find(self, wanted: str, msgtype: str) -> str:
        """The full name of a topic of this type that the user named, with or without its leading slash.

        Raises:
            UsageError: there is none, or nothing was recorded on it.
        """
        found = [name for name, types in self.types.items() if msgtype in types]
        name = wanted if wanted.startswith("/") else f"/{wanted}"
        if name not in found:
            kind = msgtype.rpartition("/")[2]
            raise UsageError(f"no {kind} on {wanted}; there are {', '.join(found) or 'none'}")
        return name

    def messages(self, names: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        """``(topic, log time in ns, message)`` of the named topics in the order of recording.

        Messages are dataclasses with ROS's field names. At a damaged place the file ends; ``damage`` says so then.
        """
        for storage in self._holding(names):
            yield from storage.read(names, storage.decoded)

    def serialized(self, names: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """As ``messages``, but each message as the CDR bytes of ROS 2 Jazzy's type, ready to be published."""
        for storage in self._holding(names):
            yield from storage.read(names, storage.cdr)

    def first(self, name: str) -> Any | None:
        """The first message of a topic, None where there is none."""
        return next((message for _, _, message in self.messages([name])), None)

    def close(self) -> None:
        """Close all files; may be called again."""
        for storage in self._storages:
            storage.close()

    def _holding(self, names: Collection[str]) -> list[Storage]:
        return [storage for storage in self._storages if any(topic.name in names for topic in storage.topics)]

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_recording(path: Path) -> Recording:
    """Open a bag: a directory with or without ``metadata.yaml``, or a single ``.mcap``, ``.db3`` or ``.bag`` file.

    A file without index (a recorder that was killed, a copy that was cut off) is read from its beginning as far as it goes.

    Raises:
        UsageError: no such path, or no recording.
        DataError: nothing in it can be read.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"no bag at {path}: no such bag or folder")
    if path.is_file() and path.suffix not in STORAGE_SUFFIXES:
        raise UsageError(f"{path}: not a recording ({', '.join(STORAGE_SUFFIXES)}, or a rosbag2 directory)")
    damage: list[str] = []
    if path.is_dir() and (path / "metadata.yaml").exists():
        try:
            return Recording(path, [IndexedStorage(path)], [])
        except DataError as error:
            damage.append(str(error))
    files = [path] if path.is_file() else [p for p in path.iterdir() if p.suffix in STORAGE_SUFFIXES]
    if not files:
        raise UsageError(f"{path}: no recording in this folder ({', '.join(STORAGE_SUFFIXES)}); for photos use 'seg2d3d run'")
    storages: list[Storage] = []
    for file in sorted(files, key=lambda file: natural_key(file.name)):
        try:
            storages.append(_open_file(file))
        except DataError as error:  # noqa: PERF203
            damage.append(str(error))
    if not any(storage.topics for storage in storages):
        raise DataError(f"{path} cannot be read as a bag: {'; '.join(damage) or 'it is empty'}")
    return Recording(path, storages, damage)


def _open_file(file: Path) -> Storage:
    """By its index if it has one, else from the beginning. Raises ``DataError`` where nothing can be read."""
    try:
        return IndexedStorage(file)
    except DataError as error:
        if file.suffix == ".bag":
            raise DataError(f"{error}; 'rosbag reindex' mends a bag that was not closed") from error
        log.debug("%s: reading it from the beginning (%s)", file, error)
    return CutOffMcap(file) if file.suffix == ".mcap" else CutOffSqlite(file)
