"""What DDS tells of subscriptions and publishers: partners whose quality of service does not fit, and lost messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import qos_policy_name_from_kind

from seg2d3d_ros.findings import EXAMPLES, Finding, Findings, Kind

QOS_INCOMPATIBLE = Kind(
    "qos_incompatible",
    "publishers or subscribers of another quality of service, which hear nothing of each other",
    cause="{detail}",
    remedy="docs/live.md has the profile of every topic; for inputs set input_qos:=auto or sensor_data",
)


LASTING = 3.0
"""Seconds after which a misfit is told: a subscription that follows its publisher (``following``) is renewed before."""


@dataclass
class _Misfit:
    since: float
    count: int
    words: str


class QosEvents:
    """The callbacks for the events of one node's subscriptions and publishers. Safe to call from any thread.

    Args:
        set_value: sets a value of the node's diagnostics.
        clock: gives seconds.
    """

    def __init__(
        self, findings: Findings, set_value: Callable[[str, object], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._findings, self._set, self._clock = findings, set_value, clock
        self._lock = threading.Lock()
        self._misfits: dict[tuple[str, str], _Misfit] = {}

    def of_subscription(self, topic: str) -> SubscriptionEventCallbacks:
        """For a subscription to ``topic`` (fully resolved)."""
        return SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._unfit("subscription", topic, f"a publisher of {topic} offers", event),
            message_lost=lambda event: self._lost(topic, event),
        )

    def of_publisher(self, topic: str) -> PublisherEventCallbacks:
        """For a publisher of ``topic`` (fully resolved)."""
        return PublisherEventCallbacks(
            incompatible_qos=lambda event: self._unfit("publisher", topic, f"a subscriber of {topic} asks for", event)
        )

    def unsubscribed(self, topic: str) -> None:
        """The subscription is gone, and with it what did not fit it."""
        with self._lock:
            self._misfits.pop(("subscription", topic), None)

    def look(self) -> None:
        """Call once a second: tells what has not fitted for ``LASTING`` seconds."""
        with self._lock:
            lasting = {topic: one for (_, topic), one in self._misfits.items() if self._clock() - one.since >= LASTING}
        detail = "; ".join(one.words for one in lasting.values())
        count = sum(one.count for one in lasting.values())
        self._findings.put(Finding(QOS_INCOMPATIBLE, count, examples=tuple(lasting)[:EXAMPLES], details={"detail": detail}))

    def _lost(self, topic: str, event: Any) -> None:
        self._set(f"{topic} lost on the way", event.total_count)

    def _unfit(self, side: str, topic: str, who: str, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        with self._lock:
            since = self._misfits.get((side, topic), _Misfit(self._clock(), 0, "")).since
            self._misfits[side, topic] = _Misfit(since, event.total_count, f"{who} another {policy} than this node")
