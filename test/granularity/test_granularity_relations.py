"""Relations between masks where points are spread unevenly: a part with most of its whole's points is not the whole."""

import numpy as np
from scipy import sparse

from seg2d3d_ros.granularity.containment import NodePoints, parents, united_by_points
from seg2d3d_ros.granularity.mask_points import MaskPoints
from seg2d3d_ros.granularity.nesting import nested_votes
from seg2d3d_ros.granularity.same_things import group_masks

POINTS = 100
EVERYWHERE = np.arange(POINTS)


def looked_up(masks: list[tuple[int, np.ndarray]]) -> MaskPoints:
    """Masks as pairs of a view and its points; all views see all points."""
    view = np.array([k for k, _ in masks])
    rows = np.concatenate([np.full(len(points), k) for k, (_, points) in enumerate(masks)])
    columns = np.concatenate([points for _, points in masks])
    held = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (len(masks), POINTS))
    views = int(view.max()) + 1
    visible = sparse.csr_matrix(np.ones((views, POINTS)))
    index = np.array([int((view[:k] == view[k]).sum()) for k in range(len(masks))])
    ones, nothing = np.ones(len(masks)), np.empty(0, np.int64)
    where = nothing, nothing, np.empty((0, 2)), nothing.astype(bool)
    facts = view, index, np.diff(held.indptr), ones.astype(np.int32), ones, ones
    return MaskPoints(held, visible, tuple(map(str, range(views))), *facts, *where)


def house_and_storey(share: float, views: int = 6) -> list[tuple[int, np.ndarray]]:
    """In turn a mask of the whole, and one of a part with this share of its points."""
    part = EVERYWHERE[: round(share * POINTS)]
    return [(k, EVERYWHERE if k % 2 else part) for k in range(views)]


def test_a_part_with_most_points_of_its_whole_is_another_thing():
    group = group_masks(looked_up(house_and_storey(0.57)))
    assert len(set(group[::2].tolist())) == len(set(group[1::2].tolist())) == 1
    assert group[0] != group[1]


def test_ragged_borders_on_both_sides_are_one_thing_at_the_same_overlap():
    """Two shares of .72 have the intersection over union that 1 and .57 have."""
    one, other = EVERYWHERE[:78], EVERYWHERE[22:]
    assert len(set(group_masks(looked_up([(k, one if k % 2 else other) for k in range(6)])).tolist())) == 1


def test_one_image_that_shows_both_keeps_whole_and_part_apart():
    masks = house_and_storey(0.66)
    assert len(set(group_masks(looked_up(masks)).tolist())) == 1
    both = looked_up([*masks, (6, EVERYWHERE), (6, EVERYWHERE[:66])])
    group = group_masks(both)
    assert group[6] != group[7]
    nodes = NodePoints.of(both, np.array([0 if len(points) < POINTS else 1 for _, points in masks] + [1, 0]))
    assert united_by_points(both, nodes).tolist() == [0, 1]
    assert parents(both, nodes).tolist() == [1, -1], "what is not one thing is part and whole, not two things side by side"
    without = looked_up(masks)
    assert united_by_points(without, NodePoints.of(without, nodes.of_mask[:6])).tolist() == [0, 0]


def test_votes_of_single_images():
    third, half = EVERYWHERE[:33], EVERYWHERE[50:]
    points = looked_up([(0, EVERYWHERE), (0, third), (0, half), (0, EVERYWHERE[:95]), (1, third)])
    votes = nested_votes(points).toarray()
    assert (votes == votes.T).all()
    assert votes[0].tolist() == [0, 1, 1, -1, 0]
    assert votes[1, 2] == 0, "side by side: perhaps two pieces of one thing"
    assert not votes[4].any(), "another image's"
