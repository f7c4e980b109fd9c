"""One readable piece of a recording: its messages as they lie there, decoded, or as the bytes that ROS publishes."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.topics import Topic

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

log = logging.getLogger(__name__)

Form = TypeVar("Form")


class Record(NamedTuple):
    """A message as it is stored: its topic and type, the time of recording in ns, the serialized message."""

    topic: str
    msgtype: str
    log_ns: int
    raw: bytes


class Storage(ABC):
    """Common to all formats: damage ends the reading, and is told once.

    Attributes:
        path: of the file or directory.
        topics: with their numbers of messages.
        start_ns, end_ns: when the first and the last message were recorded.
        damage: says in words what cannot be read, or is empty; it may become known only while reading.
    """

    path: Path
    topics: list[Topic]
    start_ns: int
    end_ns: int
    damage: str = ""

    @abstractmethod
    def records(self, names: Collection[str] | None) -> Iterator[Record]:
        """The messages of the named topics (None: of all) in order of recording; raises anything at a damaged place."""

    @abstractmethod
    def decoded(self, record: Record) -> Any:
        """The message as a dataclass with ROS's field names; raises anything where it is damaged."""

    @abstractmethod
    def cdr(self, record: Record) -> bytes:
        """The message in the form and type of ROS 2 Jazzy; raises anything where it is damaged."""

    def close(self) -> None:  # noqa: B027
        """Close the files; may be called again."""

    def read(self, names: Collection[str] | None, form: Callable[[Record], Form]) -> Iterator[tuple[str, int, Form]]:
        """``(topic, log time in ns, form(record))`` of the named topics as far as they can be read."""
        records, count = self.records(names), 0
        while True:
            try:
                record = next(records)
                message = form(record)
            except StopIteration:
                return
            except Exception as error:  # whatever parsers and decompressors meet; what was read before is good
                if not self.damage:
                    words = f"the recording was cut off or is damaged ({in_words(error)}); {count} messages could be read"
                    self.damage = f"{self.path}: {words}"
                    log.warning("%s", self.damage)
                return
            count += 1
            yield record.topic, record.log_ns, message


class IndexedStorage(Storage):
    """A whole recording, or one file of it, that has its index: read by ``rosbags``."""

    def __init__(self, path: Path):
        """Open it. Raises ``DataError`` where the index is missing or damaged."""
        from rosbags.highlevel import AnyReader

        self.path = path
        try:
            self._reader = AnyReader([path], default_typestore=jazzy())
            self._reader.open()
        except Exception as error:  # whatever its parsers meet in a damaged file; the user reads it
            raise DataError(f"{path}: cannot be opened as a recording ({in_words(error)})") from error
        self.start_ns, self.end_ns = self._reader.start_time, self._reader.end_time
        self.topics = [
            Topic(name, info.msgtype or "", info.msgcount, any(map(_latched, info.connections)))
            for name, info in self._reader.topics.items()
        ]
        self._converters: dict[str, Callable[[bytes], bytes]] = {}

    def records(self, names: Collection[str] | None) -> Iterator[Record]:
        """As ``Storage.records``."""
        connections = [c for c in self._reader.connections if names is None or c.topic in names]
        if connections:  # none would mean all
            for connection, log_ns, raw in self._reader.messages(connections=connections):
                yield Record(connection.topic, connection.msgtype, log_ns, raw)

    def decoded(self, record: Record) -> Any:
        """As ``Storage.decoded``."""
        return self._reader.deserialize(record.raw, record.msgtype)

    def cdr(self, record: Record) -> bytes:
        """As ``Storage.cdr``."""
        if record.msgtype not in self._converters:
            self._converters[record.msgtype] = self._converter(record.msgtype)
        return self._converters[record.msgtype](record.raw)

    def close(self) -> None:
        """As ``Storage.close``."""
        if self._reader.stack:
            self._reader.close()

    def _converter(self, name: str) -> Callable[[bytes], bytes]:
        """Messages of rosbag1, and of distributions where the type has other fields, become Jazzy's."""
        from rosbags.convert.converter import is_same_wireformat, migrate_bytes

        source, target, two = self._reader.typestore, jazzy(), self._reader.is2
        if name in target.fielddefs and not is_same_wireformat(source, target, name, name):
            migrate = partial(migrate_bytes, source, target, name, name, {}, src_is2=two, dst_is2=True)
            return lambda raw: bytes(migrate(raw))
        if two:
            return bytes
        types = target if name in target.fielddefs else source
        return lambda raw: bytes(types.ros1_to_cdr(raw, name))


@lru_cache(maxsize=1)
def jazzy() -> Typestore:
    """The message types of ROS 2 Jazzy."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)


def in_words(error: Exception) -> str:
    """What an exception says, or its type where it says nothing."""
    return str(error).rstrip(".") or type(error).__name__


def _latched(connection: Any) -> bool:
    from rosbags.interfaces import QosDurability

    offered = getattr(connection.ext, "offered_qos_profiles", [])
    return any(q.durability == QosDurability.TRANSIENT_LOCAL for q in offered) or bool(getattr(connection.ext, "latching", 0))
