"""What a vehicle's sensors tell of the moment of a keyframe: where it was, which way is up, and where its cameras are.

The same for recordings and live topics: messages come in about the order of time, and a keyframe is completed once they reach
it, or without what did not come in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seg2d3d_ros.findings import NOTE, Finding, Kind
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.geometry.vertical.camera_up import CameraUp
from seg2d3d_ros.keyframes.odometry import MAX_GAP, VehicleOdometry
from seg2d3d_ros.keyframes.positions.pose_messages import PoseMessages
from seg2d3d_ros.keyframes.positions.pose_rows import WITHOUT_POSE, PoseHints
from seg2d3d_ros.keyframes.streams.gravity import IMU_NOT_USED, WINDOW_NS, VehicleGravity, camera_up
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.types import Keyframe

WITHOUT_ODOMETRY = Kind(
    "keyframes_without_odometry",
    "keyframes without odometry",
    cause="{source} has no message just before and after them ({gap:g} s), or it came too late",
    remedy="nothing need be done where GPS or mounts tell the scale; else look at the topic's rate, its stamps and its clock",
    level=NOTE,
)


@dataclass(frozen=True)
class VehicleTopics:
    """Where messages come from; empty = there are none.

    Attributes:
        odometry: nav_msgs/Odometry.
        poses: one of ``recording.topics.POSES``.
        imu: sensor_msgs/Imu.
    """

    odometry: str = ""
    poses: str = ""
    imu: str = ""


class VehicleState:
    """Takes messages and completes keyframes with them; not safe to use from several threads.

    Args:
        topics: which messages will come.
        frames: of the vehicle's sensors; it may grow.
        config: how long a gap between poses may be, and what they mean.

    Attributes:
        odometry, poses, gravity: what was said so far.
    """

    def __init__(self, topics: VehicleTopics, frames: FrameTree, config: KeyframeConfig) -> None:
        self._topics, self._frames, self._max_gap = topics, frames, config.max_fix_gap
        self.odometry, self.gravity = VehicleOdometry(), VehicleGravity()
        self.poses = PoseMessages(PoseHints.of(config))
        self._frame_of: dict[str, str] = {}
        self._no_vertical: dict[str, None] = {}

    @property
    def patience(self) -> float:
        """Seconds that a message which belongs to a keyframe may come after it; 0 where there are no topics."""
        topics = self._topics
        waits = ((topics.odometry, MAX_GAP), (topics.poses, self._max_gap), (topics.imu, WINDOW_NS / 1e9))
        return max((seconds for topic, seconds in waits if topic), default=0.0)

    def reaches(self, stamp_ns: int) -> bool:
        """Whether all that counts for this time is there."""
        parts = ((self._topics.odometry, self.odometry), (self._topics.poses, self.poses), (self._topics.imu, self.gravity))
        return all(part.reaches(stamp_ns) for topic, part in parts if topic)

    def know_camera(self, name: str, frame_id: str) -> None:
        """A camera of the vehicle, before its first keyframe or with it."""
        self._frame_of[name] = frame_id

    def complete(self, keyframe: Keyframe, frame_id: str) -> tuple[Keyframe, list[Finding]]:
        """The keyframe with ``mount``, ``odometry``, ``given`` and ``up`` as far as they are known, and what is lacking.

        Args:
            keyframe: of a camera.
            frame_id: the camera's frame.
        """
        self.know_camera(keyframe.camera_name, frame_id)
        stamp, topics, lacking = keyframe.stamp_ns, self._topics, []
        mount = self._frames.mounts(self._frame_of, self.odometry.base or self.poses.base).get(keyframe.camera_name)
        odometry, given = self.odometry.at(stamp), self.poses.at(stamp)
        if topics.odometry and odometry is None:
            details: dict[str, Any] = {"source": topics.odometry, "gap": MAX_GAP}
            lacking.append(Finding(WITHOUT_ODOMETRY, examples=(keyframe.name,), details=details))
        if topics.poses and given is None:
            lacking.append(Finding(WITHOUT_POSE, examples=(keyframe.name,), details={"source": topics.poses}))
        up: CameraUp | None = None
        if topics.imu:
            tie = self._frames.find(frame_id, self.gravity.frame_id)
            up, why_not = camera_up(self.gravity.at(stamp), tie, mount)
            if up is None:
                self._no_vertical[why_not] = None
                reasons = {"reason": "; ".join(self._no_vertical)}
                lacking.append(Finding(IMU_NOT_USED, examples=(keyframe.name,), details=reasons))
        return replace(keyframe, mount=mount, odometry=odometry, given=given, up=up), lacking
