"""mono16 segment images and the resolution of overlapping masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.segmentation.encoding import (
    CODES_MISSING,
    UNCOUNTABLE,
    UNKNOWN_CODES,
    WITHOUT_CODES,
    from_mono16,
    to_mono16,
    with_added,
)
from seg2d3d_ros.segmentation.resolve import resolve_overlaps
from seg2d3d_ros.types import Segments


def make(labels, classes_by_id):
    ids = np.array(sorted(classes_by_id), np.uint16)
    classes = np.array([classes_by_id[i] for i in sorted(classes_by_id)], np.int32)
    return Segments("k", labels.astype(np.uint16), ids, classes, np.ones(len(ids), np.float32))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint16, (6, 7), elements=st.integers(0, 9)), st.lists(st.integers(1, 64), min_size=10, max_size=10))
def test_round_trip_keeps_regions_and_classes(labels, classes):
    present = [int(i) for i in np.unique(labels) if i]
    before = make(labels, {i: classes[i] for i in present})
    image = to_mono16(before)
    after = from_mono16("k", image, 64)
    assert len(after.ids) == len(present)
    for old, cls in zip(before.ids, before.classes, strict=True):
        (new,) = np.unique(after.labels[before.labels == old])
        np.testing.assert_array_equal(after.labels == new, before.labels == old)
        assert after.classes[after.ids.tolist().index(new)] == cls
    np.testing.assert_array_equal(to_mono16(after), image)


def test_values_are_class_times_1000_plus_k():
    image = to_mono16(make(np.array([[0, 5, 6, 9]]), {5: 2, 6: 1, 9: 2}))
    assert image.tolist() == [[0, 2001, 1001, 2002]]
    assert image.dtype == np.uint16


def test_uncountable_areas_are_left_out_and_k_may_be_zero():
    segments = from_mono16("k", np.array([[0, 11, 999, 1000, 2003]], np.uint16), 2)
    assert segments.ids.tolist() == [1000, 2003]
    assert segments.classes.tolist() == [1, 2]
    assert segments.labels.tolist() == [[0, 0, 0, 1000, 2003]]


def told(image, classes, dtype=np.uint16):
    findings = Findings()
    segments = from_mono16("k", np.array([image], dtype), classes, findings=findings)
    return segments.ids.tolist(), segments.classes.tolist(), [finding.kind for finding in findings.list()]


def test_values_without_codes_are_instances_of_the_only_prompt_or_named():
    assert told([0, 1, 7, 255], 1) == ([1, 7, 255], [1, 1, 1], [WITHOUT_CODES])
    assert told([0, 1, 255], 1, np.uint8) == ([1, 255], [1, 1], [WITHOUT_CODES])
    assert told([0, 1, 7], 2) == ([], [], [CODES_MISSING])
    assert told([0, 11, 1001], 1) == ([1001], [1], [UNCOUNTABLE])
    assert told([0, 0, 0], 1) == ([], [], [])
    assert told([0, 3001, 2001, 65535], 2) == ([2001], [2], [UNKNOWN_CODES])
    assert told([0, 1001, 2001], 2) == ([1001, 2001], [1, 2], [])


def test_ranges_are_checked():
    with pytest.raises(DataError, match=r"/front/segments.*mono16"):
        from_mono16("k", np.zeros((2, 2), np.float32), 2, source="/front/segments")
    with pytest.raises(DataError, match="class ids"):
        to_mono16(make(np.array([[1]]), {1: 65}))
    with pytest.raises(DataError, match="class ids"):
        to_mono16(make(np.array([[1]]), {1: 0}))
    many = np.arange(1001).reshape(1, -1)
    with pytest.raises(DataError, match="1000 segments"):
        to_mono16(make(many, dict.fromkeys(range(1, 1001), 1)))


def resolved(classes, scores, *rows, min_area=0.0, min_visible=0.0):
    """Of masks in an image of one row."""
    regions = [region_of(np.array([row], bool)) for row in rows]
    return resolve_overlaps("k", (1, 6), regions, classes, scores, min_area=min_area, min_visible=min_visible)


def test_the_better_score_takes_the_overlap():
    segments = resolved([1, 2], [0.4, 0.8], [1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1])
    assert segments.labels.tolist() == [[2, 2, 1, 1, 1, 1]]
    assert segments.classes.tolist() == [2, 1]
    np.testing.assert_allclose(segments.scores, [0.8, 0.4])


def test_of_equal_scores_the_smaller_mask_wins():
    segments = resolved([1, 1], [0.5, 0.5], [1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 0, 0])
    assert segments.labels.tolist() == [[2, 1, 1, 2, 2, 2]]


def test_a_duplicates_rim_is_freed_for_the_masks_below():
    masks = [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1]
    segments = resolved([1, 1, 1], [0.9, 0.8, 0.1], *masks, min_visible=0.5)
    assert segments.labels.tolist() == [[1, 1, 1, 1, 2, 2]]
    np.testing.assert_allclose(segments.scores, [0.9, 0.1], rtol=1e-6)


def test_nothing_left_and_bad_input():
    assert resolved([], []).labels.shape == (1, 6)
    assert len(resolved([1], [1.0], [1, 0, 0, 0, 0, 0], min_area=0.3).ids) == 0
    beside_an_empty_one = resolved([2, 1], [1.0, 0.5], [0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0])
    assert (beside_an_empty_one.ids.tolist(), beside_an_empty_one.classes.tolist()) == ([1], [1])
    with pytest.raises(UsageError, match="masks"):
        resolved([1, 1], [1.0], [1, 0, 0, 0, 0, 0])


def test_added_segments_get_the_next_number_and_the_others_keep_theirs():
    image = np.array([[1001, 1007, 2001, 0, 0, 0]], np.uint16)
    more = make(np.array([[1001, 1007, 2001, 2002, 2003, 2004]]), {1001: 1, 1007: 1, 2001: 2, 2002: 1, 2003: 3, 2004: 1})
    assert with_added(image, more, [2002, 2003, 2004]).tolist() == [[1001, 1007, 2001, 1008, 3001, 1009]]
    assert image[0, 3] == 0
    full = np.array([[1999, 0]], np.uint16)
    assert with_added(full, make(np.array([[1999, 2000]]), {1999: 1, 2000: 1}), [2000]).tolist() == full.tolist()
    for class_id in (0, 65):
        assert with_added(full, make(np.array([[1999, 2000]]), {1999: 1, 2000: class_id}), [2000]).tolist() == full.tolist()
