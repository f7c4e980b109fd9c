"""Positions on the Earth in degrees, and in metres east, north, up of a datum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import UsageError

DEFAULT_SIGMA = 10.0
"""Metres: what a consumer receiver gives between houses, where the source does not say."""
DATUM_POSITIONS = 3
"""Positions to wait for before the origin is fixed, so that a first bad one does not become it."""


@dataclass(frozen=True)
class GeoPosition:
    """A WGS84 position of the camera or the vehicle's antenna: degrees, degrees, metres above the ellipsoid.

    Attributes:
        altitude: NaN where only the horizontal position is known.
        covariance: 3×3 in metres², east-north-up, or None where the receiver does not say.

    Raises:
        UsageError: no position on the Earth.
    """

    latitude: float
    longitude: float
    altitude: float
    covariance: np.ndarray | None = None

    def __post_init__(self) -> None:
        horizontal = abs(self.latitude) <= 90 and abs(self.longitude) <= 360
        if not horizontal or math.isinf(self.altitude):
            raise UsageError(f"not a WGS84 position: {self.latitude}, {self.longitude}, {self.altitude}")

    @property
    def coordinates(self) -> np.ndarray:
        """(3,) latitude, longitude, altitude, which is NaN where it is unknown."""
        return np.array([self.latitude, self.longitude, self.altitude], np.float64)

    @property
    def has_altitude(self) -> bool:
        """Whether the altitude is known."""
        return math.isfinite(self.altitude)

    @property
    def sigma(self) -> float:
        """Horizontal standard deviation in metres; ``DEFAULT_SIGMA`` when unknown."""
        if self.covariance is None:
            return DEFAULT_SIGMA
        variance = float(np.trace(np.asarray(self.covariance)[:2, :2]) / 2)
        return math.sqrt(variance) if variance > 0 and math.isfinite(variance) else DEFAULT_SIGMA

    @classmethod
    def from_ros(cls, fix: Any) -> GeoPosition | None:
        """Of a ``NavSatFix`` of any origin; None where ``refusal`` says why. An altitude of NaN or infinity is unknown."""
        if refusal(fix):
            return None
        covariance = np.asarray(fix.position_covariance, np.float64).reshape(3, 3)
        known = fix.position_covariance_type != 0 and np.isfinite(covariance).all()
        altitude = float(fix.altitude) if math.isfinite(fix.altitude) else math.nan
        return cls(float(fix.latitude), float(fix.longitude), altitude, covariance if known else None)

    def interpolate(self, other: GeoPosition, share: float) -> GeoPosition:
        """The position at ``share`` of the way to another, over short ways.

        The covariance is the two's average by distance, not less: neighbouring errors of a receiver are alike and do not
        average out.
        """
        covariance = None
        if self.covariance is not None and other.covariance is not None:
            covariance = self.covariance + share * (other.covariance - self.covariance)
        here, there = self.coordinates, other.coordinates
        way = there - here
        way[1] = wrapped(way[1])
        latitude, longitude, altitude = (here + share * way).tolist()
        return GeoPosition(latitude, wrapped(longitude), altitude, covariance)


def wrapped(longitude: float) -> float:
    """A longitude, or a difference of two, in [-180, 180)."""
    return (longitude + 180.0) % 360.0 - 180.0


def is_null_island(latitude: float, longitude: float) -> bool:
    """Whether a receiver wrote zeros instead of a position: latitude and longitude are exactly 0."""
    return latitude == 0 and longitude == 0


def refusal(fix: Any) -> str:
    """Why a ``NavSatFix`` of any origin is no position; empty where it is one."""
    if fix.status.status < 0:
        return "status: no fix"
    if not (math.isfinite(fix.latitude) and math.isfinite(fix.longitude)):
        return "latitude or longitude is not a number"
    if is_null_island(fix.latitude, fix.longitude):
        return "latitude 0, longitude 0"
    if abs(fix.latitude) > 90 or abs(fix.longitude) > 360:
        return "latitude or longitude beyond the Earth"
    return ""


def choose_datum(positions: Sequence[GeoPosition]) -> tuple[float, float, float]:
    """Latitude, longitude, altitude of the origin: the median position, rounded to about a metre so that it stays put.

    The altitude is the median of those that are known; 0, and then only a name for the height of the map's origin, where
    none is. Longitudes are compared on the circle.
    """
    table = np.array([position.coordinates for position in positions])
    first = table[0, 1]
    longitude = wrapped(first + float(np.median((table[:, 1] - first + 180.0) % 360.0 - 180.0)))
    known = table[np.isfinite(table[:, 2]), 2]
    altitude = float(np.median(known)) if len(known) else 0.0
    return round(float(np.median(table[:, 0])), 5), round(longitude, 5), round(altitude, 0)


def to_enu(positions: Sequence[GeoPosition], datum: tuple[float, float, float]) -> np.ndarray:
    """(N, 3) metres east, north, up of ``datum`` on the WGS84 ellipsoid; up is NaN where the altitude is unknown."""
    table = np.array([position.coordinates for position in positions], np.float64).reshape(-1, 3)
    unknown = np.isnan(table[:, 2])
    table[unknown, 2] = datum[2]
    enu = np.array(_transform().ellipsoid_to_enu(table, *datum)) if len(table) else table
    enu[unknown, 2] = np.nan
    return enu


def from_enu(enu: np.ndarray, datum: tuple[float, float, float]) -> list[GeoPosition]:
    """The positions that lie (N, 3) metres east, north, up of ``datum``."""
    return [GeoPosition(*row) for row in enu_to_geodetic(enu, datum).tolist()]


def enu_to_geodetic(enu: np.ndarray, datum: tuple[float, float, float]) -> np.ndarray:
    """(N, 3) latitude, longitude (degrees), height above the WGS84 ellipsoid of (N, 3) metres east, north, up of ``datum``."""
    enu = np.asarray(enu, np.float64).reshape(-1, 3)
    return np.array(_transform().enu_to_ellipsoid(enu, *datum)) if len(enu) else enu.copy()


def _transform() -> pycolmap.GPSTransform:
    return pycolmap.GPSTransform(pycolmap.GPSTransformEllipsoid.WGS84)
