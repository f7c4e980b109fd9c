"""Sends each revision of the sparse map (see ``ros.messages.map_messages`` for what travels).

A revision is sent as what changed. Receivers that missed something need it whole: those that ask, and those that appear
after it was sent, for observations and intrinsics are not latched. A node started again publishes the map that it finds
within a second, while DDS may need several to bring it together with the receivers of the one before.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from geometry_msgs.msg import PoseArray, TransformStamped, Vector3
from nav_msgs.msg import Path
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, NavSatFix, PointCloud2
from std_msgs.msg import Header

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.ros.messages import map_messages
from seg2d3d_ros.ros.messages.conversion import camera_to_info, make_header
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.publishing import publish_paced, settle
from seg2d3d_ros.ros.node.qos import LATCHED, OBSERVATIONS, TF
from seg2d3d_ros.types import SparseModel, WorldFrame

log = logging.getLogger(__name__)

REST_SECONDS = 1.0
REST_SHARE = 4.0
"""Between two times that the map is sent whole there are as many seconds, and so many times as long as the sending took: else
receivers that ask and ask would keep the sender from its work."""


class MapPublisher:
    """Make it in ``activate`` (cameras get their path topic when they appear). Its methods may be called from several threads.

    Args:
        header_of: the header of a keyframe by its name.
    """

    def __init__(self, node: ManagedNode, map_frame: str, header_of: Callable[[str], Header], *, tf: bool) -> None:
        self._node, self._map_frame, self._header_of = node, map_frame, header_of
        self._points = node.advertise(PointCloud2, "map/points", LATCHED)
        self._observations = node.advertise(PointCloud2, "map/observations", OBSERVATIONS)
        self._cameras = node.advertise(PoseArray, "map/cameras", LATCHED)
        self._infos = node.advertise(CameraInfo, "map/camera_info", OBSERVATIONS)
        self._sent_cameras: dict[str, Camera] = {}
        self._datum = node.advertise(NavSatFix, "map/datum", LATCHED)
        self._paths: dict[str, Publisher] = {}
        self._tf = _tf_publisher(node) if tf else None
        self._sent: dict[str, bytes] = {}
        self._known: set[str] = set()
        self._models: Sequence[SparseModel] = ()
        self._stamp = 0
        self._lock = threading.RLock()
        self._whole = threading.Event()
        self._rest_until = 0.0
        self._listeners = (0, 0)

    def send(self, models: Sequence[SparseModel]) -> int:
        """Publish a revision, whole where somebody waits for that; returns how many keyframes' observations were sent."""
        with self._lock:
            self._stamp = max(self._node.get_clock().now().nanoseconds, self._stamp + 1)
            self._models = models
            return self._send()

    def withdraw(self) -> None:
        """Publish an empty map, and forget which keyframes there were."""
        with self._lock:
            self.send(())
            self._known.clear()

    def doubt(self, names: Iterable[str]) -> None:
        """Keyframes of an earlier run, whose observations receivers may have: those that are gone are withdrawn."""
        with self._lock:
            self._known.update(names)
            self._sent.update(dict.fromkeys(self._known - self._sent.keys(), b""))

    def want_whole(self) -> None:
        """Ask for the last revision as a whole: the next ``send`` or ``send_again`` is one, even if one runs at present."""
        self._whole.set()

    def look(self) -> bool:
        """Whether ``send_again`` is due: asked for, or because a subscriber has appeared since the last look. Call it often.

        However often it is asked for, it is due only as often as ``REST_SECONDS`` and ``REST_SHARE`` allow.
        """
        listeners = (self._observations.get_subscription_count(), self._infos.get_subscription_count())
        more = any(now > before for now, before in zip(listeners, self._listeners, strict=True))
        self._listeners = listeners
        if more and self._stamp:
            self._whole.set()
        return self._whole.is_set() and self._stamp > 0 and time.monotonic() >= self._rest_until

    def send_again(self) -> None:
        """Publish the last revision whole where somebody waits for that and no other revision has served them meanwhile."""
        with self._lock:
            if self._stamp and self._whole.is_set():
                self._send()

    def _send(self) -> int:
        whole, begin = self._whole.is_set(), time.monotonic()
        if whole:
            self._whole.clear()  # first: what is asked for from here on may have missed the beginning
            self._sent = dict.fromkeys(self._known, b"")
            self._sent_cameras = {}
        header = make_header(self._stamp, self._map_frame)
        current = map_messages.observations_of(self._models)
        headers = {name: self._header_of(name) for name in current}
        # Poses, intrinsics and the datum first: whoever has a revision's end mark then has them, as a rule.
        self._send_cameras({name: headers[name] for name in current if len(current[name])}, header)
        frame = self._models[0].frame if self._models else WorldFrame()
        self._datum.publish(map_messages.frame_to_fix(frame, header))
        digests = {name: hashlib.blake2b(rows.tobytes(), digest_size=16).digest() for name, rows in current.items()}
        gone = np.empty(0, map_messages.OBSERVATION)
        changed = [name for name in digests if self._sent.get(name) != digests[name]]
        changed += [name for name in self._sent if name not in digests]
        publish_paced(
            self._observations,
            (map_messages.observations_to_cloud(current.get(name, gone), self._header_of(name)) for name in changed),
        )
        self._sent = digests
        self._known.update(digests)
        self._observations.publish(map_messages.end_mark(header))

        paths = map_messages.cameras_to_paths(self._models, headers, header)
        for camera in {*paths, *self._paths}:
            if camera not in self._paths:
                self._paths[camera] = self._node.advertise(Path, map_messages.path_topic(camera), LATCHED)
            self._paths[camera].publish(paths.get(camera, Path(header=header)))
        self._points.publish(map_messages.points_to_cloud(self._models, header))
        settle(self._observations)
        settle(self._points)
        if self._tf is not None and headers:
            self._send_tf(*self._tf, headers)
        if whole:
            now = time.monotonic()
            self._rest_until = now + max(REST_SECONDS, REST_SHARE * (now - begin))
        return len(changed)

    def _send_cameras(self, headers: Mapping[str, Header], header: Header) -> None:
        """``map/camera_info`` of the keyframes whose intrinsics changed, and ``map/cameras``."""
        cameras = {name: camera for model in self._models for name, camera in zip(model.names, model.cameras, strict=False)}
        changed = [name for name in headers if name in cameras and self._sent_cameras.get(name) != cameras[name]]
        publish_paced(self._infos, (camera_to_info(cameras[name], headers[name]) for name in changed))
        self._sent_cameras = cameras
        self._cameras.publish(map_messages.cameras_to_poses(self._models, headers, header))

    def _send_tf(self, publisher: Publisher, message_type: type, headers: Mapping[str, Header]) -> None:
        """``map`` -> ``<camera frame>_keyframe`` of the latest registered keyframe."""
        name = max(headers, key=lambda n: stamp_to_ns(headers[n].stamp))
        pose = map_messages.poses_of(self._models)[name]
        transform = TransformStamped(
            header=Header(stamp=headers[name].stamp, frame_id=self._map_frame),
            child_frame_id=f"{headers[name].frame_id}_keyframe",
        )
        transform.transform.translation = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
        transform.transform.rotation = pose.orientation
        publisher.publish(message_type(transforms=[transform]))


def _tf_publisher(node: ManagedNode) -> tuple[Publisher, type] | None:
    """Publisher of /tf and its message type; None, said once, where tf2_msgs is not installed (it is not on PyPI)."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        log.warning(
            "publish_tf is on, but tf2_msgs is not installed (apt install ros-$ROS_DISTRO-tf2-msgs): no transform is "
            "published; map/cameras and map/path/<camera> hold the poses"
        )
        return None
    return node.advertise(TFMessage, "/tf", TF), TFMessage
