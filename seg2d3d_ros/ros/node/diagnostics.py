"""/diagnostics once a second: lifecycle state, rates, queues, findings, the last error, and why an input stays silent."""

from __future__ import annotations

import contextlib
import platform
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.findings import ERROR, NOTE, WARNING, Finding, Findings, Kind, printable
from seg2d3d_ros.ros.messages.finding_messages import finding_values
from seg2d3d_ros.ros.node.qos import DIAGNOSTICS, incompatibility
from seg2d3d_ros.ros.node.worker_thread import WorkerThread

ITEMS_DROPPED = Kind(
    "items_dropped",
    "items that were dropped from a full queue",
    cause="{worker} does not keep up: {waiting} wait",
    remedy="send less (a lower frame rate, smaller images), or give the machine less other work",
)
ENDED = "finalized"
RUN = "run"
"""Key of what is another one when the node was started again."""
STATE = "lifecycle state"
"""The key of ``unconfigured``, ``inactive``, ``active`` or ``finalized``."""
NEXT = {"unconfigured": "configure", "inactive": "activate"}
"""By the state of a node that does nothing, the transition that brings it further."""
ERROR_SECONDS = 30.0
"""How long an error keeps the status red."""
REPEAT_SECONDS = 10.0
"""The same error is logged at most this often."""


@dataclass
class Input:
    """One subscribed topic. ``required`` False: its silence is reported as a value, not as a warning."""

    topic: str
    type_name: str
    qos: QoSProfile | None
    silence: float
    required: bool
    count: int = 0
    ended: bool = False
    since: float = field(default_factory=time.monotonic)
    times: deque[float] = field(default_factory=lambda: deque(maxlen=100))

    def tick(self) -> None:
        """Call for each message."""
        self.count += 1
        self.ended = False
        self.times.append(time.monotonic())

    def silent(self, now: float) -> float:
        """Seconds since the last message, or since the beginning."""
        return now - (self.times[-1] if self.times else self.since)

    def patience(self) -> float:
        """How long silence is normal: four times the usual distance of messages, at least ``silence`` seconds."""
        times = list(self.times)
        return max(self.silence, 4.0 * (times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else self.silence

    def rate(self, now: float) -> float:
        """Messages per second over the last ten seconds."""
        return sum(now - t <= 10.0 for t in list(self.times)) / min(10.0, max(now - self.since, 1.0))


class Diagnostics:
    """What one node reports about itself. Safe to call from any thread.

    Args:
        state: gives the node's lifecycle state.

    Attributes:
        findings: of this node; a new kind is logged, and again when its count has doubled.
        last_error: in words, empty if there was none.
    """

    def __init__(self, node: Node, state: Callable[[], str]) -> None:
        self._node, self._state = node, state
        self._lock = threading.Lock()
        self._run = uuid.uuid4().hex[:12]
        self.findings = Findings(self._log_finding)
        self._inputs: dict[str, Input] = {}
        self._workers: dict[str, WorkerThread] = {}
        self._values: dict[str, Any] = {}
        self._errors = 0
        self.last_error, self._last_error_time = "", 0.0
        self._warned: set[str] = set()
        self._problems: dict[str, str] = {}
        self._dropped: dict[str, int] = {}
        self._past: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", DIAGNOSTICS)

    def watch(
        self, topic: str, type_name: str, qos: QoSProfile | None = None, *, silence: float = 5.0, required: bool = True
    ) -> Input:
        """Watch an input topic (fully resolved name, ``package/msg/Type``); call ``tick`` on the result per message."""
        with self._lock:
            self._inputs[topic] = Input(topic, type_name, qos, silence, required, self._past.pop(topic, 0))
            return self._inputs[topic]

    def unwatch(self, topic: str) -> None:
        """Forget an input but for its number of messages, from which it goes on where it is watched again."""
        with self._lock:
            if watched := self._inputs.pop(topic, None):
                self._past[topic] = watched.count
            self._warned.discard(topic)

    def add_worker(self, worker: WorkerThread) -> None:
        """Report a worker's queue, drops and failures."""
        with self._lock:
            self._workers[worker.name] = worker

    def remove_worker(self, worker: WorkerThread) -> None:
        """Forget a worker."""
        with self._lock:
            self._workers.pop(worker.name, None)

    def count(self, name: str, more: int = 1) -> int:
        """Add to a counter and return it."""
        with self._lock:
            self._values[name] = self._values.get(name, 0) + more
            return self._values[name]

    def set(self, name: str, value: object) -> None:
        """Set a value to report."""
        with self._lock:
            self._values[name] = value

    def problem(self, key: str, text: str) -> None:
        """A state that makes the status WARN as long as it lasts; an empty text ends it."""
        with self._lock:
            self._problems[key] = text

    def error(self, where: str, error: Exception | str) -> bool:
        """Report an error: the status is ERROR for the next ``ERROR_SECONDS``.

        Returns:
            whether the log should say it too: False for a repetition within ``REPEAT_SECONDS``.
        """
        plain = isinstance(error, str | Seg2d3dError)
        text = printable(f"{where}: {error}" if plain else f"{where}: {type(error).__name__}: {error}")
        now = time.monotonic()
        with self._lock:
            repeated = now - self._logged.get(text, -REPEAT_SECONDS) < REPEAT_SECONDS
            if not repeated:
                self._logged[text] = now
            self._errors += 1
            self.last_error, self._last_error_time = text, now
        return not repeated

    def quiet_seconds(self) -> float:
        """How long no input brought anything; infinite where nothing ever came."""
        with self._lock:
            last = max((watched.times[-1] for watched in self._inputs.values() if watched.times), default=-float("inf"))
        return time.monotonic() - last

    def stream_ended(self) -> None:
        """The senders said that they are done: silence is no problem until something comes again."""
        with self._lock:
            for watched in self._inputs.values():
                watched.ended = True

    def explain(self, watched: Input) -> str:
        """Why nothing arrives: publishers, their types and quality of service, in words."""
        seconds = watched.silent(time.monotonic())
        publishers = self._node.get_publishers_info_by_topic(watched.topic)
        text = f"no data for {seconds:.0f} s on {watched.topic} ({watched.type_name}; publishers: {len(publishers)}"
        if not publishers:
            return f"{text}; is the name right, and the domain id?)"
        reasons = []
        for publisher in publishers:
            who = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
            if publisher.topic_type != watched.type_name:
                reasons.append(f"{who} publishes {publisher.topic_type}")
            elif watched.qos and (reason := incompatibility(publisher.qos_profile, watched.qos)):
                reasons.append(f"{who}: {reason}; set input_qos:=auto or sensor_data")
        return f"{text}; {'; '.join(reasons) or 'silent'})"

    def status(self) -> DiagnosticStatus:
        """The present state as a message; warnings of silent inputs are logged once per silence."""
        now, state = time.monotonic(), self._state()
        status = DiagnosticStatus(level=DiagnosticStatus.OK, name=self._node.get_fully_qualified_name(), message="ok")
        status.hardware_id = self._hardware_id()
        with self._lock:
            inputs, workers = list(self._inputs.values()), list(self._workers.values())
            pairs: list[tuple[str, object]] = [(STATE, state), (RUN, self._run), *self._values.items()]
            problems = [text for text in self._problems.values() if text]
        if transition := NEXT.get(state):
            way = f"ros2 lifecycle set {status.name} {transition}"
            problems.insert(0, f"{state}: nothing is processed; {way}")
        for watched in inputs:
            pairs.append((f"{watched.topic} messages", watched.count))
            pairs.append((f"{watched.topic} rate [Hz]", f"{watched.rate(now):.1f}"))
            problems += self._silence(watched, now)
        for worker in workers:
            self._count_drops(worker)
            pairs += [(f"{worker.name} queue", worker.pending), (f"{worker.name} dropped", worker.dropped)]
            pairs += [(f"{worker.name} done", worker.done), (f"{worker.name} failed", worker.failed)]
            pairs.append((f"{worker.name} last [s]", f"{worker.last_seconds:.3f}"))
        recent = [finding for finding in self.findings.list(newer_than=ERROR_SECONDS) if finding.kind.level != NOTE]
        problems += [finding.text for finding in recent]
        if problems:
            worst = any(finding.kind.level == ERROR for finding in recent)
            status.level = DiagnosticStatus.ERROR if worst else DiagnosticStatus.WARN
            status.message = printable("; ".join(problems))
        if self._errors:
            pairs += [("errors", self._errors), ("last error", self.last_error)]
            if now - self._last_error_time < ERROR_SECONDS:
                status.level, status.message = DiagnosticStatus.ERROR, self.last_error
        status.values = [KeyValue(key=str(key), value=printable(str(value))) for key, value in pairs]
        status.values = [*status.values, *finding_values(self.findings.list())]
        return status

    def _hardware_id(self) -> str:
        """The vehicle's name, or that of the computer: a fleet tells by it whose node this is."""
        known = self._node.has_parameter("hardware_id")
        return (str(self._node.get_parameter("hardware_id").value) if known else "") or platform.node()

    def _silence(self, watched: Input, now: float) -> list[str]:
        """Why a required input is silent; nothing where it is not."""
        if watched.ended or watched.silent(now) < watched.patience():
            self._warned.discard(watched.topic)
            return []
        if not watched.required:
            return []
        reason = self.explain(watched)
        # A stream that ends while its publisher lives is no news for the log: a bag that is over, a parked car.
        ended = watched.count and self._node.count_publishers(watched.topic)
        if watched.topic not in self._warned and not ended:
            self._warned.add(watched.topic)
            self._node.get_logger().warning(reason)
        return [reason]

    def _count_drops(self, worker: WorkerThread) -> None:
        lost = worker.dropped - self._dropped.get(worker.name, 0)
        if lost and not worker.owner_counts:
            self._dropped[worker.name] = worker.dropped
            self.findings.add(ITEMS_DROPPED, count=lost, worker=worker.name, waiting=worker.pending)

    def _log_finding(self, finding: Finding) -> None:
        # rclpy ties a severity to the calling line, hence one line for each.
        if finding.kind.level == ERROR:
            self._node.get_logger().error(finding.text)
        elif finding.kind.level == WARNING:
            self._node.get_logger().warning(finding.text)
        else:
            self._node.get_logger().info(finding.text)

    def publish(self) -> None:
        """Send the present state to /diagnostics."""
        message = DiagnosticArray(status=[self.status()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def end(self) -> None:
        """Send the last report: this node ends because it is to end, and nobody need miss it."""
        self._state = lambda: ENDED
        with contextlib.suppress(rclpy_implementation.RCLError, InvalidHandle):  # nobody hears it where ROS has ended before
            self.publish()
