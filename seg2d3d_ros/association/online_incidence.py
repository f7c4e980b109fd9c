"""The incidence of a live map, and what changed in it.

Every revision brings the whole map; most of it is as before. Per keyframe the segments under its keypoints are remembered,
and the label image as runs, so that a revision costs a look at its arrays and a few look-ups; no image is read twice. Points
get slots, numbers that stay while the points' places in the arrays do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from seg2d3d_ros.arrays import places, take
from seg2d3d_ros.association.projection import project_unobserved
from seg2d3d_ros.association.segment_lookup import SegmentLookup
from seg2d3d_ros.types import Incidence, Placements, Segments, SparseModel

_NO_SLOTS, _NO_XY = np.empty(0, np.int32), np.empty((0, 2), np.float32)


@dataclass
class _Seen:
    """Points in one keyframe: slot (n,), pixel (n, 2), and position of the segment there (n,), -1 = none."""

    slot: np.ndarray = field(default_factory=_NO_SLOTS.copy)
    xy: np.ndarray = field(default_factory=_NO_XY.copy)
    local: np.ndarray = field(default_factory=_NO_SLOTS.copy)

    @cached_property
    def keys(self) -> np.ndarray:
        """(m,) int64 sorted, of the points that lie in segments: slot and segment in one number."""
        inside = self.local >= 0
        return np.unique(self.slot[inside].astype(np.int64) << 16 | self.local[inside])


@dataclass
class _Keyframe:
    """One keyframe with its segments (S of them, 0 where it has none)."""

    ids: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    lookup: SegmentLookup | None
    segmented: bool
    observed: _Seen = field(default_factory=_Seen)
    projected: _Seen = field(default_factory=_Seen)

    def find(self, xy: np.ndarray) -> np.ndarray:
        return np.full(len(xy), -1, np.int32) if self.lookup is None else self.lookup(xy)


@dataclass
class _Flat:
    """The points of all keyframes, one after the other. ``row`` is the incidence's, -1 = none."""

    slot: np.ndarray
    row: np.ndarray
    keyframe: np.ndarray
    xy: np.ndarray


@dataclass(frozen=True)
class Delta:
    """What a revision changed.

    Attributes:
        row, slot: (N,) segments (rows of the incidence) and the points that they hold or held, of all that came or went.
        fresh: (S,) bool, segments that were not there before.
        views: keyframes that are new or have new segments.
        gone: keyframes that are no longer in the map, or whose segments were replaced.
    """

    row: np.ndarray
    slot: np.ndarray
    fresh: np.ndarray
    views: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True)
class Subset:
    """Some rows and columns of the incidence: ``rows`` (s,) and ``slots`` (p,) say which."""

    incidence: Incidence
    rows: np.ndarray
    slots: np.ndarray


class OnlineIncidence:
    """Feed revisions to ``update``; take ``whole()`` or a ``part`` of the incidence.

    Args:
        project: also find where points lie that a keyframe should see but does not observe.
    """

    def __init__(self, *, project: bool) -> None:
        self._project = project
        self._views: dict[str, _Keyframe] = {}
        self._models: Sequence[SparseModel] = ()
        self._known = np.empty(0, np.int64)  # point ids, ascending
        self._slot_of_known = np.empty(0, np.int32)
        self.slots = 0
        self.names: tuple[str, ...] = ()
        self.point_ids = np.empty(0, np.int64)
        self._xyz = np.empty((0, 3))
        self.slot_of_column = _NO_SLOTS
        self._column_of_slot = _NO_SLOTS
        self.first_row = np.zeros(1, np.int64)
        self.row_keyframe = self.row_class = _NO_SLOTS
        self.row_id = np.empty(0, np.uint16)
        self.row_score = np.empty(0, np.float32)
        self._observed = _Flat(_NO_SLOTS, _NO_SLOTS, _NO_SLOTS, _NO_XY)
        self._projected: _Flat | None = None  # made when asked for: a revision is followed by a projection

    @property
    def columns(self) -> np.ndarray:
        """(slots,) the column of each point in this revision, -1 for points that are gone."""
        return self._column_of_slot

    @property
    def observed(self) -> _Flat:
        """All keypoints with a point."""
        return self._observed

    @property
    def projected(self) -> _Flat:
        """All points that should be seen but were not matched."""
        if self._projected is None:
            self._projected = self._flat([self._views[name].projected for name in self.names])
        return self._projected

    def update(self, models: Sequence[SparseModel], segments: Mapping[str, Segments], fresh: Set[str]) -> Delta:
        """Take over a revision.

        Args:
            segments: asked only for keyframes that are new or in ``fresh``.
            fresh: keyframes whose segments are new or others than before.

        Raises:
            DataError: a label image is smaller than the image that the keypoints were found in. Nothing is taken over.
        """
        self._models = models
        names = tuple(name for model in models for name in model.names)
        new = [name for name in names if name not in self._views or name in fresh]
        made = {name: _new_keyframe(segments.get(name)) for name in new}
        self._number_points(models)
        self._xyz = np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)])
        seen = self._seen(models)
        changes: dict[str, np.ndarray] = {}
        found: dict[str, _Seen] = {}
        for name, (slot, xy) in seen.items():
            view = made.get(name) or self._views[name]
            before = view.observed
            if np.array_equal(before.slot, slot) and np.array_equal(before.xy, xy) and name not in made:
                continue
            found[name] = _Seen(slot, xy, view.find(xy))
            changes[name] = np.setxor1d(found[name].keys, before.keys, assume_unique=True)
        gone = tuple(name for name in self._views if name not in seen or name in made)
        for name in gone:
            del self._views[name]
        self._views.update(made)
        for name, item in found.items():
            self._views[name].observed = item
        self._lay_out(names)
        place = {name: k for k, name in enumerate(names)}
        rows, slots = [_NO_SLOTS], [_NO_SLOTS]
        for name, keys in changes.items():
            rows.append((self.first_row[place[name]] + (keys & 0xFFFF)).astype(np.int32))
            slots.append((keys >> 16).astype(np.int32))
        is_new = np.isin(np.arange(len(names)), [place[name] for name in made])
        return Delta(np.concatenate(rows), np.concatenate(slots), is_new[self.row_keyframe], tuple(made), gone)

    def _number_points(self, models: Sequence[SparseModel]) -> None:
        self.point_ids = np.concatenate([np.empty(0, np.int64), *(model.point_ids for model in models)])
        at = np.searchsorted(self._known, self.point_ids)
        known = at < len(self._known)
        known[known] = self._known[at[known]] == self.point_ids[known]
        if not known.all():
            added = np.unique(self.point_ids[~known])
            slots = np.arange(self.slots, self.slots + len(added), dtype=np.int32)
            self.slots += len(added)
            where = np.searchsorted(self._known, added)
            self._known = np.insert(self._known, where, added)
            self._slot_of_known = np.insert(self._slot_of_known, where, slots)
            at = np.searchsorted(self._known, self.point_ids)
        self.slot_of_column = self._slot_of_known[at]
        self._column_of_slot = np.full(self.slots, -1, np.int32)
        self._column_of_slot[self.slot_of_column] = np.arange(len(self.point_ids), dtype=np.int32)

    def _seen(self, models: Sequence[SparseModel]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Slots and pixels of each keyframe's keypoints."""
        result = {}
        first = 0
        for model in models:
            keyframe, point, xy = model.obs_keyframe, model.obs_point, model.obs_xy
            if len(keyframe) and np.diff(keyframe).min(initial=0) < 0:
                order = np.argsort(keyframe, kind="stable")
                keyframe, point, xy = keyframe[order], point[order], xy[order]
            slot = self.slot_of_column[first : first + len(model.point_ids)][point]
            bounds = np.searchsorted(keyframe, np.arange(len(model.names) + 1)).tolist()
            for k, name in enumerate(model.names):
                mine = slice(bounds[k], bounds[k + 1])
                result[name] = (slot[mine], xy[mine].astype(np.float32, copy=False))
            first += len(model.point_ids)
        return result

    def project(self, names: Set[str] | None = None) -> None:
        """Project points anew into these keyframes; the other keyframes keep what they have.

        Args:
            names: None = all, also those without segments, into which objects may be carried.
        """
        if not self._project or not any(view.segmented for view in self._views.values()):
            return
        wanted = {name for name, view in self._views.items() if names is None or (view.segmented and name in names)}
        found = project_unobserved(self._models, wanted, lambda name, xy: self._views[name].find(xy))
        slot = self.slot_of_column[found.point]
        for name, mine in zip(self.names, places(found.keyframe, len(self.names)), strict=True):
            if name in wanted:
                self._views[name].projected = _Seen(slot[mine], found.xy[mine], found.segment[mine])
        self._projected = None

    def _lay_out(self, names: tuple[str, ...]) -> None:
        """Number the rows, and put everything one after the other."""
        views = [self._views[name] for name in names]
        counts = np.array([len(view.ids) for view in views], np.int64)
        self.names, self.first_row = names, np.concatenate([[0], np.cumsum(counts)])
        self.row_keyframe = np.repeat(np.arange(len(names), dtype=np.int32), counts)
        self.row_id = np.concatenate([np.empty(0, np.uint16), *(view.ids for view in views)])
        self.row_class = np.concatenate([np.empty(0, np.int32), *(view.classes for view in views)])
        self.row_score = np.concatenate([np.empty(0, np.float32), *(view.scores for view in views)])
        self._observed = self._flat([view.observed for view in views])
        self._projected = None

    def _flat(self, seen: Sequence[_Seen]) -> _Flat:
        sizes = [len(item.slot) for item in seen]
        slot = np.concatenate([_NO_SLOTS, *(item.slot for item in seen)])
        local = np.concatenate([_NO_SLOTS, *(item.local for item in seen)])
        row = np.where(local >= 0, local + np.repeat(self.first_row[:-1].astype(np.int32), sizes), np.int32(-1))
        keyframe = np.repeat(np.arange(len(seen), dtype=np.int32), sizes)
        return _Flat(slot, row, keyframe, np.concatenate([_NO_XY, *(item.xy for item in seen)]))

    def whole(self) -> Incidence:
        """All segments and all points."""
        return self._assemble(np.ones(len(self.row_id), bool), self.slot_of_column).incidence

    def part(self, rows: np.ndarray) -> Subset:
        """Some segments, (S,) bool, and all points that they hold, wherever these are seen."""
        held = np.zeros(self.slots, bool)
        with_none = np.append(rows, False)
        for flat in (self.observed, self.projected):
            held[flat.slot[with_none[flat.row]]] = True
        return self._assemble(rows, self.slot_of_column[held[self.slot_of_column]])

    def held_part(self, rows: np.ndarray, slots: np.ndarray) -> Subset:
        """Some segments, (S,) bool, and those of ``slots``, bool, that are observed in them; nothing about other views."""
        held = np.zeros(self.slots, bool)
        held[self.observed.slot[np.append(rows, False)[self.observed.row]]] = True
        return self._assemble(rows, self.slot_of_column[(held & slots)[self.slot_of_column]], elsewhere=False)

    def _assemble(self, rows: np.ndarray, slots: np.ndarray, *, elsewhere: bool = True) -> Subset:
        chosen = np.flatnonzero(rows)
        place = np.full(self.slots, -1, np.int32)
        place[slots] = np.arange(len(slots), dtype=np.int32)
        row_place = np.full(len(rows) + 1, -1, np.int32)
        row_place[chosen] = np.arange(len(chosen), dtype=np.int32)

        def placements(flat: _Flat) -> Placements:
            point = place[flat.slot]
            kept = slice(None) if len(slots) == len(self.slot_of_column) and (point >= 0).all() else np.flatnonzero(point >= 0)
            return Placements(flat.keyframe[kept], row_place[flat.row[kept]], point[kept], flat.xy[kept])

        observed = placements(self.observed)
        projected = placements(self.projected) if elsewhere else Placements.none()
        inside = np.flatnonzero(observed.segment >= 0)
        within = take(observed, inside)
        incidence = Incidence(
            matrix=_binary(within.segment, within.point, (len(chosen), len(slots))).astype(np.float32),
            visibility=_binary(observed.keyframe, observed.point, (len(self.names), len(slots))),
            names=self.names,
            segment_keyframe=self.row_keyframe[chosen],
            segment_ids=self.row_id[chosen],
            classes=self.row_class[chosen],
            scores=self.row_score[chosen],
            point_ids=self.point_ids[self._column_of_slot[slots]],
            observed=within,
            projected=projected,
            xyz=self._xyz[self._column_of_slot[slots]],
        )
        return Subset(incidence, chosen, slots)


def _new_keyframe(segments: Segments | None) -> _Keyframe:
    if segments is None or len(segments.ids) == 0:
        return _Keyframe(np.empty(0, np.uint16), _NO_SLOTS, np.empty(0, np.float32), None, segments is not None)
    return _Keyframe(
        segments.ids.astype(np.uint16),
        segments.classes.astype(np.int32),
        segments.scores.astype(np.float32),
        SegmentLookup(segments),
        True,
    )


def _binary(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """CSR bool matrix with ones at the given places, duplicates counted once."""
    matrix = sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape).tocsr()
    return matrix.astype(bool)
