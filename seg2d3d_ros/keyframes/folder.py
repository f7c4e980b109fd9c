"""Keyframes from a folder of photographs: every readable image is one."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import IMAGE_SUFFIXES, decode_small_gray
from seg2d3d_ros.keyframes.camera_file import CameraFile, read_camera_file
from seg2d3d_ros.keyframes.photo_header import read_header
from seg2d3d_ros.keyframes.positions_file import read_gps_csv
from seg2d3d_ros.recording.naming import natural_key
from seg2d3d_ros.types import Keyframe

log = logging.getLogger(__name__)

# Nanoseconds since the epoch have 19 digits from 2001 to 2286.
_STREAM_STEM = re.compile(r"(?P<camera>.+)_(?P<stamp>\d{19})")


@dataclass(frozen=True)
class _Entry:
    name: str
    camera_name: str
    file_name: str
    path: Path


class ImageFolder:
    """The keyframes of a folder, read one by one while iterating, so that a big folder needs no memory.

    Cameras and positions are those given; None = what each image's header says.

    ``len()`` is the number of images that will be tried. Iterating again reads again.

    Attributes:
        skipped: by name, why images were left out so far; complete after an iteration.
    """

    def __init__(
        self,
        root: Path,
        entries: list[_Entry],
        duplicates: dict[str, str],
        cameras: CameraFile | None,
        positions: Mapping[str, GeoPosition] | None,
        findings: Findings,
    ):
        self.root = root
        self._entries = entries
        self._duplicates = duplicates
        self._cameras, self._positions, self._findings = cameras, positions, findings
        self.skipped = dict(duplicates)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def photos(self) -> list[tuple[str, str]]:
        """The name and file name of each image, without reading it."""
        return [(entry.name, entry.file_name) for entry in self._entries]

    def __iter__(self) -> Iterator[Keyframe]:
        """Yield the readable images.

        Raises:
            DataError: at the end, if not one image could be read.
        """
        self.skipped = dict(self._duplicates)
        kept = 0
        for entry in self._entries:
            try:
                keyframe = self._read(entry)
            except DataError as error:
                log.warning("left out: %s", error)
                self.skipped[entry.name] = str(error)
                continue
            kept += 1
            yield keyframe
        if not kept:
            reasons = "; ".join([*self.skipped.values()][:3])
            raise DataError(f"{self.root}: none of {len(self._entries)} images can be used: {reasons}")

    def _read(self, entry: _Entry) -> Keyframe:
        source = str(entry.path)
        try:
            encoded = entry.path.read_bytes()
        except OSError as error:
            raise DataError(f"{source}: cannot be read ({error.strerror or error})") from error
        header = read_header(encoded, source)
        decode_small_gray(encoded, source=source)  # finds damage now, not in the middle of the reconstruction
        camera_name, stamp = entry.camera_name, header.stamp_ns
        if match := _STREAM_STEM.fullmatch(entry.path.stem):
            stamp = int(match["stamp"])
            camera_name = camera_name or match["camera"]
        camera_name = camera_name or re.sub(r"\W+", "_", header.device).strip("_") or "camera"
        camera = self._cameras(camera_name, header.width, header.height) if self._cameras else header.camera
        return Keyframe(
            name=entry.name,
            camera_name=camera_name,
            stamp_ns=stamp,
            encoded=encoded,
            camera=camera,
            geo=header.geo if self._positions is None else self._positions.get(entry.name),
            file_name=entry.file_name,
            source=str(entry.path.resolve()),
        )


def read_folder(
    images: Path,
    *,
    camera: Path | None = None,
    gps: str | Path | None = "exif",
    order: str = "name",
    findings: Findings | None = None,
) -> ImageFolder:
    """Open a folder of unordered photographs.

    Images directly in the folder count; if there are none, each sub-folder is one camera (``front/0001.jpg`` gets the
    name ``front_0001``). Else the camera is the ``<camera>`` of a stem ``<camera>_<stamp ns>``, the EXIF make and model,
    or ``camera``; one camera may deliver several sizes. Of files that share a stem (``a.jpg``, ``a.png``) the first kind
    of ``IMAGE_SUFFIXES`` is taken. Damaged images are skipped with a reason.

    Args:
        images: the folder.
        camera: file with the intrinsics; else EXIF, else unknown (None).
        gps: ``"exif"``, a CSV file, or None (or ``"none"``) for no positions.
        findings: gets what cannot be used.
        order: ``"name"`` (numbers count as numbers) or ``"shuffle:SEED"``.

    Raises:
        UsageError: no such folder, or a bad ``order``, ``camera`` or ``gps``.
        DataError: no image in it.
    """
    root = Path(images)
    if not root.is_dir():
        kind = "is a file; for a recording use 'seg2d3d bag'" if root.exists() else "no such folder"
        raise UsageError(f"{images}: {kind}")
    entries, duplicates = _unique(_scan(root))
    for reason in duplicates.values():
        log.warning("left out: %s", reason)
    _put_in_order(entries, order)
    cameras = None if camera is None else read_camera_file(Path(camera))
    return ImageFolder(
        root, entries, duplicates, cameras, _positions(gps, entries), Findings() if findings is None else findings
    )


def _scan(root: Path) -> list[_Entry]:
    """All images, in natural order of their file names."""
    direct, folders = _images(root), _in_order(p for p in root.iterdir() if p.is_dir() and p.name[0] != ".")
    if direct:
        if nested := [p.name for p in folders if _images(p)]:
            log.warning("%s: only the images directly in it are read, not those in %s", root, ", ".join(nested[:5]))
        return [_Entry(path.stem, "", path.name, path) for path in direct]
    if any(p.name == "images" and (_images(p) or any(_images(q) for q in p.iterdir() if q.is_dir())) for p in folders):
        raise UsageError(f"{root}: the photos are in its folder 'images'; give {root / 'images'}")
    entries = [
        _Entry(f"{folder.name}_{path.stem}", folder.name, f"{folder.name}/{path.name}", path)
        for folder in folders
        for path in _images(folder)
    ]
    if not entries:
        raise DataError(f"{root}: no images ({', '.join(IMAGE_SUFFIXES)}) in this folder or its sub-folders")
    return entries


def _images(folder: Path) -> list[Path]:
    return _in_order(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." and p.is_file())


def _in_order(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(path.name))


def _unique(entries: list[_Entry]) -> tuple[list[_Entry], dict[str, str]]:
    """One entry per name, since names are the keys of everything that is written; and why the other files are left out."""
    best: dict[str, _Entry] = {}
    skipped = {}
    for entry in entries:
        rival = best.setdefault(entry.name, entry)
        if rival is entry:
            continue
        ranks = [IMAGE_SUFFIXES.index(e.path.suffix.lower()) for e in (rival, entry)]
        winner, loser = (rival, entry) if ranks[0] <= ranks[1] else (entry, rival)
        best[entry.name] = winner
        words = f"has the same name without its ending as {winner.file_name}; rename it if both are wanted"
        skipped[loser.file_name] = f"{loser.path}: {words}"
    return list(best.values()), skipped


def _put_in_order(entries: list[_Entry], order: str) -> None:
    kind, _, seed = order.partition(":")
    if order == "name":
        return
    if kind != "shuffle" or not re.fullmatch(r"\d+", seed):
        raise UsageError(f"order {order!r}: write 'name' or 'shuffle:SEED' with a whole number, e.g. shuffle:1")
    random.Random(int(seed)).shuffle(entries)


def _positions(gps: str | Path | None, entries: list[_Entry]) -> dict[str, GeoPosition] | None:
    """By image, as far as they are known; None where each image has its own in its EXIF tags."""
    if str(gps) == "exif":
        return None
    if gps is None or str(gps) == "none":
        return {}
    table = read_gps_csv(Path(gps))
    found = {entry.name: table.get(entry.name) or table.get(entry.path.stem) for entry in entries}
    if not any(found.values()):
        log.warning("%s: none of its %d positions belongs to an image in the folder", gps, len(table))
    return {name: geo for name, geo in found.items() if geo}
