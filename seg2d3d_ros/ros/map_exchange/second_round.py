"""Asks for second looks at keyframes that miss something, and waits for the answers, for a bounded time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from seg2d3d_ros.pipeline.second_look import Ask
from seg2d3d_ros.ros.messages.prompt_messages import PROMPTS_TOPIC, SEGMENTS_TOPIC, prompts_to_cloud
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import PROMPTS

AHEAD = 8
"""Keyframes that are asked for at once: enough for the other side to be busy, few enough for its queue."""
WHOLE = 10
"""All questions together may take so many times the patience."""


class SecondRound:
    """Make it in ``configure``; call ``answered`` for each keyframe whose segments came. Safe to use from several threads.

    Args:
        patience: seconds to wait for the next answer, and ``WHOLE`` times as long for all; then the others are given up.
    """

    def __init__(self, node: ManagedNode, patience: float) -> None:
        self._node, self._patience = node, patience
        self._publisher = node.advertise(PointCloud2, PROMPTS_TOPIC, PROMPTS)
        self._changed = threading.Condition()
        self._awaited: set[str] = set()
        self._asked: dict[str, bytes] = {}
        self._deadline = 0.0

    @property
    def possible(self) -> bool:
        """Whether somebody who sends segments hears the questions; recorders and viewers, which hear all, do not count."""
        if self._publisher.get_subscription_count() == 0:
            return False
        hearing = self._node.get_subscriptions_info_by_topic(self._publisher.topic_name)
        sending = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(SEGMENTS_TOPIC))
        return not {_node_of(end) for end in hearing}.isdisjoint(_node_of(end) for end in sending)

    @property
    def waiting(self) -> bool:
        """Whether answers are still to come."""
        with self._changed:
            return bool(self._awaited)

    def awaits(self, name: str) -> bool:
        """Whether this keyframe was asked for and has not come."""
        with self._changed:
            return name in self._awaited

    def answered(self, name: str) -> None:
        """A keyframe's segments came and were taken over."""
        with self._changed:
            if name in self._awaited:
                self._awaited.discard(name)
                self._node.diagnostics.count("second looks answered")
                self._changed.notify_all()

    def ask(self, asks: Iterable[tuple[str, Sequence[Ask]]], header_of: Callable[[str], Header | None]) -> None:
        """Ask, a few keyframes at a time, and wait for the answers. The very same question is not asked twice.

        Args:
            asks: by keyframe.
            header_of: a keyframe's header; None where its segmenter does not know it.
        """
        self._deadline = time.monotonic() + WHOLE * self._patience
        answering = True
        for name, items in asks:
            header = header_of(name)
            if header is None:
                continue
            message = prompts_to_cloud(items, header)
            question = hashlib.sha256(message.data).digest()
            if self._asked.get(name) == question:
                continue
            answering = self._wait_for_fewer_than(AHEAD)
            if not answering or time.monotonic() > self._deadline:
                break
            with self._changed:
                self._awaited.add(name)
            self._asked[name] = question
            self._publisher.publish(message)
            self._node.diagnostics.count("second looks asked for")
        if answering:
            self._wait_for_fewer_than(1)
        with self._changed:
            unanswered = len(self._awaited)
            self._awaited.clear()
        if unanswered:
            self._node.diagnostics.count("second looks without answer", unanswered)
            self._node.get_logger().warning(
                f"no answer for {unanswered} keyframes that were to be looked at again; going on without them "
                f"(second_look_patience is {self._patience:g} s)"
            )

    def forget(self) -> None:
        """The map begins anew: what was asked may be asked again."""
        self._asked.clear()

    def _wait_for_fewer_than(self, count: int) -> bool:
        """Wait until fewer keyframes are awaited; False when none came for too long, or none can come."""
        with self._changed:
            left, since = len(self._awaited), time.monotonic()
            while len(self._awaited) >= count:
                self._changed.wait(0.1)
                if len(self._awaited) < left:
                    left, since = len(self._awaited), time.monotonic()
                now = time.monotonic()
                given_up = now - since > self._patience or now > self._deadline
                if given_up or self._node.stopping.is_set() or self._node.state != "active" or not self.possible:
                    return False
        return True


def _node_of(end: TopicEndpointInfo) -> tuple[str, str]:
    """Whose publisher or subscription it is."""
    return end.node_namespace, end.node_name
