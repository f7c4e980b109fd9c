"""Positions of images from a table, ``--gps FILE``, as people and programs write them; and attitudes, ``--poses FILE``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.attitude import enu_from_camera, enu_from_vehicle
from seg2d3d_ros.geometry.given_pose import Axes
from seg2d3d_ros.geometry.pose import UNIT_TOLERANCE, Pose
from seg2d3d_ros.geometry.wgs84 import GeoPosition, is_null_island, to_enu
from seg2d3d_ros.keyframes.positions.coordinates import angle, height, number
from seg2d3d_ros.keyframes.positions.table_text import table_rows

R = TypeVar("R")
COLUMNS = {
    "image": "image imagename imagefile filename file name label photo photoname picture sourcefile path key bild bildname "
    "datei dateiname foto",
    "latitude": "latitude lat latdeg latitudedeg latitudedegrees gpslatitude breite breitengrad ylatitude y",
    "longitude": "longitude lon lng long londeg longitudedeg longitudedegrees gpslongitude länge laenge längengrad "
    "laengengrad xlongitude x",
    "altitude": "altitude alt altm altitudem ele elevation height heightm gpsaltitude höhe hoehe zaltitude z",
    "sigma": "sigma sigmam accuracy accuracym horizontalaccuracy hacc std stddev error gpshpositioningerror genauigkeit "
    "sigmaposition sigmaxy sigmahorizontal positionsigma sigmas",
    "roll": "roll rolldeg rollangle bank",
    "pitch": "pitch pitchdeg pitchangle",
    "yaw": "yaw yawdeg yawangle heading headingdeg hdg azimuth",
    "omega": "omega",
    "phi": "phi",
    "kappa": "kappa",
    "qx": "qx quatx quaternionx",
    "qy": "qy quaty quaterniony",
    "qz": "qz quatz quaternionz",
    "qw": "qw quatw quaternionw",
    "rotation sigma": "sigmarotation sigmaattitude sigmaangles sigmayaw sigmaheading sigmadeg sigmadegrees rotationsigma "
    "attitudesigma",
}
"""Names of the columns without case, blanks, units in brackets and signs; those of exiftool and Metashape among them."""
TIME_COLUMN = "time timestamp timestampns stamp datetime utc utctime gpstime gpsdatetime datetimeoriginal zeit zeitstempel t"
"""Names of the first column of tables that give times in the place of images."""
DEFAULT_ORDER = ("image", "latitude", "longitude", "altitude", "sigma")
ZERO = "latitude 0, longitude 0"
MAX_SIGMA = 1e6

_Projection: TypeAlias = Callable[[float, float], "tuple[float, float]"]
"""Latitude and longitude in degrees of x (east) and y (north)."""


@dataclass(frozen=True, eq=False)
class Turn:
    """How a camera or vehicle stands, as a line says.

    Attributes:
        rotation: (3, 3) ``enu_from_body``.
        axes: of the body, see ``geometry.given_pose``.
        of_camera: whether it can be a camera's only.
        sigma: standard deviation about any axis in radians, NaN where the table does not say.
    """

    rotation: np.ndarray
    axes: Axes
    of_camera: bool
    sigma: float


@dataclass(frozen=True, eq=False)
class PositionRow:
    """A position, the name of its image as the table writes it, the line where it stands, and the attitude, if it says one."""

    line: int
    image: str
    geo: GeoPosition
    turn: Turn | None = None

    def metres_from(self, other: PositionRow) -> float:
        """East and north, from the place of another line."""
        metres = to_enu([self.geo], (other.geo.latitude, other.geo.longitude, 0.0))
        return float(np.linalg.norm(metres[0, :2]))


@dataclass
class PositionTable(Generic[R]):
    """What a table says.

    Attributes:
        rows: the positions, or poses.
        gaps: lines that name an image but no position: gaps in reception.
        refused: line -> why it is not used.
    """

    rows: list[R] = field(default_factory=list)
    gaps: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def read_positions(path: Path, key: str = COLUMNS["image"]) -> PositionTable[PositionRow]:
    """Positions of images from a table with the columns image, latitude, longitude and, optional, altitude and sigma (metres).

    Separated by commas, semicolons, tabs or blanks; with decimal points or commas; degrees as numbers, with letters, or with
    minutes and seconds; in UTF-8, UTF-16 or Windows' encoding; the columns under the names of ``COLUMNS``, or without a
    head in the order of ``DEFAULT_ORDER``. Columns of an attitude are taken along: roll, pitch, yaw or omega, phi, kappa in
    degrees, or a quaternion qx, qy, qz, qw. Also OpenDroneMap's ``geo.txt``: a coordinate system in the first line, then name,
    x, y, z.

    Args:
        path: the table.
        key: names of the column that says what a position belongs to.

    Raises:
        UsageError: no such file.
        DataError: no table of positions, or not one row that can be read.
    """
    path = Path(path)
    lines = table_rows(path)
    system = _coordinate_system(lines[0][1])
    if system:
        order: Sequence[str] = ("image", "longitude", "latitude", "altitude")
        body, to_degrees = lines[1:], _projection(system, path)
    else:
        head = next((k for k, (_, cells) in enumerate(lines[:20]) if _columns(cells, key)), None)
        order = DEFAULT_ORDER if head is None else _columns(lines[head][1], key)
        body, to_degrees = lines if head is None else lines[head + 1 :], None
        if head is None and not _looks_like_row(lines[-1][1]):
            raise DataError(
                f"{path}: no columns {key.split()[0]}, latitude and longitude; the first line is "
                f"{','.join(lines[0][1])[:80]!r}, expected {key.split()[0]},latitude,longitude,altitude[,sigma]"
            )
    table: PositionTable[PositionRow] = PositionTable()
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


def _columns(cells: Sequence[str], key: str) -> tuple[str, ...]:
    """What each column holds, empty for others; no column at all where these are not names of columns."""
    plain = [re.sub(r"[\W_]", "", re.sub(r"[\[(].*?[\])]", "", cell)).casefold() for cell in cells]
    order = [""] * len(cells)
    for name, aliases in {**COLUMNS, "image": key}.items():
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
    geo = GeoPosition(latitude, longitude, height(cells.get("altitude", "")), _covariance(cells))
    return PositionRow(line, image, geo, _turn(cells))


def _turn(cells: dict[str, str]) -> Turn | None:
    """The attitude of a line: a quaternion, omega, phi, kappa or roll, pitch, yaw in degrees; None where it has none."""
    try:
        sigma = np.radians(number(cells.get("rotation sigma", "")))
    except ValueError:
        sigma = math.nan
    sigma = float(sigma) if sigma > 0 else math.nan
    for names in ("qx qy qz qw", "omega phi kappa", "roll pitch yaw"):
        try:
            values = np.array([number(cells[name]) for name in names.split()])
        except (KeyError, ValueError):
            continue
        if not np.isfinite(values).all():
            continue
        if names.startswith("roll"):
            return Turn(enu_from_vehicle(np.radians(values), "ned"), "angles", False, sigma)
        if names.startswith("omega"):
            return Turn(enu_from_camera(np.radians(values)), "optical", True, sigma)
        if abs(np.linalg.norm(values) - 1.0) <= UNIT_TOLERANCE:
            return Turn(Pose.from_quaternion(values, np.zeros(3)).rotation, "optical", False, sigma)
    return None


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
