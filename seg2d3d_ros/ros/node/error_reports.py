"""What becomes of exceptions in callbacks, workers and hooks: log, /diagnostics, findings; never a dead node."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.findings import ERROR, Kind, printable
from seg2d3d_ros.ros.node.diagnostics import Diagnostics
from seg2d3d_ros.ros.node.logs import on_behalf_of

MESSAGES_REFUSED = Kind(
    "messages_refused",
    "messages that were refused",
    cause="the last one: {reason}",
    remedy="mend their publisher; ros2 topic echo shows what it sends",
)
INTERNAL_ERRORS = Kind(
    "internal_errors",
    "errors of this software, each of which lost one message or request",
    cause="a mistake in its code, at {where}: {reason}",
    remedy="please report it with the traceback in the log",
    level=ERROR,
)


class ErrorReports:
    """Of one node. Safe to use from any thread.

    Args:
        ended: whether the node is at its end, when handles are gone under the callbacks, which is no error.
        active: whether it is in the lifecycle state of that name.
    """

    def __init__(self, node: Node, diagnostics: Diagnostics, *, ended: Callable[[], bool], active: Callable[[], bool]) -> None:
        self._node, self._diagnostics, self._ended, self._active = node, diagnostics, ended, active
        self._traced: set[str] = set()

    def report(self, where: str, error: Exception) -> None:
        """Report what happened: what a person can mend in words, a mistake of ours with its traceback, once for each place."""
        if isinstance(error, InvalidHandle) and not self._active():
            return  # the callback was under way when the node was deactivated
        news = self._diagnostics.error(where, error)
        if isinstance(error, Seg2d3dError):
            if news:
                self._node.get_logger().error(printable(f"{where}: {error}"))
            return
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else where
        if place not in self._traced:
            self._traced.add(place)
            self._node.get_logger().error(f"{where}: " + "".join(traceback.format_exception(error)).rstrip())
        self._diagnostics.findings.add(INTERNAL_ERRORS, where, where=place, reason=f"{type(error).__name__}: {error}")

    def refused(self, topic: str, error: Seg2d3dError) -> None:
        """Count a message that cannot be used; the log hears of the first, the second, the fourth …"""
        self._diagnostics.error(f"message on {topic}", error)
        self._diagnostics.findings.add(MESSAGES_REFUSED, topic, reason=str(error))

    def guarded(self, callback: Callable[..., Any], where: str, topic: str = "") -> Callable[..., Any]:
        """``callback`` whose exceptions are reported; None is returned then.

        Args:
            where: names the callback.
            topic: whose messages it gets, if any.
        """

        @functools.wraps(callback)
        def guarded(*args: Any) -> Any:
            try:
                with on_behalf_of(self._node):
                    return callback(*args)
            except Exception as error:
                # One bad message must not end the node.
                if self._ended():
                    return None
                if topic and isinstance(error, Seg2d3dError):
                    self.refused(topic, error)
                else:
                    self.report(where, error)

        return guarded
