"""A damaged recording → a whole one with everything that can still be read, and what each topic lost.

The original is only read. Every message is decoded before it is written, so that the new recording has no broken ones; those of
a type that nobody knows are copied as they lie there.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.recording.metadata import STORAGE_SUFFIXES
from seg2d3d_ros.recording.reader import Recording, open_recording
from seg2d3d_ros.recording.topics import Topic

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos
    from rosbags.rosbag2 import Writer

MESSAGES_MISSING = Kind(
    "messages_missing",
    "messages that are missing by the gaps which they leave in their topics, about",
    cause="{detail}",
    remedy="they are lost; drive these stretches again where they matter",
)
RECORDING_OPEN = Kind(
    "recording_open",
    "recordings of whose end nothing is known",
    cause="there is no usable metadata.yaml or index: the recorder was killed, or the copy is incomplete; the last message "
    "that can be read is {seconds:.1f} s after the first, and nobody can say what came after it",
    remedy="see whether the recorder's computer has more of it; next time end the recorder with Ctrl-C and wait for it",
)
TYPES_UNKNOWN = Kind(
    "message_types_unknown",
    "messages that were copied without a look at them",
    cause="neither the recording nor ROS defines their type: {detail}",
    remedy="they are as they were recorded; a damaged one among them would not be noticed",
)
GAP = 4.0
"""Times the usual distance of a topic's messages: a longer silence is a gap, …"""
GAP_SECONDS = 0.5
"""… if it is longer by this much, too."""
REGULAR = 4
"""A topic with fewer messages has no usual distance."""
_NO_HASH = "RIHS01_" + "0" * 64


class Loss(NamedTuple):
    """What a topic lost: messages, whether that is an estimate, and seconds without any."""

    messages: int
    estimated: bool
    seconds: float


@dataclass
class TopicRecovery:
    """What became of one topic.

    Attributes:
        name, msgtype: as recorded.
        times: when the messages that are left were recorded, in ns.
        promised: how many there were, by the recording's own count; None where that is lost, too.
    """

    name: str
    msgtype: str
    promised: int | None
    times: array[int] = field(default_factory=lambda: array("q"))

    @property
    def kept(self) -> int:
        """How many messages are left."""
        return len(self.times)

    def loss(self, start_ns: int, end_ns: int) -> Loss:
        """What is lost of a damaged recording, by the distance that the topic's messages usually have.

        Args:
            start_ns: of the recording.
            end_ns: of the recording.
        """
        counted = None if self.promised is None else max(self.promised - self.kept, 0)
        if counted == 0 or self.kept < REGULAR:
            return Loss(counted or 0, counted is None, 0.0)
        times = np.sort(np.frombuffer(self.times, np.int64))
        usual = float(np.median(np.diff(times)))
        # The ends of the recording are no messages: half a distance from the nearest one is usual there.
        distances = np.diff(np.concatenate([[min(start_ns, times[0])], times, [max(end_ns, times[-1])]])).astype(float)
        wide = distances > max(GAP * usual, usual + GAP_SECONDS * 1e9)
        missing = int(np.maximum(np.round(distances[wide] / max(usual, 1.0)) - 1, 1).sum())
        seconds = float((distances[wide] - usual).sum() * 1e-9)
        if counted is None:
            return Loss(missing, True, seconds)
        return Loss(counted, False, min(seconds, counted * usual * 1e-9))


@dataclass(frozen=True)
class RecoveredRecording:
    """The outcome of ``recover``.

    Attributes:
        out: the new recording's folder.
        topics: by name.
        start_ns, end_ns: of the old one, as far as that is known.
        damaged: whether anything was wrong with it; without damage, silences are no gaps.
        findings: what was lost, and why.
    """

    out: Path
    topics: list[TopicRecovery]
    start_ns: int
    end_ns: int
    damaged: bool
    findings: list[Finding]


def default_out(bag: Path) -> Path:
    """``drive_recovered`` beside ``drive``, ``drive.mcap`` or ``drive_0.db3.zstd``."""
    name = bag.resolve().name
    for suffix in STORAGE_SUFFIXES:
        name = name.partition(suffix)[0]
    return bag.resolve().with_name(f"{name}_recovered")


def recover(bag: Path, out: Path, *, storage: str = "", progress: Progress = lambda *_: None) -> RecoveredRecording:
    """Write what can be read of a recording into a new one.

    Args:
        bag: rosbag2 folder, ``.mcap``, ``.db3`` or ``.bag`` file.
        out: folder of the new rosbag2; it must not be there yet.
        storage: ``mcap`` or ``sqlite3``; empty = as the old one, mcap for a rosbag1.
        progress: hears of the seconds of the recording that are done.

    Raises:
        UsageError: no such recording, or something is at ``out``.
        DataError: nothing can be read.
    """
    out = out.absolute()
    if out.exists():
        raise UsageError(f"{out}: is there already; give another --out")
    if not bag.exists():
        raise UsageError(f"no bag at {bag}: no such bag or folder")
    if bag.is_dir() and out.is_relative_to(bag.resolve()):
        raise UsageError(f"{out}: lies in the damaged recording, which is left as it is; give another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        source = _without_log(bag, Path(scratch) / "source")
        with open_recording(source) as recording:
            recovered = _copied(recording, Path(scratch) / out.name, storage or _storage_of(source), progress)
        for file in (Path(scratch) / out.name).iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        (Path(scratch) / out.name).rename(out)
    return RecoveredRecording(out, *recovered)


def _without_log(bag: Path, scratch: Path) -> Path:
    """``bag``, or its copy where a database has a log of changes that were not carried over: even reading it there would
    change the original's folder."""
    folder = bag if bag.is_dir() else bag.parent
    files = sorted(folder.iterdir()) if bag.is_dir() else [bag]
    logs = [log for file in files if file.suffix == ".db3" and (log := file.with_name(f"{file.name}-wal")).exists()]
    if not logs:
        return bag
    scratch.mkdir()
    for file in {*files, *logs}:
        if file.is_file():
            shutil.copy2(file, scratch)
    return scratch if bag.is_dir() else scratch / bag.name


def _storage_of(source: Path) -> str:
    names = [source.name] if source.is_file() else [file.name for file in source.iterdir()]
    return "sqlite3" if any(".db3" in name for name in names) else "mcap"


def _copied(
    recording: Recording, out: Path, storage: str, progress: Progress
) -> tuple[list[TopicRecovery], int, int, bool, list[Finding]]:
    from rosbags.rosbag2 import StoragePlugin, Writer

    counted, promised = recording.counted, recording.promised
    topics = {
        name: TopicRecovery(name, topic.msgtype, promised[name] if counted else None)
        for name, topic in recording.topics.items()
    }
    known, unknown = _by_type(recording)
    seconds = max(round(recording.duration_ns * 1e-9), 1)
    try:
        with Writer(out, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
            connections = {name: _connect(writer, recording, recording.topics[name]) for name in (*known, *unknown)}
            for name, log_ns, raw in _messages(recording, known, unknown):
                writer.write(connections[name], log_ns, raw)
                topics[name].times.append(log_ns)
                progress("recovering (s)", min(round((log_ns - recording.start_ns) * 1e-9), seconds), seconds)
            if not any(topic.kept for topic in topics.values()):
                raise DataError(f"{recording.path}: no message of it can be read")
    except sqlite3.Error as error:
        raise DataError(f"{out.parent.parent}: the new recording cannot be written ({error}); free space") from error
    findings = recording.findings
    copied = {name: topics[name].kept for name in unknown if topics[name].kept}
    if copied:
        detail = ", ".join(f"{name} ({topics[name].msgtype})" for name in copied)
        findings.append(Finding(TYPES_UNKNOWN, sum(copied.values()), details={"detail": detail}))
    if recording.unclosed:
        findings.append(Finding(RECORDING_OPEN, 1, details={"seconds": recording.duration_ns * 1e-9}))
    damaged = bool(findings)
    found = list(topics.values())
    if damaged and (gaps := _gaps(found, recording.start_ns, recording.end_ns)):
        findings.append(gaps)
    return found, recording.start_ns, recording.end_ns, damaged, findings


def _by_type(recording: Recording) -> tuple[list[str], list[str]]:
    """Names of the topics whose types are known, and of those that nobody knows."""
    unknown = [name for name in recording.types if _is_unknown(recording, name)]
    return [name for name in recording.types if name not in unknown], unknown


def _is_unknown(recording: Recording, name: str) -> bool:
    try:
        return recording.typestore(name) is None
    except DataError:
        return False  # no message of ROS: read in vain, so that it is counted with the reason


def _messages(recording: Recording, known: list[str], unknown: list[str]) -> Iterator[tuple[str, int, bytes]]:
    yield from recording.checked(known)
    if unknown:
        yield from recording.stored(unknown)


def _connect(writer: Writer, recording: Recording, topic: Topic) -> Connection:
    try:
        store = recording.typestore(topic.name)
    except DataError:
        store = None
    types: dict[str, Any] = {"typestore": store} if store is not None else {"msgdef": "", "rihs01": _NO_HASH}
    return writer.add_connection(topic.name, topic.msgtype, offered_qos_profiles=[_quality(topic.latched)], **types)


def _quality(latched: bool) -> Qos:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    never = QosTime(2147483647, 4294967295)
    return Qos(
        QosHistory.KEEP_LAST,
        10,
        QosReliability.RELIABLE,
        durability,
        never,
        never,
        QosLiveliness.AUTOMATIC,
        never,
        avoid_ros_namespace_conventions=False,
    )


def _gaps(topics: list[TopicRecovery], start_ns: int, end_ns: int) -> Finding | None:
    """What nobody has counted."""
    losses = {topic.name: topic.loss(start_ns, end_ns) for topic in topics}
    found = {name: loss for name, loss in losses.items() if loss.estimated and loss.messages}
    words = ", ".join(f"{name} about {loss.messages} in {loss.seconds:.1f} s" for name, loss in found.items())
    total = sum(loss.messages for loss in found.values())
    return Finding(MESSAGES_MISSING, total, details={"detail": words}) if found else None
