"""Focal length and GPS position from a photograph's EXIF tags."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition

IFD_EXIF, IFD_GPS = 0x8769, 0x8825
FOCAL_LENGTH, FOCAL_LENGTH_35MM = 0x920A, 0xA405
PLANE_X, PLANE_UNIT = 0xA20E, 0xA210
PIXELS_X = 0xA002
GPS_LATITUDE_REF, GPS_LATITUDE, GPS_LONGITUDE_REF, GPS_LONGITUDE, GPS_ALTITUDE_REF, GPS_ALTITUDE = 1, 2, 3, 4, 5, 6
GPS_ERROR = 31
MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Of EXIF's FocalPlaneResolutionUnit: inch, centimetre, millimetre, micrometre."""
DIAGONAL_35MM = math.hypot(36.0, 24.0)
FOCAL_RANGE = (0.2, 20.0)
"""Focal lengths outside, in units of the longer side, are taken for nonsense."""


def _tags(encoded: bytes, directory: int) -> dict[int, Any]:
    """The tags of one EXIF directory; empty when there is none or it is damaged."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        return {}
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return dict(image.getexif().get_ifd(directory))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _number(value: Any) -> float:
    """A finite float, or NaN for what is none (EXIF rationals may have a zero denominator)."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def camera_from_exif(encoded: bytes, width: int, height: int) -> Camera | None:
    """A guess of the intrinsics (``calibrated`` False) from the focal length in the tags; None without one.

    The 35 mm equivalent is taken by the image's diagonal (CIPA DC-008); else the focal length in millimetres with the
    resolution of the focal plane.
    """
    tags = _tags(encoded, IFD_EXIF)
    focal = _number(tags.get(FOCAL_LENGTH_35MM)) * math.hypot(width, height) / DIAGONAL_35MM
    if not focal > 0:
        unit = MILLIMETRES.get(tags.get(PLANE_UNIT, 2), math.nan)
        pixels = _number(tags.get(FOCAL_LENGTH)) * _number(tags.get(PLANE_X)) / unit
        taken_at = _number(tags.get(PIXELS_X))
        focal = pixels * (max(width, height) / taken_at if taken_at > 0 else 1.0)
    longer = max(width, height)
    if not FOCAL_RANGE[0] * longer <= focal <= FOCAL_RANGE[1] * longer:
        return None
    return Camera("SIMPLE_RADIAL", width, height, (focal, width / 2, height / 2, 0.0), calibrated=False)


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


def geo_from_exif(encoded: bytes) -> GeoPosition | None:
    """The GPS position in the tags, or None. A missing altitude is 0; one below sea level is negative.

    The horizontal error, where the receiver wrote it (GPSHPositioningError, 68 %), becomes the covariance.
    """
    tags = _tags(encoded, IFD_GPS)
    latitude = _degrees(tags.get(GPS_LATITUDE), tags.get(GPS_LATITUDE_REF), "S")
    longitude = _degrees(tags.get(GPS_LONGITUDE), tags.get(GPS_LONGITUDE_REF), "W")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180) or (latitude == 0 and longitude == 0):
        return None
    altitude = _number(tags.get(GPS_ALTITUDE))
    if tags.get(GPS_ALTITUDE_REF) in (1, b"\x01"):
        altitude = -altitude
    error = _number(tags.get(GPS_ERROR))
    covariance = np.diag([error**2, error**2, (2 * error) ** 2]) if error > 0 else None
    return GeoPosition(latitude, longitude, altitude if math.isfinite(altitude) else 0.0, covariance)
