"""Counting of shared pixels, ignored pixels, relabelling."""

import numpy as np
import pytest
from helpers_evaluation import count_overlaps, overlaps, picture, random_images

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.evaluation.overlaps import excused, joint_counts, relabel, without_excused


def test_counts_areas_and_shared_pixels():
    found = overlaps(("11122.", "333344"), ("1.....", ".....4"), ("..22..", "..33.."))
    assert found.object_ids.tolist() == [1, 2]
    assert found.truth_image.tolist() == [0, 0, 1, 2]
    assert found.truth_area.tolist() == [3, 2, 1, 2]
    assert found.region_image.tolist() == [0, 0, 1, 2]
    assert found.region_label.tolist() == [3, 4, 4, 3]
    assert found.region_area.tolist() == [4, 2, 1, 2]
    pairs = list(zip(found.pair_truth, found.pair_region, found.pair_area, strict=True))
    assert pairs == [(0, 0, 3), (1, 0, 1), (1, 1, 1), (3, 3, 2)]
    assert found.pair_iou.tolist() == [3 / 4, 1 / 5, 1 / 3, 1.0]
    assert found.object_images.tolist() == [2, 2]
    assert found.track_images.tolist() == [2, 2]


def test_pixels_of_ignored_truth_and_of_single_image_objects_belong_to_neither():
    found = overlaps(("11##99", "555555"), ("11....", "55...."))
    assert found.object_ids.tolist() == [1]
    assert found.single_image_objects == 1
    assert found.region_area.tolist() == [2, 2]
    assert found.region_ignored.tolist() == [4, 0]
    assert found.pair_iou.tolist() == [1.0, 1.0]


def test_a_region_mostly_on_ignored_pixels_is_excused_unless_it_matches():
    # Label 5: three of five pixels ignored, no match. Label 6: mostly ignored, but matches object 2. Label 7: half ignored.
    found = overlaps(("11..###2####.", "..555556666.."), ("112..........", "7711........."))
    assert found.region_label.tolist() == [5, 6, 1, 7]
    assert found.region_ignored.tolist() == [3, 3, 0, 0]
    assert excused(found).tolist() == [True, False, False, False]
    assert without_excused(found).region_label.tolist() == [6, 1, 7]


def test_half_ignored_is_not_excused():
    found = overlaps(("11##..", "..3333"), ("11....", "......"))
    assert found.region_ignored.tolist() == [2]
    assert not excused(found).any()


@pytest.mark.parametrize("seed", range(5))
def test_relabelling_equals_counting_the_relabelled_images(seed):
    images = random_images(seed)
    table = np.array([0, 2, 2, 1, 0, 7, 1])
    direct = count_overlaps((name, truth, table[regions].astype(np.uint16)) for name, truth, regions in images)
    before = count_overlaps(images)
    after = relabel(before, table[before.region_label])
    for field in ("region_image", "region_label", "region_area", "region_ignored"):
        np.testing.assert_array_equal(getattr(after, field), getattr(direct, field), field)
    for one, other in zip(pair_set(after), pair_set(direct), strict=True):
        assert one == other


def pair_set(found):
    return sorted(zip(found.pair_truth.tolist(), found.pair_region.tolist(), found.pair_area.tolist(), strict=True))


def test_joint_counts_of_many_values_equal_those_of_few():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 65536, (2, 60, 80)).astype(np.uint16)
    values_a, values_b, counts = joint_counts(a, b, "many")
    expected, expected_counts = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1, return_counts=True)
    np.testing.assert_array_equal(np.stack([values_a, values_b]), expected)
    np.testing.assert_array_equal(counts, expected_counts)
    few = joint_counts(a % 5, b % 7, "few")
    expected, expected_counts = np.unique(np.stack([a.ravel() % 5, b.ravel() % 7]), axis=1, return_counts=True)
    np.testing.assert_array_equal(np.stack(few[:2]), expected)
    np.testing.assert_array_equal(few[2], expected_counts)


def test_different_sizes_are_named():
    with pytest.raises(DataError, match=r"front_7.*3×1.*2×1"):
        count_overlaps([("front_7", picture("111"), picture("11"))])


def test_nothing_at_all():
    found = count_overlaps([])
    assert len(found.object_ids) == len(found.region_label) == 0
    assert len(relabel(found, np.empty(0, np.int64)).region_label) == 0
