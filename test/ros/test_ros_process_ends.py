"""How a node's process ends: interrupts, SIGTERM, wrong parameters and ROS that cannot be started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
SCRIPT = """
import os, sys, time
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.spinning import spin_node
class Slow(ManagedNode):
    def __init__(self): super().__init__("slow")
    def activate(self):
        if os.environ.get("LATE"):
            import pycolmap
        print("active", flush=True)
        self.every(0.01, lambda: None)
    def deactivate(self):
        time.sleep(0.5)
        print("deactivated, context", self.context.ok(), flush=True)
sys.exit(spin_node(Slow))
"""


def start(*arguments, **variables):
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **variables}
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_two_interrupts_end_a_process_in_order_with_its_context_alive():
    process = start()
    assert process.stdout.readline() == "active\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "deactivated, context True\n"), err
    assert "Traceback" not in err
    assert "exception" not in err


def test_sigterm_ends_a_process_in_order_whoever_imported_pycolmap_meanwhile():
    process = start(LATE="1")
    assert process.stdout.readline() == "active\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "deactivated, context True\n"), err
    assert "stack trace" not in err


def test_an_enclave_without_keys_ends_a_process_in_one_line(tmp_path):
    secured = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce", "ROS_SECURITY_KEYSTORE": str(tmp_path)}
    command = [sys.executable, "-m", "seg2d3d_ros.nodes.keyframe_node"]
    done = subprocess.run(command, env={**os.environ, **secured}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "ROS cannot be started: failed to initialize rcl: SECURITY ERROR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_parameter_ends_a_process_with_status_2():
    _, err = (process := start("--ros-args", "-p", "autostrat:=true")).communicate(timeout=20)
    assert process.returncode == 2
    assert "unknown parameter 'autostrat'; did you mean 'autostart'?" in err
