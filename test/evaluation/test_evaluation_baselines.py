"""Baselines: trivial ones, trackers on boxes, the oracle."""

import itertools

import numpy as np
import pytest
from helpers_evaluation import count_overlaps, overlaps
from helpers_maps import two_houses

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.evaluation.baselines import box_iou, iou_tracker, one_id, one_id_per_mask, oracle, published, regions_by_image
from seg2d3d_ros.evaluation.bytetrack import MAX_LOST, bytetrack, gated_assignment
from seg2d3d_ros.evaluation.cloud import MapCloud
from seg2d3d_ros.evaluation.overlaps import Overlaps


def stream(*images: list[tuple[float, ...]]) -> tuple[Overlaps, np.ndarray]:
    """Regions of images without truth, and their boxes."""
    empty = np.zeros((1, 10), np.uint16)
    rows = [(str(k), empty, np.arange(10, dtype=np.uint16)[None] * (np.arange(10) <= len(b))) for k, b in enumerate(images)]
    boxes = np.array([box for image in images for box in image], float).reshape(-1, 4)
    return count_overlaps(rows), boxes


def moving(x: float, y: float = 0.0) -> tuple[float, ...]:
    return (x, y, x + 10.0, y + 20.0)


def test_trivial_labels():
    raw = overlaps(("1122", "3344"), ("1122", "33.."))
    assert one_id(raw).tolist() == [1, 1, 1]
    assert one_id_per_mask(raw).tolist() == [1, 2, 3]


def test_oracle_joins_fragments_and_drops_masks_of_no_object():
    raw = overlaps(("1111..", "334455"), ("1111..", "6666.."))
    assert oracle(raw).tolist() == [1, 1, 0, 1]


def test_box_iou():
    a, b = np.array([[0, 0, 2, 2], [5, 5, 5, 5]]), np.array([[1, 0, 3, 2], [0, 0, 2, 2], [9, 9, 10, 10]])
    np.testing.assert_allclose(box_iou(a, b), [[1 / 3, 1, 0], [0, 0, 0]])
    assert box_iou(np.empty((0, 4)), b).shape == (0, 3)


def test_regions_by_image_include_empty_images():
    raw, _ = stream([moving(0)], [], [moving(0), moving(30)])
    assert [f.tolist() for f in regions_by_image(raw)] == [[0], [], [1, 2]]


def test_iou_tracker_follows_overlap_and_ends_at_a_gap():
    raw, boxes = stream([moving(0)], [moving(3)], [moving(6)], [], [moving(6)])
    assert iou_tracker(raw, boxes).tolist() == [1, 1, 1, 2]


def test_iou_tracker_threshold_is_inclusive():
    # A shift of a third of the width: IoU (10 - s) / (10 + s) = 1/2.
    raw, boxes = stream([(0, 0, 9, 10)], [(3, 0, 12, 10)], [(6.1, 0, 15.1, 10)])
    assert iou_tracker(raw, boxes).tolist() == [1, 1, 2]


def test_iou_tracker_gives_a_box_to_the_older_track_only():
    raw, boxes = stream([moving(0), moving(2)], [moving(1)], [moving(1), moving(1)])
    assert iou_tracker(raw, boxes).tolist() == [1, 2, 1, 1, 3]


def test_bytetrack_predicts_motion_across_a_gap():
    """Ten steps of 4 px, a gap of three images: the filter expects the box 16 px further; the IoU with the last is 0."""
    images = [[moving(4 * k)] if k not in (10, 11, 12) else [] for k in range(16)]
    raw, boxes = stream(*images)
    assert set(bytetrack(raw, boxes, np.ones(len(boxes)))) == {1}
    assert set(iou_tracker(raw, boxes, 0.4)) == {1, 2}


def test_bytetrack_forgets_a_lost_track():
    for gap, ids in ((MAX_LOST, [1, 1]), (MAX_LOST + 1, [1, 2])):
        raw, boxes = stream([moving(0)], *[[]] * gap, [moving(0)])
        assert bytetrack(raw, boxes, np.ones(2)).tolist() == ids


def test_bytetrack_gives_low_scores_to_tracks_but_starts_none_with_them():
    raw, boxes = stream([moving(0), moving(50)], [moving(0), moving(50)], [moving(0), moving(50)])
    scores = np.array([0.9, 0.3, 0.3, 0.65, 0.9, 0.05])
    # Low, too low to start (0.65 <= 0.7), and below the lowest threshold get no id.
    assert bytetrack(raw, boxes, scores).tolist() == [1, 0, 1, 0, 1, 0]


def test_bytetrack_matches_low_scores_to_present_tracks_only():
    raw, boxes = stream([moving(0)], [], [moving(0)], [moving(0)])
    assert bytetrack(raw, boxes, np.array([0.9, 0.3, 0.9])).tolist() == [1, 0, 1]


def test_bytetrack_first_stage_accepts_less_overlap_than_the_second():
    # IoU 1/3: enough for a high score, not for a low one.
    raw, boxes = stream([moving(0)], [moving(5)])
    assert bytetrack(raw, boxes, np.array([0.9, 0.9])).tolist() == [1, 1]
    assert bytetrack(raw, boxes, np.array([0.9, 0.5])).tolist() == [1, 0]


def test_kalman_converges_to_constant_velocity():
    from seg2d3d_ros.evaluation.bytetrack import _Track

    track = _Track.start(1, np.array(moving(0)))
    for k in range(1, 40):
        track.predict()
        track.update(np.array(moving(3.0 * k, -1.0 * k)))
    np.testing.assert_allclose(track.mean[4:6], [3.0, -1.0], atol=0.02)
    track.predict()
    np.testing.assert_allclose(track.box, moving(120.0, -40.0), atol=0.1)
    assert np.linalg.eigvalsh(track.covariance).min() > 0


def test_a_lost_track_keeps_its_height():
    """The box grows by 2 px an image and is lost: its centre would go on, its height must not."""
    from seg2d3d_ros.evaluation.bytetrack import _Track

    track = _Track.start(1, np.array(moving(0)))
    for k in range(1, 20):
        track.predict()
        track.update(np.array([0.0, 0.0, 10.0 + k, 20.0 + 2 * k]))
    height = track.mean[3]
    track.lost = 1
    for _ in range(10):
        track.predict()
    assert track.mean[3] == pytest.approx(height)


@pytest.mark.parametrize("seed", range(20))
def test_gated_assignment_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    cost, limit = rng.random((3, 4)), 0.5

    def total(pairs):
        return sum(cost[pair] - limit for pair in pairs)

    partners = itertools.product((None, 0, 1, 2, 3), repeat=3)
    options = ([(r, c) for r, c in enumerate(choice) if c is not None] for choice in partners)
    valid = [option for option in options if len({c for _, c in option}) == len(option)]
    rows, columns = gated_assignment(cost, limit)
    assert total(zip(rows, columns, strict=True)) == pytest.approx(min(map(total, valid)))


def test_the_published_method_labels_each_region_and_leaves_out_segments_in_images_without_truth():
    model, segments = two_houses()
    incidence = build_incidence([model], segments)
    region = np.array([0, 1, 2, 3, 4, 5, -1, -1])  # the last image has no truth
    nothing = np.zeros(len(model.xyz), np.int64)
    cloud = MapCloud(model.xyz, incidence, region, nothing, nothing, nothing.astype(float))
    raw = overlaps(*[("1122", "1122")] * 3)
    left, right = published(cloud, raw)[:2]
    assert left != right
    assert published(cloud, raw).tolist() == [left, right, right, left, left, right]
