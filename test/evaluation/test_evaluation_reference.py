"""The same figures as the packages that others use, and the invariances that make the metrics free of order and names."""

import numpy as np
import pytest
from helpers_evaluation import count_overlaps, random_images
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.evaluation.clustering import mask_clustering, owners
from seg2d3d_ros.evaluation.coverage import detected_images
from seg2d3d_ros.evaluation.measure import score
from seg2d3d_ros.evaluation.overlaps import Overlaps
from seg2d3d_ros.evaluation.tracking import hota_curve, idf1


def trackeval_data(found: Overlaps) -> dict:
    """TrackEval's input, with the similarity of each image's masks given."""
    gt_ids, tracker_ids, similarity = [], [], []
    for k in range(len(found.names)):
        truths, regions = np.flatnonzero(found.truth_image == k), np.flatnonzero(found.region_image == k)
        table = np.zeros((len(truths), len(regions)))
        for t, r, iou in zip(found.pair_truth, found.pair_region, found.pair_iou, strict=True):
            if found.truth_image[t] == k:
                table[np.searchsorted(truths, t), np.searchsorted(regions, r)] = iou
        gt_ids.append(found.truth_object[truths])
        tracker_ids.append(found.region_track[regions])
        similarity.append(table)
    return {
        "num_gt_dets": len(found.truth_area),
        "num_tracker_dets": len(found.region_area),
        "num_gt_ids": len(found.object_ids),
        "num_tracker_ids": len(found.track_labels),
        "num_timesteps": len(found.names),
        "gt_ids": gt_ids,
        "tracker_ids": tracker_ids,
        "similarity_scores": similarity,
    }


@pytest.mark.parametrize("seed", range(40))
def test_hota_and_idf1_equal_trackeval(seed):
    metrics = pytest.importorskip("trackeval").metrics
    found = count_overlaps(random_images(seed, images=4 + seed % 6, objects=3 + seed % 5))
    data = trackeval_data(found)
    hota, identity = metrics.HOTA(), metrics.Identity({"THRESHOLD": 0.5, "PRINT_CONFIG": False})
    expected = hota.eval_sequence(data)
    curve = hota_curve(found)
    np.testing.assert_allclose(curve.hota, expected["HOTA"], atol=1e-12)
    np.testing.assert_allclose(curve.deta, expected["DetA"], atol=1e-12)
    np.testing.assert_allclose(curve.assa, expected["AssA"], atol=1e-12)
    assert idf1(found) == pytest.approx(identity.eval_sequence(data)["IDF1"], abs=1e-12)


def test_the_random_cases_are_neither_trivial_nor_hopeless():
    values = [hota_curve(count_overlaps(random_images(seed))).hota[9] for seed in range(20)]
    assert 0.1 < min(values) < max(values) < 0.95


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 5)), min_size=1, max_size=30))
def test_clustering_equals_scikit_learn(items):
    sklearn = pytest.importorskip("sklearn.metrics")
    owner, labels = np.array(items).T
    got = mask_clustering(owner, labels)
    kept = owner >= 0
    if not kept.any():
        assert got["ari"] is None
        return
    cluster = np.where(labels > 0, labels, 100 + np.arange(len(labels)))
    assert got["ari"] == pytest.approx(sklearn.adjusted_rand_score(owner[kept], cluster[kept]), abs=1e-12)
    together = cluster[kept][:, None] == cluster[kept][None]
    same = owner[kept][:, None] == owner[kept][None]
    assert got["bcubed_precision"] == pytest.approx(np.mean((together & same).sum(1) / together.sum(1)))
    assert got["bcubed_recall"] == pytest.approx(np.mean((together & same).sum(1) / same.sum(1)))


def every(images):
    found = count_overlaps(images)
    return score(found, found, found.region_label, detected_images(found), owners(found))


@pytest.mark.parametrize("seed", range(10))
def test_other_ids_and_another_order_change_nothing(seed):
    images = random_images(seed)
    before = every(images)
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0], rng.choice(np.arange(1, 60000), 6, replace=False)]).astype(np.uint16)
    ids = np.concatenate([[0], rng.choice(np.arange(1, 60000), 5, replace=False)]).astype(np.uint16)
    renamed = [(n, np.where(t == 65535, 65535, ids[np.minimum(t, 5)]).astype(np.uint16), labels[r]) for n, t, r in images]
    assert every(renamed) == pytest.approx(before, abs=1e-12)
    assert every([images[k] for k in rng.permutation(len(images))]) == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_all_shares_lie_between_none_and_all(seed):
    got = every(random_images(seed))
    counts = ("fragmentation", "false_merges", "merged_objects", "tracks", "ari")
    assert all(0.0 <= value <= 1.0 for key, value in got.items() if key not in counts)
    assert got["coverage_one_to_one"] <= got["coverage"] <= got["adjusted_coverage"]
