"""Reads a bag as (topic, time, serialized message) ready to publish, without ROS's bag tools."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError, UsageError

Convert = Callable[[bytes], bytes]


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: name, type as ``package/msg/Type``, number of messages, whether it was latched."""

    name: str
    type_name: str
    count: int
    latched: bool


class BagSource:
    """A rosbag2 (directory, .mcap, .db3) or rosbag1 file. Use as a context manager.

    Attributes:
        topics: by name.
        start_ns, duration_ns: recording time.
    """

    def __init__(self, path: Path) -> None:
        """Open.

        Raises:
            UsageError: no such bag.
            DataError: not a readable bag.
        """
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        self.path = Path(path)
        if not self.path.exists():
            raise UsageError(f"no bag at {path}")
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._stack = ExitStack()
        try:
            self._reader = self._stack.enter_context(AnyReader([self.path], default_typestore=self._store))
        except Exception as error:  # rosbags raises many kinds, also KeyError and struct.error, on damaged files
            self._stack.close()
            raise DataError(f"{path} cannot be read as a bag: {error}; if the recording was cut off, reindex it") from error
        self.topics = {c.topic: _topic(c) for c in self._reader.connections}
        self.start_ns, self.duration_ns = self._reader.start_time, self._reader.duration

    def __enter__(self) -> BagSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called again."""
        self._stack.close()

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time in ns, CDR bytes of the Jazzy type) in order of recording.

        Raises:
            DataError: the bag is damaged from here on.
        """
        connections = [c for c in self._reader.connections if c.topic in topics]
        converters = {c.msgtype: self._converter(c.msgtype) for c in connections}
        if not connections:
            return
        try:
            for connection, stamp, raw in self._reader.messages(connections=connections):
                yield connection.topic, stamp, converters[connection.msgtype](raw)
        except GeneratorExit:
            raise
        except Exception as error:  # as above
            raise DataError(f"{self.path} is damaged: {error}; what came before has been played") from error

    def _converter(self, name: str) -> Convert:
        """Messages of rosbag1, and of distributions where the type has other fields, become Jazzy's."""
        from rosbags.convert.converter import is_same_wireformat, migrate_bytes

        source, target = self._reader.typestore, self._store
        if name not in target.fielddefs:
            return bytes if self._reader.is2 else lambda raw: bytes(source.ros1_to_cdr(raw, name))
        if is_same_wireformat(source, target, name, name):
            return bytes if self._reader.is2 else lambda raw: bytes(target.ros1_to_cdr(raw, name))
        migrate = partial(migrate_bytes, source, target, name, name, {}, src_is2=self._reader.is2, dst_is2=True)
        return lambda raw: bytes(migrate(raw))


def _topic(connection: Any) -> BagTopic:
    from rosbags.interfaces import QosDurability

    offered = getattr(connection.ext, "offered_qos_profiles", [])
    latched = any(q.durability == QosDurability.TRANSIENT_LOCAL for q in offered) or bool(
        getattr(connection.ext, "latching", 0)
    )
    return BagTopic(connection.topic, connection.msgtype, connection.msgcount, latched)
