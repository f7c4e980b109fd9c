"""A GNSS receiver on the vehicle's roof: correlated noise, outliers, drop-outs; and WGS84."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DATUM = (51.0504, 13.7373, 150.0)
"""Where the street frame's origin lies: latitude, longitude in degrees, metres above the ellipsoid (WGS84)."""
RATE = 5.0
CORRELATION_SECONDS = 6.0
MAX_GAP = 1.0
"""Seconds between fixes over which a position is interpolated."""
_A, _F = 6378137.0, 1.0 / 298.257223563
_E2 = _F * (2.0 - _F)


@dataclass(frozen=True)
class Quality:
    """``sigma``: horizontal standard deviation in metres; ``outliers``: share of fixes that are far off."""

    sigma: float
    outliers: float
    dropouts: int


QUALITIES = {"clean": Quality(0.8, 0.0, 1), "typical": Quality(1.5, 0.0, 2), "hard": Quality(2.0, 0.04, 3)}


@dataclass(frozen=True)
class Fix:
    """One fix at ``time`` seconds: position in metres east, north, up of the datum; ``valid`` False in a drop-out."""

    time: float
    enu: np.ndarray
    sigma: float
    valid: bool


def simulate_fixes(
    rng: np.random.Generator,
    position: Callable[[float], np.ndarray],
    end: float,
    legs: Sequence[tuple[float, float]],
    quality: Quality,
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


def interpolate(fixes: Sequence[Fix], time: float) -> np.ndarray | None:
    """ENU position (3,) at ``time`` between two valid fixes at most ``MAX_GAP`` seconds apart, else None."""
    valid = [fix for fix in fixes if fix.valid]
    before = [fix for fix in valid if fix.time <= time][-1:]
    after = [fix for fix in valid if fix.time > time][:1]
    if not before or not after or after[0].time - before[0].time > MAX_GAP:
        return None
    share = (time - before[0].time) / (after[0].time - before[0].time)
    return before[0].enu + share * (after[0].enu - before[0].enu)


def geodetic_from_enu(enu: np.ndarray, datum: tuple[float, float, float] = DATUM) -> tuple[float, float, float]:
    """Latitude, longitude (degrees) and altitude (metres, WGS84) of a point in metres east, north, up of ``datum``.

    ECEF with Bowring's one-step solution (Survey Review 1976), exact to nanometres near the ground.
    """
    lat, lon = np.radians(datum[0]), np.radians(datum[1])
    sin, cos = np.sin(lat), np.cos(lat)
    n = _A / np.sqrt(1 - _E2 * sin**2)
    origin = np.array(
        [(n + datum[2]) * cos * np.cos(lon), (n + datum[2]) * cos * np.sin(lon), (n * (1 - _E2) + datum[2]) * sin]
    )
    axes = np.array(
        [
            [-np.sin(lon), np.cos(lon), 0.0],
            [-sin * np.cos(lon), -sin * np.sin(lon), cos],
            [cos * np.cos(lon), cos * np.sin(lon), sin],
        ]
    )
    x, y, z = origin + np.asarray(enu, float) @ axes
    p, b = np.hypot(x, y), _A * (1 - _F)
    theta = np.arctan2(z * _A, p * b)
    latitude = np.arctan2(z + _E2 / (1 - _E2) * b * np.sin(theta) ** 3, p - _E2 * _A * np.cos(theta) ** 3)
    n = _A / np.sqrt(1 - _E2 * np.sin(latitude) ** 2)
    altitude = p * np.cos(latitude) + z * np.sin(latitude) - n * (1 - _E2 * np.sin(latitude) ** 2)
    return float(np.degrees(latitude)), float(np.degrees(np.arctan2(y, x))), float(altitude)


def gps_csv(rows: Sequence[tuple[str, np.ndarray, float]]) -> str:
    """``gps.csv``: file name, ENU position and sigma of each image that has a position."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "latitude", "longitude", "altitude", "sigma"])
    for name, enu, sigma in rows:
        latitude, longitude, altitude = geodetic_from_enu(enu)
        writer.writerow([name, f"{latitude:.9f}", f"{longitude:.9f}", f"{altitude:.4f}", f"{sigma:g}"])
    return text.getvalue()
