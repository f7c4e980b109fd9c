"""Receives the map's messages, and asks for the map again where something of it is missing."""

from __future__ import annotations

import time

from geometry_msgs.msg import PoseArray
from sensor_msgs.msg import CameraInfo, NavSatFix, PointCloud2

from seg2d3d_ros.ros.exchange.map_receiver import MapReceiver, RevisionKey
from seg2d3d_ros.ros.node.calls import TriggerCaller
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import LATCHED, OBSERVATIONS

RESEND_SECONDS = 5.0
"""How long a revision's messages may be on their way before they are asked for again, and again."""


class MapSubscription:
    """Subscribes to the map; make it in ``activate``.

    One answer may be lost like anything else: it asks until the map is whole.

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
        self.incomplete_since = None
        return revision

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
        now = time.monotonic()
        if self.receiver.announced is None:
            return
        if self.incomplete_since is None:
            self.incomplete_since = now
        waited = min(now - self.incomplete_since, now - self._last)
        if waited > RESEND_SECONDS and self.resend.available:
            self._last = now
            self._node.diagnostics.count("map asked for again")
            self._node.get_logger().warning(f"the map's messages are not complete: calling {self.resend.name}")
            if self.receiver.surplus() > 0:
                # Keyframes of another map, which its sender does not know and cannot withdraw.
                self.receiver.forget_observations()
            self.resend.send()
