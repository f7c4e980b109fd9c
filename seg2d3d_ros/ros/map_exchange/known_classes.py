"""What the class ids of masks mean: the segmenter's names as they come, after them the node's own prompts."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from std_msgs.msg import String

from seg2d3d_ros.ros.messages.class_names import CLASSES_TOPIC, added, read_class_names
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import LATCHED

CLASSES_SECONDS = 5.0
"""How long masks of a class without a name wait for it: it comes on a topic of its own."""


class KnownClasses:
    """Make it in ``activate``. Safe to use from several threads.

    Args:
        names: what is known at the beginning, in the order of the class ids.

    Attributes:
        names: a name that was known is never lost.
    """

    def __init__(self, node: ManagedNode, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._told: tuple[str, ...] = ()
        self._stopping, self._changed = node.stopping, threading.Condition()
        self._waited_for = 0
        node.subscribe(String, CLASSES_TOPIC, self._received, LATCHED)

    def ask(self, prompts: Sequence[str]) -> None:
        """Other prompts: they count as they would have from the beginning, behind the names that the segmenter told."""
        self._set(added(added(self._told, prompts), self.names))

    def wait_for(self, count: int) -> bool:
        """Wait until so many classes have a name; in vain only once for the same number.

        Returns:
            whether they have.
        """
        deadline = time.monotonic() + CLASSES_SECONDS
        with self._changed:
            while len(self.names) < count and count > self._waited_for and time.monotonic() < deadline:
                if self._stopping.is_set():
                    return False
                self._changed.wait(0.1)
            if len(self.names) < count:
                self._waited_for = max(self._waited_for, count)
            return len(self.names) >= count

    def _received(self, message: String) -> None:
        self._told = read_class_names(message)
        self._set(added(self._told, self.names))

    def _set(self, names: tuple[str, ...]) -> None:
        with self._changed:
            self.names, self._waited_for = names, 0
            self._changed.notify_all()
