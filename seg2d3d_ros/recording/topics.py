"""The topics of a recording and the ROS types that are looked for, by the names that ROS's graph uses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO, FIX, CLOUD = "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/NavSatFix", "sensor_msgs/msg/PointCloud2"
VIDEO = ("foxglove_msgs/msg/CompressedVideo", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket")
"""Types of packets of video; H.264 in ``CompressedImage`` is told by its format."""
POSES = ("nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseWithCovarianceStamped", "geometry_msgs/msg/PoseStamped")
"""Messages that say where a vehicle is."""
ODOMETRY, TF = "nav_msgs/msg/Odometry", "tf2_msgs/msg/TFMessage"
IMU = "sensor_msgs/msg/Imu"

TopicTypes = Mapping[str, Sequence[str]]
"""Topic name -> types, as ``dict(node.get_topic_names_and_types())``."""
_LATCHED = re.compile(r"durability: *[\"']?(1|transient_local)\b")
"""In a quality of service as rosbag2 writes it."""


@dataclass(frozen=True)
class Topic:
    """A recorded topic.

    Attributes:
        name: as recorded.
        msgtype: ``package/msg/Type``; empty where it has several.
        count: number of messages (an estimate where the recording is damaged).
        latched: whether a late subscriber got the last message.
    """

    name: str
    msgtype: str
    count: int
    latched: bool = False


def is_image(types: Sequence[str]) -> bool:
    """Whether a topic of these types carries images."""
    return IMAGE in types or COMPRESSED in types


def is_latched(profiles: str) -> bool:
    """Whether a publisher offered the last message to late subscribers, by rosbag2's ``offered_qos_profiles``."""
    return _LATCHED.search(profiles) is not None
