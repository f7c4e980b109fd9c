"""What the vehicle says of itself live (``/tf_static``, ``odom_topic``, ``pose_topic``, ``imu_topic``), brought to keyframes.

A keyframe waits a bounded time for what comes a little later than it, then it goes on without, and that is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu
from std_msgs.msg import Header

from seg2d3d_ros.config import Config
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.keyframes.streams.vehicle_state import VehicleState, VehicleTopics
from seg2d3d_ros.keyframes.waiting import Companion, WaitingKeyframes
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.recording.topics import POSES
from seg2d3d_ros.ros.exchange.topic_search import NamedTopics, graph_of
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import TF_STATIC, input_profile
from seg2d3d_ros.types import Keyframe

POSE_TYPES = (Odometry, PoseWithCovarianceStamped, PoseStamped)
"""In the order of ``recording.topics.POSES``."""
SEARCH_SECONDS = 0.5
RELEASE_SECONDS = 0.1
TRANSPORT_SECONDS = 0.5
"""How much later than its moment a message may arrive, beyond the gap between two."""
KEPT_NS = 60_000_000_000
"""What an IMU said longer ago than this before its newest message is forgotten …"""
FORGET_EVERY = 1000
"""… now and then, in messages."""


class VehiclePoses:
    """Adds ``mount``, ``odometry``, ``given`` and ``up`` to keyframes; make it in ``activate``.

    Args:
        node: its callbacks run in the node's executor.
        topics: what is listened to.
        deliver: gets the keyframes, in the order in which they came.
        config: mounts are those of ``/tf_static`` where ``reconstruction.rig`` is ``auto`` only.
    """

    def __init__(self, node: ManagedNode, topics: VehicleTopics, deliver: Callable[[Keyframe], None], config: Config) -> None:
        self._node, self._deliver = node, deliver
        self._lock, self._releasing = threading.RLock(), 0
        self._tree = FrameTree()
        self._state = VehicleState(topics, self._tree, config.keyframes)
        self._following, self._imu_messages = False, 0
        together = Companion(self._is_reached, self._state.patience + TRANSPORT_SECONDS)
        self._waiting: WaitingKeyframes[tuple[Keyframe, Header]] = WaitingKeyframes([together], in_order=True)
        places = "/tf_static is not read; reconstruction.rig can name a file with the cameras' places"
        if (config.reconstruction.rig == "auto" or topics.imu) and (kind := tf_message_type(node, places)):
            node.subscribe(kind, "/tf_static", self._add_transforms, TF_STATIC)
        self._listen(Odometry, topics.odometry, self._add_odometry)
        self._listen(Imu, topics.imu, self._add_imu)
        self._pose_topic = node.resolve_topic_name(topics.poses) if topics.poses else ""
        self._named = NamedTopics(node)
        if topics.poses:
            node.every(SEARCH_SECONDS, self._find_poses)
        if topics != VehicleTopics():
            node.every(RELEASE_SECONDS, self._release)

    @property
    def pending(self) -> int:
        """Keyframes that wait, or are on their way to ``deliver``."""
        return len(self._waiting) + self._releasing

    def take(self, keyframe: Keyframe, header: Header) -> None:
        """A keyframe came."""
        with self._lock:
            self._waiting.add((keyframe, header), time.monotonic())
        self._release()

    def flush(self) -> None:
        """Let all go on as they are."""
        self._release(everything=True)

    def _release(self, everything: bool = False) -> None:
        with self._lock:
            self._releasing += 1
            try:
                for keyframe, header in self._waiting.release(time.monotonic(), everything):
                    whole, lacking = self._state.complete(keyframe, header.frame_id)
                    self._node.diagnostics.findings.update(lacking)
                    self._deliver(whole)
            finally:
                self._releasing -= 1

    def _is_reached(self, item: tuple[Keyframe, Header]) -> bool:
        return self._state.reaches(item[0].stamp_ns)

    def _listen(self, kind: type, name: str, take: Callable[[Any], None]) -> None:
        if name:
            topic = self._node.resolve_topic_name(name)
            profile = input_profile("sensor_data", self._node.get_publishers_info_by_topic(topic))
            self._node.subscribe(kind, topic, take, profile)

    def _find_poses(self) -> None:
        """Subscribe once a publisher tells the type."""
        graph = graph_of(self._node)
        if self._following or not self._named.check(self._pose_topic, POSES, graph):
            return
        kind = next(kind for kind, name in zip(POSE_TYPES, POSES, strict=True) if name in graph[self._pose_topic])
        self._listen(kind, self._pose_topic, self._add_pose)
        self._following = True

    def _add_transforms(self, message: Any) -> None:
        with self._lock:
            self._tree.add_message(message, static=True)

    def _add_odometry(self, message: Odometry) -> None:
        with self._lock:
            self._state.odometry.add_message(message, stamp_to_ns(message.header.stamp))
        self._node.diagnostics.set("odometry used", self._state.odometry.used)

    def _add_pose(self, message: Any) -> None:
        with self._lock:
            self._state.poses.add_message(message, stamp_to_ns(message.header.stamp))
        self._node.diagnostics.set("poses used", self._state.poses.used)

    def _add_imu(self, message: Imu) -> None:
        with self._lock:
            stamp_ns = stamp_to_ns(message.header.stamp)
            self._state.gravity.add_message(message, stamp_ns)
            self._imu_messages += 1
            if self._imu_messages % FORGET_EVERY == 0:
                self._state.gravity.forget(stamp_ns - KEPT_NS)
                self._node.diagnostics.set("IMU messages", self._imu_messages)


def tf_message_type(node: ManagedNode, otherwise: str) -> Any | None:
    """The type of ``/tf`` and ``/tf_static``; None where tf2_msgs is not installed (it is not on PyPI).

    Args:
        otherwise: what is then, for the log.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        node.get_logger().info(f"tf2_msgs is not installed (apt install ros-$ROS_DISTRO-tf2-msgs): {otherwise}")
        return None
    return TFMessage
