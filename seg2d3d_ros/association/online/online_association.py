"""Instances of a live map: a revision costs what it changes, not what the map holds.

* New and changed segments are attached to the instances around them: the consensus is refined from what is known, on the
  segments that share points with them (``neighbourhood``). All other instances stay as they are.
* Attaching unites instances but does not divide them. Therefore changes are counted, in segments, for each instance; when
  they reach a share of the neighbourhood's segments, that is solved afresh from its single masks. The cost of it, per
  keyframe, does not grow with the map. Where keyframes come in random order, the neighbourhood is soon everything.
* Solving afresh has hysteresis towards what was found (``agglomeration.HYSTERESIS``), so that instances do not come and go
  while the views are divided.
* On request, and when most of the map changed, everything is solved as offline.
* An instance is shown once it has been seen in some images (``confirmation``), and on request.

Methods other than ``consensus`` are solved whole each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.association.consensus import PROJECTED, Tracks, consensus_tracks
from seg2d3d_ros.association.masks.directions import with_far_masks
from seg2d3d_ros.association.online.confirmation import Confirmation
from seg2d3d_ros.association.online.identity import Identity, Merge, absorbed_ids, inherit, inherit_ids, keys_of, lost_ids
from seg2d3d_ros.association.online.neighbourhood import Known, Solved, solve_part, unites
from seg2d3d_ros.association.online.online_labels import Labelling
from seg2d3d_ros.association.online.online_rays import OnlineRays
from seg2d3d_ros.association.online_incidence import Delta, OnlineIncidence, Subset
from seg2d3d_ros.association.rays.ray_things import with_boxes
from seg2d3d_ros.association.solve import METHODS, assign, describe, projects, stacked_up, stacked_xyz, uses_rays
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel

SETTLE = 0.15
"""Changed segments, as a share of the neighbourhood's, that make it worth solving afresh."""
MOSTLY = 0.5
"""Where changed segments or the neighbourhood are more than this share of all, everything is solved."""
LEAST_CHANGE = 0.05
"""Changes of an instance below this share of its segments wait for more."""
LEAST_WEIGHT = 2.0
"""Weight of changed points that an instance must own for its points to be up for discussion."""
LEAST_HELD = 1.0
"""Weight of points of the touched instances in a segment for it to take part."""


@dataclass(frozen=True)
class Update:
    """The instances after a revision.

    Attributes:
        changed: keyframes that are new or gone, or some of whose segments have another instance, or are divided otherwise,
            than before.
        merges: instances that turned out to be one.
        solved: how many segments were solved afresh, not just attached.
    """

    instances: Instances
    changed: tuple[str, ...]
    merges: tuple[Merge, ...]
    solved: int


class OnlineAssociation:
    """Call ``update`` with each revision.

    Args:
        identity: ids that segments had before.
    """

    def __init__(self, config: AssociationConfig, identity: Identity) -> None:
        self._config = config
        self._next_id = identity.next_id
        self._remembered = dict(identity.of_segment)
        self._absorbed = dict(identity.absorbed)
        self._confirmation = Confirmation(config.confirm_images, self._remembered.values())
        self.incidence = OnlineIncidence(project=projects(config))
        self._labels = Labelling(self.incidence)
        self._rays = OnlineRays(self.incidence, self._labels, used=uses_rays(config))
        self._changed: dict[int, float] = {}
        self._begun = self._given = False

    @property
    def identity(self) -> Identity:
        """What is to be remembered: the ids that were shown."""
        shown = self._confirmation.shown
        return Identity({key: i for key, i in self._remembered.items() if i in shown}, self._next_id, dict(self._absorbed))

    @property
    def findings(self) -> list[Finding]:
        """What the last whole solution doubts."""
        return self._rays.findings

    def update(
        self,
        models: Sequence[SparseModel],
        segments: Mapping[str, Segments],
        fresh: Set[str],
        *,
        full: bool = False,
        given: bool = False,
    ) -> Update:
        """Take over a revision.

        Args:
            segments: by keyframe name; asked only for keyframes that are new or in ``fresh``.
            fresh: keyframes whose segments are new or others than before.
            full: solve everything as offline.
            given: with ``full``, segments of one id are one object in all keyframes: it was chosen before (``granularity``).

        Raises:
            DataError: masks that do not fit the images.
        """
        self._given = given
        found = self._solve(models, segments, fresh, full=full)
        online, confirmation = self.incidence, self._confirmation
        appeared = confirmation.confirm(found.instances, online.row_keyframe, everything=full)
        changed = (*found.changed, *(online.names[k] for k in appeared.tolist()))
        merges = confirmation.announced(found.merges)
        return Update(confirmation.hide(found.instances), tuple(dict.fromkeys(changed)), merges, found.solved)

    def _solve(self, models: Sequence[SparseModel], segments: Mapping[str, Segments], fresh: Set[str], *, full: bool) -> Update:
        """``update``, with instances that are not shown yet."""
        delta = self.incidence.update(models, segments, fresh)
        xyz = stacked_xyz(models)
        lost = self._labels.fit(delta.gone)
        for instance_id in lost.tolist():
            self._add_change(instance_id, 1.0)
        rows = len(self.incidence.row_id)
        mostly = int(self._affected(delta).sum()) > MOSTLY * rows
        if full or mostly or not self._begun or self._config.method != "consensus":
            return self._solve_all(models, segments, delta, anew=True, final=full)
        self.incidence.project(set(delta.views))
        changed: list[str] = [*delta.views, *delta.gone]
        merges: list[Merge] = []
        moved = self._labels.moved(xyz)
        stale = [lost, moved]
        self._attach(delta, changed, merges, stale)
        neighbours, solved = self._due(), 0
        if neighbours is not None:
            solved = int(np.isin(self._labels.segment(), neighbours).sum())
            if solved > MOSTLY * rows:
                update = self._solve_all(models, segments, delta, anew=False)
                both = tuple(dict.fromkeys([*changed, *update.changed]))
                return Update(update.instances, both, (*merges, *update.merges), rows)
            self._settle(neighbours, changed, merges, stale)
        self._describe(np.concatenate(stale), moved, models)
        self._next_id = self._rays.update(models, segments, delta.views, self._next_id, changed)
        self._remember_things(set(changed))
        return Update(self._labels.instances(), tuple(dict.fromkeys(changed)), tuple(merges), solved)

    def _remember_things(self, names: Set[str]) -> None:
        """Keep the ids of what rays have placed, for the segments of these keyframes."""
        online, segment = self.incidence, self._labels.segment()
        for row in np.flatnonzero(np.isin(segment, self._labels.located)).tolist():
            if (name := online.names[online.row_keyframe[row]]) in names:
                self._remembered[name, int(online.row_id[row])] = int(segment[row])

    def _describe(self, ids: np.ndarray, moved: np.ndarray, models: Sequence[SparseModel]) -> None:
        """Find boxes and points of these instances, but not of those that rays have placed and masks still show."""
        shown = np.intersect1d(self._labels.located, self._labels.segment())
        ids = np.setdiff1d(ids, shown).astype(np.int32)
        if len(ids):
            self._labels.describe(ids, np.setdiff1d(moved, shown), stacked_xyz(models), stacked_up(models))

    def _solve_all(
        self,
        models: Sequence[SparseModel],
        segments: Mapping[str, Segments],
        delta: Delta,
        *,
        anew: bool,
        final: bool = False,
    ) -> Update:
        """Solve everything: ``anew`` as offline, otherwise the instances as they are weigh too. Masks without points find
        their object when the solution is ``final``; before, they may get points yet."""
        xyz, up = stacked_xyz(models), stacked_up(models)
        self.incidence.project()
        incidence = self.incidence.whole()
        method = METHODS[self._config.method]

        def solve(part: Incidence, _: np.ndarray) -> Tracks:
            if self._given:
                return Tracks(part.segment_ids.astype(np.int64))
            if anew:
                return method(part, self._config)
            before = self._labels.owner(int(part.classes[0]))[self.incidence.slot_of_column]
            return consensus_tracks(part, self._config, before)

        found = assign(incidence, solve)
        found, things, place_of = self._rays.solve(models, segments, incidence, found)
        if final and not self._given and projects(self._config):
            found = with_far_masks(models, segments, incidence, found, self._config.consensus_min_images)
        numbered = with_boxes(describe(incidence, xyz, found.segment, found.entry, found.cuts, up), things, place_of)
        known = Identity(self._remembered, self._next_id, self._absorbed)
        instances, identity, merges = inherit_ids(incidence, numbered, known, self._labels.point, self._confirmation.shown)
        self._remembered, self._next_id = dict(identity.of_segment), identity.next_id
        self._absorbed = dict(identity.absorbed)
        # The name that each of ``assign``'s numbers was given.
        name_of = np.zeros(int(numbered.ids.max(initial=0)) + 1, np.int32)
        name_of[found.segment] = instances.segment_instance
        name_of[found.cuts.instance] = instances.cuts.instance
        owner = {class_id: name_of[np.where(point < len(name_of), point, 0)] for class_id, point in found.point.items()}
        changed = [*delta.views, *delta.gone, *self._labels.replace(instances, owner, xyz)]
        self._changed, self._begun = {}, True
        return Update(instances, tuple(dict.fromkeys(changed)), tuple(merges), len(incidence.segment_ids))

    def _affected(self, delta: Delta) -> np.ndarray:
        """(S,) bool: segments that are new, or hold points that they did not hold, or the other way round."""
        affected = delta.fresh.copy()
        affected[delta.row] = True
        return affected

    def _add_change(self, instance_id: int, amount: float) -> None:
        self._changed[instance_id] = self._changed.get(instance_id, 0.0) + amount

    def _attach(self, delta: Delta, changed: list[str], merges: list[Merge], stale: list[np.ndarray]) -> None:
        """Attach new and changed segments to the instances around them."""
        online, segment = self.incidence, self._labels.segment()
        count, affected = len(segment), self._affected(delta)
        observed, unseen = online.observed, online.projected
        sizes = np.bincount(observed.row[observed.row >= 0], minlength=count)
        changes = np.bincount(delta.row, minlength=count)
        for class_id in np.unique(online.row_class[affected]).tolist():
            of_class = online.row_class == class_id
            fresh, owner = delta.fresh & of_class, self._labels.owner(class_id)
            inside = np.append(fresh, False)[unseen.row]
            mine = of_class[delta.row]
            gained = np.zeros(online.slots, bool)
            gained[unseen.slot[inside]] = gained[delta.slot[mine]] = True
            top = max(int(owner.max(initial=0)), int(segment.max(initial=0))) + 1
            weight = np.bincount(owner[delta.slot[mine]], minlength=top) + PROJECTED * np.bincount(
                owner[unseen.slot[inside]], minlength=top
            )
            weight += np.bincount(segment[of_class], changes[of_class], minlength=top)
            weight[0] = 0.0
            touched = np.setdiff1d(np.flatnonzero(weight >= LEAST_WEIGHT), self._labels.located).astype(np.int32)
            self._solve_part(class_id, touched, fresh, gained, changed, merges, stale, afresh=False)
        change = np.where(delta.fresh, 1.0, np.minimum(changes / np.maximum(sizes, 1), 1.0))
        after = self._labels.segment()
        for row in np.flatnonzero((change > 0) & (after > 0)).tolist():
            self._add_change(int(after[row]), float(change[row]))

    def _settle(self, ids: np.ndarray, changed: list[str], merges: list[Merge], stale: list[np.ndarray]) -> None:
        """Solve instances afresh from their single masks."""
        online, segment = self.incidence, self._labels.segment()
        rows = np.isin(segment, ids)
        online.project({online.names[k] for k in np.unique(online.row_keyframe[rows]).tolist()})
        nothing = np.zeros(online.slots, bool)
        for class_id in np.unique(online.row_class[rows]).tolist():
            touched = np.unique(segment[rows & (online.row_class == class_id)])
            fresh = (segment == 0) & (online.row_class == class_id)
            self._solve_part(class_id, touched, fresh & False, nothing, changed, merges, stale, afresh=True)
        for instance_id in ids.tolist():
            self._changed.pop(instance_id, None)

    def _due(self) -> np.ndarray | None:
        """The instances to be solved afresh, with those around them, if there was enough change."""
        segment = self._labels.segment()
        counts = np.bincount(segment, minlength=1)
        self._changed = {i: change for i, change in self._changed.items() if i < len(counts) and counts[i]}
        due = np.array(sorted(i for i, change in self._changed.items() if change >= LEAST_CHANGE * counts[i]), np.int32)
        due = np.setdiff1d(due, self._labels.located)
        total = sum(self._changed[i] for i in due.tolist())
        if len(due) == 0 or total < SETTLE * counts[due].sum():
            return None
        around = self._around(due, segment)
        return around if total >= SETTLE * counts[around].sum() else None

    def _around(self, ids: np.ndarray, segment: np.ndarray) -> np.ndarray:
        """These instances, and those that show in their segments or own points there; ascending."""
        flat = self.incidence.observed
        found = [ids]
        main = np.append(segment, 0)[flat.row]
        for class_id in np.unique(self.incidence.row_class).tolist():
            point = self._labels.owner(class_id)[flat.slot]
            of_class = np.append(self.incidence.row_class == class_id, False)[flat.row]
            mixed = np.flatnonzero(of_class & (main != point) & (main > 0) & (point > 0))
            a, b = np.isin(main[mixed], ids), np.isin(point[mixed], ids)
            near, weight = np.unique(np.where(a, point[mixed], main[mixed])[a != b], return_counts=True)
            found.append(near[weight >= LEAST_WEIGHT])
        around = np.setdiff1d(np.concatenate(found), self._labels.located)
        return around[np.isin(around, segment)]

    def _solve_part(
        self,
        class_id: int,
        touched: np.ndarray,
        fresh: np.ndarray,
        gained: np.ndarray,
        changed: list[str],
        merges: list[Merge],
        stale: list[np.ndarray],
        *,
        afresh: bool,
    ) -> None:
        """Solve for the touched instances (ascending) and fresh segments (S,), given points that are new somewhere (slots,).

        Keyframes that changed, merges, and instances to be described are appended to the lists.
        """
        online, owner, segment = self.incidence, self._labels.owner(class_id), self._labels.segment()
        is_touched = np.zeros(max(int(segment.max(initial=0)), int(owner.max(initial=0))) + 1, bool)
        is_touched[touched] = True
        reach = is_touched[owner] | (gained & (owner == 0))
        load = np.zeros(len(segment) + 1)
        for flat, weight in ((online.observed, 1.0), (online.projected, PROJECTED)):
            rows_in_reach = flat.row[reach[flat.slot]]
            load += weight * np.bincount(np.where(rows_in_reach >= 0, rows_in_reach, len(segment)), minlength=len(load))
        rows = fresh | is_touched[segment] | ((load[:-1] >= LEAST_HELD) & (online.row_class == class_id))
        rows &= ~np.isin(segment, self._labels.located)  # what rays have placed stays as it is
        if not rows.any():
            return
        part = online.part(rows)
        known = Known(segment[part.rows], owner[part.slots], fresh[part.rows], touched)
        solved = solve_part(part.incidence, self._config, known, afresh=afresh)
        if not afresh and unites(known, solved):
            # Instances keep together better than masks do: only what single masks say as well is believed.
            solved = solve_part(part.incidence, self._config, known, afresh=True)
        is_free = known.free
        free = np.flatnonzero(is_free)
        tracks = solved.tracks
        seeds = {row: item for row, item in tracks.cuts.by_segment().items() if is_free[row]}
        names = self._names(part, known, solved, free, seeds, segment, merges)

        instance = names[tracks.segment[free]]
        named = {}
        for row, (track, xy) in seeds.items():
            ids = names[track]
            if len(np.unique(ids[ids > 0])) > 1:
                named[int(part.rows[row])] = (ids[ids > 0], xy[ids > 0])
        changed += self._labels.set_rows(part.rows[free], instance, named)
        heir = {old: merge.kept for merge in merges for old in merge.absorbed}
        gone = np.setdiff1d(touched, names)
        other = part.rows[~is_free]
        changed += self._labels.rename(other, {old: heir.get(old, 0) for old in gone.tolist()})
        movable = ~np.isin(known.point, solved.fixed)
        owner[part.slots[movable]] = names[self._tracks_of_points(tracks)[movable]]
        rows_named = free[instance > 0]
        now = dict(zip(keys_of(part.incidence, rows_named), names[tracks.segment[rows_named]].tolist(), strict=True))
        self._absorbed.update(absorbed_ids(now, self._remembered, self._absorbed, merges))
        self._remembered.update(now)
        for old in gone.tolist():
            if old in heir and old in self._changed:
                self._add_change(heir[old], self._changed.pop(old))
        stale += [touched, instance[instance > 0], *(ids for ids, _ in named.values())]

    @staticmethod
    def _tracks_of_points(tracks: Tracks) -> np.ndarray:
        assert tracks.point is not None, "the consensus names the track of each point"
        return tracks.point

    def _names(
        self,
        part: Subset,
        known: Known,
        solved: Solved,
        free: np.ndarray,
        seeds: Mapping[int, tuple[np.ndarray, np.ndarray]],
        segment: np.ndarray,
        merges: list[Merge],
    ) -> np.ndarray:
        """(tracks + 1,) the instance that each track is; 0 for tracks that no segment shows."""
        first, tracks = len(solved.fixed), solved.tracks
        shown = np.unique(np.concatenate([tracks.segment[free], *(track for track, _ in seeds.values())]))
        shown = shown[shown > first]
        if self._config.consensus_min_images > 1:
            place = np.unique(np.stack([tracks.segment[free], part.incidence.segment_keyframe[free]]), axis=1)
            images = np.bincount(place[0], minlength=solved.count + 1)
            shown = shown[images[shown] >= self._config.consensus_min_images]
        cluster = np.full(solved.count + 1, -1)
        cluster[shown] = np.arange(len(shown))

        old, keys = known.segment[free].astype(np.int64), keys_of(part.incidence, free)
        elsewhere = set(np.setdiff1d(segment, known.touched).tolist())
        for place in np.flatnonzero(old == 0).tolist():
            before = self._remembered.get(keys[place], 0)
            old[place] = 0 if before in elsewhere else before
        rows = (cluster[tracks.segment[free]] >= 0) & (old > 0)
        of_point = cluster[self._tracks_of_points(tracks)]
        points = (of_point >= 0) & np.isin(known.point, known.touched)
        heirs = inherit(
            len(shown),
            np.stack([cluster[tracks.segment[free][rows]], old[rows]]),
            self._next_id,
            np.stack([of_point[points], known.point[points].astype(np.int64)]),
            self._confirmation.shown,
            lost_ids(cluster[tracks.segment[free]], keys, self._absorbed),
            elsewhere,
        )
        self._next_id = heirs.next_id
        merges += heirs.merges
        names = np.zeros(solved.count + 1, np.int32)
        names[1 : first + 1] = solved.fixed
        names[shown] = heirs.names
        return names
