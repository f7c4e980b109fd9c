"""Overlapping masks on their way through the nodes' topics."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("rclpy")

from helpers_levels import NAMES, cut_at_random, street_front
from helpers_map_nodes import header_of
from helpers_ros import wait_for
from sensor_msgs.msg import CompressedImage, Image

from seg2d3d_ros.nodes.association_node import OVERLAPPING_REFUSED, AssociationNode
from seg2d3d_ros.ros.messages.conversion import labels_to_image
from seg2d3d_ros.ros.messages.mask_messages import MASKS_TOPIC, masks_to_message
from seg2d3d_ros.ros.node.qos import SEGMENTS
from seg2d3d_ros.segmentation.encoding import to_mono16
from seg2d3d_ros.segmentation.finest import flat_choice

pytestmark = pytest.mark.ros
MASKS = cut_at_random(1)[0]


def test_the_association_keeps_what_comes_and_counts_what_cannot_be_used(world, tmp_path):
    node = world.add(AssociationNode, map_dir=str(tmp_path))
    node._keep_masks(masks_to_message(MASKS[NAMES[4]], ("object",), header_of("front_7")))
    kept = node._store.read_overlapping("front_7", ("object",))
    assert kept.counts == MASKS[NAMES[4]].counts
    bad = masks_to_message(MASKS[NAMES[4]], ("object",), header_of("front_8"))
    bad.format = "png"
    node._keep_masks(bad)
    (finding,) = node.diagnostics.findings.list()
    assert (finding.kind, finding.examples) == (OVERLAPPING_REFUSED, ("front_8",))


def test_a_whole_solution_chooses_one_granularity_and_updates_do_not_wait_for_it(world, tmp_path):
    given = {"segmentation.prompts": ["object"], "association.granularity": "coarse", "association.enough_points": 0}
    node = world.add(AssociationNode, map_dir=str(tmp_path), **given)
    street = street_front(1)
    names = [f"front_{k + 1}" for k in range(len(NAMES))]
    model = dataclasses.replace(street, names=tuple(names))
    masks_out = world.probe.create_publisher(CompressedImage, MASKS_TOPIC, SEGMENTS)
    segments_out = world.probe.create_publisher(Image, "keyframes/segments", SEGMENTS)
    assert wait_for(lambda: masks_out.get_subscription_count() and segments_out.get_subscription_count())
    for name, old in zip(names, NAMES, strict=True):
        masks = dataclasses.replace(MASKS[old], name=name)
        masks_out.publish(masks_to_message(masks, ("object",), header_of(name)))
        segments_out.publish(labels_to_image(to_mono16(flat_choice(masks)), header_of(name)))
    assert wait_for(lambda: node._session.segmented == len(names) and len(node._store.overlapping_names()) == len(names))
    first = node._session.update([model])
    assert not (tmp_path / "granularity.json").exists()
    whole = node._session.update([model], full=True)
    assert (tmp_path / "granularity.json").exists()
    assert sum(whole.instances.point_instance > 0) > 700
    assert len({i for i in whole.instances.point_instance.tolist() if i}) == 2 < len(first.instances.ids)
