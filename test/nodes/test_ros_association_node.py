"""association_node alone: masks that come while a revision is associated."""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_map_nodes import header_of, scene
from helpers_ros import wait_for
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.pipeline.live.completeness import MAP_WITHOUT_MASKS, MASKS_DROPPED, MASKS_WITHOUT_KEYFRAME
from seg2d3d_ros.ros.map_exchange import instance_publisher
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name, labels_to_image, unsegmented
from seg2d3d_ros.ros.node.qos import LABELS, SEGMENTS
from seg2d3d_ros.segmentation.encoding import to_mono16
from seg2d3d_ros.types import Keyframe

pytestmark = pytest.mark.ros


class Slow:
    """A session whose updates wait until they may go on."""

    def __init__(self, node, model):
        self.begun, self.go_on = threading.Event(), threading.Event()
        update = node._session.update

        def slowly(_models, *, full):
            self.begun.set()
            assert self.go_on.wait(30)
            return update([model], full=full)

        node._session.update = slowly
        node._associating.put((("map", 1), False))
        assert self.begun.wait(10)


def masks(segments, name):
    return labels_to_image(to_mono16(dataclasses.replace(segments, name=name)), header_of(name))


def test_masks_reach_the_disk_while_a_revision_is_associated(world, tmp_path):
    node = world.add(AssociationNode, map_dir=str(tmp_path))
    model, segments = scene(4)
    slow, store = Slow(node, model), MapStore(tmp_path)
    some = next(iter(segments.values()))
    names = [f"front_{k}" for k in range(100, 100 + 2 * SEGMENTS.depth)]
    try:
        for group in (names[: SEGMENTS.depth // 2], names[SEGMENTS.depth // 2 : SEGMENTS.depth], names[SEGMENTS.depth :]):
            for name in group:
                node._received(masks(some, name))
                if len(group) == SEGMENTS.depth:  # longer than the queue together with the others
                    assert wait_for(store.segment_path(name).exists)
            assert wait_for(store.segment_path(group[-1]).exists), "masks wait for the update"
    finally:
        slow.go_on.set()
    assert node.diagnostics.findings.list() == [], "none is dropped"
    assert all(store.segment_path(name).exists() for name in names)
    assert wait_for(lambda: node._session.segmented == len(names)), "the last one's classes follow its mask"


def test_masks_that_the_disk_cannot_take_are_a_finding(world, tmp_path, monkeypatch):
    node = world.add(AssociationNode, map_dir=str(tmp_path))
    _, segments = scene(4)
    some, held = next(iter(segments.values())), threading.Event()
    monkeypatch.setattr(node._session, "receive", lambda _: held.wait(60))
    try:
        for k in range(SEGMENTS.depth + 3):
            node._received(masks(some, f"front_{k + 1}"))
            if k == 0:
                assert wait_for(lambda: len(node._segmenting._items) == 0), "the first is at work"
        (found,) = node.diagnostics.findings.list()
        assert (found.kind, found.count, found.examples) == (MASKS_DROPPED, 2, ("front_2", "front_3"))
    finally:
        held.set()


def test_halves_of_keyframes_are_reckoned_at_flush(world, tmp_path):
    """Masks of a keyframe that the reconstruction never got, and a keyframe of the map without masks."""
    node = world.add(AssociationNode, map_dir=str(tmp_path), segments_patience=0.0)
    _, segments = scene(4)
    store = MapStore(tmp_path)
    frame = Keyframe("front_1", "front", 1, b"x", file_name="front_1.jpg")
    store.write_keyframes([KeyframeRecord.of(frame, store.write_image(frame).relative_to(tmp_path))])
    some = next(iter(segments.values()))
    for name in ("front_1", "front_9"):
        node._received(masks(some, name))
    node._receiver._observations["front_4"] = np.zeros(0)
    node._segmenting.drain(60)
    assert world.call(Trigger, "association_node/flush").success
    found = {finding.kind: finding.examples for finding in node.diagnostics.findings.list()}
    assert found == {MAP_WITHOUT_MASKS: ("front_4",), MASKS_WITHOUT_KEYFRAME: ("front_9",)}


def test_keyframes_in_which_nobody_looked_get_labels_and_are_not_waited_for(world, tmp_path):
    """One mask is enough: the others get theirs from the 3D points, at once."""
    node = world.add(AssociationNode, map_dir=str(tmp_path), segments_patience=3600.0)
    model, segments = scene(4)
    node._receiver._observations = dict.fromkeys(segments, np.zeros(0))
    first, *others = segments
    node._received(masks(segments[first], first))
    for name in others:
        node._received(unsegmented(header_of(name)))
    assert node._segmenting.drain(60)
    assert not node._segments_may_come()
    result = node._session.update([model], full=True)
    assert (result.counts["segmented"], set(result.labels)) == (1, set(segments))
    node._reckon()
    assert MAP_WITHOUT_MASKS not in {finding.kind for finding in node.diagnostics.findings.list()}
    assert node._latency._since.keys() == {first}, "labels of the others are drawn by finalize"


def test_prompts_are_set_as_at_the_start(world, tmp_path):
    node = world.add(AssociationNode, map_dir=str(tmp_path), segmentation__prompts=["building"])
    answer = node.set_parameters([Parameter("segmentation.prompts", value=["house", "tree"])])
    assert answer[0].successful, answer[0].reason
    assert node._classes.names == ("house", "tree", "building")
    _, segments = scene(4)
    node._received(masks(next(iter(segments.values())), "front_1"))
    assert wait_for(lambda: node._session.segmented == 1)
    assert node._session.class_names == ("house", "tree", "building"), "class 1 is the first prompt"
    refused = node.set_parameters([Parameter("segmentation.prompts", Parameter.Type.STRING_ARRAY, [])])
    assert not refused[0].successful


def test_reset_waits_for_an_update_and_leaves_nothing_of_it(world, tmp_path):
    node = world.add(AssociationNode, map_dir=str(tmp_path))
    model, segments = scene(4)
    for item in segments.values():
        node._session.receive(item)
    slow = Slow(node, model)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(world.call(Trigger, "association_node/reset")))
    asking.start()
    asking.join(0.5)
    assert answers == [], "the update still runs"
    slow.go_on.set()
    asking.join(20)
    assert answers[0].success
    assert not (tmp_path / "labels").exists()
    assert not (tmp_path / "tracks.json").exists()
    assert node._session.segmented == 0


def test_tracks_tell_what_the_label_images_show(world, tmp_path, monkeypatch):
    """vision_msgs is not on PyPI: a publisher and a message that note what they get."""
    sent = []
    monkeypatch.setattr(instance_publisher, "tracks_message", lambda vision, *content: (vision, *content))
    node = world.add(AssociationNode, map_dir=str(tmp_path), association__min_images=2, association__min_points=3)
    published = world.collect(Image, "instances/labels", LABELS)
    publisher = node._publisher
    assert wait_for(lambda: publisher._labels.get_subscription_count())
    publisher._vision, publisher._tracks = (
        "vision",
        SimpleNamespace(publish=sent.append, get_subscription_count=int, wait_for_all_acked=lambda _: True),
    )
    publisher._boxes = publisher._tracks
    monkeypatch.setattr(instance_publisher, "boxes_message", lambda *_: None)
    model, segments = scene(4)
    for name, item in segments.items():
        node._headers[name] = header_of(name)
        node._session.receive(item)
    monkeypatch.setattr(node._receiver, "models", lambda: [model])
    node._associating.put((("map", 1), True))
    assert wait_for(lambda: len(published) == 4)
    tracks = [message for message in sent if message]
    assert [keyframe_name(header) for *_, header in tracks] == list(model.names)
    for (vision, observations, instances, names, header), message in zip(tracks, published, strict=True):
        labels = image_to_labels(message)
        np.testing.assert_array_equal(labels, MapStore(tmp_path).read_labels(keyframe_name(header)))
        assert (vision, names) == ("vision", ("building",))
        assert {item.instance for item in observations} == set(np.unique(labels).tolist()) - {0}
        assert {item.instance for item in observations} <= set(instances.ids.tolist())
        for item in observations:
            x0, y0, x1, y1 = item.box
            assert (labels[y0:y1, x0:x1] == item.instance).all()
