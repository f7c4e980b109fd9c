"""How the vehicle moved by its own odometry, from wheels or an IMU."""

from __future__ import annotations

from typing import Any

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.trajectory import StampedSeries

MAX_GAP = 0.5
"""Seconds between two messages of odometry beyond which nothing is known in between."""


class VehicleOdometry(StampedSeries[Pose]):
    """Stamped poses ``odom_from_base``; messages without a pose (NaN, a quaternion of length 0) are ignored.

    Attributes:
        base: the vehicle's frame (``child_frame_id``).
    """

    def __init__(self) -> None:
        super().__init__(MAX_GAP)
        self.base = ""

    def add_message(self, message: Any, stamp_ns: int) -> bool:
        """Take a ``nav_msgs/Odometry`` of any origin; whether it was usable."""
        usable = self.add(stamp_ns, Pose.from_ros(message.pose.pose.position, message.pose.pose.orientation))
        if usable:
            self.base = self.base or str(message.child_frame_id)
        return usable
