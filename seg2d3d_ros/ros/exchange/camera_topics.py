"""The cameras of keyframe_node: found by name or in the graph, and followed when their drivers change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.recording.cameras import CameraTopic, find_cameras, resolve_camera
from seg2d3d_ros.recording.topics import COMPRESSED, IMAGE, TopicTypes
from seg2d3d_ros.ros.exchange.topic_search import NamedTopics, pipelines, without_results
from seg2d3d_ros.ros.node.following import PUBLISHER_CHANGED, FollowingSubscription
from seg2d3d_ros.ros.node.managed_node import ManagedNode

CAMERAS_SHARED = Kind(
    "cameras_shared",
    "cameras that were taken from the whole graph although another pipeline runs in it",
    cause="camera_topics is empty, so every camera is taken, that of {others}, too: two vehicles would mix in one map",
    remedy="name this vehicle's cameras with camera_topics, or give each vehicle a ROS_DOMAIN_ID of its own",
)
GONE_SECONDS = 2.0
"""A topic without publisher for this long is given up for another one of the same camera."""


@dataclass(eq=False)
class LiveCamera:
    """One camera.

    Attributes:
        topic: from which it is read at present.
        calibration: its newest camera_info.
        since: when its first image came (monotonic s; 0 = none yet).
        alive: when its topic had a publisher last.
    """

    topic: CameraTopic
    calibration: CameraInfo | None = None
    since: float = 0.0
    alive: float = 0.0
    subscriptions: tuple[FollowingSubscription, ...] = ()


class CameraTopics:
    """Make it in ``activate``; call ``look`` now and then.

    One topic is read for each camera. It is exchanged for another one of the same camera (raw for compressed, say) only when
    it has no publisher any more: what works stays.

    Args:
        names: topics as the user named them; where one is not there, the same camera's raw or compressed topic is taken.
            Empty = every camera in the graph.
        qos: parameter ``input_qos``.
        receive: gets each image with its camera, and when it was sent (ns).
    """

    def __init__(
        self,
        node: ManagedNode,
        named: NamedTopics,
        names: Sequence[str],
        qos: str,
        receive: Callable[[LiveCamera, Any, int], None],
    ) -> None:
        self._node, self._named, self._qos, self._receive = node, named, qos, receive
        self._names = sorted({node.resolve_topic_name(name) for name in names})
        self._cameras: dict[str, LiveCamera] = {}
        self._left_out: set[str] = set()

    def look(self, graph: TopicTypes) -> None:
        """Subscribe to cameras that have appeared, and follow those that have changed.

        Args:
            graph: topics that have a publisher.
        """
        found = self._find_named(graph) if self._names else self._find_all(graph)
        now = time.monotonic()
        for key, topic in found.items():
            camera = self._cameras.get(key)
            if camera is None:
                self._cameras[key] = camera = LiveCamera(topic, alive=now)
                self._subscribe(camera)
                self._node.get_logger().info(f"camera {topic.topic} with {topic.info_topic}")
            if camera.topic.topic in graph:
                camera.alive = now
            gone = now - camera.alive > GONE_SECONDS and topic.topic != camera.topic.topic
            elsewhere = topic.info_topic != camera.topic.info_topic and camera.topic.info_topic not in graph
            if gone or elsewhere:
                self._exchange(camera, topic)
        for camera in self._cameras.values():
            for subscription in camera.subscriptions:
                subscription.look()

    def _find_named(self, graph: TopicTypes) -> dict[str, CameraTopic]:
        found, missing = {}, []
        for name in self._names:
            raw = name.removesuffix("/compressed")
            place = self._named.check(name, (IMAGE, COMPRESSED), graph, (raw, f"{raw}/compressed"))
            if place and (topic := resolve_camera(place, graph)):
                found[name] = topic
            else:
                missing.append(name)
        self._node.diagnostics.problem("cameras", f"waiting for {', '.join(missing)}" if missing else "")
        return found

    def _find_all(self, graph: TopicTypes) -> dict[str, CameraTopic]:
        cameras, left_out = find_cameras(without_results(self._node, graph, (IMAGE, COMPRESSED)))
        for name in left_out.keys() - self._left_out:
            self._left_out.add(name)
            self._node.get_logger().info(f"{name} is left out: {left_out[name]}; camera_topics chooses")
        own = self._node.get_namespace().rstrip("/")
        others = ", ".join(sorted(pipelines(graph) - {own}))
        shared = Finding(CAMERAS_SHARED, len(cameras) if others else 0, details={"others": others})
        self._node.diagnostics.findings.put(shared)
        missing = "" if cameras or self._cameras else "any image topic with a camera_info beside it (or set camera_topics)"
        self._node.diagnostics.problem("cameras", f"waiting for {missing}" if missing else "")
        return {topic.info_topic: topic for topic in cameras}

    def _subscribe(self, camera: LiveCamera) -> None:
        def calibrated(message: CameraInfo) -> None:
            camera.calibration = message

        def received(message: Any, sent_ns: int) -> None:
            self._receive(camera, message, sent_ns)

        # The calibration first: the executor serves subscriptions in the order of their creation.
        infos = FollowingSubscription(self._node, CameraInfo, camera.topic.info_topic, calibrated, self._qos)
        kind = CompressedImage if camera.topic.compressed else Image
        images = FollowingSubscription(self._node, kind, camera.topic.topic, received, self._qos, required=True, with_time=True)
        camera.subscriptions = infos, images

    def _exchange(self, camera: LiveCamera, topic: CameraTopic) -> None:
        """Read the camera from other topics from now on."""
        before = camera.topic
        for subscription in camera.subscriptions:
            subscription.release()
        camera.topic = topic
        self._subscribe(camera)
        if topic.topic != before.topic:
            change = f"{topic.topic} in place of {before.topic}"
            self._node.diagnostics.findings.add(PUBLISHER_CHANGED, topic.topic, change=change)
