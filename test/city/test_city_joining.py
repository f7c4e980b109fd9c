"""Joining: transforms that are known come back through outliers; what contradicts is told; objects keep one identity."""

import numpy as np
import pytest
from helpers_city import World, similarity
from scipy.spatial.transform import Rotation

from seg2d3d_ros.city.joining.block_graph import PlacedBlock, composed, place_blocks
from seg2d3d_ros.city.joining.common_points import common_points
from seg2d3d_ros.city.joining.identity_groups import group_instances
from seg2d3d_ros.city.joining.overlap_fit import fit_overlap
from seg2d3d_ros.city.joining.own_frames import city_from_enu
from seg2d3d_ros.city.joining.shared_evidence import SameObject, same_by_images, same_by_place
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.geometry.wgs84 import from_enu, to_enu

STRETCHES = (range(12), range(8, 22), range(18, 30))
"""Images of three blocks along the world's way."""


def node(content, own=None, sigma=1.0, scale_sigma=None):
    """What a block knows of itself; ``own``: its ``city_from_block`` by positions of all its cameras."""
    centers = content.model.centers
    return PlacedBlock(
        content.name,
        len(centers),
        np.median(centers, axis=0),
        centers if own is not None else np.zeros((0, 3)),
        np.full(len(centers) if own is not None else 0, sigma),
        own,
        scale_sigma,
    )


def ties_of(contents):
    found = []
    for k, one in enumerate(contents):
        for other in contents[k + 1 :]:
            common = common_points(one, other)
            if common is not None:
                found.append(fit_overlap(one.name, other.name, common))
    return found


def away(a: Similarity, b: Similarity, xyz: np.ndarray) -> float:
    return float(np.abs(a.apply(xyz) - b.apply(xyz)).max())


@pytest.mark.parametrize("bad", [0.0, 0.2])
def test_known_transforms_come_back_through_outliers(bad):
    world = World()
    truth = [similarity(k, scale) for k, scale in enumerate((1.0, 0.4, 2.5))]
    contents = [world.block(f"b{k}", rows, truth[k], bad=bad) for k, rows in enumerate(STRETCHES)]
    overlaps = ties_of(contents)
    assert [overlap.pair for overlap in overlaps if overlap.tie] == [("b0", "b1"), ("b1", "b2")]
    found = place_blocks([node(content) for content in contents], [overlap.tie for overlap in overlaps if overlap.tie])
    assert found.placed == {"b0", "b1", "b2"}
    assert not found.refused
    for k in (0, 2):  # relative to the middle block, which holds most images
        expected = composed(truth[1], truth[k].inverse())
        got = composed(found.city_from_block["b1"].inverse(), found.city_from_block[f"b{k}"])
        assert away(expected, got, contents[k].model.centers) < 0.01 * truth[1].scale


def test_a_block_of_another_place_ties_nothing():
    world = World()
    one, other = world.block("a", range(12), similarity(0)), World(5).block("b", range(12), similarity(1))
    common = common_points(one, other)
    assert fit_overlap("a", "b", common).tie is None
    wrong = world.block("c", range(8, 22), similarity(2), bad=0.9)
    overlap = fit_overlap("a", "c", common_points(one, wrong))
    assert overlap.tie is None
    assert overlap.reason


def test_a_tie_that_the_others_contradict_is_taken_out_and_told():
    world = World()
    truth = [similarity(k) for k in range(4)]
    stretches = (range(14), range(6, 20), range(10, 24), range(16, 30))
    contents = [world.block(f"b{k}", rows, truth[k]) for k, rows in enumerate(stretches)]
    ties = [overlap.tie for overlap in ties_of(contents) if overlap.tie]
    lie = next(tie for tie in ties if tie.pair == ("b0", "b2"))
    bent = similarity(9, turn=0.3, shift=2.0)
    moved = type(lie.poses_b)(lie.poses_b.rotation, lie.poses_b.translation + 4.0)
    ties = [tie for tie in ties if tie is not lie] + [
        type(lie)(**{**lie.__dict__, "poses_b": moved, "xyz_b": bent.apply(lie.xyz_b)})
    ]
    found = place_blocks([node(content) for content in contents], ties)
    assert set(found.refused) == {("b0", "b2")}
    assert found.placed == {"b0", "b1", "b2", "b3"}
    expected = composed(truth[0], truth[3].inverse())
    got = composed(found.city_from_block["b0"].inverse(), found.city_from_block["b3"])
    assert away(expected, got, contents[3].model.centers) < 0.02


def test_blocks_that_nothing_ties_are_placed_by_their_positions_or_not_at_all():
    world = World()
    contents = [world.block("a", range(10), similarity(0)), world.block("b", range(15, 30), similarity(1))]
    free = place_blocks([node(content) for content in contents], [])
    assert free.placed == {"b"}, "the larger one is the city; nobody knows where the other lies"
    assert free.group == {"a": 1, "b": 0}
    own = [similarity(k).inverse() for k in range(2)]
    held = place_blocks([node(content, own[k]) for k, content in enumerate(contents)], [])
    assert held.placed == {"a", "b"}
    assert away(held.city_from_block["a"], own[0], contents[0].model.centers) < 1e-6


def test_positions_are_averaged_over_all_blocks_that_hang_together():
    """Each block's own positions are off by a metre in another direction: the ties hold, and the city is off by the mean."""
    world = World()
    truth = [similarity(k) for k in range(3)]
    contents = [world.block(f"b{k}", rows, truth[k]) for k, rows in enumerate(STRETCHES)]
    shifts = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 0.6]])
    right = [one.inverse() for one in truth]
    own = [Similarity(s.scale, s.rotation, s.translation + shift) for s, shift in zip(right, shifts, strict=True)]
    nodes = [node(content, own[k], sigma=1.5, scale_sigma=1e-4) for k, content in enumerate(contents)]
    found = place_blocks(nodes, [overlap.tie for overlap in ties_of(contents) if overlap.tie])
    offsets = []
    for k, content in enumerate(contents):
        centers = content.model.centers
        offsets.append(found.city_from_block[content.name].apply(centers) - right[k].apply(centers))
    moved = np.concatenate(offsets)
    assert np.ptp(moved[:, 0]) < 0.1, "not torn apart, as the positions alone would have it"
    assert np.abs(moved.mean(axis=0)).max() < 0.4
    distance = max(value for value, _ in found.residuals.values())
    assert distance < 0.02


def test_a_straight_street_does_not_turn_about_itself():
    """Positions on a line leave that turn open: what the blocks say of the vertical decides, in the mean."""
    world = World()
    truth = [similarity(k) for k in range(3)]
    contents = [world.block(f"b{k}", rows, truth[k], noise=0.03) for k, rows in enumerate(STRETCHES)]
    own, rng = [], np.random.default_rng(1)
    for one, degrees in zip(truth, (3.0, -2.0, 0.5), strict=True):
        lean = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
        off = Similarity(1.0, lean, rng.normal(0, 0.1, 3))
        own.append(composed(off, one.inverse()))
    nodes = [node(content, own[k], sigma=0.1) for k, content in enumerate(contents)]
    found = place_blocks(nodes, [overlap.tie for overlap in ties_of(contents) if overlap.tie])
    for k, content in enumerate(contents):
        turn = found.city_from_block[content.name].rotation @ truth[k].inverse().rotation.T
        assert np.degrees(Rotation.from_matrix(turn).magnitude()) < 1.0


def test_datums_differ_by_a_rigid_motion():
    one, other = (48.1, 11.5, 500.0), (48.12, 11.53, 510.0)
    moved = city_from_enu(one, other)
    xyz = np.random.default_rng(0).uniform(-500, 500, (20, 3))
    assert np.abs(moved.apply(xyz) - to_enu(from_enu(xyz, one), other)).max() < 1e-3
    assert moved.scale == 1.0


def observed(*seen, name="building"):
    items = [{"image": image, "segment": segment, "score": 1.0, "box": [0, 0, 5, 5]} for image, segment in seen]
    return {"class": name, "observations": items, "points": 5, "score": 0.9}


def test_instances_are_one_by_the_masks_of_common_images():
    world = World()
    a = {1: observed(("009", 5), ("010", 6), ("003", 1)), 2: observed(("009", 7), ("010", 8))}
    b = {4: observed(("009", 5), ("010", 6), ("015", 1)), 5: observed(("009", 7), ("010", 8)), 6: observed(("011", 1))}
    one = world.block("a", range(12), similarity(0), instances=a)
    other = world.block("b", range(8, 22), similarity(1), instances=b)
    found = same_by_images(one, other, common_points(one, other))
    assert {(item.one[1], item.other[1]) for item in found} == {(1, 4), (2, 5)}
    assert all(item.agreement == 1.0 for item in found)


def test_instances_are_one_by_common_points_and_by_place():
    world = World()
    half = np.where(world.xyz[:, 0] < 10.0, 1, 2)  # two objects, which meet inside the overlap
    a, b = {1: observed(("001", 1)), 2: observed(("002", 2))}, {1: observed(("018", 1)), 2: observed(("019", 2))}
    one = world.block("a", range(12), similarity(0), instances=a, of_point=half)
    other = world.block("b", range(8, 22), similarity(1), instances=b, of_point=np.where(half == 1, 2, 1))
    found = same_by_images(one, other, common_points(one, other))
    assert {(item.one[1], item.other[1]) for item in found} == {(1, 2), (2, 1)}

    def boxed(low, high):
        center, size = (np.add(low, high) / 2).tolist(), np.subtract(high, low).tolist()
        box = {"center": center, "size": size, "quaternion_xyzw": [0, 0, 0, 1]}
        return {**observed(), "box3d": box}

    still = Similarity(1.0, np.eye(3), np.zeros(3))
    near, far = boxed([4, 6, -2], [12, 14, 5]), boxed([12, 6, -2], [20, 14, 5])
    of_point = np.where((world.xyz[:, 0] > 4) & (world.xyz[:, 0] < 12), 1, np.where(world.xyz[:, 0] < 20, 2, 0))
    one = world.block("a", range(20), still, instances={1: near, 2: far}, of_point=of_point)
    other = world.block("b", range(20), still, instances={1: near}, of_point=np.where(of_point == 1, 1, 0))
    by_place = same_by_place(one, other, still, still, set(), metric=True)
    assert [(item.one, item.other) for item in by_place] == [(("a", 1), ("b", 1))]
    assert same_by_place(one, other, still, still, {("a", 1)}, metric=True) == []
    # Every object has a position; one that has points is told by these, since a block that sees less of it has it elsewhere.
    one = world.block("a", range(20), still, instances={1: {**near, "position": [8, 10, -2]}}, of_point=of_point)
    seen_less = {1: {**near, "position": [13, 10, -2]}}
    other = world.block("b", range(20), still, instances=seen_less, of_point=np.where(of_point == 1, 1, 0))
    assert [(item.one, item.other) for item in same_by_place(one, other, still, still, set(), metric=True)] == [
        (("a", 1), ("b", 1))
    ]


def test_two_objects_of_one_block_are_never_joined_but_its_pieces_are():
    a1, a2, b1, c1 = ("a", 1), ("a", 2), ("b", 1), ("c", 1)
    evidence = [SameObject(a1, b1, 5.0, 1.0), SameObject(a2, b1, 3.0, 0.8), SameObject(b1, c1, 2.0, 1.0)]
    apart = group_instances([a1, a2, b1, c1], evidence, lambda *_: True)
    assert apart.groups == [(a1, b1, c1), (a2,)]
    assert [item.one for item in apart.refused] == [a2]
    pieces = group_instances([a1, a2, b1, c1], reversed(evidence), lambda *_: False)
    assert pieces.groups == [(a1, a2, b1, c1)]
    assert len(pieces.pieces) == 1
    by_place = group_instances([a1, a2, b1], [evidence[0], SameObject(a2, b1, 0.0, 0.9)], lambda *_: False)
    assert by_place.groups == [(a1, b1), (a2,)], "their place alone joins no two instances of a block"


def test_a_contradiction_over_many_blocks_is_found():
    """a1–b1–c1–a2 would make two objects of block a one: the weakest of the three is refused."""
    links = [("a", 1), ("b", 1), ("c", 1), ("a", 2)]
    chain = [SameObject(links[k], links[k + 1], 4.0 - k, 1.0) for k in range(3)]
    found = group_instances([("a", 1), ("a", 2), ("b", 1), ("c", 1)], chain, lambda *_: True)
    assert [item.support for item in found.refused] == [2.0]
    assert (("a", 2),) in found.groups
