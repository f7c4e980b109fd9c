"""Every metric on cases small enough to work out by hand."""

import numpy as np
import pytest
from helpers_evaluation import overlaps

from seg2d3d_ros.evaluation.clustering import adjusted_rand_index, mask_clustering, owners, track_metrics
from seg2d3d_ros.evaluation.coverage import coverage_metrics, detected_images, match_counts, object_table
from seg2d3d_ros.evaluation.measure import score
from seg2d3d_ros.evaluation.tracking import hota_curve, hota_metrics, idf1

TWO = "1122"  # two objects, two pixels each, in every image


def every(found, raw=None):
    """All metrics; the raw masks are the regions themselves unless given."""
    raw = found if raw is None else raw
    return score(found, raw, raw.region_label, detected_images(raw), owners(raw))


def test_perfect():
    got = every(overlaps((TWO, "5566"), (TWO, "5566"), (TWO, "5566")))
    ones = ("coverage", "adjusted_coverage", "coverage_one_to_one", "hota", "assa", "deta", "idf1", "ari", "bcubed_precision")
    assert {key: got[key] for key in ones} == dict.fromkeys(ones, pytest.approx(1.0))
    assert got["bcubed_recall"] == got["bcubed_f1"] == got["purity"] == got["fragmentation"] == 1.0
    assert (got["false_merges"], got["merged_objects"], got["tracks"]) == (0, 0, 2)


def test_all_split():
    """One id per mask: three images, six tracks of one mask each."""
    got = every(overlaps((TWO, "1122"), (TWO, "3344"), (TWO, "5566")))
    assert got["coverage"] == got["adjusted_coverage"] == got["coverage_one_to_one"] == pytest.approx(1 / 3)
    assert got["assa"] == pytest.approx(1 / 3)  # each match: 1 / (3 + 1 - 1)
    assert got["deta"] == 1.0
    assert got["hota"] == pytest.approx(np.sqrt(1 / 3))
    assert got["idf1"] == pytest.approx(2 * 2 / (6 + 6))
    assert got["ari"] == 0.0
    assert (got["bcubed_precision"], got["bcubed_recall"]) == (1.0, pytest.approx(1 / 3))
    assert got["bcubed_f1"] == pytest.approx(0.5)
    assert got["purity"] == 1.0
    assert got["fragmentation"] == 3.0
    assert (got["false_merges"], got["tracks"]) == (0, 6)


def test_all_merged_in_separate_images():
    """One id for two objects that never meet: each is matched everywhere."""
    found = overlaps(("11..", "77.."), ("11..", "77.."), ("..22", "..77"), ("..22", "..77"))
    got = every(found)
    assert got["coverage"] == got["adjusted_coverage"] == 1.0
    assert got["coverage_one_to_one"] == 0.5
    assert got["assa"] == pytest.approx(0.5)  # each match: 2 / (2 + 4 - 2)
    assert got["idf1"] == pytest.approx(2 * 2 / (4 + 4))
    assert got["ari"] == 0.0
    assert (got["bcubed_precision"], got["bcubed_recall"]) == (0.5, 1.0)
    assert got["purity"] == 0.5
    assert got["fragmentation"] == 1.0
    assert (got["false_merges"], got["merged_objects"], got["tracks"]) == (1, 2, 1)


def test_neighbours_glued_in_each_image_are_a_false_merge_although_neither_or_one_matches():
    # Object 1 is two thirds of the glued mask: IoU 4/6; object 2: IoU 2/6.
    found = overlaps(("111122", "777777"), ("111122", "777777"))
    got = every(found)
    assert got["coverage"] == 0.5
    assert got["coverage_one_to_one"] == 0.5
    assert (got["false_merges"], got["merged_objects"]) == (1, 2)
    assert got["deta"] == pytest.approx(2 / (4 + 2 - 2))
    assert got["purity"] == 1.0


def test_a_merge_below_the_share_is_none():
    """Object 2 is swallowed in 1 of 4 images (25 %), object 1 in all."""
    images = [(TWO, "1122")] * 3 + [(TWO, "1111")]
    assert track_metrics(overlaps(*images))["false_merges"] == 0
    images = [(TWO, "1122")] * 2 + [(TWO, "1111")]
    assert track_metrics(overlaps(*images))["false_merges"] == 1  # 1 of 3 = 33 %


def test_missing_object_counts_as_zero_coverage_and_is_left_out_of_the_adjusted():
    found = overlaps((TWO, "55.."), (TWO, "55.."))
    got = every(found)
    assert got["coverage"] == 0.5
    assert got["adjusted_coverage"] == 1.0
    assert got["coverage_one_to_one"] == 0.5
    assert got["deta"] == 0.5
    assert got["assa"] == 1.0
    assert got["hota"] == pytest.approx(np.sqrt(0.5))
    assert got["idf1"] == pytest.approx(2 * 2 / (4 + 2))
    assert got["fragmentation"] == 1.0  # of the objects that have any track


def test_missing_detections_are_excused_by_the_adjusted_coverage_only_where_no_raw_mask_matched():
    # Raw masks show object 1 in images 0, 1, 2 of 4; the track has it in 0 and 1.
    raw = overlaps(*[("11", "11")] * 3, ("11", ".."))
    found = overlaps(*[("11", "11")] * 2, *[("11", "..")] * 2)
    got = coverage_metrics(found, detected_images(raw))
    assert got["coverage"] == 0.5
    assert got["adjusted_coverage"] == pytest.approx(2 / 3)


def test_over_coverage_is_capped():
    """The track joins two fragments that match nothing alone: covered in 2 images, detected in 1."""
    raw = overlaps(("111", "111"), ("111", "123"))
    found = overlaps(("111", "111"), ("111", "111"))
    assert detected_images(raw).tolist() == [1]
    assert coverage_metrics(found, detected_images(raw))["adjusted_coverage"] == 1.0


def test_identity_switch():
    """Object 1: id 5 in three images, id 6 in the fourth. Object 2: the reverse."""
    found = overlaps(*[(TWO, "5566")] * 3, (TWO, "6655"))
    got = every(found)
    assert got["coverage"] == got["coverage_one_to_one"] == 0.75
    # 6 of 8 matches have 3 / (4 + 4 - 3), the other two 1 / (4 + 4 - 1).
    assert got["assa"] == pytest.approx((6 * 3 / 5 + 2 * 1 / 7) / 8)
    assert got["deta"] == 1.0
    assert got["idf1"] == pytest.approx(0.75)
    assert got["purity"] == 0.75
    assert got["fragmentation"] == 2.0
    assert got["bcubed_precision"] == got["bcubed_recall"] == pytest.approx((3 * 3 + 1 * 1) / 16)
    # 8 masks, both partitions 4 + 4: 14 of 28 pairs... by the formula with cells 3, 1, 1, 3.
    assert got["ari"] == pytest.approx((6 - 12 * 12 / 28) / (12 - 12 * 12 / 28))


def test_one_to_one_maximises_the_mean_share_rather_than_the_image_count():
    # Track 5 has 3 of 12 images of object 1 (25 %), 2 of 2 of object 2 (100 %): it serves object 2.
    images = [("11..", "55..")] * 3 + [("11..", "....")] * 9 + [("..22", "..55")] * 2
    found = overlaps(*images)
    assert match_counts(found).toarray().tolist() == [[3], [2]]
    assert coverage_metrics(found, detected_images(found))["coverage_one_to_one"] == 0.5


def test_hota_depends_on_how_well_masks_fit():
    """IoU 3/4 in both images: HOTA is 1 up to alpha .75 and 0 beyond."""
    found = overlaps(("1111", "333."), ("1111", "333."))
    curve = hota_curve(found)
    assert curve.hota.tolist() == [1.0] * 15 + [0.0] * 4
    assert hota_metrics(found) == {"hota": pytest.approx(15 / 19), "assa": 1.0, "deta": 1.0}


def test_exactly_half_matches():
    found = overlaps(("11", "3."), ("11", "3."))
    assert coverage_metrics(found, detected_images(found))["coverage"] == 1.0
    assert idf1(found) == 1.0
    found = overlaps(("111", "3.."), ("111", "3.."))
    assert coverage_metrics(found, detected_images(found))["coverage"] == 0.0
    assert idf1(found) == 0.0


def test_false_positives_cost_detection_only():
    found = overlaps(("11..", "55.6"), ("11..", "55.6"))
    got = every(found)
    assert got["coverage"] == got["assa"] == 1.0
    assert got["deta"] == 0.5
    assert got["idf1"] == pytest.approx(2 * 2 / (2 + 4))
    assert got["purity"] == 0.5
    assert got["ari"] == 1.0  # masks of no object are not in the clustering


def test_a_mask_on_ignored_pixels_is_no_false_positive():
    got = every(overlaps(("11###.", "55.666"), ("11....", "55....")))
    assert got["deta"] == got["purity"] == got["idf1"] == 1.0
    assert got["tracks"] == 1


def test_owner_is_the_object_most_shown_or_none():
    found = overlaps(("1122....", "33344445"), ("1122....", "........"))
    # 3: two pixels of 1, one of 2. 4: one of 2, three of background. 5: background alone.
    assert owners(found).tolist() == [0, -1, -1]
    tie = overlaps(("12..", "3344"), ("12..", "...."))
    assert owners(tie).tolist() == [0, -1]


def test_owner_at_the_borders():
    half_background = overlaps(("11..", ".33."), ("11..", "...."))
    assert owners(half_background).tolist() == [0]
    # One pixel of object 1, two ignored: excused, so it belongs to nothing.
    mostly_ignored = overlaps(("1111##", "...333"), ("1111..", "......"))
    assert owners(mostly_ignored).tolist() == [-1]


def test_a_track_holds_an_object_from_exactly_half_of_its_pixels():
    half, less = ("1111..2222", "55555555.."), ("1111..2222", "5555555...")
    assert track_metrics(overlaps(half, half))["false_merges"] == 1
    assert track_metrics(overlaps(less, less))["false_merges"] == 0


def test_masks_without_id_are_clusters_of_their_own():
    got = mask_clustering(np.array([0, 0, 0, 0]), np.array([7, 7, 0, 0]))
    assert got["bcubed_precision"] == 1.0
    assert got["bcubed_recall"] == pytest.approx((2 / 4 * 2 + 1 / 4 * 2) / 4)


def test_nothing_to_measure_is_none_not_zero():
    got = every(overlaps(("..", "..")))
    assert got["coverage"] is got["adjusted_coverage"] is got["ari"] is got["purity"] is got["fragmentation"] is None
    assert (got["hota"], got["idf1"], got["tracks"]) == (0.0, 0.0, 0)


def test_object_table():
    found = overlaps((TWO, "55.."), (TWO, "66.."), (TWO, "55.."), ("....", "...."))
    first, second = object_table(found, detected_images(found))
    assert first == {
        "id": 1, "images": 3, "detected_images": 3, "best_track": 5, "matched_images": 2, "coverage": 2 / 3, "tracks": 2,
    }  # fmt: skip
    assert second["best_track"] is None
    assert (second["matched_images"], second["coverage"], second["tracks"]) == (0, 0.0, 0)


def test_adjusted_rand_index_of_a_textbook_table():
    # Hubert and Arabie's formula on [[1, 1, 0], [1, 2, 1], [0, 0, 4]]: 0.31257...
    joint = np.array([1, 1, 1, 2, 1, 4])
    assert adjusted_rand_index(joint, np.array([2, 4, 4]), np.array([2, 3, 5])) == pytest.approx(0.3125742, abs=1e-6)
