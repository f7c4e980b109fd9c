"""Parts of the map's nodes, without DDS: names of classes, nodes of the same name, what finalize makes of the others."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Finding, Findings, Kind
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.ros.map_exchange import known_classes, map_completion
from seg2d3d_ros.ros.map_exchange.known_classes import KnownClasses
from seg2d3d_ros.ros.map_exchange.map_completion import MapCompletion
from seg2d3d_ros.ros.map_exchange.twin_nodes import DEAD_SECONDS, LOOK_SECONDS, TWIN_NODES, TwinWatch

pytestmark = pytest.mark.ros


class Node:
    """What these parts use of a node."""

    def __init__(self):
        self.stopping, self.state, self.config = threading.Event(), "active", Config()
        self.diagnostics = SimpleNamespace(findings=Findings())
        self.graph = [("map_node", "/seg2d3d")]
        self.received = self.timer = None

    def subscribe(self, _kind, _topic, callback, _qos):
        self.received = callback

    def every(self, _seconds, callback):
        self.timer = callback

    def get_name(self):
        return "map_node"

    def get_namespace(self):
        return "/seg2d3d"

    def get_fully_qualified_name(self):
        return "/seg2d3d/map_node"

    def get_node_names_and_namespaces(self):
        return self.graph


# Names of classes


def test_prompts_count_behind_what_the_segmenter_told_as_at_the_start():
    node = Node()
    classes = KnownClasses(node, ("building",))
    classes.ask(["house", "tree"])
    assert classes.names == ("house", "tree", "building"), "what was known is not lost"
    node.received(String(data=json.dumps(["car", "house"])))
    assert classes.names == ("car", "house", "tree", "building"), "class ids count the segmenter's names"
    classes.ask(["pole"])
    assert classes.names == ("car", "house", "pole", "tree", "building")


def test_masks_of_a_class_that_nobody_names_wait_once(monkeypatch):
    waits = []

    class Clock:
        now = 0.0

        def monotonic(self):
            self.now += 1.0
            waits.append(self.now)
            return self.now

    node = Node()
    classes = KnownClasses(node, ("building",))
    assert classes.wait_for(1)
    assert waits == []
    monkeypatch.setattr(known_classes, "time", Clock())
    monkeypatch.setattr(classes._changed, "wait", lambda _: None)
    assert not classes.wait_for(2)
    first = len(waits)
    assert first > 2
    for _ in range(50):
        assert not classes.wait_for(2), "a flood of such masks does not wait each time"
    assert len(waits) == first + 50
    node.received(String(data=json.dumps(["car", "house"])))
    assert classes.wait_for(2)
    assert not classes.wait_for(7)
    assert len(waits) > first + 52, "another number is waited for, once"


def test_a_name_that_comes_while_masks_wait_ends_the_waiting():
    node = Node()
    classes = KnownClasses(node, ("building",))
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(classes.wait_for(2)))
    waiting.start()
    node.received(String(data=json.dumps(["building", "tree"])))
    waiting.join(60)
    assert answers == [True]


# Nodes of the same name


def test_a_second_node_of_the_same_name_is_a_finding_while_it_lives():
    node = Node()
    watch = TwinWatch(node)
    assert watch is not None
    looks = int(DEAD_SECONDS / LOOK_SECONDS)

    def look(times):
        for _ in range(times):
            node.timer()
        return node.diagnostics.findings.list()

    assert look(2 * looks) == []
    node.graph += [("map_node", "/other"), ("other_node", "/seg2d3d")]
    assert look(2 * looks) == []
    node.graph += [("map_node", "/seg2d3d")]
    assert look(looks) == [], "a node that was killed is still in the graph"
    (found,) = look(1)
    assert (found.kind, found.count) == (TWIN_NODES, 1)
    assert "/seg2d3d/map_node" in found.text
    node.graph.pop()
    assert look(1) == []


# What finalize makes of the others

CAMERA_DARK = Kind("camera_dark", "dark pictures", cause="night", remedy="light")
SMALL = Kind("small_thing", "small things", cause="size", remedy="none", level=NOTE)


class Caller:
    """A service of another node: its answer, or the error of a failure, by name."""

    answers: dict[str, object] = {}  # noqa: RUF012  (set by the test)
    called: list[str] = []  # noqa: RUF012

    def __init__(self, _node, name):
        self.name = name

    @property
    def available(self):
        return self.name in self.answers

    def call(self, _timeout):
        self.called.append(self.name)
        answer = self.answers[self.name]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer


@pytest.fixture
def completion(tmp_path, monkeypatch):
    monkeypatch.setattr(map_completion, "TriggerCaller", Caller)
    monkeypatch.setattr(map_completion, "write_report_if_possible", lambda _store: "report.html")
    monkeypatch.setattr(Caller, "called", [])

    def make(answers, *, objects=True, others=()):
        monkeypatch.setattr(Caller, "answers", answers)
        node = Node()
        return node, MapCompletion(node, MapStore(tmp_path), ("keyframes",), objects=objects, others=lambda: list(others))

    return make


def test_what_all_nodes_found_is_in_the_answer_and_in_the_file(completion, tmp_path):
    others = [Finding(CAMERA_DARK, 3, 9), Finding(SMALL, 1)]
    node, made = completion({"association_node/flush": "2 instances", "cloud_node/flush": "5 scans"}, others=others)
    node.diagnostics.findings.add(CAMERA_DARK)
    done = made.write(4, None, {}, {})
    assert done.problem == ""
    assert done.words == "0 of 4 keyframes registered, 2 instances, 5 scans, report.html"
    assert done.findings == (Finding(CAMERA_DARK, 4, 9).text,), "a note is no news for the answer"
    written = {entry["code"]: entry["count"] for entry in MapStore(tmp_path).read_metrics()["findings"]}
    assert written == {"camera_dark": 4, "small_thing": 1}, "those of one kind together, once"
    assert Caller.called == ["association_node/flush", "cloud_node/flush"]


def test_what_others_find_while_they_finish_is_written_too(completion, tmp_path):
    others: list[Finding] = []

    def flush():
        others.append(Finding(CAMERA_DARK, 7))
        return "2 instances"

    _, made = completion({"association_node/flush": flush})
    made._others = lambda: others
    done = made.write(4, None, {}, {})
    assert done.findings == (Finding(CAMERA_DARK, 7).text,)
    assert MapStore(tmp_path).read_metrics()["warnings"] == [Finding(CAMERA_DARK, 7).text]


@pytest.mark.parametrize("answers", [{}, {"association_node/flush": DataError("no building was found: no masks")}])
def test_no_labels_although_objects_were_asked_for_is_a_failure(completion, answers):
    _, made = completion(answers, others=[Finding(SMALL, 1)])
    done = made.write(4, None, {}, {})
    assert done.findings == (Finding(SMALL, 1).text,), "a note may be the cause"
    assert ("not running" in done.problem) if not answers else ("no building was found" in done.problem)
    assert "report.html" in done.words, "what there is, is written"


def test_without_a_segmenter_the_model_alone_is_the_result(completion):
    _, made = completion({}, objects=False)
    done = made.write(4, None, {}, {})
    assert done.problem == ""
    assert "no labels" in done.words


def test_a_node_that_ends_writes_no_verdict(completion):
    node, made = completion({"association_node/flush": DataError("did not answer")})
    node.stopping.set()
    with pytest.raises(DataError):
        made.write(4, None, {}, {})
    assert made.stage == ""


def test_a_reset_reaches_those_who_listen_before_those_whom_they_listen_to(completion):
    _, made = completion({"association_node/reset": "", "cloud_node/reset": ""})
    assert made.reset() == []
    assert Caller.called == ["cloud_node/reset", "association_node/reset"]


def test_one_that_has_just_died_does_not_keep_the_others_from_a_reset(completion):
    _, made = completion({"association_node/reset": "", "cloud_node/reset": DataError("cloud_node/reset did not answer")})
    assert made.reset() == ["cloud_node/reset did not answer"]
    assert Caller.called == ["cloud_node/reset", "association_node/reset"]
