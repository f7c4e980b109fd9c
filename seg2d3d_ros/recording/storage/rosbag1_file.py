"""Rosbag1 files, ``.bag``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.storage.base import Record, Storage, in_words
from seg2d3d_ros.recording.storage.message_types import ROS1, MessageCodec
from seg2d3d_ros.recording.topics import Topic


class Rosbag1Storage(Storage):
    """A ``.bag`` file that has its index, read by ``rosbags``; it ends at a damaged place."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises ``DataError`` where the index is missing or damaged."""
        from rosbags.rosbag1 import Reader

        super().__init__(path)
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # whatever its parsers meet in a damaged file; the user reads it
            words = f"cannot be opened as a recording ({in_words(error)}); 'rosbag reindex' mends a bag that was not closed"
            raise DataError(f"{path}: {words}") from error
        self.start_ns, self.end_ns = self._reader.start_time, self._reader.end_time
        found: dict[tuple[str, str], Topic] = {}
        for one in self._reader.connections:
            before = found.get((one.topic, one.msgtype), Topic(one.topic, one.msgtype, 0))
            latched = bool(getattr(one.ext, "latching", 0)) or one.topic == "/tf_static"
            found[one.topic, one.msgtype] = Topic(
                *(one.topic, one.msgtype), before.count + one.msgcount, before.latched or latched
            )
        self.topics = list(found.values())

    def records(self, names: Collection[str]) -> Iterator[Record]:
        """As ``Storage.records``."""
        connections = [one for one in self._reader.connections if one.topic in names]
        if connections:  # none would mean all
            for connection, log_ns, raw in self._reader.messages(connections=connections):
                yield Record(connection.topic, log_ns, raw)

    def codec(self, topic: str) -> MessageCodec:
        """As ``Storage.codec``."""
        connection = next(one for one in self._reader.connections if one.topic == topic)
        return MessageCodec(connection.msgtype, "ros1msg", connection.msgdef.data, ROS1)

    def close(self) -> None:
        """As ``Storage.close``."""
        if self._reader.bio:
            self._reader.close()
