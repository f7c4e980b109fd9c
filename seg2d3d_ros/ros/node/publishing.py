"""Bursts of many messages without losing the first ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.duration import Duration
from rclpy.publisher import Publisher

BURST = 20
PAUSE_SECONDS = 0.1
ACK_SECONDS = 2.0
POLL_SECONDS = 0.002


def publish_paced(publisher: Publisher, messages: Iterable[Any]) -> int:
    """Publish all messages, ``BURST`` at a time; returns how many.

    A history of 200 messages is overwritten when more of them arrive than a Python subscriber takes meanwhile, reliable
    or not. So this waits after each burst until the subscribers' side has it, and a moment more for their callbacks.
    Call it from a worker thread.
    """
    count = 0
    for message in messages:
        publisher.publish(message)
        count += 1
        if count % BURST == 0 and publisher.get_subscription_count():
            settle(publisher)
            time.sleep(PAUSE_SECONDS)
    settle(publisher)
    return count


def settle(publisher: Publisher, timeout: float = ACK_SECONDS, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Wait until all subscribers have what was published; False if one did not confirm in time, or the wait was stopped.

    Polled, because the waiting form of ``wait_for_all_acked`` holds Python's global lock.
    """
    deadline = time.monotonic() + timeout
    while not publisher.wait_for_all_acked(Duration()):
        if time.monotonic() > deadline or stopped():
            return False
        time.sleep(POLL_SECONDS)
    return True
