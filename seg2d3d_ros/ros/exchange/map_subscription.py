"""Asks for the map again where a receiver sees that something of it is missing."""

from __future__ import annotations

import time

from seg2d3d_ros.ros.exchange.map_receiver import MapReceiver, RevisionKey
from seg2d3d_ros.ros.node.calls import TriggerCaller
from seg2d3d_ros.ros.node.managed_node import ManagedNode

RESEND = "reconstruction_node/resend"
RESEND_SECONDS = 5.0
"""How long a revision's messages may be on their way before they are asked for again, and again."""


class MapSubscription:
    """Looks after one receiver. One answer may be lost like anything else: it asks until the map is whole.

    Args:
        resend: calls ``RESEND``; made in the node's ``configure``.

    Attributes:
        checked: the last revision of which nothing was missing.
        incomplete_since: the time since which something has been missing, None where nothing is.
    """

    def __init__(self, node: ManagedNode, receiver: MapReceiver, resend: TriggerCaller) -> None:
        self._node, self._receiver, self._resend = node, receiver, resend
        self._last = time.monotonic()
        self.checked: RevisionKey | None = None
        self.incomplete_since: float | None = None

    def whole(self) -> RevisionKey | None:
        """The newest revision if nothing of it is missing. Call it several times a second: else it is asked for."""
        revision = self._receiver.revision
        if revision is None or not self._complete(revision):
            self._ask()
            return None
        self.incomplete_since = None
        return revision

    def _complete(self, revision: RevisionKey) -> bool:
        """Each revision is checked until it is complete, once."""
        if revision != self.checked:
            missing = self._receiver.missing()
            self._node.diagnostics.set("points without observations", missing)
            if missing or self._receiver.surplus() or self._receiver.unknown_cameras():
                return False
            self.checked = revision
        return True

    def _ask(self) -> None:
        now = time.monotonic()
        if self._receiver.announced is None:
            return
        if self.incomplete_since is None:
            self.incomplete_since = now
        waited = min(now - self.incomplete_since, now - self._last)
        if waited > RESEND_SECONDS and self._resend.available:
            self._last = now
            self._node.diagnostics.count("map asked for again")
            self._node.get_logger().warning(f"the map's messages are not complete: calling {self._resend.name}")
            if self._receiver.surplus() > 0:
                # Keyframes of another map, which its sender does not know and cannot withdraw.
                self._receiver.forget_observations()
            self._resend.send()
