"""Where the vehicle was at a time, from the fixes of its receiver."""

from __future__ import annotations

import bisect

import numpy as np

from seg2d3d_ros.geometry.wgs84 import GeoPosition

NANOSECONDS = 1_000_000_000


class GeoTrack:
    """Stamped fixes of one receiver, interpolated linearly.

    Attributes:
        used: fixes that were taken.
        ignored: fixes without a position (status, NaN, not on Earth) or with the stamp of an earlier one.
    """

    def __init__(self, max_gap: float):
        """``max_gap``: seconds between two fixes beyond which nothing is known in between."""
        self._max_gap_ns = round(max_gap * NANOSECONDS)
        self._stamps: list[int] = []
        self._fixes: list[GeoPosition] = []
        self.used = self.ignored = 0

    def add(self, stamp_ns: int, geo: GeoPosition | None) -> bool:
        """Take a fix; None (no reception) is counted as ignored. Returns whether it was taken. Any order will do."""
        place = bisect.bisect_left(self._stamps, stamp_ns)
        if geo is None or (place < len(self._stamps) and self._stamps[place] == stamp_ns):
            self.ignored += 1
            return False
        self._stamps.insert(place, stamp_ns)
        self._fixes.insert(place, geo)
        self.used += 1
        return True

    def reaches(self, stamp_ns: int) -> bool:
        """Whether a fix at or after ``stamp_ns`` is there: later fixes will not change ``at(stamp_ns)`` much."""
        return bool(self._stamps) and self._stamps[-1] >= stamp_ns

    def at(self, stamp_ns: int) -> GeoPosition | None:
        """The position at a time, None outside of the track and within gaps longer than ``max_gap``.

        The covariance is the fixes' average by distance in time, not less: neighbouring errors
        of a receiver are alike and do not average out.
        """
        after = bisect.bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._fixes[after]
        if after in (0, len(self._stamps)) or self._stamps[after] - self._stamps[after - 1] > self._max_gap_ns:
            return None
        share = (stamp_ns - self._stamps[after - 1]) / (self._stamps[after] - self._stamps[after - 1])
        first, second = self._fixes[after - 1], self._fixes[after]
        latitude, longitude, altitude = (
            _between(getattr(first, n), getattr(second, n), share) for n in ("latitude", "longitude", "altitude")
        )
        known = first.covariance is not None and second.covariance is not None
        covariance = _between(np.asarray(first.covariance), np.asarray(second.covariance), share) if known else None
        return GeoPosition(latitude, longitude, altitude, covariance)


def _between(first, second, share: float):
    return first + share * (second - first)


def geo_from_fix(message) -> GeoPosition | None:
    """The position in a ``NavSatFix`` of any origin (duck-typed), None without a fix (status, or NaN as some drivers say)."""
    latitude, longitude, altitude = float(message.latitude), float(message.longitude), float(message.altitude)
    finite = np.isfinite([latitude, longitude, altitude]).all()
    if message.status.status < 0 or not finite or abs(latitude) > 90 or abs(longitude) > 360:
        return None
    covariance = np.asarray(message.position_covariance, np.float64).reshape(3, 3)
    known = message.position_covariance_type != 0 and np.isfinite(covariance).all()
    return GeoPosition(latitude, longitude, altitude, covariance if known else None)
