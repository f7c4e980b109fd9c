"""One readable file of a recording: its messages as they lie there, decoded, or as the bytes that ROS publishes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from seg2d3d_ros.recording.storage.compression import unpacked_message
from seg2d3d_ros.recording.storage.message_types import MessageCodec
from seg2d3d_ros.recording.topics import Topic

Form = TypeVar("Form")


class Record(NamedTuple):
    """A message as it is stored: its topic, the time of recording in ns, the serialized message."""

    topic: str
    log_ns: int
    raw: bytes


class Storage(ABC):
    """Common to all formats. What is damaged is left out and told; the rest is read.

    Attributes:
        path: of the file, for messages.
        topics: with their numbers of messages.
        start_ns, end_ns: when the first and the last message were recorded.
        damage: what cannot be read, in words, or empty; it may become known only while reading.
        unfit: by topic, how many messages did not fit their type in the last pass, and why the first did not.
    """

    path: Path
    topics: list[Topic]
    start_ns: int = 0
    end_ns: int = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        self.unfit: dict[str, tuple[int, str]] = {}
        self._codecs: dict[str, MessageCodec] = {}

    @abstractmethod
    def records(self, names: Collection[str]) -> Iterator[Record]:
        """The messages of the named topics in order of recording.

        A damaged place is stepped over and told by ``tell_damage``; whatever is raised ends the file.
        """

    @abstractmethod
    def codec(self, topic: str) -> MessageCodec:
        """What turns the messages of a topic into others. Raises ``DataError`` where nobody can read them."""

    def close(self) -> None:  # noqa: B027
        """Close the files; may be called again."""

    def decoded(self, record: Record) -> Any:
        """The message as a dataclass with ROS's field names; raises anything where it is damaged."""
        return self._codec(record.topic).decoded(record.raw)

    def cdr(self, record: Record) -> bytes:
        """The message in the form and type of ROS 2 Jazzy; raises anything where it is damaged."""
        return self._codec(record.topic).cdr(record.raw)

    def checked(self, record: Record) -> bytes:
        """As ``cdr``, of a message that was decoded as a whole; raises anything where it is damaged."""
        self.decoded(record)
        return self.cdr(record)

    def stored(self, record: Record) -> bytes:
        """The message as it lies there, but for rosbag2's compression."""
        return unpacked_message(record.raw)

    def read(self, names: Collection[str], form: Callable[[Record], Form]) -> Iterator[tuple[str, int, Form]]:
        """``(topic, log time in ns, form(record))`` of the named topics, as far as they can be read."""
        unfit: Counter[str] = Counter()
        records = self.records(names)
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except Exception as error:  # whatever parsers and decompressors meet; what was read before is good
                self.tell_damage(f"reading ends there: {in_words(error)}")
                return
            try:
                message = form(record)
            except Exception as error:  # one message that is damaged, or of a type that nobody knows
                unfit[record.topic] += 1
                _, why = self.unfit.get(record.topic, (0, in_words(error)))
                self.unfit[record.topic] = unfit[record.topic], why
                continue
            yield record.topic, record.log_ns, message

    def tell_damage(self, words: str) -> None:
        """Keep the first damage in words."""
        self.damage = self.damage or words

    def _codec(self, topic: str) -> MessageCodec:
        if topic not in self._codecs:
            self._codecs[topic] = self.codec(topic)
        return self._codecs[topic]


def in_words(error: Exception) -> str:
    """What an exception says, in one line, or its type where it says nothing."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
