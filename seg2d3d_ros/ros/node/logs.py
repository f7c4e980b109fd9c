"""Python logging of the core, forwarded to the ROS console and /rosout under the name of the node that works."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from rclpy.node import Node

from seg2d3d_ros.findings import printable

_current = threading.local()


@contextlib.contextmanager
def on_behalf_of(node: Node) -> Iterator[None]:
    """Within it, what this thread logs belongs to ``node``."""
    previous = getattr(_current, "node", None)
    _current.node = node
    try:
        yield
    finally:
        _current.node = previous


class RosoutHandler(logging.Handler):
    """Hands records to the logger of the thread's node, or of the first node alive."""

    def __init__(self) -> None:
        super().__init__()
        self._nodes: list[Node] = []

    def add(self, node: Node) -> None:
        """Start forwarding for ``node``."""
        if not self._nodes:
            package = logging.getLogger("seg2d3d_ros")
            package.addHandler(self)
            if package.level == logging.NOTSET:
                package.setLevel(logging.INFO)
        self._nodes.append(node)

    def remove(self, node: Node) -> None:
        """Stop forwarding for ``node``."""
        if node in self._nodes:
            self._nodes.remove(node)
            if not self._nodes:
                logging.getLogger("seg2d3d_ros").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """One record. rclpy ties a severity to the calling line, hence one line for each."""
        nodes = list(self._nodes)
        if not nodes:
            return
        node = getattr(_current, "node", None)
        target = (node if node in nodes else nodes[0]).get_logger()
        try:
            text = "\n".join(map(printable, self.format(record).split("\n")))
            if record.levelno >= logging.CRITICAL:
                target.fatal(text)
            elif record.levelno >= logging.ERROR:
                target.error(text)
            elif record.levelno >= logging.WARNING:
                target.warning(text)
            elif record.levelno >= logging.INFO:
                target.info(text)
            else:
                target.debug(text)
        except Exception:  # logging's own rule: trouble with a record never reaches the code that logs
            self.handleError(record)


FORWARD = RosoutHandler()
