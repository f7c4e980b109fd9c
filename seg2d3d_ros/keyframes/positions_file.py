"""GPS positions of images from a table, ``--gps FILE``, as people and programs write them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.wgs84 import GeoPosition, is_null_island
from seg2d3d_ros.keyframes.coordinates import angle, height, number

COLUMNS = {
    "image": "image imagename imagefile filename file name label photo photoname picture sourcefile path key bild bildname "
    "datei dateiname foto",
    "latitude": "latitude lat latdeg latitudedeg latitudedegrees gpslatitude breite breitengrad ylatitude y",
    "longitude": "longitude lon lng long londeg longitudedeg longitudedegrees gpslongitude länge laenge längengrad "
    "laengengrad xlongitude x",
    "altitude": "altitude alt altm altitudem ele elevation height heightm gpsaltitude höhe hoehe zaltitude z",
    "sigma": "sigma sigmam accuracy accuracym horizontalaccuracy hacc std stddev error gpshpositioningerror genauigkeit",
}
"""Names of the columns without case, blanks, units in brackets and signs; those of exiftool and Metashape among them."""
DEFAULT_ORDER = ("image", "latitude", "longitude", "altitude", "sigma")
LARGEST = 200_000_000
"""Bytes of a table that is read."""
ZERO = "latitude 0, longitude 0"
MAX_SIGMA = 1e6

_Projection: TypeAlias = Callable[[float, float], "tuple[float, float]"]
"""Latitude and longitude in degrees of x (east) and y (north)."""


@dataclass(frozen=True)
class PositionRow:
    """A position, the name of its image as the table writes it, and the line where it stands."""

    line: int
    image: str
    geo: GeoPosition


@dataclass
class PositionTable:
    """What a table says.

    Attributes:
        rows: the positions.
        gaps: lines that name an image but no position: gaps in reception.
        refused: line -> why it is not used.
    """

    rows: list[PositionRow] = field(default_factory=list)
    gaps: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def read_positions(path: Path) -> PositionTable:
    """Positions of images from a table with the columns image, latitude, longitude and, optional, altitude and sigma (metres).

    Separated by commas, semicolons, tabs or blanks; with decimal points or commas; degrees as numbers, with letters, or with
    minutes and seconds; in UTF-8, UTF-16 or Windows' encoding; the columns under the names of ``COLUMNS``, or without a
    head in the order of ``DEFAULT_ORDER``. Also OpenDroneMap's ``geo.txt``: a coordinate system in the first line, then name,
    x, y, z.

    Raises:
        UsageError: no such file.
        DataError: no table of positions, or not one row that can be read.
    """
    path = Path(path)
    lines = list(_rows(_text(path)))
    lines = [(number_, cells) for number_, cells in lines if any(cell.strip() for cell in cells)]
    if not lines:
        raise DataError(f"{path}: the positions table is empty")
    system = _coordinate_system(lines[0][1])
    if system:
        order: Sequence[str] = ("image", "longitude", "latitude", "altitude")
        body, to_degrees = lines[1:], _projection(system, path)
    else:
        head = next((k for k, (_, cells) in enumerate(lines[:20]) if _columns(cells)), None)
        order = DEFAULT_ORDER if head is None else _columns(lines[head][1])
        body, to_degrees = lines if head is None else lines[head + 1 :], None
        if head is None and not _looks_like_row(lines[-1][1]):
            raise DataError(
                f"{path}: no columns image, latitude and longitude; the first line is {','.join(lines[0][1])[:80]!r}, expected "
                "image,latitude,longitude,altitude[,sigma]"
            )
    table = PositionTable()
    for line, cells in body:
        try:
            row = _row(line, dict(zip(order, cells, strict=False)), to_degrees)
        except ValueError as error:
            if not cells[0].lstrip().startswith("#"):  # a comment
                table.refused[line] = str(error)
            continue
        if row is None:
            table.gaps += 1
        else:
            table.rows.append(row)
    if not table.rows and table.refused:
        first = "; ".join(f"line {line}: {reason}" for line, reason in list(table.refused.items())[:3])
        raise DataError(f"{path}: not one of {len(table.refused)} positions can be used: {first}")
    return table


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST // 1_000_000} MB, no table of positions")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the GPS table cannot be read ({error.strerror or error})") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace").replace("\0", "")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    if text.count("\0") > len(text) // 4:  # UTF-16 without a byte order mark
        text = content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", errors="replace")
    return text.replace("\0", "")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line."""
    sample = [line for line in text.splitlines()[:50] if line.strip() and not line.startswith("#")] or [text]
    second = sample[min(1, len(sample) - 1)]
    separator = next((s for s in ";\t|," if second.count(s) >= 2), None)
    if separator is None:
        for line, words in enumerate(text.splitlines(), start=1):
            yield line, words.split()
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = ["", str(error)]
        yield reader.line_num, cells


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    """What each column holds, empty for others; no column at all where these are not names of columns."""
    plain = [re.sub(r"[\W_]", "", re.sub(r"[\[(].*?[\])]", "", cell)).casefold() for cell in cells]
    order = [""] * len(cells)
    for name, aliases in COLUMNS.items():
        # The surest name counts where several columns could be meant: "lat" before "y".
        surest = next((alias for alias in aliases.split() if alias in plain), None)
        if surest is not None:
            order[plain.index(surest)] = name
    return tuple(order) if {"image", "latitude", "longitude"} <= set(order) else ()


def _looks_like_row(cells: Sequence[str]) -> bool:
    try:
        return len(cells) >= 3 and math.isfinite(angle(cells[1], "latitude") + angle(cells[2], "longitude"))
    except ValueError:
        return False


def _row(
    line: int, cells: dict[str, str], to_degrees: Callable[[float, float], tuple[float, float]] | None
) -> PositionRow | None:
    """The position of one line; None for a gap.

    Raises:
        ValueError: it cannot be used, with the reason.
    """
    image = cells.get("image", "").strip()
    if not image:
        raise ValueError("no image is named")
    if "latitude" not in cells or "longitude" not in cells:
        raise ValueError("too few columns")
    if to_degrees is None:
        latitude, longitude = angle(cells["latitude"], "latitude"), angle(cells["longitude"], "longitude")
    else:
        latitude, longitude = to_degrees(number(cells["longitude"]), number(cells["latitude"]))
    if math.isnan(latitude) or math.isnan(longitude):
        return None
    if is_null_island(latitude, longitude):
        raise ValueError(ZERO)
    if abs(latitude) > 90 or abs(longitude) > 360:
        raise ValueError(_beyond(latitude, longitude))
    return PositionRow(line, image, GeoPosition(latitude, longitude, height(cells.get("altitude", "")), _covariance(cells)))


def _beyond(latitude: float, longitude: float) -> str:
    if abs(latitude) <= 360 and abs(longitude) <= 90:
        return f"latitude {latitude:g} is beyond 90: are latitude and longitude swapped?"
    return f"{latitude:g}, {longitude:g} are no degrees: projected coordinates need their system (EPSG:…) in the first line"


def _covariance(cells: dict[str, str]) -> np.ndarray | None:
    try:
        sigma = number(cells.get("sigma", ""))
    except ValueError:
        return None
    return np.eye(3) * sigma**2 if 0 < sigma < MAX_SIGMA else None


def _coordinate_system(cells: Sequence[str]) -> str:
    """The coordinate system that OpenDroneMap's ``geo.txt`` names in its first line; empty where this is another line."""
    line = " ".join(cells).strip()
    return line if re.match(r"(EPSG:\d+|WGS84\b|\+proj=)", line, re.IGNORECASE) else ""


def _projection(system: str, path: Path) -> _Projection:
    """Latitude and longitude of x, y in a coordinate system.

    Raises:
        DataError: it is unknown, or pyproj is not installed.
    """
    if re.fullmatch(r"(EPSG:4326|EPSG:4979|WGS84|\+proj=(longlat|latlong)\b.*)", system, re.IGNORECASE):
        return lambda x, y: (y, x)
    try:
        from pyproj import Transformer
        from pyproj.exceptions import ProjError
    except ImportError as error:
        raise DataError(
            f"{path}: coordinates in {system} need pyproj (pip install pyproj); or give latitude and longitude in degrees"
        ) from error
    utm = re.fullmatch(r"WGS84 UTM (\d{1,2})\s*([NS])", system, re.IGNORECASE)
    name = f"EPSG:{(32600 if utm[2].upper() == 'N' else 32700) + int(utm[1])}" if utm else system
    try:
        transformer = Transformer.from_crs(name, "EPSG:4326", always_xy=True)
    except ProjError as error:
        raise DataError(f"{path}: unknown coordinate system {system!r} ({error})") from error

    def to_degrees(x: float, y: float) -> tuple[float, float]:
        longitude, latitude = transformer.transform(x, y)
        if math.isinf(latitude):
            raise ValueError(f"{x:g}, {y:g} lie outside {system}")
        return latitude, longitude

    return to_degrees
