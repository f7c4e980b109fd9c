"""Thin and small things of a whole map: found by rays in every component and class, and joined with what the points found.

A mask with enough points at the thing's place keeps the instance that the points gave it, and the thing takes that over. Points
that a mask only holds because they lie behind the thing say nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.arrays import concatenated
from seg2d3d_ros.association.rays.ground import fit_ground
from seg2d3d_ros.association.rays.level_views import LevelViews
from seg2d3d_ros.association.rays.mask_rays import sight
from seg2d3d_ros.association.rays.search import Thing, find_things
from seg2d3d_ros.association.rays.support import Evidence
from seg2d3d_ros.association.rays.thin_classes import metre_of
from seg2d3d_ros.association.solve import Assignment
from seg2d3d_ros.findings import EXAMPLES, NOTE, Finding, Kind
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel

UNPLACED = Kind(
    "thin_masks_unplaced",
    "masks of thin or small things that belong to none that could be placed",
    cause="their rays meet those of no other view at one place with one size: they are seen from too few places, or are false",
    remedy="take more images of these places from different sides; without a place these masks are left to their 3D points",
    level=NOTE,
)
GROUND_UNKNOWN = Kind(
    "ground_unknown",
    "images with thin or small things whose ground is not known",
    cause="too few 3D points lie on the ground below the cameras",
    remedy="things are placed by bearings alone there; what lies flat on the ground needs more images, or a view of the road",
)
ENOUGH_POINTS = 8
"""Points at the thing's place from which on a mask stays with the instance that the points gave it."""
NEAR, SIGMAS = 0.4, 3.0
"""Metres, and standard deviations of the place, beside a thing within which points are its."""


@dataclass(frozen=True, eq=False)
class RayThings:
    """T things.

    Attributes:
        rows: of each the segments that show it, rows of the incidence, ascending.
        classes: (T,) int32.
        boxes: with the covariance of their places.
        radius: (T,) within which points are the thing's, in world units, across the vertical.
        masks: how many segments took part.
        groundless: names of keyframes with such segments whose ground is not known.
    """

    rows: tuple[np.ndarray, ...]
    classes: np.ndarray
    boxes: OrientedBoxes
    radius: np.ndarray
    masks: int = 0
    groundless: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """What was not placed, and where the ground is unknown."""
        unplaced = self.masks - sum(len(rows) for rows in self.rows)
        found = [Finding(UNPLACED, unplaced, self.masks)] if unplaced else []
        if self.groundless:
            found.append(Finding(GROUND_UNKNOWN, len(self.groundless), examples=self.groundless[:EXAMPLES]))
        return found


def find_ray_things(
    models: Sequence[SparseModel],
    segments: Mapping[str, Segments],
    incidence: Incidence,
    chosen: np.ndarray,
) -> RayThings:
    """Find the thin and small things.

    Args:
        models: components; their keyframes, one after the other, are the incidence's.
        segments: by keyframe name.
        incidence: all segments.
        chosen: (S,) bool, the segments that take part (``may_be_things``), all of a class around some views or none.
    """
    rows: list[np.ndarray] = []
    kinds, boxes, radius = [np.empty(0, np.int32)], [OrientedBoxes.none()], [np.empty(0)]
    groundless: list[str] = []
    first = 0
    for model in models:
        last = first + len(model.names)
        mine = np.flatnonzero(chosen & (incidence.segment_keyframe >= first) & (incidence.segment_keyframe < last))
        if model.posed and len(mine):
            views = LevelViews.of(model, metre_of(model))
            which = np.unique(incidence.segment_keyframe[mine]) - first
            ground = fit_ground(views, views.from_world(model.xyz), which)
            groundless += [] if ground is not None else [model.names[k] for k in which.tolist()]
            for class_id in np.unique(incidence.classes[mine]).tolist():
                wanted: list[dict[int, int]] = [{} for _ in model.names]
                for row in mine[incidence.classes[mine] == class_id].tolist():
                    wanted[incidence.segment_keyframe[row] - first][int(incidence.segment_ids[row])] = row
                evidence = Evidence.of(sight(model, views, segments, wanted), views, ground)
                things = find_things(evidence)
                rows += [np.sort(evidence.rays.row[np.append(t.masks, t.pieces).astype(int)]) for t in things]
                kinds.append(np.full(len(things), class_id, np.int32))
                boxes.append(_boxes(things, views))
                reach = [max(t.located.width, NEAR) + SIGMAS * t.located.sigma for t in things]
                radius.append(np.array(reach, float) * views.metre)
        first = last
    parts = (np.concatenate(kinds), concatenated(boxes), np.concatenate(radius))
    return RayThings(tuple(rows), *parts, int(chosen.sum()), tuple(groundless))


def _boxes(things: Sequence[Thing], views: LevelViews) -> OrientedBoxes:
    """Upright boxes as wide as the things, in the world frame."""
    boxes = OrientedBoxes.none(len(things))
    for k, located in enumerate(thing.located for thing in things):
        middle = np.append(located.xy, (located.bottom + located.top) / 2)
        boxes.center[k] = views.to_world(middle)
        boxes.size[k] = np.array([located.width, located.width, located.top - located.bottom]) * views.metre
        boxes.rotation[k] = views.world_from_level
        turned = views.world_from_level @ located.covariance @ views.world_from_level.T
        boxes.covariance[k] = turned * views.metre**2
    return boxes


def at_thing(things: RayThings, which: int, xyz: np.ndarray) -> np.ndarray:
    """(N,) bool, whether points (N, 3) are a thing's: near its axis, between its ends."""
    boxes = things.boxes
    local = (xyz - boxes.center[which]) @ boxes.rotation[which]
    across = np.hypot(local[:, 0], local[:, 1])
    return np.asarray((across < things.radius[which]) & (np.abs(local[:, 2]) < boxes.size[which, 2] / 2 + things.radius[which]))


def join_things(incidence: Incidence, found: Assignment, things: RayThings) -> tuple[Assignment, dict[int, int]]:
    """What the points found, with the things: one assignment under common ids.

    Returns:
        The assignment, and from the id of each thing to its place among the things.
    """
    assert incidence.xyz is not None
    segment, entry = found.segment.copy(), found.entry.copy()
    point = {class_id: owner.copy() for class_id, owner in found.point.items()}
    divided = np.zeros(len(segment), bool)
    divided[found.cuts.segment] = True
    bounds, columns = incidence.matrix.indptr, incidence.matrix.indices
    last = max(int(segment.max(initial=0)), int(found.cuts.instance.max(initial=0)))
    place_of: dict[int, int] = {}
    for which in sorted(range(len(things.rows)), key=lambda t: -len(things.rows[t])):
        rows = things.rows[which][~divided[things.rows[which]]]
        near = [at_thing(things, which, incidence.xyz[columns[bounds[row] : bounds[row + 1]]]) for row in rows.tolist()]
        firm = np.array([item.sum() >= ENOUGH_POINTS for item in near], bool) & (found.segment[rows] > 0)
        votes = found.segment[rows[firm]]
        number = int(np.bincount(votes).argmax()) if len(votes) else 0
        if number == 0 or number in place_of:
            last += 1
            number, kept = last, ~firm
        else:
            kept = ~firm | (found.segment[rows] == number)
        if not kept.any():
            last -= number == last
            continue
        place_of[number] = which
        for row, own in zip(rows[kept].tolist(), [item for item, k in zip(near, kept, strict=True) if k], strict=True):
            segment[row] = number
            entry[bounds[row] : bounds[row + 1]] = np.where(own, number, 0)
            if (owner := point.get(int(things.classes[which]))) is not None:
                owner[columns[bounds[row] : bounds[row + 1]][own]] = number
    return replace(found, segment=segment, entry=entry, point=point), place_of


def with_boxes(instances: Instances, things: RayThings, place_of: Mapping[int, int]) -> Instances:
    """The instances with the things' boxes in the place of those of points."""
    rows = np.flatnonzero(np.isin(instances.ids, list(place_of)))
    boxes = instances.boxes[np.arange(len(instances.ids))]
    for row in rows.tolist():
        which = place_of[int(instances.ids[row])]
        for name in ("center", "size", "rotation", "covariance"):
            getattr(boxes, name)[row] = getattr(things.boxes, name)[which]
    return replace(instances, boxes=boxes)
