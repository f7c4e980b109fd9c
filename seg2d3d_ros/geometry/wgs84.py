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

    ``covariance``: 3×3 in metres², east-north-up, or None where the receiver does not say.
    """

    latitude: float
    longitude: float
    altitude: float
    covariance: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.coordinates).all() or abs(self.latitude) > 90 or abs(self.longitude) > 360:
            raise UsageError(f"not a WGS84 position: {self.latitude}, {self.longitude}, {self.altitude}")

    @property
    def coordinates(self) -> np.ndarray:
        """(3,) latitude, longitude, altitude."""
        return np.array([self.latitude, self.longitude, self.altitude], np.float64)

    @property
    def sigma(self) -> float:
        """Horizontal standard deviation in metres; ``DEFAULT_SIGMA`` when unknown."""
        if self.covariance is None:
            return DEFAULT_SIGMA
        variance = float(np.trace(np.asarray(self.covariance)[:2, :2]) / 2)
        return math.sqrt(variance) if variance > 0 and math.isfinite(variance) else DEFAULT_SIGMA

    @classmethod
    def from_ros(cls, fix: Any) -> GeoPosition | None:
        """Of a ``NavSatFix`` of any origin; None without a fix (status, or NaN as some drivers say)."""
        if fix.status.status < 0:
            return None
        covariance = np.asarray(fix.position_covariance, np.float64).reshape(3, 3)
        known = fix.position_covariance_type != 0 and np.isfinite(covariance).all()
        try:
            return cls(float(fix.latitude), float(fix.longitude), float(fix.altitude), covariance if known else None)
        except UsageError:
            return None

    def interpolate(self, other: GeoPosition, share: float) -> GeoPosition:
        """The position at ``share`` of the way to another, over short ways.

        The covariance is the two's average by distance, not less: neighbouring errors of a receiver are alike and do not
        average out.
        """
        covariance = None
        if self.covariance is not None and other.covariance is not None:
            covariance = self.covariance + share * (other.covariance - self.covariance)
        here, there = self.coordinates, other.coordinates
        latitude, longitude, altitude = (here + share * (there - here)).tolist()
        return GeoPosition(latitude, longitude, altitude, covariance)


def choose_datum(positions: Sequence[GeoPosition]) -> tuple[float, float, float]:
    """Latitude, longitude, altitude of the origin: the median position, rounded to about a metre so that it stays put."""
    latitude, longitude, altitude = np.median([position.coordinates for position in positions], axis=0)
    return round(float(latitude), 5), round(float(longitude), 5), round(float(altitude), 0)


def to_enu(positions: Sequence[GeoPosition], datum: tuple[float, float, float]) -> np.ndarray:
    """(N, 3) metres east, north, up of ``datum`` on the WGS84 ellipsoid."""
    table = np.array([position.coordinates for position in positions], np.float64).reshape(-1, 3)
    return _transform().ellipsoid_to_enu(table, *datum) if len(table) else table


def from_enu(enu: np.ndarray, datum: tuple[float, float, float]) -> list[GeoPosition]:
    """The positions that lie (N, 3) metres east, north, up of ``datum``."""
    enu = np.asarray(enu, np.float64).reshape(-1, 3)
    return [GeoPosition(*row) for row in _transform().enu_to_ellipsoid(enu, *datum).tolist()] if len(enu) else []


def _transform() -> pycolmap.GPSTransform:
    return pycolmap.GPSTransform(pycolmap.GPSTransformEllipsoid.WGS84)
