"""Asking for the map again, and answering: both know an end. No DDS: the clock and the node are stand-ins."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.ros.map_exchange import map_publisher, map_subscription
from seg2d3d_ros.ros.map_exchange.map_publisher import REST_SECONDS, REST_SHARE, MapPublisher
from seg2d3d_ros.ros.map_exchange.map_subscription import (
    MAP_INCOMPLETE,
    MOST_REQUESTS,
    RARE_SECONDS,
    RESEND_SECONDS,
    MapSubscription,
)

pytestmark = pytest.mark.ros


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Node:
    """What a subscription and a publisher use of a node."""

    def __init__(self):
        self.findings, self.warnings, self.counts = Findings(), [], {}
        self.diagnostics = SimpleNamespace(findings=self.findings, set=lambda *_: None, count=self._count)

    def _count(self, name, more=1):
        self.counts[name] = self.counts.get(name, 0) + more

    def subscribe(self, *_args):
        pass

    def get_logger(self):
        return SimpleNamespace(warning=self.warnings.append)

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=1))

    def advertise(self, _kind, topic, _qos):
        return SimpleNamespace(publish=lambda m: None, get_subscription_count=lambda: 1, wait_for_all_acked=lambda _: True)


class Resend:
    def __init__(self, _node, name):
        self.name, self.available, self.sent = name, True, 0

    def send(self):
        self.sent += 1


@pytest.fixture
def asking(monkeypatch):
    """A subscription to a map that never gets whole, its clock, and a function that lets time go by."""
    clock = Clock()
    monkeypatch.setattr(map_subscription, "time", clock)
    monkeypatch.setattr(map_subscription, "TriggerCaller", Resend)
    node = Node()
    subscription = MapSubscription(node, "map")
    subscription.receiver._points_revision = ("map", 1)

    def wait(seconds):
        for _ in range(int(seconds * 5)):
            clock.now += 0.2
            assert subscription.whole() is None

    return SimpleNamespace(node=node, map=subscription, wait=wait, clock=clock)


def test_requests_that_nobody_answers_end_and_are_a_finding(asking):
    asking.wait(RESEND_SECONDS * (MOST_REQUESTS + 20))
    assert asking.map.resend.sent == MOST_REQUESTS
    (found,) = asking.node.findings.list()
    assert (found.kind, found.count) == (MAP_INCOMPLETE, 1)
    assert f"{MOST_REQUESTS} requests to reconstruction_node/resend" in found.text
    assert len(asking.node.warnings) == 1, "the log says it once"


def test_another_revision_is_tried_but_rarely(asking):
    asking.wait(RESEND_SECONDS * (MOST_REQUESTS + 2))
    for revision in range(2, 12):
        asking.map.receiver._points_revision = ("map", revision)
        asking.wait(RARE_SECONDS / 2)
    assert MOST_REQUESTS + 4 <= asking.map.resend.sent <= MOST_REQUESTS + 5


def test_a_map_that_got_whole_is_asked_for_as_at_first(asking, monkeypatch):
    asking.wait(RESEND_SECONDS * (MOST_REQUESTS + 2))
    receiver = asking.map.receiver
    receiver._marked = ("map", 1)
    assert asking.map.whole() == ("map", 1)
    receiver._marked = None
    sent = asking.map.resend.sent
    asking.wait(RESEND_SECONDS * 3.5)
    assert asking.map.resend.sent == sent + 3


def test_nobody_is_asked_where_nobody_can_answer(asking):
    asking.map.resend.available = False
    asking.wait(RESEND_SECONDS * 50)
    assert asking.map.resend.sent == 0
    assert asking.node.findings.list() == []
    asking.map.resend.available = True
    asking.wait(1.0)
    assert asking.map.resend.sent == 1


def test_after_a_reset_the_map_of_before_is_not_asked_for(asking):
    asking.map.forget()
    asking.wait(RESEND_SECONDS * 10)
    assert asking.map.resend.sent == 0
    assert asking.map.receiver.models() == []


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_however_often_it_is_asked_for_the_map_is_sent_whole_only_so_often(monkeypatch, seconds):
    clock, node, sent = Clock(), Node(), []
    monkeypatch.setattr(map_publisher, "time", clock)

    def slowly(*_):
        clock.now += seconds / 2

    monkeypatch.setattr(map_publisher, "settle", slowly)
    publisher = MapPublisher(node, "map", lambda name: None, tf=False)
    publisher.send(())
    begin = clock.now
    while clock.now < begin + 100.0:
        publisher.want_whole()
        if publisher.look():
            publisher.send_again()
            sent.append(clock.now)
        clock.now += 0.05
    most = 100.0 / (seconds + max(REST_SECONDS, REST_SHARE * seconds))
    assert most / 1.2 <= len(sent) <= most + 1
