"""What of a recording could not be read, as findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.recording.storage.base import Storage

FILES_DAMAGED = Kind(
    "recording_damaged",
    "files of the recording that were cut off or are damaged",
    cause="{detail}; what can be read is used",
    remedy="copy the recording again, or let 'seg2d3d recover' write a whole one of what is left",
)
FILES_MISSING = Kind(
    "recording_incomplete",
    "files of the recording that are missing or cannot be opened",
    cause="{detail}",
    remedy="put all files of the recording into its folder",
)
FILES_NOT_LISTED = Kind(
    "recording_files_unused",
    "files beside the recording that its metadata.yaml does not name",
    cause="they are copies, or the metadata is older than they are; they are not read",
    remedy="remove metadata.yaml to have all files read",
)
MESSAGES_LOST = Kind(
    "messages_lost",
    "recorded messages that are not there although the recording counts them",
    cause="the recording was damaged or is incomplete; of {detail} messages could be read",
    remedy="copy the recording again, with all its files",
)
MESSAGES_UNFIT = Kind(
    "messages_unfit",
    "recorded messages that could not be decoded",
    cause="{detail}; they are left out",
    remedy="where it is all messages of a topic, record it with its definition (mcap, or rosbag2 of ROS 2 Iron or newer)",
)


class ReadCounts:
    """How many messages of each topic were read in the last pass over them."""

    def __init__(self) -> None:
        self._read: dict[str, int] = {}

    def keep(self, names: Collection[str], read: Counter[str]) -> None:
        """After a whole pass over the named topics."""
        self._read.update({name: read[name] for name in names})

    def lost(self, promised: Mapping[str, int], unfit: Mapping[str, int]) -> Finding | None:
        """Messages that a recording counts but has not."""
        short = {}
        for name, read in self._read.items():
            if (missing := promised.get(name, 0) - unfit.get(name, 0) - read) > 0:
                short[name] = missing
        if not short:
            return None
        words = ", ".join(f"{name} {self._read[name]} of {promised[name]}" for name in short)
        total = sum(promised[name] for name in short)
        return Finding(MESSAGES_LOST, sum(short.values()), total, (), {"detail": words})


def damaged(storages: Sequence[Storage], opening: Sequence[str]) -> Finding | None:
    """Files that are damaged; ``opening`` says in words what was found when they were opened."""
    words = [*opening, *(f"{storage.path.name}: {storage.damage}" for storage in storages if storage.damage)]
    return Finding(FILES_DAMAGED, len(words), 0, (), {"detail": "; ".join(words)}) if words else None


def unfit(storages: Sequence[Storage]) -> tuple[Finding | None, dict[str, int]]:
    """Messages that do not fit their type; and their numbers by topic."""
    counts: Counter[str] = Counter()
    why: dict[str, str] = {}
    for storage in storages:
        for topic, (count, words) in storage.unfit.items():
            counts[topic] += count
            why.setdefault(topic, words)
    if not counts:
        return None, {}
    detail = "; ".join(f"{topic} {count}: {why[topic]}" for topic, count in counts.items())
    return Finding(MESSAGES_UNFIT, sum(counts.values()), 0, (), {"detail": detail}), dict(counts)


def missing(names: Sequence[str]) -> Finding | None:
    """Files that are not there or cannot be opened, each in words."""
    return Finding(FILES_MISSING, len(names), 0, (), {"detail": "; ".join(names)}) if names else None


def unlisted(files: Sequence[Path]) -> Finding | None:
    """Files that the metadata does not name."""
    return Finding(FILES_NOT_LISTED, len(files), 0, tuple(file.name for file in files[:3])) if files else None
