"""Work that does not end with its node: the process ends nevertheless, in order and without a traceback."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from lifecycle_msgs.srv import GetState
from rclpy.exceptions import InvalidHandle
from rclpy.task import Task
from std_srvs.srv import Trigger

from seg2d3d_ros.ros.node import answers
from seg2d3d_ros.ros.node import spinning as run
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.worker_thread import WorkerThread

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
AT_WORK_SECONDS = 60.0
SCRIPT = """
import sys, threading, time
from std_msgs.msg import String
from lifecycle_msgs.srv import GetState
from std_srvs.srv import Trigger
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.spinning import spin_node
SECONDS = float(sys.argv[1])
class Busy(ManagedNode):
    '''As association_node: a worker computes under a lock for which the slow service waits.'''
    def __init__(self): super().__init__("busy")
    def configure(self): self.publisher = self.advertise(String, "out", qos.LATCHED)
    def activate(self):
        self.lock = threading.Lock()
        self.computing = self.worker("computing", self.compute)
        self.serve(Trigger, "~/flush", self.flush, slow=True)
        self.client = self.create_client(Trigger, "~/flush")
        self.computing.put(None)
        self.asking = self.every(0.1, self.ask)
    def ask(self):
        if self.client.service_is_ready():
            self.release(self.asking)
            self.client.call_async(Trigger.Request())
    def compute(self, _):
        with self.lock:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                sum(range(10000))
        self.publisher.publish(String(data="late"))
    def flush(self, request, response):
        print("asked", flush=True)
        with self.lock:
            response.success = True
        return response
sys.exit(spin_node(Busy))
"""


def test_a_process_ends_although_a_worker_and_a_service_go_on():
    """Before launch would kill it, with the exit code of an orderly end."""
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    command = [sys.executable, "-c", SCRIPT, str(AT_WORK_SECONDS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "asked\n"
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=AT_WORK_SECONDS)
    assert process.returncode == 0, err
    assert time.monotonic() - begin < 10.0
    assert "computing is still at work and is left behind" in err
    assert "Traceback" not in err
    assert "exception" not in err


def test_callbacks_that_outlived_the_executor_leave_no_message(capfd):
    """rclpy prints a task's exception when the task is forgotten, unless somebody asked for it."""

    def fails() -> None:
        raise InvalidHandle("destruction was requested")

    def printed(retrieve: bool) -> bool:
        executor = SimpleNamespace(_futures=[Task(fails)])
        executor._futures[0]()
        if retrieve:
            run._retrieve(executor)
        del executor
        gc.collect()
        return "never retrieved" in capfd.readouterr().err

    assert printed(retrieve=False)
    assert not printed(retrieve=True)


def test_errors_of_what_was_left_behind_are_no_news(caplog):
    gate, begun, errors = threading.Event(), threading.Event(), []

    def work(_item):
        begun.set()
        gate.wait(10)
        raise RuntimeError("what it uses is gone")

    worker = WorkerThread("w", work, on_error=lambda name, error: errors.append(error))
    worker.put(None)
    assert begun.wait(5)
    with caplog.at_level(logging.INFO):
        assert not worker.close(0.05)
        gate.set()
        assert wait_for(lambda: worker.failed == 1)
        assert worker.close()
    assert errors == []
    assert caplog.text == ""


def test_an_error_while_the_end_waits_is_said(caplog):
    gate, begun, errors = threading.Event(), threading.Event(), []

    def work(_item):
        begun.set()
        gate.wait(10)
        raise RuntimeError("broken")

    worker = WorkerThread("w", work, on_error=lambda name, error: errors.append(str(error)))
    worker.put(None)
    assert begun.wait(5)
    threading.Timer(0.2, gate.set).start()
    assert worker.close(5.0)
    assert errors == ["broken"]


def test_an_answer_after_the_service_has_gone_is_dropped(monkeypatch):
    monkeypatch.setattr(answers.Answers.wait, "__defaults__", (0.2,))
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    class Late(ManagedNode):
        def __init__(self, **options):
            super().__init__("late", **options)

        def activate(self):
            self.serve(Trigger, "~/flush", self.flush, slow=True)

        def flush(self, _request, response):
            begun.set()
            gate.wait(10)
            ended.set()
            return response

    with ros(DOMAIN) as world:
        node = world.add(Late)
        client = world.probe.create_client(Trigger, "late/flush")
        assert client.wait_for_service(timeout_sec=10.0)
        client.call_async(Trigger.Request())
        assert begun.wait(10)
        node.trigger_deactivate()
        gate.set()
        assert ended.wait(5)
        time.sleep(0.3)
        assert world.call(GetState, "late/get_state").current_state.label == "inactive", "rclpy raised in the executor"
        assert world._thread.is_alive()
