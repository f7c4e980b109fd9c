"""A subscription that stays with its topic when the publisher comes back with another quality of service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seg2d3d_ros.findings import NOTE, Kind
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import INPUT_SENSOR_DATA, input_profile

PUBLISHER_CHANGED = Kind(
    "publisher_changed",
    "times that an input's publisher came back with another quality of service or on another topic",
    cause="its driver was started anew: {change}",
    remedy="nothing: the subscription was renewed",
    level=NOTE,
)


class FollowingSubscription:
    """Make it in ``activate``, where it is released; call ``look`` now and then.

    Args:
        qos: ``reliable``, ``sensor_data`` or ``auto`` (see ``qos.input_profile``).
        required: as in ``ManagedNode.subscribe``.
    """

    def __init__(
        self,
        node: ManagedNode,
        kind: type,
        topic: str,
        callback: Callable[[Any], object],
        qos: str = "auto",
        *,
        required: bool = False,
    ) -> None:
        self.topic = node.resolve_topic_name(topic)
        self._node, self._kind, self._callback, self._qos, self._required = node, kind, callback, qos, required
        self._profile = input_profile(qos, node.get_publishers_info_by_topic(self.topic))
        self._subscription = self._subscribe()

    def look(self) -> None:
        """Subscribe anew if what the publishers offer has changed."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        profile = input_profile(self._qos, publishers)
        if not publishers or profile == self._profile:
            return
        self._node.release(self._subscription)
        self._profile = profile
        self._subscription = self._subscribe()
        change = f"{self.topic} is now {'best effort' if profile is INPUT_SENSOR_DATA else 'reliable'}"
        self._node.diagnostics.findings.add(PUBLISHER_CHANGED, self.topic, change=change)

    def release(self) -> None:
        """Unsubscribe before the node is deactivated."""
        self._node.release(self._subscription)

    def _subscribe(self) -> Any:
        return self._node.subscribe(self._kind, self.topic, self._callback, self._profile, required=self._required)
