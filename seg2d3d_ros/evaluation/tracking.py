"""HOTA and IDF1 with images as time steps; neither depends on the images' order.

HOTA: Luiten et al., IJCV 2021. IDF1: Ristani et al., ECCV-W 2016. Both as TrackEval computes them from the
similarities of each image's masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from seg2d3d_ros.arrays import places
from seg2d3d_ros.evaluation.coverage import match_counts, one_to_one
from seg2d3d_ros.evaluation.overlaps import THETA, Overlaps

ALPHAS = np.arange(1, 20) / 20
"""(19,) IoU thresholds of HOTA, .05 … .95."""

_EPSILON = np.finfo(float).eps


@dataclass(frozen=True)
class HotaCurve:
    """HOTA, DetA and AssA, each (19,), at ``ALPHAS``."""

    hota: np.ndarray
    deta: np.ndarray
    assa: np.ndarray


def hota_curve(overlaps: Overlaps) -> HotaCurve:
    """HOTA over all thresholds; 0 where nothing matches."""
    matched = _match_images(overlaps)
    objects = overlaps.truth_object[overlaps.pair_truth[matched]]
    tracks = overlaps.region_track[overlaps.pair_region[matched]]
    similarity = overlaps.pair_iou[matched]
    detections = len(overlaps.truth_area) + len(overlaps.region_area)
    deta, assa = np.zeros(len(ALPHAS)), np.zeros(len(ALPHAS))
    for k, alpha in enumerate(ALPHAS):
        hit = similarity >= alpha - _EPSILON
        true_positives = int(hit.sum())
        if true_positives == 0:
            continue
        pairs, counts = np.unique(np.stack([objects[hit], tracks[hit]]), axis=1, return_counts=True)
        union = overlaps.object_images[pairs[0]] + overlaps.track_images[pairs[1]] - counts
        assa[k] = np.sum(counts * (counts / union)) / true_positives
        deta[k] = true_positives / (detections - true_positives)
    return HotaCurve(np.sqrt(deta * assa), deta, assa)


def hota_metrics(overlaps: Overlaps, theta: float = THETA) -> dict[str, float]:
    """``hota``: mean over the thresholds; ``assa`` and ``deta``: at ``theta`` (one of ``ALPHAS``)."""
    curve = hota_curve(overlaps)
    at = int(np.argmin(np.abs(ALPHAS - theta)))
    return {"hota": float(curve.hota.mean()), "assa": float(curve.assa[at]), "deta": float(curve.deta[at])}


def idf1(overlaps: Overlaps, theta: float = THETA) -> float:
    """2 IDTP / (truth masks + regions), with objects and tracks assigned one to one; 0 where there is neither."""
    detections = len(overlaps.truth_area) + len(overlaps.region_area)
    true_positives = one_to_one(match_counts(overlaps, theta), np.ones(len(overlaps.object_ids))).sum()
    return float(2 * true_positives / max(detections, 1))


def _match_images(overlaps: Overlaps) -> np.ndarray:
    """(M,) indices of the pairs that HOTA matches, one to one in each image.

    Each image's assignment maximises the sum of IoU × global alignment, where the alignment of an object and a track is
    the Jaccard index of their appearances, weighted by IoU.
    """
    iou, track = overlaps.pair_iou, overlaps.region_track[overlaps.pair_region]
    truth_sum = np.bincount(overlaps.pair_truth, iou, len(overlaps.truth_area))
    region_sum = np.bincount(overlaps.pair_region, iou, len(overlaps.region_area))
    potential = iou / (truth_sum[overlaps.pair_truth] + region_sum[overlaps.pair_region] - iou)

    objects = overlaps.truth_object[overlaps.pair_truth]
    code, place = np.unique(objects * max(len(overlaps.track_labels), 1) + track, return_inverse=True)
    together = np.bincount(place, potential, len(code))[place]
    alignment = together / (overlaps.object_images[objects] + overlaps.track_images[track] - together)
    score = alignment * iou

    image = overlaps.truth_image[overlaps.pair_truth]
    chosen: list[np.ndarray] = [np.empty(0, np.int64)]
    for mine in places(image, len(overlaps.names)):
        if len(mine) == 0:
            continue
        truths, row = np.unique(overlaps.pair_truth[mine], return_inverse=True)
        regions, column = np.unique(overlaps.pair_region[mine], return_inverse=True)
        table, index = np.zeros((len(truths), len(regions))), np.full((len(truths), len(regions)), -1)
        table[row, column], index[row, column] = score[mine], mine
        picked = index[linear_sum_assignment(table, maximize=True)]
        chosen.append(picked[picked >= 0])
    return np.concatenate(chosen)
