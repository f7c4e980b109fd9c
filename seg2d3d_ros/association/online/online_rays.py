"""Thin and small things of a live map: a whole solution finds all of them, and updates those around the views that changed.

The masks of new views wait until they are a share of those around; then all masks around are solved as offline. A thing that is
known keeps its id and the masks of views that did not change; new things get new ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from seg2d3d_ros.association.online.online_labels import Labelling
from seg2d3d_ros.association.online_incidence import OnlineIncidence
from seg2d3d_ros.association.rays.level_views import LevelViews
from seg2d3d_ros.association.rays.ray_things import RayThings, find_ray_things, join_things
from seg2d3d_ros.association.rays.thin_classes import thin_classes
from seg2d3d_ros.association.solve import Assignment, stacked_up, stacked_xyz
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.types import Cuts, Incidence, Segments, SparseModel

SETTLE = 0.15
"""Masks of new views, as a share of those around, that make it worth solving there."""


class OnlineRays:
    """Rows are those of ``incidence``.

    Args:
        used: whether things are looked for by rays at all.

    Attributes:
        findings: what the last whole solution left unplaced.
    """

    def __init__(self, incidence: OnlineIncidence, labels: Labelling, *, used: bool) -> None:
        self._incidence, self._labels, self._used = incidence, labels, used
        self._classes: list[int] = []
        self._waiting: set[str] = set()
        self.findings: list[Finding] = []

    def solve(
        self, models: Sequence[SparseModel], segments: Mapping[str, Segments], incidence: Incidence, found: Assignment
    ) -> tuple[Assignment, RayThings, dict[int, int]]:
        """Add all things to what the points found; see ``join_things``."""
        self._waiting.clear()
        self._classes = thin_classes(models, segments, incidence) if self._used else []
        things = find_ray_things(models, segments, incidence, np.isin(incidence.classes, self._classes))
        self.findings = things.findings
        joined, place_of = join_things(incidence, found, things)
        return joined, things, place_of

    def update(
        self,
        models: Sequence[SparseModel],
        segments: Mapping[str, Segments],
        fresh: Iterable[str],
        next_id: int,
        changed: list[str],
    ) -> int:
        """Solve around new views when that is due; returns the lowest id never given.

        Args:
            fresh: keyframes that are new or have new segments.
            changed: gets the keyframes whose labels changed.
        """
        online = self._incidence
        thin = np.isin(online.row_class, self._classes)
        self._waiting = (self._waiting | set(fresh)) & set(online.names)
        place = {name: k for k, name in enumerate(online.names)}
        new = np.array(sorted(place[name] for name in self._waiting), np.int64)
        around = _around(models, new)
        waiting, near = (thin & np.isin(online.row_keyframe, views) for views in (new, around))
        if not waiting.any() or waiting.sum() < SETTLE * near.sum():
            return next_id
        self._waiting.clear()
        incidence = online.whole()
        known = self._labels.segment()
        things = find_ray_things(models, segments, incidence, near)
        entries = np.repeat(known, np.diff(incidence.matrix.indptr))
        joined, place_of = join_things(incidence, Assignment(known, entries, Cuts.none(), {}), things)
        located = self._labels.located
        ids, which = [], []
        for number, thing in sorted(place_of.items()):
            rows = np.flatnonzero(joined.segment == number)
            before = known[rows][np.isin(known[rows], located)]
            votes = np.bincount(before) if len(before) else np.zeros(1, np.int64)
            instance = number if number <= known.max(initial=0) else int(votes.argmax()) if len(before) else next_id
            if instance in ids:
                continue
            next_id = max(next_id, instance + 1)
            free = ~np.isin(known[rows], located)
            if not free.any():
                continue
            changed += self._labels.set_rows(rows[free], np.full(int(free.sum()), instance, np.int32), {})
            ids.append(instance)
            which.append(thing)
        if ids:
            order = np.argsort(ids)
            names = np.array(ids, np.int32)[order]
            self._labels.describe(names, names[:0], stacked_xyz(models), stacked_up(models))
            self._labels.place(names, things.boxes[np.array(which)[order]])
        return next_id


def _around(models: Sequence[SparseModel], views: np.ndarray) -> np.ndarray:
    """The views near these (n,), themselves among them; all counted through the components."""
    found = [views]
    first = 0
    for model in models:
        mine = views[(views >= first) & (views < first + len(model.names))] - first
        if model.posed and len(mine):
            neighbours = LevelViews.of(model).neighbours
            found += [neighbours[k] + first for k in mine.tolist()]
        first += len(model.names)
    return np.unique(np.concatenate(found))
