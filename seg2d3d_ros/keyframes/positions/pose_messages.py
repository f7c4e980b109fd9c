"""Poses that come as messages: of an inertial navigation system, a localisation, or odometry that is trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.trajectory import StampedSeries
from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints


class PoseMessages(StampedSeries[GivenPose]):
    """Stamped poses in a frame of their own, of the vehicle unless the hints say otherwise; without a pose (NaN, a quaternion
    of length 0) a message is ignored.

    Args:
        hints: what messages leave open.

    Attributes:
        base: the vehicle's frame, where messages name it (``child_frame_id``).
    """

    def __init__(self, hints: PoseHints) -> None:
        super().__init__(hints.max_gap)
        self._hints = replace(hints, body="vehicle") if hints.body == "auto" else hints
        self.base = ""

    def add_message(self, message: Any, stamp_ns: int) -> bool:
        """Take an ``Odometry``, ``PoseWithCovarianceStamped`` or ``PoseStamped`` of any origin; whether it was usable."""
        inner = getattr(message.pose, "pose", message.pose)
        pose = Pose.from_ros(inner.position, inner.orientation)
        given = None
        if pose is not None:
            variances = np.asarray(getattr(message.pose, "covariance", np.zeros(36)), np.float64).reshape(6, 6).diagonal()
            sigmas = [float(np.sqrt(part.max())) if (part > 0).all() else np.nan for part in (variances[:3], variances[3:])]
            given = self._hints.pose(pose.rotation, pose.translation, sigma=sigmas[0], rotation_sigma=sigmas[1])
        usable = self.add(stamp_ns, given)
        if usable:
            self.base = self.base or str(getattr(message, "child_frame_id", ""))
        return usable
