"""Where the cameras are on the vehicle (``/tf_static``) and how it moves (``odom_topic``), for keyframes that come in."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.keyframes.odometry import VehicleOdometry
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import TF_STATIC, input_profile
from seg2d3d_ros.types import Keyframe


class VehiclePoses:
    """Adds ``mount`` and ``odometry`` to keyframes, as far as they are known; make it in ``activate``.

    Args:
        odom_topic: nav_msgs/Odometry; empty = none.
        rig: ``reconstruction.rig``; transforms are listened to for ``auto`` only.
    """

    def __init__(self, node: ManagedNode, odom_topic: str, rig: str) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._tree, self._odometry = FrameTree(), VehicleOdometry()
        self._frames: dict[str, str] = {}
        places = "/tf_static is not read; reconstruction.rig can name a file with the cameras' places"
        if rig == "auto" and (kind := tf_message_type(node, places)):
            node.subscribe(kind, "/tf_static", self._add_transforms, TF_STATIC)
        if odom_topic:
            topic = node.resolve_topic_name(odom_topic)
            profile = input_profile("sensor_data", node.get_publishers_info_by_topic(topic))
            node.subscribe(Odometry, topic, self._add_odometry, profile)

    def complete(self, keyframe: Keyframe, header: Header) -> Keyframe:
        """The keyframe with what is known at present."""
        with self._lock:
            self._frames[keyframe.camera_name] = header.frame_id
            mounts = self._tree.mounts(self._frames, self._odometry.base)
            odometry = self._odometry.at(keyframe.stamp_ns)
        return dataclasses.replace(keyframe, mount=mounts.get(keyframe.camera_name), odometry=odometry)

    def _add_transforms(self, message: Any) -> None:
        with self._lock:
            self._tree.add_message(message, static=True)

    def _add_odometry(self, message: Odometry) -> None:
        with self._lock:
            self._odometry.add_message(message, stamp_to_ns(message.header.stamp))
        self._node.diagnostics.set("odometry used", self._odometry.used)


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
