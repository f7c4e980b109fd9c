"""The vehicle around the cameras: where they are mounted, and how it moved by its own odometry."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from seg2d3d_ros.geometry.frames import FrameTree

MAX_GAP = 0.5
"""Seconds between two messages of odometry beyond which nothing is known in between."""


def find_mounts(tree: FrameTree, frame_of_camera: Mapping[str, str], base: str = "") -> dict[str, np.ndarray]:
    """Camera name -> (4, 4) ``base_from_camera``, of the cameras whose place is known.

    Args:
        tree: of static transforms.
        frame_of_camera: camera name -> frame_id.
        base: the vehicle's frame, as odometry names it; without it the frame that all others hang from (``base_link`` on
            most vehicles): cameras relative to each other are all that a rig needs.
    """
    for candidate in dict.fromkeys([base, *(tree.root(frame) for _, frame in sorted(frame_of_camera.items()))]):
        found = {name: tree.find(candidate, frame) for name, frame in frame_of_camera.items()} if candidate else {}
        mounts = {name: pose for name, pose in found.items() if pose is not None}
        alone = [frame for name, frame in frame_of_camera.items() if name in mounts] == [candidate]
        if len(mounts) > 1 or (mounts and len(frame_of_camera) == 1 and not alone):
            return mounts
    return {}


class OdometryTrack:
    """Stamped poses ``odom_from_base``, interpolated (rotations on the sphere, positions linearly).

    Attributes:
        base: the vehicle's frame (``child_frame_id``).
        used: messages that were taken.
        ignored: messages without a pose (NaN, a quaternion of length 0), or with the stamp of an earlier one.
    """

    def __init__(self) -> None:
        self.base = ""
        self.used = self.ignored = 0
        self._stamps: list[int] = []
        self._poses: list[np.ndarray] = []

    def add_message(self, message: Any, stamp_ns: int) -> bool:
        """Take a ``nav_msgs/Odometry`` of any origin; whether it was usable."""
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        quaternion, shift = np.array([turn.x, turn.y, turn.z, turn.w]), np.array([place.x, place.y, place.z])
        at = bisect.bisect_left(self._stamps, stamp_ns)
        usable = np.isfinite([*quaternion, *shift]).all() and abs(np.linalg.norm(quaternion) - 1.0) < 1e-2
        if not usable or (at < len(self._stamps) and self._stamps[at] == stamp_ns):
            self.ignored += 1
            return False
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = Rotation.from_quat(quaternion).as_matrix(), shift
        self._stamps.insert(at, stamp_ns)
        self._poses.insert(at, pose)
        self.base = self.base or str(message.child_frame_id)
        self.used += 1
        return True

    def reaches(self, stamp_ns: int) -> bool:
        """Whether a message at or after ``stamp_ns`` is there."""
        return bool(self._stamps) and self._stamps[-1] >= stamp_ns

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) ``odom_from_base``; None outside of the track and in gaps longer than ``MAX_GAP``."""
        after = bisect.bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._poses[after]
        if after in (0, len(self._stamps)) or self._stamps[after] - self._stamps[after - 1] > MAX_GAP * 1e9:
            return None
        share = (stamp_ns - self._stamps[after - 1]) / (self._stamps[after] - self._stamps[after - 1])
        first, second = self._poses[after - 1], self._poses[after]
        pose = np.eye(4)
        turns = Rotation.from_matrix(np.array([first[:3, :3], second[:3, :3]]))
        pose[:3, :3] = Slerp([0.0, 1.0], turns)(share).as_matrix()
        pose[:3, 3] = (1 - share) * first[:3, 3] + share * second[:3, 3]
        return pose
