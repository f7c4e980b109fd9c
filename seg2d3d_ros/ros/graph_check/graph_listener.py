"""Listens to everything in a ROS graph that concerns the pipeline, for some seconds."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, NavSatFix, PointCloud2

from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.ros.exchange.topic_search import graph_of, pipelines, without_results
from seg2d3d_ros.ros.graph_check.heard_topics import GraphHeard, TopicHeard
from seg2d3d_ros.ros.node.qos import DIAGNOSTICS, INPUT_RELIABLE, TF, TF_STATIC, incompatibility, input_profile

KINDS: dict[str, type] = {
    f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}": kind
    for kind in (
        *(Image, CompressedImage, CameraInfo, NavSatFix, PointCloud2, Imu, Odometry, PoseStamped),
        *(PoseWithCovarianceStamped, Clock),
    )
}
SMALL = (CameraInfo, NavSatFix)
"""Types whose messages are all kept."""
LOOK_SECONDS = 0.5
PARTS = tuple(
    f"{part}_node" for part in ("keyframe", "segmentation", "reconstruction", "association", "cloud", "prompt", "words")
)
"""Names of a pipeline's nodes."""


class GraphListener:
    """Subscribes to topics as they appear in the graph. The node is spun by somebody else.

    Args:
        node: a plain node.
        qos: the parameter ``input_qos`` that the pipeline would have.
    """

    def __init__(self, node: Node, qos: str = "auto") -> None:
        self._node, self._qos = node, qos
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        self._topics: dict[str, TopicHeard] = {}
        self._frames, self._statuses = FrameTree(), dict[str, tuple[int, str]]()
        node.create_subscription(DiagnosticArray, "/diagnostics", self._reported, DIAGNOSTICS)
        self._reads_frames = self._listen_to_frames()
        node.create_timer(LOOK_SECONDS, self.look)

    def look(self) -> None:
        """Subscribe to what has appeared."""
        for name, types in graph_of(self._node).items():
            known = next((kind for kind in types if kind in KINDS), None)
            if known is not None and name not in self._topics:
                self._subscribe(name, known)

    def heard(self) -> GraphHeard:
        """What there is so far."""
        graph = graph_of(self._node)
        with self._lock:
            for topic in self._topics.values():
                self._describe(topic)
            return GraphHeard(
                time.monotonic() - self._begin,
                graph,
                without_results(self._node, graph, tuple(KINDS)),
                dict(self._topics),
                self._frames.copy(),
                self._reads_frames,
                self._nodes(),
                sorted(pipelines(graph)),
                dict(self._statuses),
            )

    def _subscribe(self, name: str, known: str) -> None:
        topic = self._topics[name] = TopicHeard(name, known)
        profile = input_profile("auto", self._node.get_publishers_info_by_topic(name))

        def received(message: Any) -> None:
            with self._lock:
                topic.arrivals.append(time.time_ns())
                if hasattr(message, "header"):
                    topic.stamps.append(stamp_to_ns(message.header.stamp))
                topic.size += len(getattr(message, "data", ()))
                topic.first = topic.first or message
                if isinstance(message, SMALL):
                    topic.kept.append(message)

        self._node.create_subscription(KINDS[known], name, received, profile)

    def _describe(self, topic: TopicHeard) -> None:
        publishers = self._node.get_publishers_info_by_topic(topic.name)
        topic.publishers = sorted({f"{p.node_namespace.rstrip('/')}/{p.node_name}" for p in publishers})
        topic.offered = sorted({f"{p.qos_profile.reliability.name}, {p.qos_profile.durability.name}" for p in publishers})
        wanted = input_profile(self._qos, publishers) if publishers else INPUT_RELIABLE
        topic.unfit = "; ".join(filter(None, (incompatibility(p.qos_profile, wanted) for p in publishers)))

    def _nodes(self) -> Counter[str]:
        found = self._node.get_node_names_and_namespaces()
        return Counter(f"{namespace.rstrip('/')}/{name}" for name, namespace in found)

    def _reported(self, message: DiagnosticArray) -> None:
        with self._lock:
            for status in message.status:
                if status.name.rpartition("/")[2] in PARTS:
                    self._statuses[status.name] = (status.level[0], status.message)

    def _listen_to_frames(self) -> bool:
        """Whether that is possible: tf2_msgs may not be installed."""
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            return False
        for name, static, profile in (("/tf_static", True, TF_STATIC), ("/tf", False, TF)):
            self._node.create_subscription(TFMessage, name, self._transformed(static), profile)
        return True

    def _transformed(self, static: bool) -> Callable[[Any], None]:
        def received(message: Any) -> None:
            with self._lock:
                self._frames.add_message(message, static=static)

        return received
