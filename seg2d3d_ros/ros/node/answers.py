"""Answers that services still owe when they are about to go."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.service import Service

ANSWER_SECONDS = 2.0


class Answers:
    """Counts the requests at work of one service.

    A service that is destroyed while its callback runs cannot send the answer: the caller waits for ever, and rclpy raises
    in the executor. Where a node is deactivated, the callbacks that wait for it see that and end within moments. An answer
    that comes later still, from a callback that computed, has nobody to go to and is dropped.
    """

    def __init__(self) -> None:
        self._owed = 0
        self._changed = threading.Condition()

    def counted(self, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The callback to make the service with."""

        def begin(request: Any, response: Any) -> Any:
            with self._changed:
                self._owed += 1
            return callback(request, response)

        return begin

    def watch(self, service: Service) -> None:
        """Count what the service sends; ``callback`` must not raise."""
        send = service.send_response

        def send_and_count(response: Any, header: Any) -> None:
            try:
                with contextlib.suppress(InvalidHandle):
                    send(response, header)
            finally:
                with self._changed:
                    self._owed -= 1
                    self._changed.notify_all()

        service.send_response = send_and_count  # type: ignore[method-assign]

    def wait(self, seconds: float = ANSWER_SECONDS) -> bool:
        """Wait until nothing is owed; False when that takes longer. Not from the service's own callback."""
        with self._changed:
            return self._changed.wait_for(lambda: self._owed == 0, seconds)
