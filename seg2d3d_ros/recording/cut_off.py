"""What is left of a recording that was cut off: its messages from the beginning as far as they go."""

from __future__ import annotations

import logging
import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.reader import Topic

log = logging.getLogger(__name__)

_LITTLE_ENDIAN = b"\x00\x01"
_DISORDER_NS = 1_000_000_000


class _Cut(ABC):
    """Common to all formats: topics, deserialising with the types of ROS 2 Jazzy, and saying once what is missing."""

    def __init__(self, file: Path):
        """Read it once to find the topics. Raises ``DataError`` where not one message is whole."""
        from rosbags.typesys import Stores, get_typestore

        self.file, self.damage = file, ""
        self._types = get_typestore(Stores.ROS2_JAZZY)
        counts: Counter[tuple[str, str]] = Counter((topic, msgtype) for topic, msgtype, _, _ in self.records())
        self.topics = [Topic(topic, msgtype, count) for (topic, msgtype), count in counts.items()]
        if not self.topics:
            raise DataError(f"{self.file}: cut off before the first message, or no recording: nothing can be read")

    @abstractmethod
    def records(self) -> Iterator[tuple[str, str, int, bytes]]:
        """``(topic, type, log time in ns, serialized message)`` of everything that can be read."""

    def messages(self, names: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
        """As ``Part.messages``."""
        for topic, msgtype, log_ns, raw in self.records():
            if topic in names:
                yield topic, log_ns, self._message(raw, msgtype)

    def _ended(self, error: Exception | None, count: int) -> None:
        if error is not None and not self.damage:
            reason = str(error) or type(error).__name__
            self.damage = f"{self.file}: the recording was cut off or is damaged ({reason}); {count} messages could be read"
            log.warning("%s", self.damage)

    def _message(self, raw: bytes, msgtype: str) -> Any:
        return self._types.deserialize_cdr(raw, msgtype)

    def close(self) -> None:  # noqa: B027
        """Nothing stays open."""


class CutMcap(_Cut):
    """An mcap without its index at the end."""

    def records(self) -> Iterator[tuple[str, str, int, bytes]]:
        """``(topic, type, log time in ns, serialized message)`` of everything that can be read."""
        from mcap.records import Channel, Message, Schema
        from mcap.stream_reader import StreamReader

        schemas: dict[int, str] = {}
        channels: dict[int, tuple[str, str]] = {}
        count, failure = 0, None
        with self.file.open("rb") as stream:
            # A damaged length must not ask for more memory than the file has bytes.
            records = StreamReader(stream, record_size_limit=max(1, self.file.stat().st_size)).records
            while True:
                try:
                    record = next(records)
                except StopIteration:
                    break
                except Exception as error:  # whatever the parser and the decompressors meet; the user reads it
                    failure = error
                    break
                if isinstance(record, Schema):
                    schemas[record.id] = record.name
                elif isinstance(record, Channel) and record.message_encoding == "cdr":
                    channels[record.id] = record.topic, schemas.get(record.schema_id, "")
                elif isinstance(record, Message) and record.channel_id in channels:
                    count += 1
                    yield *channels[record.channel_id], record.log_time, record.data
        self._ended(failure, count)


class CutSqlite(_Cut):
    """A ``.db3`` whose last pages are missing."""

    def records(self) -> Iterator[tuple[str, str, int, bytes]]:
        """``(topic, type, log time in ns, serialized message)`` of everything that can be read."""
        connection = sqlite3.connect(f"{self.file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        count, failure = 0, None
        try:
            # SQLite refuses a file that is shorter than its header says, unless the schema is writable: that is how its
            # own recovery gets in (sqlite.org/recovery.html). The file itself is opened read-only.
            connection.execute("PRAGMA writable_schema=ON")
            topics = {key: (name, msgtype) for key, name, msgtype in connection.execute("SELECT id, name, type FROM topics")}
            # In the order of the table: the index by time lies elsewhere in the file.
            newest = 0
            for topic, log_ns, raw in connection.execute("SELECT topic_id, timestamp, data FROM messages NOT INDEXED"):
                # The row at the cut ends in zeros, which SQLite does not notice: no CDR header, and time jumps back.
                if topic in topics and raw[:2] == _LITTLE_ENDIAN and log_ns > newest - _DISORDER_NS:
                    newest = max(newest, log_ns)
                    count += 1
                    yield *topics[topic], log_ns, raw
        except sqlite3.Error as error:
            failure = error
        finally:
            connection.close()
        self._ended(failure, count)
