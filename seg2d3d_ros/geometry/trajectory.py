"""Poses and positions at any time, from those at known times: value by value as they arrive, or a smooth path of all."""

from __future__ import annotations

import bisect
from typing import Generic, Protocol, TypeVar

import numpy as np
from scipy.interpolate import PchipInterpolator

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.pose import Pose

SAME_MOMENT = 0.02
"""Seconds: keyframes of several cameras this close in time give one pose."""


class Interpolable(Protocol):
    """What has values between two of its kind."""

    def interpolate(self: Value, other: Value, share: float) -> Value:
        """The value at ``share`` (0 … 1) of the way to another."""


Value = TypeVar("Value", bound=Interpolable)


class StampedSeries(Generic[Value]):
    """Values at times that arrive in any order; between two neighbours they are interpolated.

    Args:
        max_gap: seconds between two values beyond which nothing is known in between.

    Attributes:
        used: values that were taken.
        ignored: values that were none, or had the stamp of an earlier one.
    """

    def __init__(self, max_gap: float) -> None:
        self._max_gap_ns = round(max_gap * 1e9)
        self._stamps: list[int] = []
        self._values: list[Value] = []
        self.used = self.ignored = 0

    def add(self, stamp_ns: int, value: Value | None) -> bool:
        """Take a value; None is counted as ignored. Returns whether it was taken."""
        place = bisect.bisect_left(self._stamps, stamp_ns)
        if value is None or self._stamps[place : place + 1] == [stamp_ns]:
            self.ignored += 1
            return False
        self._stamps.insert(place, stamp_ns)
        self._values.insert(place, value)
        self.used += 1
        return True

    def has(self, stamp_ns: int) -> bool:
        """Whether there is a value of exactly this time."""
        place = bisect.bisect_left(self._stamps, stamp_ns)
        return self._stamps[place : place + 1] == [stamp_ns]

    def reaches(self, stamp_ns: int) -> bool:
        """Whether a value at or after ``stamp_ns`` is there: later ones will not change ``at(stamp_ns)`` much."""
        return bool(self._stamps) and self._stamps[-1] >= stamp_ns

    def at(self, stamp_ns: int) -> Value | None:
        """The value at a time; None before the first, after the last, and in gaps longer than ``max_gap``."""
        after = bisect.bisect_left(self._stamps, stamp_ns)
        if self._stamps[after : after + 1] == [stamp_ns]:
            return self._values[after]
        if after in (0, len(self._stamps)):
            return None
        begin, end = self._stamps[after - 1], self._stamps[after]
        if end - begin > self._max_gap_ns:
            return None
        return self._values[after - 1].interpolate(self._values[after], (stamp_ns - begin) / (end - begin))


class Trajectory:
    """A smooth path through poses at known times; nothing is said beyond its ends and in gaps.

    Positions follow a monotone cubic (Fritsch and Carlson 1980), which does not overshoot where poses are noisy;
    directions the shortest turn.

    Args:
        stamps_ns: (K,) int64, any order.
        world_from_sensor: (K,) poses.
        max_gap: seconds between poses beyond which nothing is interpolated.
    """

    def __init__(self, stamps_ns: np.ndarray, world_from_sensor: Pose, max_gap: float) -> None:
        order = np.argsort(stamps_ns, kind="stable")
        stamps, poses = np.asarray(stamps_ns, np.int64)[order], world_from_sensor[order]
        self._start = int(stamps[0]) if len(stamps) else 0
        seconds = (stamps - self._start) * 1e-9
        moments = [part for part in _split(seconds, SAME_MOMENT) if len(part)]
        self._seconds = np.array([seconds[moment].mean() for moment in moments])
        self._poses = Pose.stack([poses[moment].mean() for moment in moments])
        self._paths = [
            (part[0], part[-1], PchipInterpolator(self._seconds[part], self._poses.translation[part]))
            for part in _split(self._seconds, max_gap)
            if len(part) > 1
        ]

    def covers(self, stamp_ns: int) -> bool:
        """Whether a pose is known at this time."""
        at = (stamp_ns - self._start) * 1e-9
        return any(self._seconds[first] <= at <= self._seconds[last] for first, last, _ in self._paths)

    def at(self, stamp_ns: int, offsets: np.ndarray) -> Pose:
        """(N,) ``world_from_sensor`` at (N,) seconds after ``stamp_ns``; times beyond the path take its end.

        Raises:
            DataError: no path covers ``stamp_ns``.
        """
        base = (stamp_ns - self._start) * 1e-9
        for first, last, position in self._paths:
            begin, end = self._seconds[first], self._seconds[last]
            if begin <= base <= end:
                times = np.clip(base + np.asarray(offsets, float), begin, end)
                after = np.clip(np.searchsorted(self._seconds, times), first + 1, last)
                share = (times - self._seconds[after - 1]) / (self._seconds[after] - self._seconds[after - 1])
                turned = self._poses[after - 1].interpolate(self._poses[after], share)
                return Pose(turned.rotation, position(times))
        raise DataError(f"no keyframes around {stamp_ns * 1e-9:.3f} s; the pose is not known there")


def _split(seconds: np.ndarray, gap: float) -> list[np.ndarray]:
    """Indices of times (K,) in order, in stretches between which more than ``gap`` seconds lie."""
    return np.split(np.arange(len(seconds)), np.flatnonzero(np.diff(seconds) > gap) + 1)
