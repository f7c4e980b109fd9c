"""What the header of a photograph's file says: its size, when, with what and where it was taken."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import open_header

# Tags of EXIF 2.32 (CIPA DC-008): section 4.6.4 (make, model), 4.6.5 (date and time, lens), 4.6.6 (GPS).
_MAKE, _MODEL, _DATE_TIME, _DESCRIPTION = 0x010F, 0x0110, 0x0132, 0x010E
_PHOTO, _GPS = 0x8769, 0x8825
_ORIGINAL, _OFFSET, _SUBSECOND = 0x9003, 0x9011, 0x9291
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_PLANE_X, _PLANE_UNIT, _PIXELS_X = 0xA20E, 0xA210, 0xA002
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE, _POSITIONING_ERROR = 1, 2, 3, 4, 5, 6, 31
_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Of EXIF's FocalPlaneResolutionUnit: inch, centimetre, millimetre, micrometre."""
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
_FOCAL_RANGE = (0.2, 20.0)
"""Focal lengths outside, in units of the longer side, are taken for nonsense."""

_Tags = Mapping[int, Any]


@dataclass(frozen=True)
class PhotoHeader:
    """What the header says.

    Attributes:
        width, height: of the stored pixels (EXIF orientation ignored, as COLMAP does).
        stamp_ns: since the epoch, 0 = unknown.
        device: make and model, or empty.
        camera: a guess of the intrinsics (``calibrated`` False) from the focal length; None without one.
        geo: the GPS position; None without one.
    """

    width: int
    height: int
    stamp_ns: int
    device: str
    camera: Camera | None
    geo: GeoPosition | None


def read_header(encoded: bytes, source: str = "image") -> PhotoHeader:
    """The header of an encoded image; what has no tags, or damaged ones, stays unknown.

    Raises:
        DataError: no image format that is known here; ``source`` names it.
    """
    with open_header(encoded, source) as image:
        width, height = image.size
        general = _undamaged(image.getexif)
        photo = _undamaged(lambda: image.getexif().get_ifd(_PHOTO))
        gps = _undamaged(lambda: image.getexif().get_ifd(_GPS))
    street = _mapillary(_text(general.get(_DESCRIPTION)))
    make, model = _text(general.get(_MAKE)) or street.device_make, _text(general.get(_MODEL)) or street.device_model
    device = model if model.lower().startswith(make.lower()) else f"{make} {model}"
    taken = _text(photo.get(_ORIGINAL)) or _text(general.get(_DATE_TIME))
    stamp = stamp_nanoseconds(taken, _text(photo.get(_SUBSECOND)), _text(photo.get(_OFFSET)))
    return PhotoHeader(
        width,
        height,
        stamp or stamp_nanoseconds(street.taken, street.subsecond),
        device.strip(),
        _camera(photo, width, height),
        _position(gps),
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


def _position(tags: _Tags) -> GeoPosition | None:
    """A missing altitude is 0; one below sea level is negative.

    The horizontal error, where the receiver wrote it (GPSHPositioningError, 68 %), becomes the covariance.
    """
    latitude = _degrees(tags.get(_LATITUDE), tags.get(_LATITUDE_REF), "S")
    longitude = _degrees(tags.get(_LONGITUDE), tags.get(_LONGITUDE_REF), "W")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180) or (latitude == 0 and longitude == 0):
        return None
    altitude = _number(tags.get(_ALTITUDE))
    if tags.get(_ALTITUDE_REF) in (1, b"\x01"):
        altitude = -altitude
    error = _number(tags.get(_POSITIONING_ERROR))
    covariance = np.diag([error**2, error**2, (2 * error) ** 2]) if error > 0 else None
    return GeoPosition(latitude, longitude, altitude if math.isfinite(altitude) else 0.0, covariance)


def _degrees(value: Any, reference: Any, negative: str) -> float:
    """Degrees, minutes, seconds with a hemisphere letter as signed degrees; NaN when they are no numbers."""
    try:
        parts = [_number(part) for part in value]
    except TypeError:
        return math.nan
    if len(parts) != 3:
        return math.nan
    sign = -1.0 if str(reference).strip("\0 ").upper().startswith(negative) else 1.0
    return sign * (parts[0] + parts[1] / 60 + parts[2] / 3600)


def _number(value: Any) -> float:
    """A finite float, or NaN for what is none (EXIF rationals may have a zero denominator)."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _text(value: Any) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
