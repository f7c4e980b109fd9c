"""The names that the nodes have in a running graph: of their statuses for an aggregator, of what they make for SROS 2."""

from __future__ import annotations

import platform
import runpy
import xml.etree.ElementTree as ET
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")

from helpers_ros import another_domain

from seg2d3d_ros.nodes.bag_player import BagPlayer
from seg2d3d_ros.nodes.keyframe_node import KeyframeNode
from seg2d3d_ros.nodes.pipeline import PipelineNode
from seg2d3d_ros.nodes.words_node import WordsNode

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
POLICY = runpy.run_path(str(ROOT / "scripts/draw_policy.py"))


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """All nodes, active, and what the graph says of each."""
    with POLICY["running"](another_domain(), tmp_path_factory.mktemp("graph")) as (probe, nodes):
        yield nodes, {node.get_name(): POLICY["names_of"](probe, node) for node in nodes}


def analyzers():
    tree = yaml.safe_load((ROOT / "config/diagnostic_aggregator.yaml").read_text())
    return tree["analyzers"]["ros__parameters"]["mapping"]["analyzers"]


def matches(analyzer, name):
    """As diagnostic_aggregator/GenericAnalyzer decides."""
    return name in analyzer.get("expected", ()) or any(name.startswith(prefix) for prefix in analyzer.get("startswith", ()))


def test_every_node_has_one_status_which_one_analyzer_takes(graph):
    nodes, _ = graph
    statuses = [node.diagnostics.status() for node in nodes]
    names = {status.name for status in statuses}
    assert len(names) == len(nodes)
    assert {status.hardware_id for status in statuses} == {platform.node()}
    rest = {f"/seg2d3d/{cls.NAME}" for cls in (BagPlayer, PipelineNode, WordsNode)}
    for name in names | rest:
        assert [key for key, analyzer in analyzers().items() if matches(analyzer, name)] != [], name
        assert sum(matches(analyzer, name) for analyzer in analyzers().values()) == 1, name
    expected = {name for analyzer in analyzers().values() for name in analyzer.get("expected", ())}
    assert expected <= names, "an analyzer waits for a status that nobody sends"


def test_a_vehicle_has_the_name_that_its_fleet_gives_it(world):
    node = world.add(KeyframeNode, hardware_id="survey 7")
    assert node.diagnostics.status().hardware_id == "survey 7"


def allowed():
    """By node and right, the expressions of the policy file in the node's own enclave; those of all in one are the same."""
    found, together = {}, {}
    for enclave in ET.parse(ROOT / "config/sros2/policy.xml").getroot().iter("enclave"):
        for profile in enclave.iter("profile"):
            rights = {right: [] for right in POLICY["KINDS"]}
            for group in profile:
                (right,) = group.attrib
                assert group.attrib[right] == "ALLOW"
                rights[right] += [entry.text for entry in group]
            (together if enclave.get("path") == "/seg2d3d/pipeline" else found)[profile.get("node")] = rights
    assert found == together
    return found


def test_the_policy_allows_what_the_nodes_make_and_nothing_else(graph):
    _, made = graph
    policy = allowed()
    assert policy.keys() == made.keys()
    for node, found in made.items():
        tables = [POLICY[name].get(node, {}) for name in ("SITE", "OPTIONAL")] + [POLICY["ALWAYS"]]
        for right, names in found.items():
            for name in names:
                assert any(fnmatchcase(name, rule) for rule in policy[node][right]), f"{node} may not {right} {name}"
            known = {*names, *(POLICY["absolute"](one) for table in tables for one in table.get(right, ()))}
            assert set(policy[node][right]) <= known, f"{node} has rights that it does not use: python scripts/draw_policy.py"


def test_the_policy_has_the_form_that_sros2_reads():
    root = ET.parse(ROOT / "config/sros2/policy.xml").getroot()
    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    for profile in root.iter("profile"):
        assert profile.get("ns") == "/seg2d3d"
        assert {group.tag for group in profile} <= {"topics", "services", "actions"}
