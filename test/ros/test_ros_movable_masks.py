"""Keyframes wait for the masks of what moves, not for ever; masks and poses reach the worker, after a restart too."""

from __future__ import annotations

import time
import types

import numpy as np
import pytest
from helpers_remembering_node import RememberingNode

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from sensor_msgs.msg import Image  # noqa: E402

from seg2d3d_ros.config import make_config  # noqa: E402
from seg2d3d_ros.geometry.pose import Pose  # noqa: E402
from seg2d3d_ros.images import encode_png  # noqa: E402
from seg2d3d_ros.mapstore.store import MapStore  # noqa: E402
from seg2d3d_ros.pipeline.live.mapping_session import MappingSession  # noqa: E402
from seg2d3d_ros.pipeline.live.schedule import Schedule  # noqa: E402
from seg2d3d_ros.ros.exchange.movable_masks import MOVING_THINGS_KEPT, MovableMasks  # noqa: E402
from seg2d3d_ros.ros.messages.class_names import class_names_message  # noqa: E402
from seg2d3d_ros.ros.messages.conversion import labels_to_image, make_header, unsegmented  # noqa: E402
from seg2d3d_ros.types import Keyframe  # noqa: E402


def keyframe(k=1):
    return Keyframe(f"front_{k}", "front", k, b"", file_name=f"front_{k}.jpg")


def segments(labels, k=1):
    return labels_to_image(np.array(labels, np.uint16), make_header(k, "front"))


def masks(monkeypatch, movable=("car",), segmenter="topic"):
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    node, found = RememberingNode(), []
    config = make_config(
        {"segmentation.prompts": ["house"], "segmentation.movable": list(movable), "segmentation.segmenter": segmenter}
    )
    return node, clock, found, MovableMasks(node, lambda *item: found.append(item), config.segmentation, 5.0)


@pytest.mark.parametrize("settings", [{"movable": ()}, {"segmenter": "none"}])
def test_nothing_waits_where_nothing_moves_or_nobody_looks(monkeypatch, settings):
    node, _, found, waiting = masks(monkeypatch, **settings)
    waiting.take(keyframe())
    assert [(k.name, ignore) for k, ignore in found] == [("front_1", None)]
    assert node.callbacks == {}


@pytest.mark.parametrize("first", ["keyframe", "segments"])
def test_a_keyframe_goes_on_with_the_mask_of_what_moves(monkeypatch, first):
    node, _, found, waiting = masks(monkeypatch)
    parts = [lambda: waiting.take(keyframe()), lambda: node.callbacks["keyframes/segments"](segments([[0, 1000, 2000, 2003]]))]
    for part in parts if first == "keyframe" else parts[::-1]:
        part()
    ((_, ignore),) = found
    np.testing.assert_array_equal(ignore, [[False, False, True, True]])
    assert waiting.pending == 0


def test_the_segmenters_own_names_count(monkeypatch):
    node, _, found, waiting = masks(monkeypatch)
    node.callbacks["keyframes/classes"](class_names_message(["house", "tree", "Car"]))
    waiting.take(keyframe())
    node.callbacks["keyframes/segments"](segments([[2000, 3000]]))
    np.testing.assert_array_equal(found[0][1], [[False, True]])


def test_one_whose_segments_do_not_come_goes_on_and_is_counted(monkeypatch):
    node, clock, found, waiting = masks(monkeypatch)
    waiting.take(keyframe())
    clock.now += 4.9
    node.timers[0]()
    assert (found, waiting.pending) == ([], 1)
    clock.now += 0.2
    node.timers[0]()
    assert [(k.name, ignore) for k, ignore in found] == [("front_1", None)]
    assert [(finding.kind, finding.count) for finding in node.findings.list()] == [(MOVING_THINGS_KEPT, 1)]
    node.callbacks["keyframes/segments"](segments([[2000]]))
    assert node.counts["masks of movable things that came late"] == 1
    assert len(found) == 1


def test_damaged_segments_do_not_stop_the_keyframe(monkeypatch):
    node, _, found, waiting = masks(monkeypatch)
    waiting.take(keyframe())
    node.callbacks["keyframes/segments"](Image(header=make_header(1, "front"), encoding="rgb8", height=1, width=1, step=3))
    assert found[0][1] is None


def test_one_in_which_nobody_looked_does_not_wait(monkeypatch):
    node, _, found, waiting = masks(monkeypatch)
    waiting.take(keyframe())
    node.callbacks["keyframes/segments"](unsegmented(make_header(1, "front")))
    assert [(k.name, ignore) for k, ignore in found] == [("front_1", None)]
    assert node.words == [], "it is no damaged message"


class Worker:
    def __init__(self):
        self.got, self.busy = [], False

    def add(self, keyframe, ignore=None, image_scale=1.0):
        self.got.append((keyframe, ignore))

    def solve(self):
        pass

    def events(self):
        return []

    def close(self):
        pass


def test_mask_mount_and_odometry_survive_a_restart(tmp_path):
    ignore = np.zeros((6, 8), bool)
    ignore[2:] = True
    encoded = encode_png(np.zeros((6, 8, 3), np.uint8))
    pose = Pose.from_matrix(np.eye(4) + np.diag([1.0, 2.0], 2))
    item = Keyframe("a", "front", 1, encoded, file_name="a.png", mount=pose, odometry=pose.scaled(2))
    bare = Keyframe("b", "front", 2, encode_png(np.full((6, 8, 3), 9, np.uint8)), file_name="b.png")
    for received in ((item, ignore), (bare, np.zeros((6, 8), bool))), ():
        worker = Worker()
        quiet = {"on_revision": lambda r: None, "on_failure": lambda m: None}
        session = MappingSession(MapStore(tmp_path / "map"), lambda worker=worker: worker, Schedule(), **quiet)
        for one in received:
            session.receive(*one)
        session.tick()
        session.close()
        (first, mask), (_, none) = worker.got
        np.testing.assert_array_equal(mask, ignore)
        assert none is None
        np.testing.assert_array_equal(first.mount.matrix, pose.matrix)
        np.testing.assert_array_equal(first.odometry.matrix, pose.scaled(2).matrix)
