"""What the header of a photograph's file says: its size, when, with what and where it was taken."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition, is_null_island
from seg2d3d_ros.image_files import open_header, require_size
from seg2d3d_ros.keyframes.panoramas.panorama import PanoramaNote, read_note

# Tags of EXIF 2.32 (CIPA DC-008): section 4.6.4 (make, model), 4.6.5 (date and time, lens), 4.6.6 (GPS).
_MAKE, _MODEL, _DATE_TIME, _DESCRIPTION = 0x010F, 0x0110, 0x0132, 0x010E
_PHOTO, _GPS = 0x8769, 0x8825
_ORIGINAL, _OFFSET, _SUBSECOND = 0x9003, 0x9011, 0x9291
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_PLANE_X, _PLANE_UNIT, _PIXELS_X = 0xA20E, 0xA210, 0xA002
_ORIENTATION = 0x0112
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6
_STATUS, _MEASURE_MODE, _DILUTION, _POSITIONING_ERROR = 9, 10, 11, 31
_RANGE_ERROR = 4.0
"""Metres (one standard deviation) of a consumer receiver's distances to satellites: times the dilution of precision, its
position's error (Kaplan and Hegarty, Understanding GPS, 2006, section 7.3)."""
_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Of EXIF's FocalPlaneResolutionUnit: inch, centimetre, millimetre, micrometre."""
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
_FOCAL_RANGE = (0.2, 20.0)
"""Focal lengths outside, in units of the longer side, are taken for nonsense."""

_Tags = Mapping[int, Any]


class GeoProblem(Enum):
    """Why the position in a photo's tags is not used."""

    NONE_SEEN = "there is none"
    ZERO = "0/0"
    NO_LETTERS = "no reference letters"
    VOID = "void by its status"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class PhotoHeader:
    """What the header says.

    Attributes:
        width, height: of the stored pixels (EXIF orientation ignored, as COLMAP does).
        stamp_ns: since the epoch, 0 = unknown.
        device: make and model, or empty.
        camera: a guess of the intrinsics (``calibrated`` False) from the focal length; None without one.
        geo: the GPS position; None without one.
        geo_problem: why there is none; None with one.
        orientation: EXIF's, 1 = as stored, 3, 6, 8 = to be turned by 180°, 90° right, 90° left, 2, 4, 5, 7 = mirrored as well.
        panorama: what the file says of its projection; None = nothing: a photograph of one lens.
        pages: pictures in the file, of which the first counts.
    """

    width: int
    height: int
    stamp_ns: int
    device: str
    camera: Camera | None
    geo: GeoPosition | None
    geo_problem: GeoProblem | None = None
    orientation: int = 1
    panorama: PanoramaNote | None = None
    pages: int = 1


def read_header(encoded: bytes, source: str = "image") -> PhotoHeader:
    """The header of an encoded image; what has no tags, or damaged ones, stays unknown.

    Raises:
        DataError: no image format that is known here, or more pixels than are decoded; ``source`` names it.
    """
    with open_header(encoded, source) as image:
        width, height = require_size(image, source)
        pages = _pages(image)
        notes = image.info.get("xmp", b"") or image.info.get("XML:com.adobe.xmp", "")
        general = _undamaged(image.getexif)
        photo = _undamaged(lambda: image.getexif().get_ifd(_PHOTO))
        gps = _undamaged(lambda: image.getexif().get_ifd(_GPS))
    street = _mapillary(_text(general.get(_DESCRIPTION)))
    make, model = _text(general.get(_MAKE)) or street.device_make, _text(general.get(_MODEL)) or street.device_model
    device = model if model.lower().startswith(make.lower()) else f"{make} {model}"
    taken = _text(photo.get(_ORIGINAL)) or _text(general.get(_DATE_TIME))
    stamp = stamp_nanoseconds(taken, _text(photo.get(_SUBSECOND)), _text(photo.get(_OFFSET)))
    geo, problem = _position(gps)
    orientation = general.get(_ORIENTATION, 1)
    return PhotoHeader(
        width,
        height,
        stamp or stamp_nanoseconds(street.taken, street.subsecond),
        device.strip(),
        _camera(photo, width, height),
        geo,
        problem,
        orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        read_note(notes.encode(errors="replace") if isinstance(notes, str) else bytes(notes)),
        pages,
    )


def stamp_nanoseconds(taken: str, subsecond: str = "", offset: str = "") -> int:
    """``2024:05:06 07:08:09`` with fraction digits and ``+02:00`` as nanoseconds since the epoch, 0 if it is no time.

    Without an offset the time counts as UTC: only differences between photos matter.
    """
    try:
        moment = datetime.strptime(taken, "%Y:%m:%d %H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return 0
    if zone := re.fullmatch(r"([+-])(\d\d):(\d\d)", offset):
        shift = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
        moment -= shift if zone[1] == "+" else -shift
    fraction = subsecond if subsecond.isascii() and subsecond.isdigit() else ""
    seconds = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)
    return max(0, seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0")))


def _undamaged(read: Callable[[], _Tags]) -> _Tags:
    """The tags of a directory; none where it is damaged."""
    try:
        return read()
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, AttributeError):
        return {}


class _Street(NamedTuple):
    taken: str = ""
    subsecond: str = ""
    device_make: str = ""
    device_model: str = ""


def _mapillary(description: str) -> _Street:
    """Mapillary's apps leave the standard tags empty and write JSON into the description instead."""
    if not description.startswith("{"):
        return _Street()
    try:
        facts = json.loads(description)
    except ValueError:
        return _Street()
    parts = re.fullmatch(r"(\d+)_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)", _text(facts.get("MAPCaptureTime")))
    taken = "{}:{}:{} {}:{}:{}".format(*parts.groups()[:6]) if parts else ""
    make, model = _text(facts.get("MAPDeviceMake")), _text(facts.get("MAPDeviceModel"))
    return _Street(taken, parts[7] if parts else "", make, model)


def _camera(tags: _Tags, width: int, height: int) -> Camera | None:
    """By the 35 mm equivalent, which belongs to the image's diagonal (CIPA DC-008); else by the focal plane's resolution."""
    focal = _number(tags.get(_FOCAL_LENGTH_35MM)) * math.hypot(width, height) / _DIAGONAL_35MM
    if not focal > 0:
        unit = _MILLIMETRES.get(tags.get(_PLANE_UNIT, 2), math.nan)
        pixels = _number(tags.get(_FOCAL_LENGTH)) * _number(tags.get(_PLANE_X)) / unit
        taken_at = _number(tags.get(_PIXELS_X))
        focal = pixels * (max(width, height) / taken_at if taken_at > 0 else 1.0)
    longer = max(width, height)
    if not _FOCAL_RANGE[0] * longer <= focal <= _FOCAL_RANGE[1] * longer:
        return None
    return Camera("SIMPLE_RADIAL", width, height, (focal, width / 2, height / 2, 0.0), calibrated=False)


def _pages(image: Any) -> int:
    """Pictures in a file that are equals (TIFF's pages, frames of an animation); cameras' JPEG previews are none."""
    if image.format not in ("TIFF", "WEBP", "PNG", "HEIF"):
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, EOFError):
        return 1


def _position(tags: _Tags) -> tuple[GeoPosition | None, GeoProblem | None]:
    """The position, or why there is none. A missing altitude is unknown; one below sea level is negative.

    The horizontal error, where the receiver wrote it (GPSHPositioningError, 68 %; else from GPSDOP), becomes the covariance.
    """
    if _LATITUDE not in tags and _LONGITUDE not in tags:
        return None, GeoProblem.NONE_SEEN
    latitude, longitude = _degrees(tags.get(_LATITUDE)), _degrees(tags.get(_LONGITUDE))
    if not (0 <= latitude <= 90 and 0 <= longitude <= 180):
        return None, GeoProblem.UNREADABLE
    if is_null_island(latitude, longitude):
        return None, GeoProblem.ZERO
    if _letter(tags.get(_STATUS)) == "V":
        return None, GeoProblem.VOID
    north, east = _letter(tags.get(_LATITUDE_REF)), _letter(tags.get(_LONGITUDE_REF))
    if north not in ("N", "S") or east not in ("E", "W"):
        return None, GeoProblem.NO_LETTERS
    latitude, longitude = latitude * (1 if north == "N" else -1), longitude * (1 if east == "E" else -1)
    return GeoPosition(latitude, longitude, _altitude(tags), _covariance(tags)), None


def _altitude(tags: _Tags) -> float:
    """Metres; NaN where it is missing, or where the receiver measured in two dimensions."""
    altitude = _number(tags.get(_ALTITUDE))
    if str(tags.get(_MEASURE_MODE)).strip("\0 ") == "2":
        return math.nan
    return -altitude if tags.get(_ALTITUDE_REF) in (1, b"\x01") else altitude


def _covariance(tags: _Tags) -> np.ndarray | None:
    error = _number(tags.get(_POSITIONING_ERROR))
    if not error > 0:
        error = _number(tags.get(_DILUTION)) * _RANGE_ERROR
    return np.diag([error**2, error**2, (2 * error) ** 2]) if 0 < error < 1e6 else None


def _degrees(value: Any) -> float:
    """Degrees, minutes, seconds as degrees; NaN when they are no numbers."""
    try:
        parts = [_number(part) for part in value]
    except TypeError:
        return math.nan
    return parts[0] + parts[1] / 60 + parts[2] / 3600 if len(parts) == 3 else math.nan


def _letter(value: Any) -> str:
    """The first letter of a reference or status, in upper case; empty without one."""
    text = value.decode("ascii", errors="replace") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ").upper()[:1]


def _number(value: Any) -> float:
    """A finite float, or NaN for what is none (EXIF rationals may have a zero denominator)."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _text(value: Any) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
