"""Boxes, tiles and masks as regions: the geometry between a detector and a label image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.geometry.masks import Region, cleaned, overlap, parts, region_of
from seg2d3d_ros.segmentation.models import tiles
from seg2d3d_ros.segmentation.models.detections import (
    Detections,
    covered,
    merged_across_tiles,
    overlaps,
    plausible,
    suppress,
    without_rows,
)
from seg2d3d_ros.segmentation.resolve import resolve_overlaps


def test_suppression_is_greedy_and_within_a_class():
    boxes = Detections.of([[0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10], [0, 0, 10, 10]], [1, 1, 1, 2], [0.5, 0.9, 0.6, 0.1])
    kept = suppress(boxes, 0.7)
    # 0 and 2 overlap 1 by 9/11; the box of class 2 stays although it equals box 0.
    assert kept.xyxy.tolist() == [[1, 0, 11, 10], [0, 0, 10, 10]]
    assert kept.classes.tolist() == [1, 2]
    assert len(suppress(boxes, 9 / 11 + 1e-6)) == 4
    chain = Detections.of([[0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10]], [1] * 3, [0.9, 0.8, 0.7])
    assert suppress(chain, 0.7).scores.tolist() == pytest.approx([0.9, 0.7]), "what was dropped drops nothing itself"
    assert len(suppress(Detections.of(), 0.5)) == 0


def test_a_box_around_a_row_of_houses_goes_and_a_house_with_small_ones_behind_stays():
    houses = [[0, 0, 30, 20], [35, 0, 65, 20], [70, 0, 100, 20]]
    row = Detections.of([*houses, [0, 0, 100, 20]], [1] * 4, [0.5] * 4)
    assert without_rows(row).xyxy.tolist() == houses
    loose = Detections.of([[-4, 0, 30, 20], houses[1], [70, 0, 104, 20], [0, 0, 100, 20]], [1] * 4, [0.5] * 4)
    assert len(without_rows(loose)) == 3, "a house may stick out of its row's box a little"
    far = Detections.of([[0, 0, 100, 100], [5, 5, 20, 20], [30, 5, 45, 20]], [1] * 3, [0.9, 0.5, 0.5])
    assert len(without_rows(far)) == 3
    one = Detections.of([[0, 0, 100, 20], [0, 0, 65, 20]], [1] * 2, [0.9, 0.5])
    assert len(without_rows(one)) == 2
    other_class = Detections.of([*houses, [0, 0, 100, 20]], [1, 1, 1, 2], [0.5] * 4)
    assert len(without_rows(other_class)) == 4


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 4), max_size=5))
@settings(max_examples=60, deadline=None)
def test_the_covered_share_equals_counting_pixels(raw):
    inner = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in raw], float).reshape(-1, 4)
    canvas = np.zeros((20, 20), bool)
    for x0, y0, x1, y1 in inner.astype(int):
        canvas[y0:y1, x0:x1] = True
    assert covered(np.array([2.0, 3, 17, 12]), inner) == pytest.approx(canvas[3:12, 2:17].mean())


def test_implausible_boxes_are_clipped_or_dropped():
    boxes = Detections.of([[-5, 10, 50, 60], [10, 0, 20, 4.9], [10, 0, 20, 5.1], [30, 30, 31, 31]], [1] * 4, [1.0] * 4)
    kept = plausible(boxes, 100, 100, min_area=0.0005, sky_limit=0.05)
    np.testing.assert_allclose(kept.xyxy, [[0, 10, 50, 60], [10, 0, 20, 5.1]], rtol=1e-6)


def test_pieces_of_one_object_are_merged_across_tiles_and_others_are_not():
    extents = np.array([[0, 0, 200, 100], [0, 0, 120, 100], [80, 0, 200, 100]])
    views = np.array([1, 2, 1, 2, 1, 0])
    boxes = Detections.of(
        [
            [50, 20, 120, 60],  # left part of a house, cut by the first tile's edge
            [80, 21, 150, 60],  # its right part
            [60, 70, 120, 95],  # another one below, the first tile's part
            [80, 2, 130, 15],  # cut by the second tile, agrees with nobody
            [10, 10, 40, 40],  # whole
            [60, 70, 190, 95],  # the one below, seen whole in the whole image
        ],
        [1] * 6,
        [0.5, 0.8, 0.9, 0.6, 0.7, 0.4],
    )
    joined = merged_across_tiles(boxes, views, extents, extents[0])
    found = {tuple(map(int, box)): round(float(score), 3) for box, score in zip(joined.xyxy, joined.scores, strict=True)}
    assert found == {(10, 10, 40, 40): 0.7, (60, 70, 190, 95): 0.4, (50, 20, 150, 60): 0.8, (80, 2, 130, 15): 0.6}
    neighbours = Detections.of([[50, 20, 120, 60], [78, 21, 120, 62]], [1, 1], [0.5, 0.8])
    assert len(merged_across_tiles(neighbours, np.array([1, 1]), extents, extents[0])) == 2, "one tile's boxes are two objects"
    two_classes = Detections.of(boxes.xyxy[:2], [1, 2], [0.5, 0.8])
    assert len(merged_across_tiles(two_classes, views[:2], extents, extents[0])) == 2
    assert len(merged_across_tiles(Detections.of(), np.zeros(0, int), extents, extents[0])) == 0


@given(st.integers(1, 900), st.integers(1, 900), st.integers(50, 400), st.floats(0, 0.9))
@settings(max_examples=80, deadline=None)
def test_tiles_cover_the_image_and_overlap(width, height, size, share):
    extents = tiles.extents(width, height, size, share)
    assert extents[0].tolist() == [0, 0, width, height]
    seen = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in extents[1:]:
        assert (x1 - x0, y1 - y0) == (min(size, width), min(size, height))
        seen[y0:y1, x0:x1] = True
    assert seen.all() or len(extents) == 1
    assert (len(extents) == 1) == (max(width, height) <= size)
    columns = sorted(set(extents[1:, 0].tolist()))
    assert all(b - a <= size * (1 - share) + 1 for a, b in itertools.pairwise(columns))


def test_a_box_is_at_home_in_the_smallest_tile_that_holds_it_with_room():
    views = tiles.extents(300, 100, 100, 0.5)
    homes = tiles.homes(np.array([[10.0, 10, 60, 60], [55, 10, 98, 60], [5, 5, 250, 90], [0, 0, 40, 100]]), views)
    assert views[homes].tolist() == [[0, 0, 100, 100], [50, 0, 150, 100], [0, 0, 300, 100], [0, 0, 100, 100]]


def test_holes_and_specks_are_mended_and_large_ones_stay():
    mask = np.zeros((40, 50), bool)
    mask[5:35, 5:35] = True
    mask[10:12, 10:12] = False  # a hole of 4
    mask[20:30, 20:30] = False  # a courtyard of 100
    mask[0, 49] = True  # a speck
    mask[0:20, 40:45] = True  # a second part of 100
    region = cleaned(region_of(mask, 100, 200), 0.05)
    expected = mask.copy()
    expected[10:12, 10:12], expected[0, 49] = True, False
    assert region.box == (105, 200, 145, 235)
    np.testing.assert_array_equal(region.pixels, expected[0:35, 5:45])
    assert cleaned(region_of(mask), 0).area == mask.sum()
    assert [part.box for part in parts(region)] == [(105, 205, 135, 235), (140, 200, 145, 220)]
    assert region_of(np.zeros((3, 3), bool)) is None


def test_a_notch_in_the_outline_is_no_hole():
    mask = np.ones((20, 20), bool)
    mask[0, 5:8] = False
    np.testing.assert_array_equal(cleaned(region_of(mask), 0.5).pixels, mask)


def test_the_largest_part_stays_whatever_the_limit():
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[5, 5] = mask[5, 6] = mask[9, 0] = True
    assert cleaned(region_of(mask), 1.0).box == (5, 5, 7, 6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_overlaps_of_regions_are_those_of_whole_masks(seed):
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 12, 15), bool)
    for mask in masks:
        y, x = rng.integers(0, 10, 2)
        mask[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = True
        mask &= rng.random(mask.shape) < 0.8
    classes, scores = rng.integers(1, 3, 4), rng.choice([0.3, 0.5, 0.9], 4)
    found = resolve_overlaps("k", (12, 15), list(map(region_of, masks)), classes, scores, min_area=0.0, min_visible=0.0)
    # Painted from the worst to the best, each mask is covered by the better ones.
    painted = np.zeros((12, 15), float)
    for row in np.lexsort((masks.sum(axis=(1, 2)), -scores))[::-1]:
        painted[masks[row]] = scores[row]
    np.testing.assert_allclose(np.append(0, found.scores)[found.labels], painted, rtol=1e-6)
    rows = [row for row in range(4) if masks[row].any()]
    regions = [region_of(masks[row]) for row in rows]
    for a, first in zip(rows, regions, strict=True):
        for b, second in zip(rows, regions, strict=True):
            union = (masks[a] | masks[b]).sum()
            assert overlap(first, second) == pytest.approx((masks[a] & masks[b]).sum() / union)


def test_intersection_over_union_by_hand():
    table = overlaps(np.array([[0, 0, 10, 10.0]]), np.array([[5, 0, 15, 10.0], [20, 20, 30, 30], [0, 0, 10, 10]]))
    np.testing.assert_allclose(table, [[1 / 3, 0, 1]])
    assert Region((2, 3, 4, 6), np.ones((3, 2), bool)).shifted(10, 20).box == (12, 23, 14, 26)
