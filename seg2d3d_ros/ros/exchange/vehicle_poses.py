"""Where the cameras are on the vehicle (``/tf_static``) and where that is (``odom_topic``, ``pose_topic``), for keyframes."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from seg2d3d_ros.config import Config
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.keyframes.odometry import VehicleOdometry
from seg2d3d_ros.keyframes.positions.pose_messages import PoseMessages
from seg2d3d_ros.keyframes.positions.pose_rows import WITHOUT_POSE, PoseHints
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.recording.topics import POSES
from seg2d3d_ros.ros.exchange.topic_search import NamedTopics, graph_of
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import TF_STATIC, input_profile
from seg2d3d_ros.types import Keyframe

POSE_TYPES = (Odometry, PoseWithCovarianceStamped, PoseStamped)
"""In the order of ``recording.topics.POSES``."""
SEARCH_SECONDS = 0.5


class VehiclePoses:
    """Adds ``mount``, ``odometry`` and ``given`` to keyframes, as far as they are known; make it in ``activate``.

    Args:
        odom_topic: nav_msgs/Odometry; empty = none.
        pose_topic: of the types in ``recording.topics.POSES``; empty = none.
        config: transforms are listened to where ``reconstruction.rig`` is ``auto`` only.
    """

    def __init__(self, node: ManagedNode, odom_topic: str, pose_topic: str, config: Config) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._tree, self._odometry = FrameTree(), VehicleOdometry()
        self._poses = PoseMessages(PoseHints.of(config.keyframes))
        self._frames: dict[str, str] = {}
        self._following = False
        places = "/tf_static is not read; reconstruction.rig can name a file with the cameras' places"
        if config.reconstruction.rig == "auto" and (kind := tf_message_type(node, places)):
            node.subscribe(kind, "/tf_static", self._add_transforms, TF_STATIC)
        if odom_topic:
            topic = node.resolve_topic_name(odom_topic)
            profile = input_profile("sensor_data", node.get_publishers_info_by_topic(topic))
            node.subscribe(Odometry, topic, self._add_odometry, profile)
        self._pose_topic = node.resolve_topic_name(pose_topic) if pose_topic else ""
        self._named = NamedTopics(node)
        if pose_topic:
            node.every(SEARCH_SECONDS, self._find_poses)

    def _find_poses(self) -> None:
        """Subscribe once a publisher tells the type."""
        graph = graph_of(self._node)
        if self._following or not self._named.check(self._pose_topic, POSES, graph):
            return
        kind = next(kind for kind, name in zip(POSE_TYPES, POSES, strict=True) if name in graph[self._pose_topic])
        profile = input_profile("sensor_data", self._node.get_publishers_info_by_topic(self._pose_topic))
        self._node.subscribe(kind, self._pose_topic, self._add_pose, profile)
        self._following = True

    def complete(self, keyframe: Keyframe, header: Header) -> Keyframe:
        """The keyframe with what is known at present."""
        with self._lock:
            self._frames[keyframe.camera_name] = header.frame_id
            mounts = self._tree.mounts(self._frames, self._odometry.base or self._poses.base)
            odometry, given = self._odometry.at(keyframe.stamp_ns), self._poses.at(keyframe.stamp_ns)
        if self._pose_topic and given is None:
            self._node.diagnostics.findings.add(WITHOUT_POSE, keyframe.name, source=self._pose_topic)
        return dataclasses.replace(keyframe, mount=mounts.get(keyframe.camera_name), odometry=odometry, given=given)

    def _add_transforms(self, message: Any) -> None:
        with self._lock:
            self._tree.add_message(message, static=True)

    def _add_odometry(self, message: Odometry) -> None:
        with self._lock:
            self._odometry.add_message(message, stamp_to_ns(message.header.stamp))
        self._node.diagnostics.set("odometry used", self._odometry.used)

    def _add_pose(self, message: Any) -> None:
        with self._lock:
            self._poses.add_message(message, stamp_to_ns(message.header.stamp))
        self._node.diagnostics.set("poses used", self._poses.used)


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
