"""Lifecycle managers drive nodes up and down for days: in any order, and without leaving anything behind."""

from __future__ import annotations

import gc
import random
import threading
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from helpers_reconstruction_node import PreparedWorker
from helpers_ros import own_domain, ros, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.cloud_node import CloudNode
from seg2d3d_ros.nodes.keyframe_node import KeyframeNode
from seg2d3d_ros.nodes.prompt_node import PromptNode
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.nodes.segmentation_node import SegmentationNode

pytestmark = pytest.mark.ros
NODES = {
    "keyframe": (KeyframeNode, {}),
    "segmentation": (SegmentationNode, {"segmentation__segmenter": "topic"}),
    "reconstruction": (ReconstructionNode, {"segmentation__segmenter": "topic", "segmentation__movable": ["car"]}),
    "association": (AssociationNode, {}),
    "cloud": (CloudNode, {"cloud_topic": "/lidar/points"}),
    "prompt": (PromptNode, {}),
}
WITH_MAP = (ReconstructionNode, AssociationNode, CloudNode, PromptNode)
CYCLES = 20
SETTLED = 4
"""Cycles after which everything that is made once is there."""
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
AFTER = {
    ("unconfigured", CONFIGURE): "inactive",
    ("inactive", ACTIVATE): "active",
    ("active", DEACTIVATE): "inactive",
    ("inactive", CLEANUP): "unconfigured",
}


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: PreparedWorker)
    with ros(own_domain()) as made:
        yield made


def make(world, kind, tmp_path):
    node_class, parameters = NODES[kind]
    here = {"map_dir": str(tmp_path / "map")} if node_class in WITH_MAP else {}
    return world.add(node_class, autostart=False, **parameters, **here)


def entities(node):
    made = (node.publishers, node.subscriptions, node.services, node.clients, node.timers, node.waitables)
    return [len(list(kind)) for kind in made]


def held():
    """Threads of Python but the executor's, which come as they are needed, and open files of the process."""
    gc.collect()
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("ThreadPoolExecutor")]
    return len(threads), len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", NODES)
def test_twenty_cycles_leave_nothing_behind(world, tmp_path, kind):
    node = make(world, kind, tmp_path)
    before, settled = entities(node), None
    for cycle in range(CYCLES):
        for transition in (node.trigger_configure, node.trigger_activate, node.trigger_deactivate, node.trigger_cleanup):
            assert transition().name == "SUCCESS", node.diagnostics.last_error
        if cycle == SETTLED:
            settled = held()
    assert entities(node) == before
    assert settled is not None
    assert wait_for(lambda: all(now <= then for now, then in zip(held(), settled, strict=True)), 20.0), (
        f"{settled} became {held()}"
    )
    assert node.diagnostics.last_error == ""


@pytest.mark.parametrize("kind", NODES)
def test_transitions_in_any_order_are_made_or_refused(world, tmp_path, kind):
    node = make(world, kind, tmp_path)
    before, expected, draw = entities(node), "unconfigured", random.Random(kind)
    service = f"/seg2d3d/{node.get_name()}/change_state"
    for _ in range(25):
        wanted = draw.choice([CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP])
        answer = world.call(ChangeState, service, ChangeState.Request(transition=Transition(id=wanted)))
        assert answer.success == ((expected, wanted) in AFTER)
        expected = AFTER.get((expected, wanted), expected)
        assert node.state == expected
    for wanted in {"active": (DEACTIVATE, CLEANUP), "inactive": (CLEANUP,)}.get(expected, ()):
        assert world.call(ChangeState, service, ChangeState.Request(transition=Transition(id=wanted))).success
    assert entities(node) == before
