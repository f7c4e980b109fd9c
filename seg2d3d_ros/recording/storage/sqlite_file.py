"""Rosbag2's sqlite3 files, whole or damaged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.storage.base import Record, Storage, in_words
from seg2d3d_ros.recording.storage.message_types import ROS2, MessageCodec, ros_name
from seg2d3d_ros.recording.topics import Topic, is_latched

_LITTLE_ENDIAN, _COMPRESSED = b"\x00\x01", b"\x28\xb5"
_DISORDER_NS = 1_000_000_000


class SqliteStorage(Storage):
    """A ``.db3`` file.

    A damaged page costs the messages in it. A file whose last pages are missing is read once when it is opened, and then as
    far as it goes.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises ``DataError`` where nothing can be read."""
        super().__init__(path)
        # A recorder that was killed may leave messages in the write-ahead log, which an immutable file has not.
        log = path.with_name(f"{path.name}-wal")
        mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
        try:
            self._database = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise DataError(f"{path}: {in_words(error)}") from error
        self._database.text_factory = lambda text: text.decode("utf-8", "replace")
        self._cut_off = False
        try:
            self._open()
        except sqlite3.Error as error:
            self._open_cut_off(error)

    def records(self, names: Collection[str]) -> Iterator[Record]:
        """As ``Storage.records``."""
        wanted = {key: topic.name for key, topic in self._topic_of.items() if topic.name in names}
        rows = self._in_order_of_storage() if self._cut_off else self._in_order_of_time(list(wanted))
        for key, log_ns, raw in rows:
            if key in wanted:
                yield Record(wanted[key], log_ns, raw)

    def codec(self, topic: str) -> MessageCodec:
        """As ``Storage.codec``."""
        msgtype, encoding = next(
            (found.msgtype, self._encodings[key]) for key, found in self._topic_of.items() if found.name == topic
        )
        return MessageCodec(msgtype, *self._definitions.get(msgtype, ("", "")), encoding)

    def close(self) -> None:
        """As ``Storage.close``."""
        self._database.close()

    def _open(self) -> None:
        topics = self._read_topics()
        counts = dict(self._database.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id"))
        first, last = self._database.execute("SELECT min(timestamp), max(timestamp) FROM messages").fetchone()
        self.start_ns, self.end_ns = first or 0, last or 0
        self._keep(topics, counts)

    def _open_cut_off(self, reason: sqlite3.Error) -> None:
        self._cut_off = True
        counts: dict[int, int] = {}
        try:
            # SQLite refuses a file that is shorter than its header says, unless the schema is writable: that is how its
            # own recovery gets in (sqlite.org/recovery.html). The file itself is opened read-only.
            self._database.execute("PRAGMA writable_schema=ON")
            topics = self._read_topics()
            for key, log_ns, _ in self._in_order_of_storage():
                self.start_ns = self.start_ns or log_ns
                self.end_ns = max(self.end_ns, log_ns)
                counts[key] = counts.get(key, 0) + 1
        except sqlite3.Error as error:
            reason = error
        if not counts:
            self.close()
            words = f"cut off before the first message, or no recording: nothing can be read ({in_words(reason)})"
            raise DataError(f"{self.path}: {words}") from reason
        self._keep(topics, counts)
        self.damage = f"it was cut off or is damaged, {sum(counts.values())} messages are left: {in_words(reason)}"

    def _read_topics(self) -> list[tuple[int, str, str, str, str]]:
        """Of each topic: key, name, type, encoding, quality of service. Older files have fewer columns."""
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(topics)")}
        quality = "offered_qos_profiles" if "offered_qos_profiles" in columns else "''"
        question = f"SELECT id, name, type, serialization_format, {quality} FROM topics ORDER BY id"
        topics = self._database.execute(question).fetchall()
        self._definitions: dict[str, tuple[str, str]] = {}
        with contextlib.suppress(sqlite3.Error):  # before Iron there were none
            for name, form, text in self._database.execute(
                "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            ):
                self._definitions[ros_name(name)] = form, text
        return topics

    def _keep(self, topics: list[tuple[int, str, str, str, str]], counts: dict[int, int]) -> None:
        self._topic_of = {
            key: Topic(name, ros_name(msgtype), counts.get(key, 0), is_latched(quality or "") or name == "/tf_static")
            for key, name, msgtype, _, quality in topics
        }
        self._encodings = {key: encoding or ROS2 for key, _, _, encoding, _ in topics}
        self.topics = list(self._topic_of.values())

    def _in_order_of_time(self, keys: list[int]) -> Iterator[tuple[int, int, bytes]]:
        """Topic, time, message; after a damaged page, one by one."""
        marks = ",".join("?" * len(keys))
        question = f"SELECT id, topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp"
        given: set[int] = set()
        try:
            for row, key, log_ns, raw in self._database.execute(question, keys):
                given.add(row)
                yield key, log_ns, raw
        except sqlite3.Error as error:
            self.tell_damage(f"messages in damaged pages are left out: {in_words(error)}")
            yield from self._one_by_one(given)

    def _in_order_of_storage(self) -> Iterator[tuple[int, int, bytes]]:
        """The same in the order of the table: the index by time lies elsewhere in the file."""
        newest, given = 0, set()
        try:
            for row, key, log_ns, raw in self._database.execute(
                "SELECT id, topic_id, timestamp, data FROM messages NOT INDEXED"
            ):
                given.add(row)
                # The row at the cut ends in zeros, which SQLite does not notice: no message begins so, and time jumps back.
                if _is_message(raw) and log_ns > newest - _DISORDER_NS:
                    newest = max(newest, log_ns)
                    yield key, log_ns, raw
        except sqlite3.Error as error:
            self.tell_damage(in_words(error))
            yield from self._one_by_one(given)

    def _one_by_one(self, given: set[int]) -> Iterator[tuple[int, int, bytes]]:
        """The messages that are not ``given``, by the index of their times as far as that is whole, each by itself."""
        rows: list[int] = []
        with contextlib.suppress(sqlite3.Error):
            for (row,) in self._database.execute("SELECT id FROM messages INDEXED BY timestamp_idx ORDER BY timestamp"):
                rows.append(row)
        for row in rows:
            if row not in given:
                with contextlib.suppress(sqlite3.Error):
                    question = "SELECT topic_id, timestamp, data FROM messages WHERE id = ?"
                    found = self._database.execute(question, (row,)).fetchone()
                    if found is not None and _is_message(found[2]):
                        yield found


def _is_message(raw: object) -> bool:
    return isinstance(raw, bytes) and raw[:2] in (_LITTLE_ENDIAN, _COMPRESSED)
