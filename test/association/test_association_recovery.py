"""Recovered regions: where the object is, on nobody else's pixels, marked as what they are."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from helpers_boards import Board, boards_world
from helpers_maps import write_result

from seg2d3d_ros.association.masks.missed import find_missed
from seg2d3d_ros.association.masks.recovered_masks import RecoveringRepair, drawable, recover, share_inside
from seg2d3d_ros.association.masks.transfer import surface_depth
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.mapstore.store import MapStore

HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def drawn_in(world, name):
    """(instance, (H, W) bool) of each region that was recovered in a keyframe."""
    incidence, instances = world.solved()
    missed = find_missed([world.model], world.segments, incidence, instances)
    found = recover(missed, [world.model], world.segments, incidence, instances)
    regions = []
    for item in found.get(name, []):
        mask = np.zeros(world.truth[name].shape, bool)
        mask[item.region.window] = item.region.pixels
        regions.append((item, mask))
    return regions


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_the_region_is_the_object():
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    ((item, mask),) = drawn_in(world, "view2")
    assert iou(mask, world.truth["view2"] == 1) > 0.95
    assert 0.9 < item.score < 1


def test_two_missed_neighbours_share_no_pixel():
    world = boards_world(HOUSES, PLACES, missed={(2, 1), (2, 2)})
    (_, first), (_, second) = drawn_in(world, "view2")
    assert not (first & second).any()
    assert {iou(first, world.truth["view2"] == b) > 0.9 for b in (1, 2)} == {True, False}


def test_masks_of_others_are_never_painted_over():
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    before = world.segments["view2"]
    labels = before.labels.copy()
    labels[40:70, 40:60] = 99  # a mask of another class, in the middle of where the house is
    ids = np.array([20, 99], np.uint16)
    world.segments["view2"] = dataclasses.replace(
        before, labels=labels, ids=ids, classes=np.array([1, 2], np.int32), scores=np.ones(2, np.float32)
    )
    ((_, mask),) = drawn_in(world, "view2")
    assert not (mask & (labels != 0)).any()
    assert iou(mask, (world.truth["view2"] == 1) & (labels == 0)) > 0.9


def test_a_nearer_thing_is_left_out():
    """A hoarding that is no object hides the middle of the house; the keypoints on it say so."""
    hoarding = Board(-1.6, -0.8, 4.0, -2.0, 2.0, points=150, masked=False)
    world = boards_world((*HOUSES, hoarding), (-2.0, -1.0, 0.0, 1.0, 2.0), missed={(2, 1)})
    ((_, mask),) = drawn_in(world, "view2")
    truth = world.truth["view2"]
    hidden = (truth == 3) & (np.arange(160) < 70)
    assert (mask & hidden).sum() < 0.25 * hidden.sum()
    assert iou(mask, truth == 1) > 0.8


def test_tracks_and_labels_show_what_was_recovered(tmp_path):
    world = boards_world(HOUSES, PLACES, missed={(2, 1)})
    incidence, instances = world.solved()
    missed = find_missed([world.model], world.segments, incidence, instances)
    regions = recover(missed, [world.model], world.segments, incidence, instances)
    assert [len(items) for items in regions.values()] == [1]
    repair = RecoveringRepair(incidence, instances, regions)
    store = MapStore(tmp_path)
    write_result(store, [world.model], world.segments, incidence, instances, ("house",), repair)
    left = world.instance_of(incidence, instances, 1)
    assert iou(store.read_labels("view2") == left, world.truth["view2"] == 1) > 0.95
    tracks = json.loads((tmp_path / "tracks.json").read_text())
    (track,) = [t for t in tracks["instances"] if t["id"] == left]
    marked = {o["image"]: o.get("recovered", False) for o in track["observations"]}
    assert marked == {f"view{k}": k == 2 for k in range(5)}
    (observation,) = [o for o in track["observations"] if o["image"] == "view2"]
    assert 0 < observation["score"] < 1
    assert observation["segment"] not in world.segments["view2"].ids
    # Nothing else is different from a result without recovery.
    plain = MapStore(tmp_path / "plain")
    write_result(plain, [world.model], world.segments, incidence, instances, ("house",))
    for name in world.segments:
        same = plain.read_labels(name) == store.read_labels(name)
        assert same.all() == (name != "view2")
        assert same[plain.read_labels(name) > 0].all()


class TestDrawable:
    region = Region((10, 20, 30, 40), np.ones((20, 20), bool))

    def test_most_must_be_free(self):
        taken = np.zeros((100, 100), bool)
        taken[20:31, 10:30] = True  # 11 of 20 rows
        assert drawable(self.region, np.array([[15.0, 35.0]]), taken) is None
        taken[30] = False
        left = drawable(self.region, np.array([[15.0, 35.0]]), taken)
        assert left.box == (10, 30, 30, 40)
        assert left.area == 200

    def test_it_must_hold_its_points(self):
        taken = np.zeros((100, 100), bool)
        far = np.array([[50.0, 50.0], [60.0, 60.0], [15.0, 35.0]])
        assert drawable(self.region, far, taken) is None
        assert drawable(self.region, far[1:], taken) is not None

    def test_it_must_be_large_enough(self):
        assert drawable(self.region, np.array([[15.0, 35.0]]), np.zeros((1000, 1000), bool)) is None

    @pytest.mark.parametrize(("xy", "share"), [([[10.0, 20.0]], 1.0), ([[30.0, 20.0]], 0.0), ([[9.9, 25], [29.9, 39.9]], 0.5)])
    def test_share_inside(self, xy, share):
        assert share_inside(self.region, np.array(xy)) == share


class TestSurface:
    at = np.array([[0.0, 0.0], [100.0, 0.0], [50.0, 200.0], [300.0, 300.0]])

    def slanted(self, xy):
        return 1.0 / (0.1 + 0.0002 * xy[:, 0] - 0.0001 * xy[:, 1])

    def test_a_plane_goes_on_beyond_its_points(self):
        xy = np.random.default_rng(0).uniform(0, 200, (80, 2))
        np.testing.assert_allclose(surface_depth(xy, self.slanted(xy), self.at, 2.0), self.slanted(self.at), rtol=0.01)

    def test_stray_points_do_not_bend_it(self):
        xy = np.random.default_rng(0).uniform(0, 200, (80, 2))
        depth = self.slanted(xy)
        depth[:8] *= 5.0
        np.testing.assert_allclose(surface_depth(xy, depth, self.at, 2.0), self.slanted(self.at), rtol=0.05)

    def test_one_point_is_a_wall(self):
        np.testing.assert_allclose(surface_depth(np.array([[5.0, 5.0]]), np.array([7.0]), self.at, 2.0), 7.0)
