"""A service that goes while it works still answers."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.ros.node import answers
from seg2d3d_ros.ros.node.managed_node import ManagedNode

pytestmark = pytest.mark.ros
DOMAIN = own_domain()


class Waiting(ManagedNode):
    """``wait`` answers ``late`` seconds after the node has begun to leave ``active``."""

    late = 0.4

    def __init__(self, **options):
        self.begun = threading.Event()
        super().__init__("waiting", **options)

    def activate(self):
        self.serve(Trigger, "wait", self.wait, slow=True)

    def wait(self, _request, _response):
        self.begun.set()
        while self.state == "active" and not self.stopping.wait(0.01):
            pass
        time.sleep(self.late)
        raise DataError("the node was stopped")


def deactivate(world):
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert world.call(ChangeState, "waiting/change_state", request).success


def test_who_waits_for_a_node_that_is_deactivated_gets_an_answer():
    with ros(DOMAIN) as world:
        node = world.add(Waiting)
        client = world.probe.create_client(Trigger, "wait")
        assert client.wait_for_service(timeout_sec=10.0)
        future = client.call_async(Trigger.Request())
        assert wait_for(node.begun.is_set)
        deactivate(world)
        assert wait_for(future.done, 5.0)
        assert "the node was stopped" in future.result().message
        assert world._thread.is_alive(), "rclpy raises in the executor where the answer cannot be sent"


def test_deactivation_does_not_wait_long_for_a_callback_that_goes_on(monkeypatch):
    monkeypatch.setattr(Waiting, "late", 6.0)
    monkeypatch.setattr(answers.Answers.wait, "__defaults__", (0.5,))
    with ros(DOMAIN) as world:
        node = world.add(Waiting)
        client = world.probe.create_client(Trigger, "wait")
        assert client.wait_for_service(timeout_sec=10.0)
        client.call_async(Trigger.Request())
        assert wait_for(node.begun.is_set)
        begin = time.monotonic()
        deactivate(world)
        assert time.monotonic() - begin < 4.0
        assert node.state == "inactive"
