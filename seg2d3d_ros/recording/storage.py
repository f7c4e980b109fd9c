"""Reads a bag as (topic, time, serialized message) ready to publish, without ROS's bag tools."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.recording.cut_off import CutMcap, CutSqlite

log = logging.getLogger(__name__)

Convert = Callable[[bytes], bytes]


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: name, type as ``package/msg/Type``, number of messages, whether it was latched."""

    name: str
    type_name: str
    count: int
    latched: bool


class BagSource:
    """A rosbag2 (directory, .mcap, .db3) or rosbag1 file; of one that was cut off, what can be read. A context manager.

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
        self._reader: Any = None
        self._cut: list[CutMcap | CutSqlite] = []
        try:
            self._reader = AnyReader([self.path], default_typestore=self._store)
            self._reader.open()
        except Exception as error:  # rosbags raises many kinds, also KeyError and struct.error, on damaged files
            self._reader = None
            self._open_cut(error)
            return
        self.topics = {c.topic: _topic(c) for c in self._reader.connections}
        self.start_ns, self.duration_ns = self._reader.start_time, self._reader.duration

    def _open_cut(self, reason: Exception) -> None:
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        kinds: dict[str, Callable[[Path], CutMcap | CutSqlite]] = {".mcap": CutMcap, ".db3": CutSqlite}
        for file in files:
            if kind := kinds.get(file.suffix):
                with contextlib.suppress(DataError):  # the other files may hold something
                    self._cut.append(kind(file))
        if not self._cut:
            raise DataError(f"{self.path} cannot be read as a bag: {reason}") from reason
        found = [topic for cut in self._cut for topic in cut.topics]
        self.topics = {t.name: BagTopic(t.name, t.msgtype, t.count, t.name == "/tf_static") for t in found}
        stamps = [stamp for cut in self._cut for _, _, stamp, _ in cut.records()]
        self.start_ns, self.duration_ns = min(stamps), max(stamps) - min(stamps)

    def __enter__(self) -> BagSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._reader:
            self._reader.close()
            self._reader = None

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time in ns, CDR bytes of the Jazzy type) in order of recording; ends with a log line at damage."""
        if self._reader is None:
            for cut in self._cut:
                yield from ((topic, stamp, raw) for topic, _, stamp, raw in cut.records() if topic in topics)
            return
        connections = [c for c in self._reader.connections if c.topic in topics]
        converters = {c.msgtype: self._converter(c.msgtype) for c in connections}
        stream = self._reader.messages(connections=connections) if connections else iter(())
        while True:
            try:
                connection, stamp, raw = next(stream)
                data = converters[connection.msgtype](raw)
            except StopIteration:
                return
            except Exception as error:  # as above; what came before is good
                log.warning("%s is damaged here: %s; what came before has been played", self.path, error)
                return
            yield connection.topic, stamp, data

    def _converter(self, name: str) -> Convert:
        """Messages of rosbag1, and of distributions where the type has other fields, become Jazzy's."""
        from rosbags.convert.converter import is_same_wireformat, migrate_bytes

        source, target, two = self._reader.typestore, self._store, self._reader.is2
        if name in target.fielddefs and not is_same_wireformat(source, target, name, name):
            migrate = partial(migrate_bytes, source, target, name, name, {}, src_is2=two, dst_is2=True)
            return lambda raw: bytes(migrate(raw))
        if two:
            return bytes
        types = target if name in target.fielddefs else source
        return lambda raw: bytes(types.ros1_to_cdr(raw, name))


def _topic(connection: Any) -> BagTopic:
    from rosbags.interfaces import QosDurability

    offered = getattr(connection.ext, "offered_qos_profiles", [])
    latched = any(q.durability == QosDurability.TRANSIENT_LOCAL for q in offered) or bool(
        getattr(connection.ext, "latching", 0)
    )
    return BagTopic(connection.topic, connection.msgtype, connection.msgcount, latched)
