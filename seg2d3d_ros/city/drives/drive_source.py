"""A drive as it is given on the command line: a folder of photographs or a recording, with what belongs to it."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import UsageError

_RECORDINGS = (".mcap", ".db3", ".bag")
_PLAIN = ("images", "keyframes", "photos")
"""Folders whose names say nothing: the drive is called after the folder above."""


@dataclass(frozen=True)
class DriveSource:
    """One drive.

    Attributes:
        name: its folder in the city, and what the names of its keyframes begin with.
        path: of the folder or recording.
        segments: ready masks, or None.
        gps: ``"exif"``, ``"none"`` or a table; of a folder.
        camera: file with the intrinsics, or None; of a folder.
    """

    name: str
    path: Path
    segments: Path | None = None
    gps: str = "exif"
    camera: Path | None = None

    @property
    def is_recording(self) -> bool:
        """Whether it is a rosbag, and no folder of photographs."""
        return is_recording(self.path)

    def fingerprint(self, config: Config) -> str:
        """Of all that is read for it: names, sizes and times of change of the files, and the parameters that matter."""
        files = [_listing(path) for path in (self.path, self.segments, _file(self.gps), self.camera) if path is not None]
        values = {k: v for k, v in config.flat().items() if k.split(".")[0] in ("keyframes", "segmentation")}
        text = json.dumps([str(self.path.resolve()), self.gps, files, values], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def is_recording(path: Path) -> bool:
    """Whether a path is a rosbag: a file of one, or a folder with ``metadata.yaml`` or such files."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(p.suffix in _RECORDINGS for p in path.iterdir())
    return path.suffix in _RECORDINGS


def drive_sources(
    paths: Sequence[Path], segments: Sequence[Path] = (), gps: Sequence[str] = (), cameras: Sequence[Path] = ()
) -> list[DriveSource]:
    """The drives of a command line, sorted by name: their order plays no part.

    Args:
        paths: folders of photographs and recordings.
        segments: ready masks: none, one for all, or one for each drive in the same order; so are ``gps`` and ``cameras``.

    Raises:
        UsageError: a path is not there, is given twice, or the other options are as many as none of this.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such folder or recording")
    resolved = [path.resolve() for path in paths]
    if twice := [str(path) for path, count in Counter(resolved).items() if count > 1]:
        raise UsageError(f"{twice[0]}: is given twice; give each drive once")
    masks = _for_each("--segments", segments, len(paths))
    tables = _for_each("--gps", gps, len(paths))
    intrinsics = _for_each("--camera", cameras, len(paths))
    found = [
        DriveSource(name, path, mask, table or "exif", camera)
        for name, path, mask, table, camera in zip(_names(resolved), resolved, masks, tables, intrinsics, strict=True)
    ]
    return sorted(found, key=lambda source: source.name)


def _for_each(option: str, values: Sequence[Any], count: int) -> list[Any]:
    if len(values) in (0, 1):
        return list(values or [None]) * count
    if len(values) != count:
        raise UsageError(f"{option} is given {len(values)} times for {count} drives; give it once for all, or once for each")
    return list(values)


def _names(paths: Sequence[Path]) -> list[str]:
    """Each path's last part; where that says nothing or two have it, those above it, too."""
    depths = [2 if path.name.lower() in _PLAIN else 1 for path in paths]
    while True:
        names = [_plain(path, depth) for path, depth in zip(paths, depths, strict=True)]
        clashes = {name for name, count in Counter(names).items() if count > 1}
        if not clashes:
            return names
        for k, name in enumerate(names):
            if name in clashes:
                if depths[k] >= len(paths[k].parts):
                    raise UsageError(f"{paths[k]}: another drive has the name {name}; rename a folder")
                depths[k] += 1


def _plain(path: Path, depth: int) -> str:
    parts = [path.stem if path.suffix in _RECORDINGS else path.name, *(p.name for p in path.parents)][:depth]
    kept = [part for part in reversed(parts) if part.lower() not in _PLAIN and part]
    return re.sub(r"[^\w.-]+", "_", "_".join(kept)).strip("._") or "drive"


def _file(text: str) -> Path | None:
    return None if text in ("exif", "none", "") else Path(text)


def _listing(path: Path) -> list[list[object]]:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.is_file() else []
    return [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in files]
