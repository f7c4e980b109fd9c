"""Where a sensor of the vehicle was at any time, from the keyframes' poses."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp

from seg2d3d_ros.errors import DataError

SAME_MOMENT = 0.02
"""Seconds: keyframes of several cameras this close in time give one pose."""


class Trajectory:
    """A path between poses at known times; nothing is said beyond its ends and in gaps.

    Positions follow a monotone cubic (Fritsch and Carlson 1980), which does not overshoot where poses are noisy;
    directions the shortest turn.

    Args:
        stamps_ns: (K,) int64, any order.
        world_from_sensor: (K, 4, 4).
        max_gap: seconds between poses beyond which nothing is interpolated.
    """

    def __init__(self, stamps_ns: np.ndarray, world_from_sensor: np.ndarray, max_gap: float) -> None:
        order = np.argsort(stamps_ns, kind="stable")
        stamps, poses = np.asarray(stamps_ns, np.int64)[order], np.asarray(world_from_sensor, float)[order]
        self._start = int(stamps[0]) if len(stamps) else 0
        seconds = (stamps - self._start) * 1e-9
        group = (
            np.concatenate([[0], np.cumsum(np.diff(seconds) > SAME_MOMENT)]).astype(int) if len(stamps) else np.empty(0, int)
        )
        count = np.bincount(group)
        self.seconds = np.bincount(group, seconds) / count
        self.positions = np.stack([np.bincount(group, poses[:, i, 3]) / count for i in range(3)], axis=1)
        turns = [Rotation.from_matrix(poses[group == g, :3, :3]).mean() for g in range(len(count))]
        self.max_gap = max_gap
        self._paths = []
        breaks = np.flatnonzero(np.diff(self.seconds) > max_gap) + 1
        for part in np.split(np.arange(len(count)), breaks):
            if len(part) > 1:
                at = self.seconds[part]
                turn = Slerp(at, Rotation.concatenate([turns[k] for k in part]))
                self._paths.append((at[0], at[-1], PchipInterpolator(at, self.positions[part]), turn))

    def covers(self, stamp_ns: int) -> bool:
        """Whether a pose is known at this time."""
        at = (stamp_ns - self._start) * 1e-9
        return any(begin <= at <= end for begin, end, _, _ in self._paths)

    def at(self, stamp_ns: int, offsets: np.ndarray) -> np.ndarray:
        """(N, 4, 4) ``world_from_sensor`` at (N,) seconds after ``stamp_ns``; times beyond the path take its end.

        Raises:
            DataError: no path covers ``stamp_ns``.
        """
        base = (stamp_ns - self._start) * 1e-9
        for begin, end, position, turn in self._paths:
            if begin <= base <= end:
                times = np.clip(base + np.asarray(offsets, float), begin, end)
                poses = np.tile(np.eye(4), (len(times), 1, 1))
                poses[:, :3, :3], poses[:, :3, 3] = turn(times).as_matrix(), position(times)
                return poses
        raise DataError(f"no keyframes around {stamp_ns * 1e-9:.3f} s; the pose is not known there")
