"""Overlapping masks: run lengths as pycocotools writes them, pixels looked up without decoding, files' entries checked."""

import numpy as np
import pytest
from pycocotools import mask as coco

from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.geometry.overlapping.annotations import annotation, masks_of, read_entry, run_lengths_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.geometry.overlapping.run_lengths import checked_runs, compressed, run_lengths

SHAPE = (30, 40)


def random_masks(count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(4)
    masks = rng.random((count, *SHAPE)) < rng.uniform(0.02, 0.9, (count, 1, 1))
    masks[0] = False
    masks[0, 5:20, 8:31] = True
    masks[1] = True
    return masks


def overlapping() -> OverlappingMasks:
    masks = random_masks()
    return OverlappingMasks.of_regions("k", SHAPE, [region_of(m) for m in masks], [1] * 6, np.linspace(0.4, 0.9, 6))


def test_run_lengths_are_those_of_pycocotools():
    for pixels in random_masks():
        text = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]
        runs = run_lengths(text)
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(SHAPE[::-1]).T
        np.testing.assert_array_equal(flat, pixels)
        assert compressed(runs, *SHAPE) == text
        np.testing.assert_array_equal(checked_runs(runs.tolist(), pixels.size), runs)


@pytest.mark.parametrize(
    "counts", ["abc?~", "P", "é", [3, -1, 1198], [1200.5], [0, 10**30], 7, None, [600], ["a"], [True, 1199]]
)
def test_run_lengths_that_fit_no_image_are_refused_before_anything_is_decoded(counts):
    with pytest.raises(ValueError, match="run lengths"):
        checked_runs(counts, 1200)


def test_pixels_find_all_masks_that_hold_them():
    masks, item = random_masks(), overlapping()
    xy = np.random.default_rng(1).uniform(-3, 45, (800, 2))
    at, mask = item.holding(xy)
    found = np.zeros((len(xy), len(item)), bool)
    found[at, mask] = True
    column, row = np.floor(xy).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < SHAPE[1]) & (row < SHAPE[0])
    expected = np.zeros_like(found)
    expected[inside] = masks[:, row[inside], column[inside]].T
    np.testing.assert_array_equal(found, expected)


def test_areas_regions_and_overlaps():
    masks, item = random_masks(), overlapping()
    assert item.areas.tolist() == masks.sum(axis=(1, 2)).tolist()
    for k, pixels in enumerate(masks):
        region, drawn = item.region(k), np.zeros(SHAPE, bool)
        drawn[region.window] = region.pixels
        np.testing.assert_array_equal(drawn, pixels)
        assert item.boxes[k].tolist() == list(region.box)
    both = (masks[0] & masks[2]).sum() / (masks[0] | masks[2]).sum()
    assert item.overlaps()[0, 2] == pytest.approx(both)


def test_of_duplicates_the_better_score_stays():
    region = region_of(random_masks()[0])
    item = OverlappingMasks.of_regions(
        "k", SHAPE, [region, region.shifted(1, 0), region.shifted(0, 9)], [1] * 3, [0.5, 0.8, 0.6]
    )
    assert item.without_duplicates(0.8).scores.tolist() == pytest.approx([0.8, 0.6])


def test_an_annotation_holds_everything():
    item = overlapping()
    entries = [read_entry(annotation(item, k), SHAPE) for k in range(len(item))]
    again = masks_of("k", SHAPE, entries, item.classes.tolist())
    assert again.counts == item.counts
    np.testing.assert_array_equal(again.boxes, item.boxes)
    np.testing.assert_allclose(again.scores, item.scores, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "no run lengths"),
        ({"segmentation": {"size": [40, 30], "counts": "abc"}}, "another size"),
        ({"segmentation": {"size": [30, 40], "counts": [1200]}}, "without a pixel"),
        ({"segmentation": {"size": [30, 40], "counts": [3, 4]}}, "do not add up"),
        ({"iscrowd": 1}, "crowd"),
        ({"score": "high"}, "score"),
        ({"predicted_iou": float("nan")}, "score"),
        ({"stability_score": -2}, "stability_score"),
    ],
)
def test_an_annotation_that_cannot_be_used_says_why(change, reason):
    with pytest.raises(ValueError, match=reason):
        read_entry({**annotation(overlapping(), 0), **change}, SHAPE)


def test_the_box_of_run_lengths_is_that_of_the_pixels():
    for pixels in [*random_masks(), np.eye(30, 40, dtype=bool)]:
        text = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
        assert run_lengths_of({"size": list(SHAPE), "counts": text}, SHAPE)[1] == region_of(pixels).box
