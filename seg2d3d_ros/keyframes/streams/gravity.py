"""The vertical at any time by an IMU: its orientation, or what its accelerometer feels over some seconds."""

from __future__ import annotations

import bisect
import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from seg2d3d_ros.findings import NOTE, Kind
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import IMU, CameraUp, tells_roll

IMU_NOT_USED = Kind(
    "imu_not_used",
    "keyframes whose vertical an IMU does not tell",
    cause="{reason}",
    remedy="nothing need be done where the map is upright; mount the IMU in TF (REP 103), fill orientation or "
    "linear_acceleration (REP 145: +9.8 up when at rest)",
    level=NOTE,
)
WINDOW_NS = 2_000_000_000
"""Before and after a moment: over so long a vehicle's accelerations nearly cancel."""
GRAVITY, TOLERANCE = 9.81, 0.6
"""m/s²; a mean further off is of something else than the vertical."""
FINEST = np.deg2rad(1.0)
"""Standard deviation of a vertical at best: an IMU's own, and of its mount."""
POOREST = np.deg2rad(8.0)
APART = np.cos(np.deg2rad(30.0))
"""An orientation further off from what the accelerometer feels is not one from east, north, up, or was never filled in."""

_NOWHERE = SimpleNamespace(x=0.0, y=0.0, z=0.0)


class VehicleGravity:
    """Takes ``sensor_msgs/Imu`` messages of one topic, of any origin, in about the order of time.

    Attributes:
        frame_id: the IMU's frame.
    """

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._values: list[tuple[np.ndarray | None, float, np.ndarray | None]] = []
        self.frame_id = ""

    def add_message(self, message: Any, stamp_ns: int) -> None:
        """Keep what a message says; what is older than keyframes wait for is forgotten."""
        self.frame_id = self.frame_id or str(message.header.frame_id)
        place = bisect.bisect_left(self._stamps, stamp_ns)
        self._stamps.insert(place, stamp_ns)
        self._values.insert(place, (*_by_orientation(message), _by_acceleration(message)))

    def reaches(self, stamp_ns: int) -> bool:
        """Whether all that counts for this time is there."""
        return bool(self._stamps) and self._stamps[-1] >= stamp_ns + WINDOW_NS

    def forget(self, before_ns: int) -> None:
        """Drop what is older than any keyframe that may come."""
        place = bisect.bisect_left(self._stamps, before_ns - WINDOW_NS)
        del self._stamps[:place], self._values[:place]

    def at(self, stamp_ns: int) -> tuple[np.ndarray, float] | None:
        """(3,) unit vector upwards in the IMU's frame, and its standard deviation in radians; None where nothing tells it."""
        begin, end = (bisect.bisect_left(self._stamps, stamp_ns + side * WINDOW_NS) for side in (-1, 1))
        if begin == end:
            return None
        felt = np.array([a for _, _, a in self._values[begin:end] if a is not None]).reshape(-1, 3)
        by_weight = _vertical(felt)
        nearest = min(range(begin, end), key=lambda k: abs(self._stamps[k] - stamp_ns))
        up, sigma, _ = self._values[nearest]
        if up is not None and (by_weight is None or up @ by_weight[0] > APART):
            return up, sigma
        return by_weight


def tells_vertical(message: Any) -> bool:
    """Whether a message says anything of the vertical; gyroscopes alone do not."""
    return _by_orientation(message)[0] is not None or _by_acceleration(message) is not None


def camera_up(
    gravity: tuple[np.ndarray, float] | None, camera_from_imu: Pose | None, mount: Pose | None
) -> tuple[CameraUp | None, str]:
    """What an IMU tells in a camera's frame, or why it tells nothing.

    Args:
        gravity: what ``VehicleGravity.at`` gave.
        camera_from_imu: by TF.
        mount: ``base_from_camera``, if it is known: a vehicle stands on its wheels.
    """
    if camera_from_imu is None:
        return None, "TF does not say how the IMU is mounted to the cameras"
    if gravity is None:
        return None, "it says neither an orientation nor a steady acceleration of 9.8 m/s²"
    up = camera_from_imu.rotation @ gravity[0]
    if mount is not None and tells_roll(mount) and up @ mount.rotation[2] < APART:
        return None, "it contradicts the mounts by more than 30°"
    x, y, z = up.tolist()
    return CameraUp((x, y, z), gravity[1], IMU), ""


def _by_orientation(message: Any) -> tuple[np.ndarray | None, float]:
    """Up in the IMU's frame by the orientation from east, north, up; None where the driver says that there is none."""
    covariance = np.asarray(message.orientation_covariance, float).ravel()
    pose = Pose.from_ros(_NOWHERE, message.orientation) if covariance[0] != -1.0 else None
    if pose is None:
        return None, FINEST
    claimed = math.sqrt(max(float(covariance[0]), float(covariance[4]), 0.0)) if np.isfinite(covariance).all() else 0.0
    return pose.rotation[2], min(max(claimed, FINEST), POOREST)


def _by_acceleration(message: Any) -> np.ndarray | None:
    covariance = np.asarray(message.linear_acceleration_covariance, float).ravel()
    value = message.linear_acceleration
    felt = np.array([value.x, value.y, value.z], float)
    return felt if covariance[0] != -1.0 and np.isfinite(felt).all() and felt.any() else None


def _vertical(felt: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The mean direction of accelerations (N, 3), which is up, and how far it may be off."""
    if not len(felt):
        return None
    mean = felt.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if abs(length - GRAVITY) > TOLERANCE:
        return None
    sway = float(np.sqrt(felt.var(axis=0).sum())) / GRAVITY / 2.0
    sigma = math.hypot(2 * FINEST, sway)
    return (mean / length, sigma) if sigma < POOREST else None
