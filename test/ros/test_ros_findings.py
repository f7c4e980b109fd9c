"""Findings on /diagnostics: lossless, gathered over a pipeline's nodes, and what stands beside them in a node's status."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from helpers_ros import own_domain, ros, wait_for
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import ERROR, LEVELS, NOTE, Finding, Kind
from seg2d3d_ros.ros.exchange import findings_gatherer
from seg2d3d_ros.ros.exchange.findings_gatherer import NODES_GONE, NODES_RESTARTED, FindingsGatherer, together
from seg2d3d_ros.ros.messages.finding_messages import finding_from_text, finding_to_text, finding_values, findings_of
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.diagnostics import ENDED, ITEMS_DROPPED, RUN, STATE
from seg2d3d_ros.ros.node.error_reports import INTERNAL_ERRORS, MESSAGES_REFUSED
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.watching import clock_watch
from seg2d3d_ros.ros.watching.clock_watch import CLOCK_SILENT

DOMAIN = own_domain()
MASKS = Kind("masks", "photos without a mask", cause="looked for {wanted}", remedy="rename them", level=ERROR)
NAMES = st.text(max_size=8)


@given(
    st.builds(Kind, NAMES, NAMES, cause=NAMES.map(lambda text: text.replace("{", "").replace("}", "")), remedy=st.just("{a}")),
    st.sampled_from(LEVELS),
    st.integers(1, 10**9),
    st.lists(NAMES, max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.one_of(st.integers(), NAMES, st.floats(allow_nan=False))),
)
def test_a_finding_comes_back_whole(kind, level, count, examples, details):
    kind = Kind(kind.code, kind.what, cause=kind.cause, remedy=kind.remedy, level=level)
    finding = Finding(kind, count, count + 1, tuple(examples), details)
    status = DiagnosticStatus(values=[KeyValue(key="queue", value="3"), *finding_values([finding])])
    (back,) = findings_of(status)
    assert back == finding
    assert back.text == finding.text == status.values[1].value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "[" * 10_000,
        json.dumps({"code": "x"}),
        finding_to_text(Finding(MASKS)).replace('"count": 1', '"count": "1"'),
        finding_to_text(Finding(MASKS)).replace('"count": 1', '"count": -1'),
        finding_to_text(Finding(MASKS)).replace('"error"', '"fatal"'),
        finding_to_text(Finding(MASKS)).replace("looked for {wanted}", "{wanted.__class__.x}"),
        finding_to_text(Finding(MASKS, examples=("x" * 30_000,))),
    ],
)
def test_values_that_are_no_findings_are_left_out(text):
    with pytest.raises(DataError):
        finding_from_text(text)
    assert findings_of(DiagnosticStatus(values=[KeyValue(key="finding data: masks", value=text)])) == []


def test_findings_of_several_nodes_are_counted_together():
    first, second = Finding(MASKS, 2, 5, ("a",), {"wanted": "a.png"}), Finding(MASKS, 1, 0, ("b",))
    assert together([[first], [second]]) == [Finding(MASKS, 3, 5, ("a", "b"), {"wanted": "a.png"})]


class Worker(ManagedNode):
    """Takes texts: "refuse" is bad data, "bug" a mistake in the code."""

    NAME = "worker"

    def activate(self):
        self.subscribe(String, "in", self.take, qos.KEYFRAMES)

    def take(self, message):
        if message.data == "bug":
            raise KeyError("nobody thought of this")
        raise DataError(f"{message.data!r} is no text")


class Writer(ManagedNode):
    """Gathers findings."""

    NAME = "writer"

    def activate(self):
        self.gatherer = FindingsGatherer(self)


@pytest.fixture
def world():
    with ros(DOMAIN) as made:
        yield made


def logged(node):
    """A growing list of what the node logs as a warning or worse."""
    lines = []
    for level in ("warning", "error"):
        setattr(node.get_logger(), level, lambda text, **_: lines.append(text))
    return lines


@pytest.mark.ros
def test_what_other_nodes_refuse_reaches_whoever_writes_the_map(world):
    worker, writer = world.add(Worker), world.add(Writer)
    lines = logged(worker)
    stranger = world.probe.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
    for name in ("/other/worker", "/seg2d3d/deep/worker"):
        assert wait_for(lambda: stranger.get_subscription_count())
        stranger.publish(DiagnosticArray(status=[DiagnosticStatus(name=name, values=finding_values([Finding(MASKS)]))]))
    texts = world.probe.create_publisher(String, "in", qos.KEYFRAMES)
    assert wait_for(texts.get_subscription_count)
    for text in ["\x1b[31mrefuse"] * 9 + ["bug"] * 3:
        texts.publish(String(data=text))
    expected = {"messages_refused": 9, "internal_errors": 3}
    assert wait_for(lambda: {f.kind.code: f.count for f in writer.gatherer.gather(0.1)} == expected, 20.0)
    refused = next(f for f in writer.gatherer.gather() if f.kind == MESSAGES_REFUSED)
    assert refused.examples == ("/seg2d3d/in",)
    assert r"'\x1b[31mrefuse' is no text" in refused.text
    assert not any("\x1b" in line for line in lines)
    assert [line for line in lines if "refuse" in line and "Traceback" in line] == []
    assert len([line for line in lines if "refuse" in line]) == 4, "the first, second, fourth, eighth"
    assert len([line for line in lines if "Traceback" in line]) == 1, "a mistake of ours is shown once"
    assert INTERNAL_ERRORS.code in expected


@pytest.mark.ros
def test_whoever_gathers_waits_for_reports_that_are_newer_than_the_question(world):
    worker, writer = world.add(Worker), world.add(Writer)
    assert wait_for(lambda: "/seg2d3d/worker" in writer.gatherer._heard)
    worker.diagnostics.findings.add(MASKS, "late.jpg", wanted="late.png")
    assert [f.examples for f in writer.gatherer.gather(30.0)] == [("late.jpg",)]


@pytest.mark.ros
def test_a_node_that_does_nothing_says_so_and_how_to_start_it(world):
    node = world.add(Worker, autostart=False)
    status = node.diagnostics.status()
    assert status.level == b"\x01"
    assert "unconfigured: nothing is processed; ros2 lifecycle set /seg2d3d/worker configure" in status.message
    node.trigger_configure()
    status = node.diagnostics.status()
    assert "inactive: nothing is processed; ros2 lifecycle set /seg2d3d/worker activate" in status.message
    node.trigger_activate()
    status = node.diagnostics.status()
    assert (status.level, status.message) == (b"\x00", "ok")
    assert {v.key: v.value for v in status.values}[STATE] == "active"


@pytest.mark.ros
def test_a_simulated_clock_that_stands_still_is_said(world, monkeypatch):
    monkeypatch.setattr(clock_watch, "CLOCK_SECONDS", 0.0)
    node = world.add(Worker, use_sim_time=True)
    assert wait_for(lambda: [f.kind for f in node.diagnostics.findings.list()] == [CLOCK_SILENT])
    assert "use_sim_time:=false" in node.diagnostics.status().message
    node.set_parameters([Parameter("use_sim_time", value=False)])
    assert wait_for(lambda: node.diagnostics.findings.list() == [])


@pytest.mark.ros
def test_a_player_that_has_not_begun_yet_is_waited_for(world, monkeypatch):
    world.probe.create_publisher(Clock, "/clock", qos.CLOCK)
    monkeypatch.setattr(clock_watch, "CLOCK_SECONDS", 0.0)
    node = world.add(Worker)
    assert wait_for(lambda: node.count_publishers("/clock") == 1)
    node.set_parameters([Parameter("use_sim_time", value=True)])
    node._clock_watch.look()
    assert node.diagnostics.findings.list() == []
    monkeypatch.setattr(clock_watch, "BEGIN_SECONDS", 0.0)
    assert wait_for(lambda: [f.kind for f in node.diagnostics.findings.list()] == [CLOCK_SILENT])


@pytest.mark.ros
def test_findings_of_every_level_are_logged_and_colour_the_status(world):
    node = world.add(Worker)
    node.diagnostics.findings.add(Kind("small", "curiosities", cause="", remedy="", level=NOTE))
    assert node.diagnostics.status().level == b"\x00"
    node.diagnostics.findings.add(ITEMS_DROPPED, worker="x", waiting=1)
    assert node.diagnostics.status().level == b"\x01"
    node.diagnostics.findings.add(MASKS)
    assert node.diagnostics.status().level == b"\x02"


@pytest.mark.ros
def test_nodes_that_are_started_again_or_gone_are_told_and_what_they_found_before_counts(world, monkeypatch):
    writer = world.add(Writer)
    reports = world.probe.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
    assert wait_for(reports.get_subscription_count)

    def report(run, count, state="active"):
        values = [KeyValue(key=RUN, value=run), KeyValue(key=STATE, value=state), *finding_values([Finding(MASKS, count)])]
        reports.publish(DiagnosticArray(status=[DiagnosticStatus(name="/seg2d3d/eye", values=values)]))

    def told():
        found = writer.gatherer.gather(0.0)
        return {finding.kind.code: finding.count for finding in [*found, *writer.diagnostics.findings.list()]}

    report("first", 3)
    assert wait_for(lambda: told() == {"masks": 3})
    report("second", 2)
    assert wait_for(lambda: told() == {"masks": 5, NODES_RESTARTED.code: 1})
    monkeypatch.setattr(findings_gatherer, "GONE_SECONDS", 0.0)
    assert wait_for(lambda: told() == {"masks": 5, NODES_RESTARTED.code: 1, NODES_GONE.code: 1})
    report("second", 2, ENDED)
    assert wait_for(lambda: told() == {"masks": 5, NODES_RESTARTED.code: 1}), "whoever ends on purpose is not missed"
    writer.gatherer.forget()
    assert "masks" not in told()


@pytest.mark.ros
def test_a_node_that_ends_says_so(world):
    worker = world.add(Worker)
    reports = world.collect(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
    worker.close()

    def states():
        own = [status for message in reports for status in message.status if status.name == "/seg2d3d/worker"]
        return [pair.value for status in own for pair in status.values if pair.key == STATE]

    assert wait_for(lambda: ENDED in states())
