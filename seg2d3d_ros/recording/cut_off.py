"""What is left of a recording that was cut off: its messages from the beginning as far as they go."""

from __future__ import annotations

import contextlib
import sqlite3
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.storage import Record, Storage, jazzy
from seg2d3d_ros.recording.topics import Topic

_LITTLE_ENDIAN = b"\x00\x01"
_DISORDER_NS = 1_000_000_000


class _CutOffStorage(Storage):
    """A file without index. Its messages are CDR with the types of ROS 2 Jazzy."""

    def __init__(self, path: Path):
        """Read it once to find the topics. Raises ``DataError`` where not one message is whole."""
        self.path = path
        counts: Counter[tuple[str, str]] = Counter()
        stamps = []
        for topic, log_ns, msgtype in self.read(None, lambda record: record.msgtype):
            counts[topic, msgtype] += 1
            stamps.append(log_ns)
        if not stamps:
            raise DataError(f"{path}: cut off before the first message, or no recording: nothing can be read")
        # Only the index has the quality of service; this one topic is latched everywhere.
        self.topics = [Topic(name, msgtype, count, name == "/tf_static") for (name, msgtype), count in counts.items()]
        self.start_ns, self.end_ns = min(stamps), max(stamps)

    @abstractmethod
    def all_records(self) -> Iterator[Record]:
        """Everything in order of storage; raises anything at the place of the cut."""

    def records(self, names: Collection[str] | None) -> Iterator[Record]:
        """As ``Storage.records``."""
        return (record for record in self.all_records() if names is None or record.topic in names)

    def decoded(self, record: Record) -> Any:
        """As ``Storage.decoded``."""
        return jazzy().deserialize_cdr(record.raw, record.msgtype)

    def cdr(self, record: Record) -> bytes:
        """As ``Storage.cdr``."""
        return record.raw


class CutOffMcap(_CutOffStorage):
    """An mcap without its index at the end."""

    def all_records(self) -> Iterator[Record]:
        """As ``_CutOffStorage.all_records``."""
        from mcap.records import Channel, Message, Schema
        from mcap.stream_reader import StreamReader

        schemas: dict[int, str] = {}
        channels: dict[int, tuple[str, str]] = {}
        with self.path.open("rb") as stream:
            # A damaged length must not ask for more memory than the file has bytes.
            for record in StreamReader(stream, record_size_limit=max(1, self.path.stat().st_size)).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record.name
                elif isinstance(record, Channel) and record.message_encoding == "cdr":
                    channels[record.id] = record.topic, schemas.get(record.schema_id, "")
                elif isinstance(record, Message) and record.channel_id in channels:
                    yield Record(*channels[record.channel_id], record.log_time, record.data)


class CutOffSqlite(_CutOffStorage):
    """A ``.db3`` whose last pages are missing."""

    def all_records(self) -> Iterator[Record]:
        """As ``_CutOffStorage.all_records``."""
        uri = f"{self.path.resolve().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
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
                    yield Record(*topics[topic], log_ns, raw)
