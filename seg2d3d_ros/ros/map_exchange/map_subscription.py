"""Receives the map's messages, and asks for the map again where something of it is missing."""

from __future__ import annotations

import time

from geometry_msgs.msg import PoseArray
from sensor_msgs.msg import CameraInfo, NavSatFix, PointCloud2

from seg2d3d_ros.findings import ERROR, Kind
from seg2d3d_ros.ros.map_exchange.map_receiver import MapReceiver, RevisionKey
from seg2d3d_ros.ros.node.calls import TriggerCaller
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import LATCHED, OBSERVATIONS

RESEND_SECONDS = 5.0
"""How long a revision's messages may be on their way before they are asked for again, and again."""
MOST_REQUESTS = 12
"""So many requests in vain, and no more is made before another revision comes, …"""
RARE_SECONDS = 60.0
"""… and then one in this time."""

MAP_INCOMPLETE = Kind(
    "map_incomplete",
    "times that the map did not arrive whole",
    cause="{asked} requests to {service} did not bring what is missing: messages get lost, or several pipelines send",
    remedy="look for a second pipeline in this namespace (ros2 node list), then at the network; the next revision is tried",
    level=ERROR,
)


class MapSubscription:
    """Subscribes to the map; make it in ``activate``.

    One answer may be lost like anything else: it asks until the map is whole, or ``MOST_REQUESTS`` were in vain.

    Attributes:
        receiver: puts the messages together.
        resend: calls the service that sends the map again.
        checked: the last revision of which nothing was missing.
        incomplete_since: the time since which something has been missing, None where nothing is.
    """

    def __init__(self, node: ManagedNode, map_frame: str) -> None:
        self._node, self.receiver = node, MapReceiver(map_frame)
        self.resend = TriggerCaller(node, "reconstruction_node/resend")
        self._last = time.monotonic()
        self._asked, self._asked_for = 0, self.receiver.announced
        self.checked: RevisionKey | None = None
        self.incomplete_since: float | None = None
        node.subscribe(PointCloud2, "map/points", self.receiver.on_points, LATCHED)
        node.subscribe(PointCloud2, "map/observations", self.receiver.on_observations, OBSERVATIONS)
        node.subscribe(PoseArray, "map/cameras", self.receiver.on_cameras, LATCHED)
        node.subscribe(CameraInfo, "map/camera_info", self.receiver.on_camera_info, OBSERVATIONS)
        node.subscribe(NavSatFix, "map/datum", self.receiver.on_datum, LATCHED)

    def whole(self) -> RevisionKey | None:
        """The newest revision if nothing of it is missing. Call it several times a second: else it is asked for."""
        revision = self.receiver.revision
        if revision is None or not self._complete(revision):
            self._ask()
            return None
        self.incomplete_since, self._asked = None, 0
        return revision

    def forget(self) -> None:
        """The map begins anew."""
        self.receiver.clear()
        self.checked, self.incomplete_since, self._asked = None, None, 0

    def _complete(self, revision: RevisionKey) -> bool:
        """Each revision is checked until it is complete, once."""
        if revision != self.checked:
            missing = self.receiver.missing()
            self._node.diagnostics.set("points without observations", missing)
            if missing or self.receiver.surplus() or self.receiver.unknown_cameras():
                return False
            self.checked = revision
        return True

    def _ask(self) -> None:
        now, announced = time.monotonic(), self.receiver.announced
        if announced is None:
            return
        if self.incomplete_since is None:
            self.incomplete_since = now
        in_vain = self._asked >= MOST_REQUESTS
        if min(now - self.incomplete_since, now - self._last) <= (RARE_SECONDS if in_vain else RESEND_SECONDS):
            return
        if not self.resend.available or (in_vain and announced == self._asked_for):
            return
        self._last, self._asked_for = now, announced
        self._asked += 1
        self._node.diagnostics.count("map asked for again")
        if self._asked == 1:
            self._node.get_logger().warning(f"the map's messages are not complete: calling {self.resend.name}")
        if self._asked == MOST_REQUESTS:
            self._node.diagnostics.findings.add(MAP_INCOMPLETE, asked=self._asked, service=self.resend.name)
        if self.receiver.surplus() > 0:
            # Keyframes of another map, which its sender does not know and cannot withdraw.
            self.receiver.forget_observations()
        self.resend.send()
