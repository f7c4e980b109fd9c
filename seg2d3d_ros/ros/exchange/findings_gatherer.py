"""The findings of all nodes of a pipeline, from /diagnostics, for whoever writes them into the map directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from diagnostic_msgs.msg import DiagnosticArray

from seg2d3d_ros.findings import Finding, Findings
from seg2d3d_ros.ros.messages.finding_messages import findings_of
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import DIAGNOSTICS

ALIVE_SECONDS = 5.0
"""Nodes report every second; one that is silent for longer is not waited for. What it said last still counts."""


class FindingsGatherer:
    """Hears what the other nodes of its namespace report; make it in ``activate``. Safe to use from any thread."""

    def __init__(self, node: ManagedNode) -> None:
        self._own = node.get_fully_qualified_name()
        self._namespace = node.get_namespace().rstrip("/") + "/"
        self._changed = threading.Condition()
        self._found: dict[str, list[Finding]] = {}
        self._heard: dict[str, float] = {}
        self._node = node
        # The diagnostics of a whole vehicle arrive here: this node's own reports would say nothing new.
        subscription = node.create_subscription(DiagnosticArray, "/diagnostics", self._received, DIAGNOSTICS)
        node.own(subscription, lambda: node.destroy_subscription(subscription))

    def gather(self, patience: float = 3.0) -> list[Finding]:
        """What the other nodes have found, those of one kind counted together.

        Args:
            patience: seconds to wait until each node that is alive has reported once more. Not from the executor's only
                thread then.
        """
        asked = time.monotonic()
        with self._changed:
            awaited = [name for name, heard in self._heard.items() if asked - heard < ALIVE_SECONDS]
            deadline = asked + patience
            while any(self._heard[name] < asked for name in awaited) and not self._node.stopping.is_set():
                if not self._changed.wait(min(deadline - time.monotonic(), 0.5)) and time.monotonic() >= deadline:
                    break
            return together(self._found[name] for name in sorted(self._found))

    def _received(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._own or not self._is_ours(status.name):
                continue
            found = findings_of(status)
            with self._changed:
                self._found[status.name] = found
                self._heard[status.name] = time.monotonic()
                self._changed.notify_all()

    def _is_ours(self, name: str) -> bool:
        return name.startswith(self._namespace) and "/" not in name[len(self._namespace) :]


def together(found: Iterable[Iterable[Finding]]) -> list[Finding]:
    """The findings of several nodes as those of one: those of one kind are counted together."""
    findings = Findings()
    for some in found:
        findings.update(some)
    return findings.list()
