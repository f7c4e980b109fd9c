"""A second look: asked with the right box, accepted only where mask and points agree."""

from __future__ import annotations

import numpy as np
from helpers_boards import Board, boards_world

from seg2d3d_ros.association.masks.missed import find_missed
from seg2d3d_ros.association.masks.recovered_masks import labels_by
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.pipeline.second_look import SCORE, asks_of, second_round
from seg2d3d_ros.segmentation.models.mask_models import Mask
from seg2d3d_ros.types import Keyframe

HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))


class Double:
    """Answers every box with the same mask, and remembers what it was asked."""

    def __init__(self, mask):
        self.mask, self.boxes = mask, []

    def look(self, keyframe, boxes):
        self.boxes.append((keyframe.name, boxes))
        region = region_of(self.mask)
        return [None if region is None else Mask(region, 1.0, 1.0) for _ in boxes]


def rounds(mask_of):
    world = boards_world(HOUSES, (-2.0, -1.0, 0.0, 1.0, 2.0), missed={(2, 1)})
    incidence, instances = world.solved()
    missed = find_missed([world.model], world.segments, incidence, instances)
    transfer = Transfer([world.model], incidence, instances, labels_by(Repair(incidence, instances), world.segments))
    double = Double(mask_of(world.truth["view2"]))
    found = list(
        second_round(double, asks_of(missed, transfer), lambda name: Keyframe(name, "", 0, b""), world.segments.__getitem__)
    )
    return world, double, found


def test_the_box_is_where_the_object_should_be_and_the_mask_becomes_a_segment():
    world, double, ((segments, added),) = rounds(lambda truth: truth == 1)
    truth = world.truth["view2"]
    ((name, boxes),) = double.boxes
    assert name == "view2"
    rows, columns = np.nonzero(truth == 1)
    np.testing.assert_allclose(boxes[0], [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=3)
    assert added == [21]
    np.testing.assert_array_equal(segments.labels == 21, truth == 1)
    np.testing.assert_array_equal(segments.labels == 20, world.segments["view2"].labels == 20)
    assert segments.ids.tolist() == [20, 21]
    assert 0.5 * SCORE < segments.scores[-1] <= SCORE
    # With it, the object has one id in all five views.
    world.segments["view2"] = segments
    incidence, instances = world.solved()
    assert len(instances.ids) == 2
    assert find_missed([world.model], world.segments, incidence, instances) == []


def test_what_does_not_agree_is_refused():
    half = np.arange(160)[None, :] < 35
    for mask_of in (
        lambda truth: truth * 0 > 0,  # nothing
        lambda truth: (truth == 1) & half,  # a part: too few of the points
        lambda truth: truth >= 0,  # the whole image: far too large
        lambda truth: truth == 2,  # the neighbour, who has a mask of his own
    ):
        _, double, found = rounds(mask_of)
        assert len(double.boxes) == 1
        assert found == []


def test_a_mask_never_takes_pixels_from_others():
    world, _, ((segments, _),) = rounds(lambda truth: (truth == 1) | (truth == 2))
    np.testing.assert_array_equal(segments.labels == 20, world.truth["view2"] == 2)
    np.testing.assert_array_equal(segments.labels == 21, world.truth["view2"] == 1)
