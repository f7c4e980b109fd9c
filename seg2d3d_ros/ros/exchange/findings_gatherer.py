"""The findings of all nodes of a pipeline, from /diagnostics, for whoever writes them into the map directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from diagnostic_msgs.msg import DiagnosticArray

from seg2d3d_ros.findings import ERROR, EXAMPLES, Finding, Findings, Kind
from seg2d3d_ros.ros.messages.finding_messages import findings_of
from seg2d3d_ros.ros.node.diagnostics import ENDED, RUN, STATE
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import DIAGNOSTICS

ALIVE_SECONDS = 5.0
"""Nodes report every second; one that is silent for longer is not waited for. What it said last still counts."""
GONE_SECONDS = 15.0
"""One that is silent for longer than this has ended, or hangs."""
NODES_RESTARTED = Kind(
    "nodes_restarted",
    "times that another node of the pipeline was started again",
    cause="it ended without being asked to, and was away for about {seconds} s in all: what came for it meanwhile is lost",
    remedy="its log says why it ended; drive there, or play the bag, again: the map goes on",
)
NODES_GONE = Kind(
    "nodes_gone",
    "nodes of the pipeline that do not report any more",
    cause="they have ended, or hang: what came for them since is not in the map",
    remedy="their logs say why; with respawn:=true a node that dies is started again",
    level=ERROR,
)


class FindingsGatherer:
    """Hears what the other nodes of its namespace report; make it in ``activate``. Safe to use from any thread."""

    def __init__(self, node: ManagedNode) -> None:
        self._own = node.get_fully_qualified_name()
        self._namespace = node.get_namespace().rstrip("/") + "/"
        self._changed = threading.Condition()
        self._found: dict[tuple[str, str], list[Finding]] = {}  # a node that was started again begins to count anew
        self._heard: dict[str, float] = {}
        self._run_of: dict[str, str] = {}
        self._away = 0.0
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
            while any(self._heard.get(name, asked) < asked for name in awaited) and not self._node.stopping.is_set():
                if not self._changed.wait(min(deadline - time.monotonic(), 0.5)) and time.monotonic() >= deadline:
                    break
            found, heard = [self._found[key] for key in sorted(self._found)], dict(self._heard)
        gone = tuple(sorted(name for name, moment in heard.items() if time.monotonic() - moment > GONE_SECONDS))
        self._node.diagnostics.findings.put(Finding(NODES_GONE, len(gone), len(heard), gone[:EXAMPLES]))
        return together(found)

    def forget(self) -> None:
        """The map begins anew: what nodes found that are no more does not concern it."""
        with self._changed:
            self._found.clear()
            self._away = 0.0

    def _received(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._own or not self._is_ours(status.name):
                continue
            found, now = findings_of(status), time.monotonic()
            values = {pair.key: pair.value for pair in status.values}
            run = values.get(RUN, "")
            with self._changed:
                restarted = self._run_of.get(status.name, run) != run
                self._away += now - self._heard[status.name] if restarted else 0.0
                self._run_of[status.name], self._heard[status.name] = run, now
                if values.get(STATE) == ENDED:  # on purpose: it is not missed, and a later one is no restart
                    del self._run_of[status.name], self._heard[status.name]
                self._found[status.name, run] = found
                self._changed.notify_all()
            if restarted:
                self._node.diagnostics.findings.add(NODES_RESTARTED, status.name, seconds=f"{self._away:.0f}")

    def _is_ours(self, name: str) -> bool:
        return name.startswith(self._namespace) and "/" not in name[len(self._namespace) :]


def together(found: Iterable[Iterable[Finding]]) -> list[Finding]:
    """The findings of several nodes as those of one: those of one kind are counted together."""
    findings = Findings()
    for some in found:
        findings.update(some)
    return findings.list()
