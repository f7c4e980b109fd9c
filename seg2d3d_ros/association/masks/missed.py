"""Views in which an object should be seen and no mask shows it, told by the object's 3D points.

Where somebody looked for objects, the detector missed it. Where nobody did (no mask was given for the image), nothing was
missed: there the object's mask is still to be made, from those that were given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.consensus import PROJECTED
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.visibility import occluded
from seg2d3d_ros.types import Incidence, Instances, SparseModel

MIN_POINTS = 5
"""Visible points of the object, outside all masks."""
MIN_SPREAD = 0.02
"""Of the image's diagonal: what these points extend over, along both axes of their scatter together."""
MIN_FREE = 0.6
"""Of the object's visible points: so many lie outside all masks. Else another mask has swallowed the object."""
MIN_VIEWS, MIN_SUPPORT = 3, 0.3
"""An object needs masks in so many views, and in this share of those that should see it: the others may be false alarms.
To carry an object into a view that nobody looked at, masks in half of the views that were looked at suffice."""
HALF = 0.5
FARTHEST, NEAREST = 0.8, 2.0
"""A view that is more than so many times as far from the object as the farthest view with a mask of it, and as the nearest one,
stands where nobody has seen it: there it is mostly hidden behind its neighbours. If somebody looked there, nothing was missed;
if nobody did, an object carried there is sure by half."""
MIN_CONFIDENCE = 0.5
"""Points whose masks agree less on the object do not count."""
STRAY = 4.0
"""A point whose neighbours of the same object are this many times farther than is usual for the object is a stray one."""
NEIGHBOURS = 4
RADIUS = 1 / 20
"""Of the image's width: how far around a point others tell whether it is hidden."""
EVIDENCE = 3.0
"""Weight of points at which one is half sure."""


@dataclass(frozen=True)
class MissedView:
    """An instance that a keyframe should show and no mask there does.

    Attributes:
        name: the keyframe.
        keyframe: its index in the incidence.
        instance, class_id: who is missed.
        point: (N,) int32 the instance's visible points outside all masks, as columns of the incidence.
        xy: (N, 2) float32 where they lie (pixel conventions of ``types``).
        others: (M, 2) float32 where visible points of other instances, or of what no view holds for an object, lie.
        confidence: 0 … 1, how sure it is that the instance is seen here.
        segmented: somebody looked for objects in this keyframe and did not find it; False = nobody looked.
    """

    name: str
    keyframe: int
    instance: int
    class_id: int
    point: np.ndarray
    xy: np.ndarray
    others: np.ndarray
    confidence: float
    segmented: bool = True

    @property
    def box(self) -> tuple[float, float, float, float]:
        """``x0 y0 x1 y1`` of the points."""
        (x0, y0), (x1, y1) = self.xy.min(axis=0), self.xy.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)

    def to_json(self) -> dict[str, Any]:
        """What metrics.json says of it."""
        box = [round(value, 1) for value in self.box]
        return {"image": self.name, "instance": self.instance, "box": box, "confidence": round(self.confidence, 3)}


@dataclass(frozen=True)
class Sightings:
    """Points in keyframes: N times a keyframe, a point, the segment there (-1 = none), a pixel, and whether matched."""

    keyframe: np.ndarray
    point: np.ndarray
    segment: np.ndarray
    xy: np.ndarray
    observed: np.ndarray


def sightings(models: Sequence[SparseModel], incidence: Incidence) -> Sightings:
    """Every point in every keyframe that observes it or, where the incidence says so, should see it."""
    keyframes, points, pixels = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, 2), np.float32)]
    first_keyframe = first_point = 0
    for model in models:
        keyframes.append(model.obs_keyframe.astype(np.int64) + first_keyframe)
        points.append(model.obs_point.astype(np.int64) + first_point)
        pixels.append(model.obs_xy)
        first_keyframe, first_point = first_keyframe + len(model.names), first_point + len(model.point_ids)
    keyframe, point, xy = np.concatenate(keyframes), np.concatenate(points), np.concatenate(pixels)
    held = incidence.observed
    key, known = keyframe * max(first_point, 1) + point, held.keyframe.astype(np.int64) * max(first_point, 1) + held.point
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known[order], key), max(len(known) - 1, 0))
    segment = np.full(len(key), -1, np.int32)
    if len(known):
        found = known[order][place] == key
        segment[found] = held.segment[order][place[found]]
    unseen = incidence.projected
    return Sightings(
        np.concatenate([keyframe, unseen.keyframe]).astype(np.int32),
        np.concatenate([point, unseen.point]).astype(np.int32),
        np.concatenate([segment, unseen.segment]),
        np.concatenate([xy, unseen.xy]).astype(np.float32),
        np.concatenate([np.ones(len(key), bool), np.zeros(len(unseen.point), bool)]),
    )


def solid_points(xyz: np.ndarray, instances: Instances) -> np.ndarray:
    """(P,) int32 instance of each point, 0 for points that are none's, unsure, or far from all others of their instance.

    Args:
        xyz: (P, 3) positions.
    """
    solid = np.where(instances.point_confidence >= MIN_CONFIDENCE, instances.point_instance, 0).astype(np.int32)
    order = np.argsort(solid, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(solid[order])) + 1):
        if len(mine) == 0 or solid[mine[0]] == 0:
            continue
        if len(mine) <= NEIGHBOURS:
            solid[mine] = 0
            continue
        gap = cKDTree(xyz[mine]).query(xyz[mine], k=NEIGHBOURS + 1)[0][:, 1:].mean(axis=1)
        solid[mine[gap > STRAY * np.median(gap)]] = 0
    return solid


def find_missed(
    models: Sequence[SparseModel], segmented: Collection[str], incidence: Incidence, instances: Instances
) -> list[MissedView]:
    """The views in which instances should be seen and no mask shows them, keyframe by keyframe, the surest first.

    A point is visible where it was matched, or where it should be seen (``association.projection``) and the points around
    it in the image are not much nearer. A view misses an instance if it shows enough of its points, most of them outside
    all masks, and no mask or part of one there is the instance's. Keyframes without poses are not judged; neither are objects
    that too few views hold for one.

    Args:
        models: components; their points and keyframes, one after the other, are the incidence's.
        segmented: names of the keyframes that somebody looked for objects in, whether or not there were any. The others are
            judged too: what should be seen there comes with ``MissedView.segmented`` False.
        incidence: best built with ``project=True``; without, only matched points count.
    """
    xyz = np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)])
    solid = solid_points(xyz, instances)
    seen = sightings(models, incidence)
    shown = instances_shown(incidence, instances)
    found: list[MissedView] = []
    views = [view for model in models for view in model.views()]
    for k, rows in enumerate(places(seen.keyframe, len(views))):
        view = views[k]
        if view is not None:
            there = _missed_in(k, view, rows, seen, solid, xyz, shown[k], incidence, instances)
            found += [replace(item, segmented=item.name in segmented) for item in there]
    views_with = np.bincount([i for present in shown for i in present], minlength=int(instances.ids.max(initial=0)) + 1)
    views_without = np.bincount([item.instance for item in found if item.segmented], minlength=len(views_with))
    looked_at = views_with + views_without
    trusted = (views_with >= MIN_VIEWS) & (views_with >= MIN_SUPPORT * looked_at)
    carried = trusted | (views_with >= HALF * looked_at)
    kept = [item for item in found if (trusted if item.segmented else carried)[item.instance]]
    kept = near_enough(kept, views, shown, xyz, solid)
    return sorted(kept, key=lambda item: (item.keyframe, -item.confidence))


def near_enough(
    found: list[MissedView], views: Sequence[View | None], shown: Sequence[set[int]], xyz: np.ndarray, solid: np.ndarray
) -> list[MissedView]:
    """Without the missed views that are too far away (``FARTHEST``); carried ones lose half of their confidence instead."""
    middle = {instance: np.median(xyz[solid == instance], axis=0) for instance in {item.instance for item in found}}
    reach: dict[int, list[float]] = {instance: [] for instance in middle}
    for view, present in zip(views, shown, strict=True):
        if view is not None:
            for instance in present & middle.keys():
                reach[instance].append(float(np.linalg.norm(view.center - middle[instance])))
    kept = []
    for item in found:
        view, seen_from = views[item.keyframe], reach[item.instance]
        assert view is not None  # only posed keyframes are judged
        away = float(np.linalg.norm(view.center - middle[item.instance]))
        if not seen_from or away <= max(FARTHEST * max(seen_from), NEAREST * min(seen_from)):
            kept.append(item)
        elif not item.segmented:
            kept.append(replace(item, confidence=HALF * item.confidence))
    return kept


def instances_shown(incidence: Incidence, instances: Instances) -> list[set[int]]:
    """Per keyframe the instances that its masks, or parts of them, show."""
    shown: list[set[int]] = [set() for _ in incidence.names]
    for segment, instance in (
        (np.arange(len(instances.segment_instance)), instances.segment_instance),
        (instances.cuts.segment, instances.cuts.instance),
    ):
        pairs = np.unique(np.stack([incidence.segment_keyframe[segment], instance]), axis=1)
        for k, i in pairs.T.tolist():
            if i:
                shown[k].add(i)
    return shown


def _missed_in(
    k: int,
    view: View,
    rows: np.ndarray,
    seen: Sightings,
    solid: np.ndarray,
    xyz: np.ndarray,
    present: set[int],
    incidence: Incidence,
    instances: Instances,
) -> Iterator[MissedView]:
    owner, xy, observed = solid[seen.point[rows]], seen.xy[rows], seen.observed[rows]
    candidates = [i for i in np.unique(owner[(owner > 0) & (seen.segment[rows] < 0)]).tolist() if i not in present]
    if not candidates:
        return
    depth = view.depth(xyz[seen.point[rows]])
    tree = cKDTree(xy)
    diagonal, radius = float(np.hypot(view.camera.width, view.camera.height)), RADIUS * view.camera.width
    class_of = dict(zip(instances.ids.tolist(), instances.classes.tolist(), strict=True))
    for instance in candidates:
        mine = np.flatnonzero(owner == instance)
        if len(mine) < MIN_POINTS:
            continue
        behind = occluded(
            xy[mine], depth[mine], tree, depth, owner != instance, neighbours=2 * NEIGHBOURS, radius=radius, itself=mine
        )
        visible = mine[observed[mine] | ~behind]
        free = visible[seen.segment[rows[visible]] < 0]
        if len(free) < MIN_POINTS or len(free) < MIN_FREE * len(visible):
            continue
        free = free[_together(xy[free])]
        if len(free) < MIN_POINTS or _spread(xy[free]) < MIN_SPREAD * diagonal:
            continue
        evidence = float(np.where(observed[free], 1.0, PROJECTED).sum())
        yield MissedView(
            incidence.names[k],
            k,
            instance,
            class_of[instance],
            seen.point[rows[free]],
            xy[free],
            xy[(owner != instance) & observed],
            len(free) / len(visible) * evidence / (evidence + EVIDENCE),
        )


def _together(xy: np.ndarray) -> np.ndarray:
    """(n,) bool without pixels that lie far from all others."""
    if len(xy) <= NEIGHBOURS:
        return np.ones(len(xy), bool)
    gap = cKDTree(xy).query(xy, k=NEIGHBOURS)[0][:, 1:].mean(axis=1)
    return np.asarray(gap <= STRAY * np.median(gap))


def _spread(xy: np.ndarray) -> float:
    """Geometric mean of the extents (two standard deviations) along the axes of the scatter, in pixels."""
    variance = np.linalg.eigvalsh(np.cov(xy.T.astype(float)))
    return 2.0 * float(np.prod(np.sqrt(np.maximum(variance, 0.0)))) ** 0.5
