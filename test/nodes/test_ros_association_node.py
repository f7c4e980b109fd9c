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
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.ros.exchange import instance_publisher
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name, labels_to_image
from seg2d3d_ros.ros.node.qos import LABELS, SEGMENTS
from seg2d3d_ros.segmentation.encoding import to_mono16

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


def test_masks_reach_the_disk_while_a_revision_is_associated(world, tmp_path, monkeypatch):
    dropped = []
    monkeypatch.setattr(AssociationNode, "_dropped", lambda _, message: dropped.append(message))
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
    assert dropped == []
    assert all(store.segment_path(name).exists() for name in names)
    assert node._session.segmented == len(names)


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
    for (vision, observations, names, header), message in zip(tracks, published, strict=True):
        labels = image_to_labels(message)
        np.testing.assert_array_equal(labels, MapStore(tmp_path).read_labels(keyframe_name(header)))
        assert (vision, names) == ("vision", ("building",))
        assert {item.instance for item in observations} == set(np.unique(labels).tolist()) - {0}
        for item in observations:
            x0, y0, x1, y1 = item.box
            assert (labels[y0:y1, x0:x1] == item.instance).all()
