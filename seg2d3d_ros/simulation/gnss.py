"""A GNSS receiver on the vehicle's roof: correlated noise, outliers, drop-outs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.trajectory import StampedSeries
from seg2d3d_ros.geometry.wgs84 import from_enu

DATUM = (51.0504, 13.7373, 150.0)
"""Where the street frame's origin lies: latitude, longitude in degrees, metres above the ellipsoid (WGS84)."""
RATE = 5.0
CORRELATION_SECONDS = 6.0
MAX_GAP = 1.0
"""Seconds between fixes over which a position is interpolated."""


@dataclass(frozen=True)
class ReceiverQuality:
    """``sigma``: horizontal standard deviation in metres; ``outliers``: share of fixes that are far off."""

    sigma: float
    outliers: float
    dropouts: int


RECEIVERS = {
    "clean": ReceiverQuality(0.8, 0.0, 1),
    "typical": ReceiverQuality(1.5, 0.0, 2),
    "hard": ReceiverQuality(2.0, 0.04, 3),
}


@dataclass(frozen=True)
class Fix:
    """One fix at ``time`` seconds: position in metres east, north, up of the datum; ``valid`` False in a drop-out."""

    time: float
    enu: np.ndarray
    sigma: float
    valid: bool

    def interpolate(self, other: Fix, share: float) -> Fix:
        """The fix at ``share`` of the way to another of the same receiver."""
        return Fix(
            self.time + share * (other.time - self.time), self.enu + share * (other.enu - self.enu), self.sigma, valid=True
        )


def simulate_fixes(
    rng: np.random.Generator,
    position: Callable[[float], np.ndarray],
    end: float,
    legs: Sequence[tuple[float, float]],
    quality: ReceiverQuality,
) -> list[Fix]:
    """Fixes every 1/``RATE`` seconds from 0 to ``end`` of ``position(time)`` -> (3,) metres ENU.

    Noise per axis: 0.9 correlated (Gauss-Markov) + 0.436 white, together of variance ``sigma``²; twice that upwards. In the
    first half of each drop-out the receiver sends invalid fixes, in the second nothing. A drop-out lasts 2 to 4 s, at most
    30 % of the leg (start, end in seconds) that it falls in.
    """
    times = np.arange(0.0, end, 1.0 / RATE)
    gaps = []
    for i in range(quality.dropouts):
        first, last = legs[i % len(legs)]
        length = min(rng.uniform(2.0, 4.0), 0.3 * (last - first))
        begin = rng.uniform(first, last - length)
        gaps.append((begin, begin + length / 2, begin + length))
    keep = np.exp(-1.0 / RATE / CORRELATION_SECONDS)
    state, fixes = rng.normal(size=3), []
    for time in times:
        state = keep * state + np.sqrt(1.0 - keep**2) * rng.normal(size=3)
        error = quality.sigma * np.array([1.0, 1.0, 2.0]) * (0.9 * state + np.sqrt(0.19) * rng.normal(size=3))
        jump = rng.normal(size=3) * 10.0
        if rng.random() < quality.outliers:
            error = error + jump
        if any(middle <= time < stop for _, middle, stop in gaps):
            continue
        valid = not any(begin <= time < middle for begin, middle, _ in gaps)
        fixes.append(Fix(float(round(time, 6)), position(float(time)) + error, quality.sigma, valid))
    return fixes


def received(fixes: Sequence[Fix]) -> StampedSeries[Fix]:
    """The valid fixes by nanoseconds since the recording began; a drop-out stays a gap."""
    series: StampedSeries[Fix] = StampedSeries(MAX_GAP)
    for fix in fixes:
        series.add(round(fix.time * 1e9), fix if fix.valid else None)
    return series


def gps_csv(rows: Sequence[tuple[str, Fix]]) -> str:
    """``gps.csv``: file name and fix of each image that has one, as ``keyframes.positions.positions_file`` reads it."""
    lines = ["image,latitude,longitude,altitude,sigma"]
    for (name, fix), geo in zip(rows, from_enu(np.array([fix.enu for _, fix in rows]), DATUM), strict=True):
        lines.append(f"{name},{geo.latitude:.9f},{geo.longitude:.9f},{geo.altitude:.4f},{fix.sigma:g}")
    return "\n".join(lines) + "\n"
