"""The base of all nodes: lifecycle, parameters, diagnostics, logging and orderly teardown in one place.

A node overrides the hooks ``configure``, ``activate``, ``deactivate`` and ``cleanup``, and makes its subscriptions,
publishers, services, timers and workers through the methods here: what a hook made is released by its counterpart,
and no exception of a callback or worker is lost (log and /diagnostics).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from std_srvs.srv import Trigger

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.ros.node.answers import Answers
from seg2d3d_ros.ros.node.diagnostics import Diagnostics
from seg2d3d_ros.ros.node.error_reports import ErrorReports
from seg2d3d_ros.ros.node.logs import FORWARD, on_behalf_of
from seg2d3d_ros.ros.node.parameters import CommonParameters, check_change, declare_all, read_all, with_both_names
from seg2d3d_ros.ros.node.worker_thread import WorkerThread
from seg2d3d_ros.ros.watching.clock_watch import ClockWatch
from seg2d3d_ros.ros.watching.message_limits import MESSAGES_TOO_LARGE, too_large
from seg2d3d_ros.ros.watching.qos_events import QosEvents

NAMESPACE = "seg2d3d"
WORKER_SECONDS = 3.0
"""How long the end of a node waits for the item that a worker handles."""
QUIET_SECONDS = 0.5
"""Inputs count as drained when nothing came for this long."""
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def type_name(message_type: type) -> str:
    """``package/msg/Type``, as the graph spells it."""
    return f"{message_type.__module__.split('.')[0]}/msg/{message_type.__name__}"


class ManagedNode(LifecycleNode):
    """A lifecycle node that brings itself up (``start``) unless ``autostart`` is false.

    Attributes:
        NAME: the node's, unless it is made with another one.
        PARAMETERS, SECTIONS: what the node declares (see ``ros.node.parameters``).
        CHANGEABLE: parameters that may be changed while the node is configured; ``change`` hears of it.
        ros: the ROS-only parameters, an instance of ``PARAMETERS``; set before ``configure``.
        config: the core's configuration; set before ``configure``.
        diagnostics: what the node reports once a second.
        errors: where exceptions go.
        stopping: set when the process ends; a slow service must then return soon.
        exit_code: set by ``finish``; the process ends with it.
        left_behind: whether a worker of this node did not end in time.
    """

    NAME = ""
    PARAMETERS: type[CommonParameters] = CommonParameters
    SECTIONS: tuple[str, ...] = ()
    CHANGEABLE: tuple[str, ...] = ()

    def __init__(self, name: str = "", *, namespace: str = NAMESPACE, **options: Any) -> None:
        super().__init__(name or self.NAME, namespace=namespace, **options)
        self.exit_code: int | None = None
        self.left_behind = False
        self.stopping = threading.Event()
        self.ros: Any = None
        self.config = Config()
        self._failure: Exception | None = None
        self._closed = False
        self._phase = "node"
        self._owned: dict[str, list[tuple[Any, Callable[[], Any]]]] = {"node": [], "configure": [], "activate": []}
        FORWARD.add(self)
        self.diagnostics = Diagnostics(self, lambda: self.state)
        self.errors = ErrorReports(
            self,
            self.diagnostics,
            ended=lambda: self._closed or not self.context.ok(),
            active=lambda: self.state == "active",
        )
        self._events = QosEvents(self.diagnostics.findings, self.diagnostics.set)
        self._clock_watch = ClockWatch(self, self.diagnostics.findings)
        self._service_change_state.callback = self._reported(self._service_change_state.callback)
        try:
            declare_all(self, self.PARAMETERS, self.SECTIONS, self.CHANGEABLE)
        except Exception:
            self.close()
            raise
        self.add_pre_set_parameters_callback(lambda changes: with_both_names(changes, self.CHANGEABLE))
        self.add_on_set_parameters_callback(self._check_change)
        self.every(1.0, self._report_state)

    # The hooks.

    def configure(self) -> None:
        """Read parameters, make publishers and services, load models. Raise ``Seg2d3dError`` if that is impossible."""

    def activate(self) -> None:
        """Make subscriptions and workers; from here on the node works."""

    def deactivate(self) -> None:
        """Before what ``activate`` made is released."""

    def cleanup(self) -> None:
        """Before what ``configure`` made is released."""

    def change(self, values: dict[str, Any]) -> None:
        """New values of ``CHANGEABLE`` parameters of the configured node. Raise ``Seg2d3dError`` to refuse them."""

    # What hooks use.

    def advertise(self, message_type: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        """A publisher that is silent while the node is inactive."""
        events = self._events.of_publisher(self.resolve_topic_name(topic))
        publisher = self.create_lifecycle_publisher(message_type, topic, qos, event_callbacks=events)
        if self._phase == "activate":
            publisher.on_activate(None)
        return self.own(publisher, lambda: self.destroy_lifecycle_publisher(publisher))

    def subscribe(
        self,
        message_type: type,
        topic: str,
        callback: Callable[..., object],
        qos: QoSProfile,
        *,
        required: bool = False,
        silence: float = 5.0,
        with_time: bool = False,
    ) -> Subscription:
        """A subscription whose rate is reported, and whose silence (``silence`` s) is a warning where ``required``.

        Args:
            with_time: ``callback`` gets a second argument, when the message was sent (ns of the sender's clock).
        """
        name = self.resolve_topic_name(topic)
        watched = self.diagnostics.watch(name, type_name(message_type), qos, silence=silence, required=required)
        guarded = self.errors.guarded(callback, f"message on {name}", name)

        def received(message: Any, info: Any) -> None:
            watched.tick()
            if reason := too_large(message, self.ros):
                self.diagnostics.findings.add(MESSAGES_TOO_LARGE, name, reason=reason)
                return
            guarded(*((message, info["source_timestamp"] or time.time_ns()) if with_time else (message,)))

        # rclpy looks at the number of arguments; its types do not know that.
        subscription = self.create_subscription(
            message_type,
            topic,
            received,  # type: ignore[arg-type]
            qos,
            event_callbacks=self._events.of_subscription(name),
        )

        def release() -> None:
            self.diagnostics.unwatch(name)
            self._events.unsubscribed(name)
            self.destroy_subscription(subscription)

        return self.own(subscription, release)

    def serve(self, service_type: type, name: str, callback: Callable[[Any, Any], Any], *, slow: bool = False) -> Any:
        """A service. An exception becomes the answer ``success=False`` with its message.

        Args:
            slow: the callback may take its time in a thread of its own, while the node's other callbacks go on.
        """
        guarded = self.errors.guarded(callback, f"service {name}")

        def answer(request: Any, response: Any) -> Any:
            answered = guarded(request, response)
            if answered is None and hasattr(response, "success"):
                response.success, response.message = False, self.diagnostics.last_error
            return answered or response

        group = MutuallyExclusiveCallbackGroup() if slow else None
        answers = Answers()
        service = self.create_service(service_type, name, answers.counted(answer), callback_group=group)
        answers.watch(service)

        def release() -> None:
            answers.wait()
            self.destroy_service(service)

        return self.own(service, release)

    def every(self, seconds: float, callback: Callable[[], None]) -> Any:
        """Call back periodically in real (steady) time, whatever ``use_sim_time`` says."""
        guarded = self.errors.guarded(callback, f"timer {getattr(callback, '__name__', '')}")
        timer = self.create_timer(seconds, guarded, clock=Clock(clock_type=ClockType.STEADY_TIME))
        return self.own(timer, lambda: self.destroy_timer(timer))

    def worker(
        self,
        name: str,
        handle: Callable[[Any], None],
        *,
        depth: int = 50,
        on_drop: Callable[[Any], None] | None = None,
        batch: Callable[[], int] | None = None,
    ) -> WorkerThread:
        """A worker thread (see ``ros.node.worker_thread``) whose queue, drops and errors are reported."""

        def work(item: Any) -> None:
            with on_behalf_of(self):
                handle(item)

        worker = WorkerThread(name, work, depth=depth, on_error=self.errors.report, on_drop=on_drop, batch=batch)
        self.diagnostics.add_worker(worker)

        def release() -> None:
            if not worker.close(WORKER_SECONDS):
                self.left_behind = True
                self.get_logger().warning(f"{name} is still at work and is left behind")
            self.diagnostics.remove_worker(worker)

        return self.own(worker, release)

    def own(self, thing: Any, release: Callable[[], Any]) -> Any:
        """Call ``release`` when the present phase ends, the last thing made first; returns the thing."""
        self._owned[self._phase].append((thing, release))
        return thing

    def serve_flush(self, flush: Callable[[], str | None]) -> None:
        """The service ``~/flush`` (std_srvs/Trigger): waits until no input came for ``QUIET_SECONDS``, calls ``flush``, and
        answers with the text it returns; with it a player knows that what it sent has gone through the node. Until the
        next message the inputs' silence is no warning."""

        def answer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            asked = time.monotonic()  # what was sent just before the request may still be on its way
            while min(self.diagnostics.quiet_seconds(), time.monotonic() - asked) < QUIET_SECONDS:
                if self.stopping.wait(0.05):
                    break
            response.message = flush() or ""
            self.diagnostics.stream_ended()
            response.success = True
            return response

        self.serve(Trigger, "~/flush", answer, slow=True)

    def release(self, thing: Any) -> None:
        """Give back one subscription, publisher, service, timer or worker before its phase ends."""
        for owned in self._owned.values():
            for entry in [entry for entry in owned if entry[0] is thing]:
                owned.remove(entry)
                entry[1]()

    def finish(self, code: int = 0) -> None:
        """Ask the process to end with this exit code; any thread may call it."""
        self.exit_code = code

    # Running.

    @property
    def state(self) -> str:
        """``unconfigured``, ``inactive``, ``active``, ``finalized``, or a transition's name."""
        return self._state_machine.current_state[1]

    def start(self) -> None:
        """Configure and activate where ``autostart`` says so. Raises what the hook raised."""
        if not self.get_parameter("autostart").value:
            self.get_logger().info("waiting to be configured (autostart is false)")
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != SUCCESS:
                raise self._failure or RuntimeError(f"{self.get_name()} cannot be started")

    def close(self) -> None:
        """Orderly end: deactivate, clean up, destroy. May be called again, and in any state."""
        if self._closed:
            return
        self._closed = True
        self.stopping.set()
        self.diagnostics.end()
        self._wind_down(self.state)
        self._release("node")
        FORWARD.remove(self)
        self.destroy_node()

    # Lifecycle callbacks.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        def configure() -> None:
            self.ros, self.config = read_all(self, self.PARAMETERS, self.SECTIONS)
            self.configure()

        return super().on_configure(state) if self._enter("configure", configure) else FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        # Publishers first, so that the hook may publish.
        code = super().on_activate(state)
        if code == SUCCESS and not self._enter("activate", self.activate):
            super().on_deactivate(state)
            return FAILURE
        return code

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        fine = self._hook(self.deactivate)
        self._release("activate")
        code = super().on_deactivate(state)
        return code if fine else TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        fine = self._hook(self.cleanup)
        self._release("configure")
        return super().on_cleanup(state) if fine else TransitionCallbackReturn.ERROR

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._wind_down(state.label)
        super().on_shutdown(state)
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything and go back to ``unconfigured``, from where the node can be configured again."""
        self._release("activate")
        self._release("configure")
        super().on_deactivate(state)
        return SUCCESS

    # Inside.

    def _check_change(self, changes: list[Any]) -> Any:
        configured = self.state in ("inactive", "active")
        result = check_change(changes, self.PARAMETERS, self.SECTIONS, configured, self.CHANGEABLE)
        values = {change.name: change.value for change in changes if change.name in self.CHANGEABLE}
        if configured and result.successful and values:
            try:
                self.change(values)
            except Seg2d3dError as error:
                result.successful, result.reason = False, str(error)
        return result

    def _enter(self, phase: str, hook: Callable[[], None]) -> bool:
        """Run the hook that begins a phase; what it made is released where it fails."""
        self._phase = phase
        if self._hook(hook):
            self.get_logger().info({"configure": "configured", "activate": "active"}[phase])
            return True
        self._release(phase)
        return False

    def _hook(self, hook: Callable[[], None]) -> bool:
        """Run a hook; an exception is kept, reported, and makes it False."""
        try:
            with on_behalf_of(self):
                hook()
        except Exception as error:
            # rclpy's lifecycle would swallow it without a word.
            self._failure = error
            self.errors.report(hook.__name__, error)
            return False
        return True

    def _wind_down(self, state: str) -> None:
        """From any state: the hooks that the node still owes, each before what its counterpart made is released."""
        if state == "active":
            self._hook(self.deactivate)
        self._release("activate")
        if state in ("active", "inactive"):
            self._hook(self.cleanup)
        self._release("configure")

    def _release(self, phase: str) -> None:
        while self._owned[phase]:
            _, release = self._owned[phase].pop()
            self._hook(release)
        if phase != "node":
            self._phase = "configure" if phase == "activate" else "node"

    def _report_state(self) -> None:
        """Once a second."""
        self._clock_watch.look()
        self._events.look()
        self.diagnostics.publish()

    def _reported(self, change_state: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """An impossible transition is answered with ``success=False``; rclpy would raise and end the executor."""

        def answer(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except Exception as error:
                wanted = request.transition.label or request.transition.id
                self.get_logger().error(f"transition {wanted} is impossible in state {self.state!r} ({error})")
                response.success = False
                return response

        return answer
