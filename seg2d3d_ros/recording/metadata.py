"""What a rosbag2 folder consists of, by its ``metadata.yaml`` and by the files that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import yaml

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.naming import natural_key
from seg2d3d_ros.recording.storage.compression import ZSTD_SUFFIXES

STORAGE_SUFFIXES = (".mcap", ".db3", ".bag")
METADATA = "metadata.yaml"
_MAX_BYTES = 16 << 20


@dataclass
class BagFiles:
    """The files of a recording.

    Attributes:
        files: those that are there, in order.
        missing: names of those that should be.
        unlisted: recordings in the folder that the metadata does not name.
        counts: messages by topic that the metadata promises.
        end_ns: when the last message was recorded, by the metadata; 0 = there is none.
        problem: why the metadata could not be used, in words.
    """

    files: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unlisted: list[Path] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    end_ns: int = 0
    problem: str = ""


def is_storage(path: Path) -> bool:
    """Whether a file is a recording by its name, also a compressed one."""
    return PurePath(_plain(path.name)).suffix in STORAGE_SUFFIXES


def bag_files(folder: Path) -> BagFiles:
    """The files of a folder: those that ``metadata.yaml`` names, else all in natural order."""
    there = sorted((p for p in folder.iterdir() if is_storage(p)), key=lambda p: natural_key(p.name))
    path = folder / METADATA
    if not path.exists():
        return BagFiles(there)
    try:
        names, counts, end_ns = _read(path)
    except DataError as error:
        return BagFiles(there, problem=str(error))
    by_name = {_plain(file.name): file for file in reversed(there)}  # packed or unpacked, it is the same file
    files = [by_name[_plain(name)] for name in names if _plain(name) in by_name]
    missing = [name for name in names if _plain(name) not in by_name]
    return BagFiles(files, missing, [file for file in by_name.values() if file not in files], counts, end_ns)


def _plain(name: str) -> str:
    """A file's name without the suffix of compression."""
    return PurePath(name).stem if name.endswith(ZSTD_SUFFIXES) else name


def _read(path: Path) -> tuple[list[str], dict[str, int], int]:
    """Names of the files, numbers of messages by topic, and the end in ns. Raises ``DataError`` where it is none."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path}: {path.stat().st_size} bytes are no metadata; it is ignored")
        tree = yaml.load(path.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        facts: Mapping[str, Any] = tree["rosbag2_bagfile_information"]
        names = [PurePath(str(name)).name for name in facts["relative_file_paths"]]
        counts: dict[str, int] = {}
        for one in facts["topics_with_message_count"]:
            topic = str(one["topic_metadata"]["name"])
            counts[topic] = counts.get(topic, 0) + int(one["message_count"])
        end_ns = int(facts["starting_time"]["nanoseconds_since_epoch"]) + int(facts["duration"]["nanoseconds"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__}); the files are read without it") from error
    return names, counts, end_ns
