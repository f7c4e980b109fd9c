"""Where keyframes were taken, in metres of a plane: enough to cut by, not to map by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.city.drives.stored_drive import CityKeyframe
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.wgs84 import to_enu
from seg2d3d_ros.recording.naming import natural_key

PLACED_BETWEEN = Kind(
    "city_placed_between",
    "keyframes without a position, cut as if they lay between their neighbours",
    cause="the receiver gave none, in a tunnel say; neighbours in time are taken, or where no times are known, those by name",
    remedy="nothing need be done if the drive is one continuous way",
    level=NOTE,
)
ANCHOR = 0.1
"""Degrees to which the plane's origin is rounded, so that another drive does not move what is cut already."""


def keyframe_places(keyframes: Sequence[CityKeyframe], findings: Findings) -> dict[str, np.ndarray]:
    """(2,) metres east and north, by name, of all keyframes of drives with positions; drives without one are left out."""
    located = [k for k in keyframes if k.record.geo is not None]
    if not located:
        return {}
    geo = [k.record.geo for k in located if k.record.geo is not None]
    latitude = np.median([g.latitude for g in geo])
    longitude = np.median([g.longitude for g in geo])
    datum = (round(float(latitude) / ANCHOR) * ANCHOR, round(float(longitude) / ANCHOR) * ANCHOR, 0.0)
    known = {k.name: xy for k, xy in zip(located, to_enu(geo, datum)[:, :2], strict=True)}
    found: dict[str, np.ndarray] = {}
    for drive in sorted({k.drive for k in located}):
        found |= _filled([k for k in keyframes if k.drive == drive], known, findings)
    return found


def in_order(keyframes: Sequence[CityKeyframe]) -> list[CityKeyframe]:
    """The keyframes of a drive by time, or, where times are not known of all, by name."""
    timed = all(k.record.stamp_ns > 0 for k in keyframes)
    return sorted(keyframes, key=lambda k: (k.record.stamp_ns if timed else 0, natural_key(k.name)))


def _filled(keyframes: Sequence[CityKeyframe], known: Mapping[str, np.ndarray], findings: Findings) -> dict[str, np.ndarray]:
    ordered = in_order(keyframes)
    missing = [k.name for k in ordered if k.name not in known]
    if not missing:
        return {k.name: known[k.name] for k in ordered}
    findings.add(PLACED_BETWEEN, *missing, of=len(ordered))
    when = np.array([k.record.stamp_ns for k in ordered], np.float64)
    if (when <= 0).any() or (np.diff(when) <= 0).all():
        when = np.arange(len(ordered), dtype=np.float64)
    there = np.array([k.name in known for k in ordered])
    xy = np.array([known[k.name] for k in ordered if k.name in known])
    filled = np.stack([np.interp(when, when[there], xy[:, axis]) for axis in range(2)], axis=1)
    return {k.name: known.get(k.name, place) for k, place in zip(ordered, filled, strict=True)}
