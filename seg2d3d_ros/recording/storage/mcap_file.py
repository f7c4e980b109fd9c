"""Mcap files of ROS 1 or 2, with or without an index, whole or damaged."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.storage.base import Record, Storage, in_words
from seg2d3d_ros.recording.storage.compression import MAX_BYTES
from seg2d3d_ros.recording.storage.message_types import MessageCodec, ros_name
from seg2d3d_ros.recording.topics import Topic, is_latched

if TYPE_CHECKING:
    from mcap.records import Channel, Chunk, Message, Schema, Statistics

_CHUNK = 0x06
_HEAD = 9
"""Bytes of a record's opcode and length."""


class _Place(NamedTuple):
    """Where a chunk begins, and when its first message was recorded."""

    start_ns: int
    offset: int


class McapStorage(Storage):
    """An mcap file.

    By its index, chunks are read in order of time, and a damaged one costs only itself. A file without index (a recorder that
    was killed, a copy that was cut off) is read once when it is opened, and then as far as it goes.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises ``DataError`` where nothing can be read."""
        super().__init__(path)
        self._stream = path.open("rb")
        self._size = path.stat().st_size
        self._channels: dict[int, Channel] = {}
        self._schemas: dict[int, Schema] = {}
        self._chunks: list[_Place] | None = None
        counts: Counter[int] = Counter()
        try:
            if (statistics := self._indexed()) is not None:
                counts.update(statistics.channel_message_counts)
                self.start_ns, self.end_ns = statistics.message_start_time, statistics.message_end_time
            else:
                counts = self._scan()
        except DataError:
            self.close()
            raise
        found: dict[tuple[str, str], Topic] = {}
        for key, channel in self._channels.items():
            schema = self._schemas.get(channel.schema_id)
            name = channel.topic, ros_name(schema.name) if schema else ""
            before = found.get(name, Topic(*name, 0))
            latched = is_latched(channel.metadata.get("offered_qos_profiles", "")) or channel.topic == "/tf_static"
            found[name] = Topic(*name, before.count + counts[key], before.latched or latched)
        self.topics = list(found.values())

    def records(self, names: Collection[str]) -> Iterator[Record]:
        """As ``Storage.records``."""
        messages = self._in_order_of_storage() if self._chunks is None else self._in_order_of_time(names)
        for message in messages:
            channel = self._channels.get(message.channel_id)
            if channel is not None and channel.topic in names:
                yield Record(channel.topic, message.log_time, message.data)

    def codec(self, topic: str) -> MessageCodec:
        """As ``Storage.codec``."""
        channel = next(channel for channel in self._channels.values() if channel.topic == topic)
        schema = self._schemas.get(channel.schema_id)
        if schema is None:
            raise DataError("the recording does not say of which type these messages are")
        text = schema.data.decode("utf-8", "replace")
        return MessageCodec(schema.name, schema.encoding, text, channel.message_encoding)

    def close(self) -> None:
        """As ``Storage.close``."""
        self._stream.close()

    def _indexed(self) -> Statistics | None:
        """What the end of the file says, if it is there, complete, and its chunks are where it says."""
        from mcap.reader import SeekingReader

        try:
            # A damaged length must not ask for more memory than the file has bytes.
            summary = SeekingReader(self._stream, record_size_limit=max(1, self._size)).get_summary()
        except Exception:  # whatever the parser meets at the end of a file that was cut off
            return None
        if summary is None or (statistics := summary.statistics) is None:
            return None
        if statistics.channel_count > len(summary.channels) or len(summary.chunk_indexes) != statistics.chunk_count:
            return None
        places = [_Place(index.message_start_time, index.chunk_start_offset) for index in summary.chunk_indexes]
        if places and not any(map(self._is_chunk, places)):
            return None
        self._channels, self._schemas = summary.channels, summary.schemas
        self._chunks = sorted(places) if places else None
        return statistics

    def _scan(self) -> Counter[int]:
        """Read the file once to find the channels; numbers of messages by channel. Raises ``DataError`` if there are none."""
        counts: Counter[int] = Counter()
        try:
            for message in self._in_order_of_storage():
                self.start_ns = min(self.start_ns or message.log_time, message.log_time)
                self.end_ns = max(self.end_ns, message.log_time)
                counts[message.channel_id] += 1
        except Exception as error:
            if not counts:
                raise DataError(
                    f"{self.path}: cut off before the first message, or no recording: nothing can be read"
                ) from error
            self.tell_damage(f"it was cut off or is damaged after {sum(counts.values())} messages: {in_words(error)}")
        if not counts:
            raise DataError(f"{self.path}: it is empty")
        return counts

    def _in_order_of_time(self, names: Collection[str]) -> Iterator[Message]:
        """By the index; chunks may overlap in time."""
        waiting: list[tuple[int, int, int, Any]] = [(*place, 0, None) for place in self._chunks or []]
        while waiting:
            start_ns, offset, _, message = heapq.heappop(waiting)
            if message is not None:
                yield message
                continue
            for number, part in enumerate(self._opened(_Place(start_ns, offset)), start=1):
                channel = self._channels.get(part.channel_id)
                if channel is not None and channel.topic in names:
                    heapq.heappush(waiting, (part.log_time, offset, number, part))

    def _in_order_of_storage(self) -> Iterator[Message]:
        """Everything from the beginning on; raises anything at the place of the cut."""
        from mcap.records import Channel, Chunk, Message, Schema
        from mcap.stream_reader import StreamReader

        with self.path.open("rb") as stream:
            for record in StreamReader(stream, emit_chunks=True, record_size_limit=max(1, self._size)).records:
                if isinstance(record, Schema):
                    self._schemas[record.id] = record
                elif isinstance(record, Channel):
                    self._channels[record.id] = record
                elif isinstance(record, Message):
                    yield record
                elif isinstance(record, Chunk):
                    yield from self._messages(record)

    def _is_chunk(self, place: _Place) -> bool:
        self._stream.seek(place.offset)
        head = self._stream.read(_HEAD)
        return len(head) == _HEAD and head[0] == _CHUNK and int.from_bytes(head[1:], "little") <= self._size - place.offset

    def _opened(self, place: _Place) -> list[Message]:
        from mcap.data_stream import ReadDataStream
        from mcap.records import Chunk

        try:
            if not self._is_chunk(place):
                raise DataError("no chunk where the index has one")
            return list(self._messages(Chunk.read(ReadDataStream(self._stream))))
        except Exception as error:  # whatever the parser meets in a damaged chunk's head
            self.tell_damage(f"a damaged chunk at byte {place.offset} is left out: {in_words(error)}")
            return []

    def _messages(self, chunk: Chunk) -> Iterator[Message]:
        """The messages of a chunk up to a damaged place in it."""
        from mcap.opcode import Opcode
        from mcap.records import Channel, Message, Schema
        from mcap.stream_reader import CRCValidationError, get_chunk_data_stream

        try:
            if chunk.uncompressed_size > MAX_BYTES:
                raise DataError(f"it claims {chunk.uncompressed_size} bytes")
            try:
                stream, length = get_chunk_data_stream(chunk, validate_crc=True)
            except CRCValidationError:
                # Most of its messages may be whole, and each is checked when it is decoded.
                self.tell_damage("checksums of chunks are wrong: bytes have changed since the recording")
                stream, length = get_chunk_data_stream(chunk, validate_crc=False)
            while stream.count < length:
                opcode, size = stream.read1(), stream.read8()
                if size > length - stream.count:
                    raise DataError("a record is longer than its chunk")
                if opcode == Opcode.MESSAGE:
                    yield Message.read(stream, size)
                elif opcode == Opcode.CHANNEL:
                    channel = Channel.read(stream)
                    self._channels.setdefault(channel.id, channel)
                elif opcode == Opcode.SCHEMA:
                    schema = Schema.read(stream)
                    self._schemas.setdefault(schema.id, schema)
                else:
                    stream.read(size)
        except Exception as error:  # whatever decompressors and parsers meet
            self.tell_damage(f"a chunk is damaged and left out from there on: {in_words(error)}")
