"""The messages of a rosbag2 (mcap, sqlite3) or rosbag1 without ROS; of a damaged one, what can be read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from seg2d3d_ros.errors import DataError, UsageError

log = logging.getLogger(__name__)

STORAGE_SUFFIXES = (".mcap", ".db3", ".bag")


@dataclass(frozen=True)
class Topic:
    """A recorded topic; ``count`` messages (an estimate where the recording is damaged)."""

    name: str
    msgtype: str
    count: int


class Part(Protocol):
    """One readable piece of a recording.

    ``damage`` says in words what cannot be read, or is empty; it may become known only while reading.
    """

    topics: list[Topic]
    damage: str

    def messages(self, names: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
        """``(topic, log time in ns, message)`` of the named topics, messages as dataclasses with ROS's field names."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class Recording:
    """All parts of a recording, one after the other. A context manager.

    Attributes:
        path: as given.
        topics: by name, over all parts.
    """

    def __init__(self, path: Path, parts: list[Part], damage: list[str]):
        self.path = path
        self._parts = parts
        self._damage = damage
        counts: dict[tuple[str, str], int] = {}
        for topic in (topic for part in parts for topic in part.topics):
            counts[topic.name, topic.msgtype] = counts.get((topic.name, topic.msgtype), 0) + topic.count
        self.topics = {name: Topic(name, msgtype, count) for (name, msgtype), count in sorted(counts.items())}

    @property
    def damage(self) -> list[str]:
        """What could not be read, in words; complete after reading."""
        return list(dict.fromkeys([*self._damage, *(part.damage for part in self._parts if part.damage)]))

    def messages(self, names: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
        """``(topic, log time in ns, message)`` of the named topics in the order of recording."""
        for part in self._parts:
            if wanted := [topic.name for topic in part.topics if topic.name in names]:
                yield from part.messages(wanted)

    def first(self, name: str) -> Any | None:
        """The first message of a topic, None where there is none."""
        for _, _, message in self.messages([name]):
            return message
        return None

    def close(self) -> None:
        """Close all files."""
        for part in self._parts:
            part.close()

    def __enter__(self) -> Recording:
        return self

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
        raise UsageError(f"{path}: no such bag")
    if path.is_file() and path.suffix not in STORAGE_SUFFIXES:
        raise UsageError(f"{path}: not a recording ({', '.join(STORAGE_SUFFIXES)}, or a rosbag2 directory)")
    damage: list[str] = []
    if path.is_dir() and (path / "metadata.yaml").exists():
        try:
            return Recording(path, [IndexedPart(path)], [])
        except DataError as error:
            damage.append(str(error))
    files = [path] if path.is_file() else sorted((p for p in path.iterdir() if p.suffix in STORAGE_SUFFIXES), key=_natural)
    if not files:
        raise UsageError(f"{path}: no recording in this folder ({', '.join(STORAGE_SUFFIXES)}); for photos use 'seg2d3d run'")
    parts: list[Part] = []
    for file in files:
        part, reason = _open_file(file)
        if part is not None:
            parts.append(part)
        elif reason:
            damage.append(reason)
    if not any(part.topics for part in parts):
        raise DataError("; ".join(damage) or f"{path}: the recording is empty")
    return Recording(path, parts, damage)


def _open_file(file: Path) -> tuple[Part | None, str]:
    """By its index if it has one, else from the beginning; or None and the reason."""
    from seg2d3d_ros.recording.cut_off import CutMcap, CutSqlite

    try:
        return IndexedPart(file), ""
    except DataError as error:
        if file.suffix == ".bag":
            return None, f"{error}; 'rosbag reindex' mends a bag that was not closed"
        log.debug("%s: reading it from the beginning (%s)", file, error)
    try:
        return CutMcap(file) if file.suffix == ".mcap" else CutSqlite(file), ""
    except DataError as error:
        return None, str(error)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name)]


class IndexedPart:
    """A whole recording, or one file of it, read by ``rosbags``."""

    def __init__(self, path: Path):
        """Open it. Raises ``DataError`` where the index is missing or damaged."""
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        self.path, self.damage = path, ""
        try:
            self._reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
            self._reader.open()
        except Exception as error:  # whatever its parsers meet in a damaged file; the user reads it
            raise DataError(f"{path}: cannot be opened as a recording ({_words(error)})") from error
        self.topics = [Topic(name, info.msgtype or "", info.msgcount) for name, info in self._reader.topics.items()]

    def messages(self, names: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
        """As ``Part.messages``; a damaged place ends it, and ``damage`` says so."""
        connections = [c for c in self._reader.connections if c.topic in names]
        stream = self._reader.messages(connections=connections) if connections else iter(())
        while True:
            try:
                connection, log_ns, raw = next(stream)
                message = self._reader.deserialize(raw, connection.msgtype)
            except StopIteration:
                return
            except Exception as error:  # as above; what was read before is good
                self.damage = f"{self.path}: damaged, read up to there ({_words(error)})"
                log.warning("%s", self.damage)
                return
            yield connection.topic, log_ns, message

    def close(self) -> None:
        """Close the files."""
        self._reader.close()


def _words(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
