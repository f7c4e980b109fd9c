"""Calls of Trigger services from a node's worker or slow service."""

from __future__ import annotations

import threading
import time

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.ros.node.managed_node import ManagedNode

GONE_SECONDS = 5.0
"""A service that is out of the graph for this long will not answer any more."""


class TriggerCaller:
    """A client of one Trigger service; make it in a hook, whose phase it lasts.

    Args:
        name: relative to the namespace.
        stop: ends the waiting for an answer; by default when the node's process ends.
    """

    def __init__(self, node: ManagedNode, name: str, stop: threading.Event | None = None) -> None:
        self.name, self._stop = name, stop or node.stopping
        self._sent: Future | None = None
        self._client = node.create_client(Trigger, name, callback_group=ReentrantCallbackGroup())
        node.own(self, lambda: node.destroy_client(self._client))

    @property
    def available(self) -> bool:
        """Whether the service is there now."""
        return self._client.service_is_ready()

    def wait(self, timeout: float) -> bool:
        """Wait until the service is there; False when that takes longer."""
        return self._client.wait_for_service(timeout)

    def call(self, timeout: float) -> str:
        """Call and wait; not from the executor's only thread.

        Returns:
            the answer's message.

        Raises:
            DataError: no answer in time, its node is gone, this one ends, or the answer is a failure.
        """
        answered = threading.Event()
        future = self._client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: answered.set())
        begin = seen = time.monotonic()
        while not answered.wait(0.1):
            now = time.monotonic()
            seen = now if self.available else seen
            if now - begin > timeout or now - seen > GONE_SECONDS or self._stop.is_set():
                self._client.remove_pending_request(future)
                raise DataError(f"{self.name} did not answer within {now - begin:.0f} s; is its node alive?")
        answer: Trigger.Response = future.result()
        if not answer.success:
            raise DataError(f"{self.name}: {answer.message}")
        return answer.message

    def send(self) -> None:
        """Call without waiting for the answer; that of the last call, if it has not come, is waited for no longer."""
        if self._sent is not None:
            self._client.remove_pending_request(self._sent)
        self._sent = self._client.call_async(Trigger.Request())
