"""The messages of a rosbag2 (mcap, sqlite3) or rosbag1 without ROS; of a damaged one, what can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.recording import losses
from seg2d3d_ros.recording.metadata import STORAGE_SUFFIXES, BagFiles, bag_files, is_storage
from seg2d3d_ros.recording.storage.base import Record, Storage, in_words
from seg2d3d_ros.recording.storage.compression import ZSTD_SUFFIXES, unpack_file
from seg2d3d_ros.recording.storage.mcap_file import McapStorage
from seg2d3d_ros.recording.storage.message_types import UnknownTypeError
from seg2d3d_ros.recording.storage.rosbag1_file import Rosbag1Storage
from seg2d3d_ros.recording.storage.sqlite_file import SqliteStorage
from seg2d3d_ros.recording.topics import Topic, TopicTypes

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

Form = TypeVar("Form")

_STORAGES: dict[str, type[Storage]] = {".mcap": McapStorage, ".db3": SqliteStorage, ".bag": Rosbag1Storage}


class Recording(AbstractContextManager["Recording"]):
    """All files of a recording, one after the other. A context manager.

    Attributes:
        path: as given.
        topics: by name, over all files.
        start_ns, duration_ns: time of recording.
        end_ns: its end, by ``metadata.yaml`` where that says more than the files.
    """

    def __init__(self, path: Path, found: BagFiles) -> None:
        """Open the files. Raises ``DataError`` where nothing in them can be read."""
        self.path = path
        self._found = found
        self._storages: list[Storage] = []
        self._unpacked: list[TemporaryDirectory[str]] = []
        self._unopened: list[str] = []
        self._counts = losses.ReadCounts()
        for file in found.files:
            try:
                self._storages.append(self._open(file))
            except DataError as error:  # noqa: PERF203
                self._unopened.append(str(error))
        if not any(storage.topics for storage in self._storages):
            self.close()
            raise DataError(f"{path} cannot be read as a bag: {'; '.join(self._unopened) or 'it is empty'}")
        self._cut_off = any(storage.damage for storage in self._storages) or bool(self._unopened or found.missing)
        topics: dict[tuple[str, str], Topic] = {}
        for topic in (topic for storage in self._storages for topic in storage.topics):
            key = topic.name, topic.msgtype
            before = topics.get(key, Topic(*key, 0))
            topics[key] = Topic(*key, before.count + topic.count, before.latched or topic.latched)
        self.topics = {name: topic for (name, _), topic in sorted(topics.items())}
        filled = [storage for storage in self._storages if any(topic.count for topic in storage.topics)] or self._storages
        self.start_ns = min(storage.start_ns for storage in filled)
        self.duration_ns = max(storage.end_ns for storage in filled) - self.start_ns
        self.end_ns = max(self.start_ns + self.duration_ns, found.end_ns)

    @property
    def types(self) -> TopicTypes:
        """The types of the topics that have messages, by name."""
        return {topic.name: (topic.msgtype,) for topic in self.topics.values() if topic.count}

    @property
    def promised(self) -> dict[str, int]:
        """Messages by topic, as the recording counts them; where it is damaged, those that were found when it was opened."""
        return {name: max(topic.count, self._found.counts.get(name, 0)) for name, topic in self.topics.items()}

    @property
    def counted(self) -> bool:
        """Whether ``promised`` says how many messages there were before the damage, not only how many are left."""
        return bool(self._found.counts) or not self._cut_off

    @property
    def unclosed(self) -> bool:
        """Whether nothing is known of its end: no index says it, or ``metadata.yaml`` was never written."""
        return not self.counted or (self.path.is_dir() and not self._found.end_ns)

    @property
    def findings(self) -> list[Finding]:
        """What could not be read; complete after reading."""
        opening = [self._found.problem] if self._found.problem else []
        unfit, numbers = losses.unfit(self._storages)
        absent = [*(f"{name} is not there" for name in self._found.missing), *self._unopened]
        every = (
            losses.missing(absent),
            losses.damaged(self._storages, opening),
            losses.unlisted(self._found.unlisted),
            self._counts.lost(self.promised, numbers),
            unfit,
        )
        return [finding for finding in every if finding is not None]

    @property
    def damage(self) -> list[str]:
        """The same in words."""
        return [finding.text for finding in self.findings]

    def find(self, wanted: str, *msgtypes: str) -> str:
        """The full name of a topic of one of these types that the user named, with or without its leading slash.

        Raises:
            UsageError: there is none, or nothing was recorded on it.
        """
        found = [name for name, types in self.types.items() if set(types) & set(msgtypes)]
        name = wanted if wanted.startswith("/") else f"/{wanted}"
        if name not in found:
            kind = " or ".join(msgtype.rpartition("/")[2] for msgtype in msgtypes)
            raise UsageError(f"no {kind} on {wanted}; there are {', '.join(found) or 'none'}")
        return name

    def messages(self, names: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        """``(topic, log time in ns, message)`` of the named topics in the order of recording.

        Messages are dataclasses with ROS's field names. What is damaged is left out; ``findings`` says so then.
        """
        return self._read(names, lambda storage: storage.decoded)

    def serialized(self, names: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """As ``messages``, but each message as the CDR bytes of ROS 2 Jazzy's type, ready to be published."""
        return self._read(names, lambda storage: storage.cdr)

    def checked(self, names: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """As ``serialized``, but only messages that can be decoded as a whole."""
        return self._read(names, lambda storage: storage.checked)

    def stored(self, names: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """The messages as they lie there, unread, but for rosbag2's compression."""
        return self._read(names, lambda storage: storage.stored)

    def typestore(self, name: str) -> Typestore | None:
        """The types of what ``serialized`` gives of a topic; None where neither the recording nor ROS defines them.

        Raises:
            DataError: its messages are none of ROS.
        """
        for storage in self._storages:
            if any(topic.name == name for topic in storage.topics):
                try:
                    return storage.codec(name).cdr_types
                except UnknownTypeError:
                    return None
        return None

    def first(self, name: str) -> Any | None:
        """The first message of a topic, None where there is none."""
        return next((message for _, _, message in self.messages([name])), None)

    def close(self) -> None:
        """Close all files; may be called again."""
        for storage in self._storages:
            storage.close()
        for folder in self._unpacked:
            folder.cleanup()

    def _read(
        self, names: Collection[str], form: Callable[[Storage], Callable[[Record], Form]]
    ) -> Iterator[tuple[str, int, Form]]:
        read: Counter[str] = Counter()
        for storage in self._storages:
            if any(topic.name in names for topic in storage.topics):
                for topic, log_ns, message in storage.read(names, form(storage)):
                    read[topic] += 1
                    yield topic, log_ns, message
        self._counts.keep(names, read)

    def _open(self, file: Path) -> Storage:
        """Raises ``DataError`` where nothing can be read."""
        unpacked = file
        if file.suffix in ZSTD_SUFFIXES:
            unpacked, folder = unpack_file(file)
            self._unpacked.append(folder)
        try:
            return _STORAGES[unpacked.suffix](unpacked)
        except (DataError, UsageError):
            raise
        except Exception as error:  # whatever parsers meet in a damaged file; the user reads it
            raise DataError(f"{file}: cannot be opened as a recording ({in_words(error)})") from error

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_recording(path: Path) -> Recording:
    """Open a bag: a directory with or without ``metadata.yaml``, or a single ``.mcap``, ``.db3`` or ``.bag`` file.

    Single messages and whole files (``.mcap.zstd``) may be compressed by zstd. A file without index (a recorder that was
    killed, a copy that was cut off) is read from its beginning as far as it goes.

    Raises:
        UsageError: no such path, or no recording.
        DataError: nothing in it can be read.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"no bag at {path}: no such bag or folder")
    if path.is_file():
        if not is_storage(path):
            raise UsageError(f"{path}: not a recording ({', '.join(STORAGE_SUFFIXES)}, or a rosbag2 directory)")
        return Recording(path, BagFiles([path]))
    found = bag_files(path)
    if not found.files:
        if found.missing:
            raise DataError(f"{path}: the recording's files are missing: {', '.join(found.missing)}")
        raise UsageError(f"{path}: no recording in this folder ({', '.join(STORAGE_SUFFIXES)}); for photos use 'seg2d3d run'")
    return Recording(path, found)
