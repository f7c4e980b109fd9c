"""Runs nodes until they finish or a signal comes, and turns the outcome into an exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.signals import SignalHandlerOptions

from seg2d3d_ros.errors import Seg2d3dError, UsageError
from seg2d3d_ros.ros.node.managed_node import ManagedNode

WAKE_SECONDS = 0.1
"""How often the executor looks whether to stop: Python handles a signal only between two waits."""

SWITCH_SECONDS = 0.0005
"""A callback takes Python's lock dozens of times; each time it may have to wait this long for a thread that computes."""
SETTLE_SECONDS = 3.0
"""How long the end waits for callbacks. With the workers' time it stays below the ten seconds after which launch kills."""
THREADS = 6
"""Each node's callbacks run one at a time; the rest are for slow services (finalize, flush), which wait for work."""


class _Stop:
    """Signals ask for an orderly end while the context lives on, so that nodes can still publish and save.

    Launch sends SIGINT, and a terminal sends it to the whole group: the second one is expected and does nothing;
    the third one ends the process at once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._received)

    def keep(self) -> None:
        """Take SIGTERM back from pycolmap, whose import, whenever it comes, puts a stack trace and a sudden end there."""
        signal.signal(signal.SIGTERM, self._received)

    def uninstall(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _received(self, number: int, _frame: Any) -> None:
        self.count += 1
        if self.count > 2:
            os._exit(128 + number)


def spin_node(node_class: Callable[[], ManagedNode], args: Sequence[str] | None = None) -> int:
    """Run one node; see ``spin_nodes``."""
    return spin_nodes([node_class], args)


def spin_nodes(factories: Sequence[Callable[[], ManagedNode]], args: Sequence[str] | None = None) -> int:
    """Make and start nodes, spin them in this thread until one calls ``finish``, SIGINT or SIGTERM comes, or the context
    ends; then close them, the last one first. Where a callback or worker goes on computing, the process ends here.

    Args:
        factories: node classes or functions that make nodes.
        args: the command line with ``--ros-args``; None = ``sys.argv``.

    Returns:
        the exit code: 0 after a signal, what ``finish`` said, 1 where the data or a bug and 2 where a parameter prevented
        the start.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = _Stop()
    stop.install()
    nodes: list[ManagedNode] = []
    executor = None
    code = 0
    try:
        rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
        executor = MultiThreadedExecutor(num_threads=THREADS)
        for factory in factories:
            nodes.append(factory())
            executor.add_node(nodes[-1])
        for node in nodes:
            node.start()
        code = _spin(executor, nodes, stop)
    except Seg2d3dError as error:
        sys.stderr.write(f"{error}\n")
        code = error.exit_code
    except (KeyboardInterrupt, ExternalShutdownException):
        code = 0
    except rclpy_implementation.RCLError as error:
        sys.stderr.write(f"{_refusal(error)}\n")
        code = UsageError.exit_code
    except Exception:
        # The last resort of a process: say what happened and leave with an exit code that tells.
        traceback.print_exc()
        code = 1
    finally:
        if executor:
            _settle(executor, nodes)
            executor.shutdown(timeout_sec=1.0)
        for node in reversed(nodes):
            node.close()
        rclpy.try_shutdown()
        stop.uninstall()
    if any(node.left_behind for node in nodes) or (executor and _at_work(executor)):
        # Python would wait for the callback's thread, and crash the worker's where it comes back. Files are written whole.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if executor:
        _retrieve(executor)
    return code


def _refusal(error: Exception) -> str:
    """Why ROS would not begin, in one line: arguments that are none, an enclave without keys, a DDS without security."""
    reason = " ".join(str(error).split())
    way = "; 'ros2 security generate_artifacts' makes the keys of an enclave" if "SECURITY ERROR" in reason else ""
    return f"ROS cannot be started: {reason}{way}"


def _spin(executor: MultiThreadedExecutor, nodes: Sequence[ManagedNode], stop: _Stop) -> int:
    while not stop.count and executor.context.ok():
        stop.keep()
        for node in nodes:
            if node.exit_code is not None:
                return node.exit_code
        try:
            executor.spin_once(timeout_sec=WAKE_SECONDS)
        except ExternalShutdownException:
            break
        except InvalidHandle:
            continue  # of a node that was deactivated while a message for it was on its way through the executor
        except Exception as error:
            # From rclpy itself (parameter services, discovery): one bad request must not end all nodes.
            nodes[0].get_logger().error("".join(traceback.format_exception(error)).rstrip())
            nodes[0].diagnostics.error("executor", error)
    return 0


def _settle(executor: MultiThreadedExecutor, nodes: Sequence[ManagedNode]) -> None:
    """Wait for the callbacks that have been handed to threads; they must not find their node destroyed."""
    for node in nodes:
        node.stopping.set()
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline and _at_work(executor):
        time.sleep(0.01)


def _at_work(executor: MultiThreadedExecutor) -> bool:
    """Whether callbacks have been handed to threads and are not done."""
    return any(not task.done() for task in list(getattr(executor, "_futures", ())))


def _retrieve(executor: MultiThreadedExecutor) -> None:
    """Callbacks that outlived the executor failed at its handles; rclpy prints exceptions that nobody asked for."""
    for task in list(getattr(executor, "_futures", ())):
        task.exception()
