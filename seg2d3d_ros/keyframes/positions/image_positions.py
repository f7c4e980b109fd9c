"""Which position of a table belongs to which photograph, and what is said of those that belong to none."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from seg2d3d_ros.findings import NOTE, Finding, Findings, Kind
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.image_files import IMAGE_SUFFIXES, OTHER_SUFFIXES
from seg2d3d_ros.keyframes.folder_scan import PhotoFile
from seg2d3d_ros.keyframes.positions.positions_file import ZERO, PositionTable, read_positions

POSITIONS_ZERO = Kind(
    "positions_zero",
    "positions at latitude 0, longitude 0",
    cause="the receiver had no fix and wrote zeros; they are not used",
    remedy="nothing need be done where most images have a position",
)
ROWS_UNREADABLE = Kind(
    "position_rows_unreadable",
    "lines of the positions table that cannot be read",
    cause="{reason}",
    remedy="write image,latitude,longitude,altitude with degrees as 51.05, 51.05N or 51°3'0\"N",
)
ROWS_AMBIGUOUS = Kind(
    "position_rows_ambiguous",
    "lines of the positions table whose image is not clear",
    cause="{reason}; none of these positions is used",
    remedy="write each image once, with its folder: left/0001.jpg",
)
ROWS_WITHOUT_IMAGE = Kind(
    "position_rows_without_image",
    "lines of the positions table that belong to no image of the folder",
    cause="images are named {present}",
    remedy="write the images' names as they are in the folder, with or without their endings",
)
WITHOUT_POSITION = Kind(
    "images_without_position",
    "images without a position",
    cause="positions seen: {seen}, used: {used}{reasons}",
    remedy="four images with a position are enough for a map in metres; give more with --gps FILE",
    level=NOTE,
)
SAME_PLACE = 1.0
"""Metres: positions of one image this close are one."""


def positions_of_table(path: Path, photos: Sequence[PhotoFile], findings: Findings) -> dict[str, GeoPosition]:
    """The positions of photographs by their names, from a table; what is not used goes to ``findings``.

    A line belongs to the photograph whose folders and name agree with what it says: ``left/0001.jpg``, ``left_0001``,
    ``D:\\drive\\left\\0001.JPG``; ``0001`` alone only where no other folder has such an image. Case matters only where two
    images differ by nothing else.

    Raises:
        UsageError: no such file.
        DataError: no table of positions, or none that can be used.
    """
    return {name: row.geo for name, row in rows_of_photos(read_positions(path), photos, findings).items()}


class Line(Protocol):
    """A line of a table that names an image."""

    @property
    def line(self) -> int:
        """Where it stands."""

    @property
    def image(self) -> str:
        """As the table writes it."""

    def metres_from(self: L, other: L) -> float:
        """Of its place from that of another line."""


L = TypeVar("L", bound=Line)


def rows_of_photos(table: PositionTable[L], photos: Sequence[PhotoFile], findings: Findings) -> dict[str, L]:
    """The lines of a table by the names of the photographs that they belong to; see ``positions_of_table``."""
    lines = _lines_of(table.rows, photos)
    found, unclear = _unambiguous(lines, photos)
    _tell(table, lines, found, unclear, photos, findings)
    return found


def _lines_of(rows: Iterable[L], photos: Sequence[PhotoFile]) -> dict[int, tuple[L, list[PhotoFile]]]:
    """For each line the photographs that it may mean: those with which most of its folders agree."""
    by_stem: dict[str, list[PhotoFile]] = defaultdict(list)
    for photo in photos:
        for key in {_plain(photo.path.stem), _plain(photo.name)}:
            by_stem[key].append(photo)
    result = {}
    for row in rows:
        parts = _parts(row.image)
        rated = [(_agreement(parts, photo), photo) for photo in by_stem.get(_plain(parts[-1]), [])]
        best = max((agreement for agreement, _ in rated), default=(0,))
        result[row.line] = row, [photo for agreement, photo in rated if agreement == best and agreement[0] > 0]
    return result


def _agreement(parts: Sequence[str], photo: PhotoFile) -> tuple[int, ...]:
    """How well a written name fits a photograph: (whether, folders that agree, same case); folders that differ exclude."""
    own = [*Path(photo.file_name).parts[:-1], photo.path.stem]
    exact = int(unicodedata.normalize("NFC", parts[-1]) in (photo.name, unicodedata.normalize("NFC", photo.path.stem)))
    if _plain(parts[-1]) == _plain(photo.name) and len(own) > 1:
        return 1, len(own), exact
    both = min(len(own), len(parts))
    if [_plain(part) for part in own[-both:]] != [_plain(part) for part in parts[-both:]]:
        return (0,)
    # A path from elsewhere may go on above the folder that was given; its name there tells two such lines apart.
    above = photo.path.parents[len(own) - 1].name
    more = len(parts) > len(own) and _plain(parts[-len(own) - 1]) == _plain(above)
    return 1, both + int(more), exact


def _parts(written: str) -> list[str]:
    """Folders and stem of a name in a table, with slashes of either kind."""
    parts = [part for part in re.split(r"[\\/]+", written.strip()) if part not in ("", ".")] or [written]
    stem, dot, ending = parts[-1].rpartition(".")
    if dot and stem and f".{ending.casefold()}" in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES):
        parts[-1] = stem
    return parts


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _unambiguous(
    lines: Mapping[int, tuple[L, list[PhotoFile]]], photos: Sequence[PhotoFile]
) -> tuple[dict[str, L], dict[int, str]]:
    """Lines by photograph, and by line why it is not clear which photograph it means."""
    unclear, claims = {}, defaultdict(list)
    for line, (row, meant) in lines.items():
        if len(meant) > 1:
            unclear[line] = f"{row.image} is the name of {len(meant)} images"
        elif meant:
            claims[meant[0].name].append((_agreement(_parts(row.image), meant[0]), row))
    found = {}
    for name, rated in claims.items():
        best = max(agreement for agreement, _ in rated)
        rows = [row for agreement, row in rated if agreement == best]
        if max(row.metres_from(rows[0]) for row in rows) > SAME_PLACE:
            unclear.update(dict.fromkeys((row.line for row in rows), f"{rows[0].image} stands in {len(rows)} lines"))
        else:
            found[name] = rows[0]
    return {photo.name: found[photo.name] for photo in photos if photo.name in found}, unclear


def _tell(
    table: PositionTable[L],
    lines: Mapping[int, tuple[L, list[PhotoFile]]],
    found: Mapping[str, L],
    unclear: Mapping[int, str],
    photos: Sequence[PhotoFile],
    findings: Findings,
) -> None:
    total = len(table.rows) + len(table.refused)
    zeros = [line for line, reason in table.refused.items() if reason == ZERO]
    unread = {line: reason for line, reason in table.refused.items() if reason != ZERO}
    nowhere = [row for row, meant in lines.values() if not meant]
    for kind, names, reason in (
        (POSITIONS_ZERO, [f"line {line}" for line in zeros], ""),
        (ROWS_UNREADABLE, [f"line {line}" for line in unread], next(iter(unread.values()), "")),
        (ROWS_AMBIGUOUS, [f"line {line}" for line in unclear], next(iter(unclear.values()), "")),
        (ROWS_WITHOUT_IMAGE, [row.image for row in nowhere], ""),
    ):
        present = ", ".join(photo.file_name for photo in photos[:2]) + (", …" if len(photos) > 2 else "")
        details = {"reason": reason, "present": present}
        findings.put(Finding(kind, len(names), total, tuple(names[:3]), details))
    counts = [
        (len(zeros), "0/0"),
        (len(unread), "unreadable"),
        (len(unclear), "unclear image"),
        (len(nowhere), "no such image"),
    ]
    tell_missing([photo.name for photo in photos if photo.name not in found], len(photos), len(found), total, counts, findings)


def tell_missing(
    missing: Sequence[str],
    images: int,
    used: int,
    seen: int,
    refused: Iterable[tuple[int, str]],
    findings: Findings,
) -> None:
    """Say in one line how many images have no position, how many positions were seen, and why the others are not used."""
    reasons = ", ".join(f"{count} × {reason}" for count, reason in refused if count)
    details = {"seen": seen, "used": used, "reasons": f", not used: {reasons}" if reasons else ""}
    findings.put(Finding(WITHOUT_POSITION, len(missing), images, tuple(missing[:3]), details))
