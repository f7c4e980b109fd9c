"""How sure an instance is: a calibrated probability that it is one object, and all of it.

What speaks for and against an instance is summed up in a few measures between 0 and 1 (``FEATURES``). The score is a logistic
function of them that is monotone in each. Its coefficients were fitted on simulated streets; ``benchmarks/calibration.py``
fits them, and prints how well they hold on streets that were not used. docs/association.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from seg2d3d_ros.association.consensus import PROJECTED
from seg2d3d_ros.association.judging.impossible import shown_rows
from seg2d3d_ros.types import Incidence, Instances, SparseModel

FEATURES: dict[str, float] = {
    "views": 1.0,
    "points": 3.6,
    "spread": 6.4,
    "purity": 0.9,
    "own": 1.2,
    "foreign": -1.9,
}
"""Coefficient of each measure. The fit keeps the signs: more evidence never lowers a score, contradiction never raises it."""
INTERCEPT = -8.9
RAYS_INTERCEPT, RAYS_VIEWS = -2.5, 8.0
"""The same for what was triangulated by rays, of which points say nothing: by ``views`` alone."""
HALF_VIEWS, HALF_POINTS = 4.0, 30.0
"""Views and points at which ``views`` and ``points`` are one half."""
WIDE = np.radians(10.0)
"""Standard deviation of the viewing directions from which on ``spread`` is 1."""


def score_instances(models: Sequence[SparseModel], incidence: Incidence, instances: Instances) -> np.ndarray:
    """(I,) float32 the probability that each instance is one object and most of it; 0 without a place.

    Args:
        models: components; their points and keyframes, one after the other, are the incidence's.
    """
    measured = features(models, incidence, instances)
    score = expit(INTERCEPT + measured @ np.array(list(FEATURES.values())))
    views = measured[:, list(FEATURES).index("views")]
    score = np.where(instances.boxes.located, expit(RAYS_INTERCEPT + RAYS_VIEWS * views), score)
    return np.where(instances.boxes.known, np.round(score, 3), 0.0).astype(np.float32)


def features(models: Sequence[SparseModel], incidence: Incidence, instances: Instances) -> np.ndarray:
    """(I, F) the measures, in the order of ``FEATURES``, each in [0, 1].

    * ``views``: n / (n + 4) of the n keyframes that show the instance.
    * ``points``: n / (n + 30) of its n points.
    * ``spread``: how far the directions from which it is seen lie apart; 1 from 10° (standard deviation) on.
    * ``purity``: of the labelled points in its masks, those that are its own.
    * ``own``: of its points wherever a view sees them, matched or projected, those in its masks.
    * ``foreign``: the same, in masks of other instances.
    """
    count, place = len(instances.ids), _places(instances)
    of_point, of_mask = place[instances.point_instance], place[instances.segment_instance]

    def total(of: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """(I,) sum of weights by instance; -1 belongs to none."""
        return np.bincount(of + 1, weight, count + 1)[1:].astype(float)

    row, owner = shown_rows(instances)
    keyframe, of_view = np.unique(np.stack([incidence.segment_keyframe[row], place[owner]]), axis=1)
    views, points = total(of_view), total(of_point)

    divided = np.zeros(len(of_mask), bool)
    divided[instances.cuts.segment] = True  # their points are each with the right part
    entries = incidence.matrix.tocoo()
    mask, point = of_mask[entries.row], of_point[entries.col]
    whole = ~divided[entries.row]
    mine = total(np.where(whole & (mask == point), mask, -1))
    held = total(np.where(whole & (point >= 0), mask, -1))

    seen, weight = [of_point[incidence.visibility.indices]], [np.ones(incidence.visibility.nnz)]
    inside = [np.where((mask == point) | ~whole, point, -1)]
    other = [np.where((mask >= 0) & (mask != point) & whole, point, -1)]
    inner, unseen = [np.ones(len(point))], incidence.projected
    if len(unseen.point):
        there = np.append(of_mask, -1)[unseen.segment]
        parted, point = np.append(divided, False)[unseen.segment], of_point[unseen.point]
        seen.append(point)
        inside.append(np.where((there == point) | parted, point, -1))
        other.append(np.where((there >= 0) & (there != point) & ~parted, point, -1))
        weight.append(np.full(len(point), PROJECTED))
        inner.append(weight[-1])
    everywhere = np.maximum(total(np.concatenate(seen), np.concatenate(weight)), 1e-9)
    inner_weight = np.concatenate(inner)
    return np.column_stack(
        [
            views / (views + HALF_VIEWS),
            points / (points + HALF_POINTS),
            _spread(models, instances, keyframe, of_view),
            (mine + 1) / (held + 1),
            np.minimum(total(np.concatenate(inside), inner_weight) / everywhere, 1.0),
            np.minimum(total(np.concatenate(other), inner_weight) / everywhere, 1.0),
        ]
    )


def _places(instances: Instances) -> np.ndarray:
    """The place of each instance among ``ids``, by id; -1 for 0 and for those that are not shown."""
    everything = (instances.ids, instances.point_instance, instances.segment_instance, instances.cuts.instance)
    place = np.full(max(int(values.max(initial=0)) for values in everything) + 1, -1, np.int64)
    place[instances.ids] = np.arange(len(instances.ids))
    return place


def _spread(models: Sequence[SparseModel], instances: Instances, keyframe: np.ndarray, of_view: np.ndarray) -> np.ndarray:
    """(I,) the standard deviation of the directions from N keyframes to the instance that each shows, 1 from ``WIDE`` on."""
    centers = np.concatenate([np.empty((0, 3)), *(model.centers for model in models)])
    ray = instances.boxes.center[of_view] - centers[keyframe]
    ray = ray / np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-12)
    known = np.isfinite(ray).all(axis=1)
    count = np.maximum(np.bincount(of_view[known], minlength=len(instances.ids)), 1)
    mean = np.column_stack([np.bincount(of_view[known], ray[known, axis], len(instances.ids)) / count for axis in range(3)])
    deviation = np.sqrt(np.maximum(2.0 * (1.0 - np.linalg.norm(mean, axis=1)), 0.0))
    return np.where(np.bincount(of_view[known], minlength=len(instances.ids)) > 0, np.minimum(deviation / WIDE, 1.0), 0.0)
