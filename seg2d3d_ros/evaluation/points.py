"""Instances as sets of 3D points: average precision and panoptic quality over points whose true owner is known.

AP follows the ScanNet benchmark (Dai et al., ScanNet, CVPR 2017; its script evaluate_semantic_instance.py): the mean over
IoU thresholds .5, .55 … .95, and AP at .5 and .25. PQ: Kirillov et al., Panoptic segmentation, CVPR 2019. One class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from seg2d3d_ros.arrays import places
from seg2d3d_ros.evaluation.overlaps import IGNORE
from seg2d3d_ros.types import SparseModel

UNKNOWN = -1
"""Owner of a point that the truth says nothing certain about."""
MIN_POINTS = 10
"""Objects and instances of fewer points are left out (ScanNet: 100, in clouds a hundred times as dense)."""
AP_THRESHOLDS = np.arange(10, 20) / 20
"""(10,) IoU .5 … .95."""
METRICS = ("ap", "ap50", "ap25", "pq", "sq", "rq")


def true_owners(
    models: Sequence[SparseModel], truth: Callable[[str], np.ndarray | None], objects: Sequence[int] | np.ndarray
) -> np.ndarray:
    """(P,) int64 the object that owns each point, 0 = the background, ``UNKNOWN``.

    A point belongs to what most of its observations show: a truth value at more than half of the observed pixels, ignored
    ones not counted. Edges and occlusions, where views disagree, stay unknown.

    Args:
        models: components; their points are counted through.
        truth: the truth image (H, W) uint16 of a keyframe, None where there is none.
        objects: ids that count; the points of others are unknown.
    """
    wanted = np.asarray(objects)
    return np.concatenate([np.empty(0, np.int64), *(_owners_of(model, truth, wanted) for model in models)])


def _owners_of(model: SparseModel, truth: Callable[[str], np.ndarray | None], objects: np.ndarray) -> np.ndarray:
    value = np.full(len(model.obs_point), IGNORE, np.int64)
    for name, mine in zip(model.names, places(model.obs_keyframe, len(model.names)), strict=True):
        if (image := truth(name)) is None:
            continue
        column, row = np.floor(model.obs_xy[mine]).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < image.shape[1]) & (row < image.shape[0])
        value[mine[inside]] = image[row[inside], column[inside]]
    counted = (value != IGNORE) & ((value == 0) | np.isin(value, objects))
    # Each point's most frequent value: one run per (point, value), the longest run of each point.
    pairs, votes = np.unique(np.stack([model.obs_point[counted], value[counted]]), axis=1, return_counts=True)
    total = np.bincount(model.obs_point[counted], minlength=len(model.point_ids))
    owner = np.full(len(model.point_ids), UNKNOWN, np.int64)
    certain = 2 * votes > total[pairs[0]]
    owner[pairs[0, certain]] = pairs[1, certain]
    return owner


def point_metrics(owner: np.ndarray, instance: np.ndarray, confidence: np.ndarray) -> dict[str, float | None]:
    """``METRICS`` of one labelling; all None where no object has ``MIN_POINTS`` points.

    Args:
        owner: (P,) from ``true_owners``.
        instance: (P,) predicted id, 0 = none.
        confidence: (P,) of each point's label; an instance ranks by the mean of its points'.
    """
    ids, size = np.unique(owner[owner > 0], return_counts=True)
    ids = ids[size >= MIN_POINTS]
    if len(ids) == 0:
        return dict.fromkeys(METRICS)
    truth_size = size[size >= MIN_POINTS]
    void = (owner == UNKNOWN) | ((owner > 0) & ~np.isin(owner, ids))
    labels, points = np.unique(instance[instance > 0], return_counts=True)
    large = points >= MIN_POINTS
    labels, points = labels[large], points[large]
    member = np.isin(instance, labels)
    place = np.searchsorted(labels, instance[member])
    score = np.bincount(place, confidence[member], len(labels)) / np.maximum(points, 1)
    ignored = np.bincount(place, void[member], len(labels)) / np.maximum(points, 1)
    known = np.bincount(place, ~void[member], len(labels))
    shared = np.zeros((len(ids), len(labels)))
    hit = member & (owner > 0) & ~void
    np.add.at(shared, (np.searchsorted(ids, owner[hit]), np.searchsorted(labels, instance[hit])), 1)
    iou = shared / np.maximum(truth_size[:, None] + known[None] - shared, 1)
    curve = [average_precision(iou, score, ignored, float(t)) for t in AP_THRESHOLDS]
    return {
        "ap": float(np.mean(curve)),
        "ap50": curve[0],
        "ap25": average_precision(iou, score, ignored, 0.25),
        **panoptic_quality(iou, ignored),
    }


def average_precision(iou: np.ndarray, score: np.ndarray, ignored: np.ndarray, threshold: float) -> float:
    """Area under the precision-recall curve, as ScanNet's script integrates it.

    Args:
        iou: (G, I) of objects and instances.
        score: (I,) by which instances rank.
        ignored: (I,) share of each instance's points that count for nothing; an instance that matches no object is no
            error where this exceeds ``threshold``.
    """
    matches = iou > threshold
    found = matches.any(axis=1)
    # Of several instances on one object the best ranked is right and the others are errors.
    right = [float(score[row].max()) for row in matches[found]]
    wrong = [float(value) for row in matches[found] for value in np.sort(score[row])[:-1]]
    wrong += score[~matches.any(axis=0) & (ignored <= threshold)].tolist()
    if not right:
        return 0.0
    values = np.concatenate([right, wrong])
    truly = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    order = np.argsort(values, kind="stable")
    values, truly = values[order], truly[order]
    first = np.flatnonzero(np.diff(values, prepend=-np.inf))
    below = np.concatenate([[0.0], np.cumsum(truly)])[first]
    positive = truly.sum() - below
    precision = np.append(positive / (len(values) - first), 1.0)
    recall = np.append(positive / len(iou), 0.0)
    padded = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ ((padded[:-2] - padded[2:]) / 2))


def panoptic_quality(iou: np.ndarray, ignored: np.ndarray) -> dict[str, float | None]:
    """``pq`` = ``sq`` · ``rq``: objects and instances match at IoU > 0.5; arguments as for ``average_precision``."""
    matches = iou > 0.5
    pairs = int(matches.sum())
    missed = len(iou) - pairs
    errors = int(np.sum(~matches.any(axis=0) & (ignored <= 0.5)))
    quality = float(iou[matches].sum() / pairs) if pairs else 0.0
    recognition = pairs / (pairs + errors / 2 + missed / 2)
    return {"pq": quality * recognition, "sq": quality, "rq": recognition}
