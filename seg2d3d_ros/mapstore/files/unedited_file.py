"""``unedited.npz`` and ``unedited/<name>.png``: what lies beneath people's corrections, so that each can be taken back.

The label images, tracks.json and the instances of the clouds' points as the software made them, prompted objects included. A
map that shows no correction has none of these files.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.disk.documents import parse_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore import checks
from seg2d3d_ros.mapstore.directory.inventory import UNEDITED_FILE

VERSION = 1
MAX_BYTES = 4 << 30
REMEDY = "delete it, and make the labels anew with seg2d3d run --resume"


@dataclass(frozen=True)
class CloudBeneath:
    """Of one cloud, the points that corrections changed.

    Attributes:
        rows: (N,) int64 their places.
        instance, confidence: (N,) int32 and float32, what was there.
        checksum: of the instances of all points, as they were written with the corrections.
    """

    rows: np.ndarray
    instance: np.ndarray
    confidence: np.ndarray
    checksum: int

    def restored(self, points: np.ndarray) -> np.ndarray | None:
        """A copy of a cloud without the corrections; None where the cloud was made anew since."""
        if checksum(points) != self.checksum:
            return None
        points = points.copy()
        points["instance"][self.rows], points["confidence"][self.rows] = self.instance, self.confidence
        return points


def checksum(points: np.ndarray) -> int:
    """Of the instances of a cloud's points (P,)."""
    return zlib.crc32(points["instance"].tobytes())


@dataclass(frozen=True)
class Unedited:
    """The content of ``unedited.npz``.

    Attributes:
        tracks: tracks.json without the corrections.
        clouds: by the name of the file.
        states: of each correction in the log that was tried, by its number: "" where the map shows it, else why it does not.
    """

    tracks: Mapping[str, Any]
    clouds: Mapping[str, CloudBeneath] = field(default_factory=dict)
    states: Mapping[int, str] = field(default_factory=dict)


def write_unedited(root: Path, unedited: Unedited) -> None:
    """Write the file whole or not at all. Raises ``DataError`` where it cannot be written."""
    document = {"tracks": unedited.tracks, "states": {str(k): v for k, v in unedited.states.items()}}
    arrays: dict[str, Any] = {"document": np.frombuffer(json.dumps(document, allow_nan=False).encode(), np.uint8)}
    arrays["clouds"] = np.array(sorted(unedited.clouds), dtype=np.str_)
    for k, name in enumerate(sorted(unedited.clouds)):
        cloud = unedited.clouds[name]
        arrays |= {f"rows{k}": cloud.rows.astype(np.int64), f"instance{k}": cloud.instance.astype(np.int32)}
        arrays |= {f"confidence{k}": cloud.confidence.astype(np.float32), f"checksum{k}": np.int64(cloud.checksum)}
    stream = io.BytesIO()
    np.savez(stream, version=np.int64(VERSION), **arrays)
    write_bytes(Path(root) / UNEDITED_FILE, stream.getvalue())


def read_unedited(root: Path) -> Unedited | None:
    """What lies beneath the corrections that a map shows; None where it shows none.

    Raises:
        DataError: a damaged file.
    """
    path = Path(root) / UNEDITED_FILE
    try:
        if path.is_symlink() or path.stat().st_size > MAX_BYTES:
            raise ValueError("a link, or larger than 4 GB")
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError("unpacked larger than 4 GB")
        with np.load(path, allow_pickle=False) as file:
            if int(file["version"]) != VERSION:
                raise ValueError(f"version {int(file['version'])}, which this program does not know")
            document = parse_json(file["document"].tobytes(), str(path), remedy=REMEDY)
            clouds = {str(name): _cloud(file, k) for k, name in enumerate(file["clouds"].tolist())}
        checks.table({"tracks": checks.TRACKS, "states": checks.every(checks.text)})(document, "")
        return Unedited(document["tracks"], clouds, {int(k): v for k, v in document["states"].items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path}: damaged ({' '.join(str(error).split())[:200]}); {REMEDY}") from error


def _cloud(file: Mapping[str, np.ndarray], k: int) -> CloudBeneath:
    rows, instance, confidence = file[f"rows{k}"], file[f"instance{k}"], file[f"confidence{k}"]
    kinds = (rows.dtype.kind, instance.dtype.kind, confidence.dtype.kind)
    if kinds != ("i", "i", "f") or not rows.ndim == 1 or not rows.shape == instance.shape == confidence.shape:
        raise ValueError("its arrays do not fit together")
    return CloudBeneath(rows, instance, confidence, int(file[f"checksum{k}"]))


def beneath(root: Path, shown: Mapping[str, Any], file: str, points: np.ndarray) -> tuple[Mapping[str, Any], np.ndarray]:
    """tracks.json and a cloud without corrections, where a map shows them with those that there are."""
    unedited = read_unedited(root)
    if unedited is None:
        return shown, points
    restored = unedited.clouds[file].restored(points) if file in unedited.clouds else None
    return unedited.tracks, points if restored is None else restored
