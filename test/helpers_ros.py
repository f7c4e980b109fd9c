"""Nodes under test: real rclpy over real DDS, each test in its own context, spun in a thread."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@functools.cache
def own_domain() -> int:
    """A ROS domain that no other test process on this machine uses: held by a file lock until the process ends."""
    return another_domain()


def another_domain() -> int:
    """One more, in which no node of an earlier test of this process lingers either."""
    for domain in range(40, 102):
        with contextlib.suppress(OSError):
            lock = os.open(Path(tempfile.gettempdir()) / f"seg2d3d_ros_test_domain_{domain}.lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return domain
    raise RuntimeError("all ROS domains from 40 to 101 are in use by other test runs")


PATIENCE = 120.0
"""How long a test waits for what must come, on a machine with far more work than cores; nobody waits that long for success."""


class Ros:
    """A context with an executor and a plain node ``probe`` to talk with the node under test."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.executor = MultiThreadedExecutor(num_threads=4, context=self.context)
        self.probe = Node("probe", context=self.context, namespace="seg2d3d")
        self.executor.add_node(self.probe)
        self.nodes: list[Any] = []
        self._running = True
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while self._running and self.context.ok():
            with contextlib.suppress(ExternalShutdownException):
                self.executor.spin_once(timeout_sec=0.05)

    def add(self, make: Callable[..., Any], *, start: bool = True, **parameters: Any) -> Any:
        """Make a node with parameters (``section__name`` for ``section.name``), start it and spin it."""
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()]
        node = make(context=self.context, parameter_overrides=overrides)
        self.nodes.append(node)
        if start:
            node.start()
        self.executor.add_node(node)
        return node

    def collect(self, message_type: type, topic: str, qos: Any) -> list[Any]:
        """A growing list of the messages on a topic."""
        received: list[Any] = []
        self.probe.create_subscription(message_type, topic, received.append, qos)
        return received

    def call(self, service_type: type, name: str, request: Any = None, timeout: float = PATIENCE) -> Any:
        """Call a service and wait for the answer."""
        client = self.probe.create_client(service_type, name)
        assert client.wait_for_service(timeout_sec=timeout), f"no service {name}"
        future = client.call_async(request or service_type.Request())
        assert wait_for(future.done, timeout), f"no answer from {name}"
        return future.result()

    def close(self) -> None:
        """End everything."""
        self._running = False
        self._thread.join(5)
        for node in self.nodes:
            node.stopping.set()
        self.executor.shutdown(timeout_sec=2.0)
        for node in self.nodes:
            node.close()
        self.probe.destroy_node()
        rclpy.shutdown(context=self.context)
        # A node's name belongs to its /rosout publisher until the last reference is gone; the next test uses it again.
        self.nodes.clear()
        gc.collect()


@contextlib.contextmanager
def ros(domain: int) -> Iterator[Ros]:
    """A ``Ros`` that is closed in the end."""
    world = Ros(domain)
    try:
        yield world
    finally:
        world.close()


def wait_for(condition: Callable[[], Any], timeout: float = PATIENCE) -> bool:
    """Whether ``condition()`` became true in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
