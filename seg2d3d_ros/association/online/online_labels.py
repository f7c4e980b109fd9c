"""What is known of a live map's segments, points and instances, kept by keyframe and by point slot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seg2d3d_ros.arrays import concatenated
from seg2d3d_ros.association.online_incidence import OnlineIncidence
from seg2d3d_ros.association.solve import describe
from seg2d3d_ros.association.votes import vote_points
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.types import Cuts, Instances

MOVED, MANY = 0.02, 0.1
"""An instance is described again when this share of its points (``MANY``) moved by this share of its size (``MOVED``)."""
BOX = 3.5
"""Standard deviations of points spread evenly over a length that make the length."""
PER_INSTANCE = ("ids", "classes", "scores", "boxes")
Seeds = tuple[np.ndarray, np.ndarray]
"""Instances (c,) and pixels (c, 2) that a segment is divided by."""


@dataclass
class _Keyframe:
    """Instance of each segment (S,), and the seeds of those that are divided, by place."""

    instance: np.ndarray
    cuts: dict[int, Seeds] = field(default_factory=dict)


class Labelling:
    """Rows, columns and slots are those of ``incidence``; call ``fit`` whenever it has taken over a revision."""

    def __init__(self, incidence: OnlineIncidence) -> None:
        self._incidence = incidence
        self._keyframes: dict[str, _Keyframe] = {}
        self._owner: dict[int, np.ndarray] = {}
        self._point = np.empty(0, np.int32)
        self._confidence = np.empty(0, np.float32)
        self._described_at = np.empty((0, 3))
        self._table: dict[str, Any] = {}
        self._points_then = np.empty(0, np.int64)

    def fit(self, gone: Iterable[str]) -> np.ndarray:
        """Forget keyframes, make room for new ones and for new points; returns the instances of what was forgotten."""
        lost = [np.empty(0, np.int32)]
        for name in gone:
            forgotten = self._keyframes.pop(name)
            lost += [forgotten.instance, *(ids for ids, _ in forgotten.cuts.values())]
        counts = np.diff(self._incidence.first_row).tolist()
        for name, count in zip(self._incidence.names, counts, strict=True):
            if name not in self._keyframes:
                self._keyframes[name] = _Keyframe(np.zeros(count, np.int32))
        more = self._incidence.slots - len(self._point)
        self._point = np.append(self._point, np.zeros(more, np.int32))
        self._confidence = np.append(self._confidence, np.zeros(more, np.float32))
        self._described_at = np.concatenate([self._described_at, np.zeros((more, 3))])
        for class_id, owner in self._owner.items():
            self._owner[class_id] = np.append(owner, np.zeros(more, np.int32))
        ids = np.unique(np.concatenate(lost))
        return ids[ids > 0]

    def _place(self, row: int) -> tuple[str, int]:
        """The keyframe of a row, and the row's place among that keyframe's segments."""
        k = int(self._incidence.row_keyframe[row])
        return self._incidence.names[k], row - int(self._incidence.first_row[k])

    def segment(self) -> np.ndarray:
        """(S,) int32 instance of each segment, 0 = none."""
        return np.concatenate([np.empty(0, np.int32), *(self._keyframes[name].instance for name in self._incidence.names)])

    def owner(self, class_id: int) -> np.ndarray:
        """(slots,) int32 instance of this class that each point belongs to, 0 = none; may be written."""
        return self._owner.setdefault(class_id, np.zeros(self._incidence.slots, np.int32))

    @property
    def point(self) -> np.ndarray:
        """(P,) int32 instance of each point in this revision."""
        return self._point[self._incidence.slot_of_column]

    def replace(self, instances: Instances, owner: Mapping[int, np.ndarray], xyz: np.ndarray) -> list[str]:
        """Take over a solution of everything; returns the keyframes that differ.

        Args:
            owner: per class (P,) instance that each point belongs to.
        """
        slots, names, first = self._incidence.slot_of_column, self._incidence.names, self._incidence.first_row.tolist()
        self._owner = {class_id: np.zeros(self._incidence.slots, np.int32) for class_id in owner}
        for class_id, of_point in owner.items():
            self._owner[class_id][slots] = of_point
        self._point[:], self._confidence[:] = 0, 0.0
        self._point[slots], self._confidence[slots] = instances.point_instance, instances.point_confidence
        self._described_at[slots] = xyz
        self._table = _per_instance(instances)
        self._points_then = np.bincount(instances.point_instance, minlength=_top(instances.ids) + 1)[instances.ids]
        seeds: dict[str, dict[int, Seeds]] = {}
        for row, item in instances.cuts.by_segment().items():
            name, place = self._place(row)
            seeds.setdefault(name, {})[place] = item
        changed = []
        for k, name in enumerate(names):
            new = _Keyframe(instances.segment_instance[first[k] : first[k + 1]].copy(), seeds.get(name, {}))
            if not _same(self._keyframes[name], new):
                changed.append(name)
            self._keyframes[name] = new
        return changed

    @property
    def located(self) -> np.ndarray:
        """Instances whose place was triangulated by rays, ascending."""
        if not self._table:
            return np.empty(0, np.int32)
        return np.asarray(self._table["ids"][self._table["boxes"].located])

    def place(self, ids: np.ndarray, boxes: OrientedBoxes) -> None:
        """Put these boxes in the place of those of described instances (ascending)."""
        for name in ("center", "size", "rotation", "covariance"):
            getattr(self._table["boxes"], name)[np.searchsorted(self._table["ids"], ids)] = getattr(boxes, name)

    def set_rows(self, rows: np.ndarray, instance: np.ndarray, seeds: Mapping[int, Seeds]) -> list[str]:
        """Take over (n,) rows' instances and, by row, seeds; returns the keyframes that differ.

        A segment that shows the same parts as before keeps its seeds: a few more keypoints would shift its cut by a pixel.
        """
        changed = set()
        for row, instance_id in zip(rows.tolist(), instance.tolist(), strict=True):
            name, place = self._place(row)
            keyframe = self._keyframes[name]
            before, after = keyframe.cuts.get(place), seeds.get(row)
            same = (before is None) == (after is None) and keyframe.instance[place] == instance_id
            if same and before is not None and after is not None:
                same = np.array_equal(np.unique(before[0]), np.unique(after[0]))
            if same:
                continue
            changed.add(name)
            keyframe.instance[place] = instance_id
            keyframe.cuts.pop(place, None)
            if after is not None:
                keyframe.cuts[place] = after
        return sorted(changed)

    def rename(self, rows: np.ndarray, names: Mapping[int, int]) -> list[str]:
        """Rename instances (0 = gone) in the seeds of these rows; returns the keyframes that differ."""
        changed = set()
        for row in rows.tolist():
            name, place = self._place(row)
            keyframe = self._keyframes[name]
            if place not in keyframe.cuts or not any(i in names for i in keyframe.cuts[place][0].tolist()):
                continue
            ids, xy = keyframe.cuts.pop(place)
            ids = np.array([names.get(i, i) for i in ids.tolist()], np.int32)
            if len(np.unique(ids[ids > 0])) > 1 or (ids[ids > 0] != keyframe.instance[place]).any():
                keyframe.cuts[place] = (ids[ids > 0], xy[ids > 0])
            changed.add(name)
        return sorted(changed)

    def moved(self, xyz: np.ndarray) -> np.ndarray:
        """Instances whose points are not where they were when the instance was described, ascending."""
        if len(self._table.get("ids", ())) == 0:
            return np.empty(0, np.int32)
        slots, point = self._incidence.slot_of_column, self.point
        then = self._described_at[slots]
        counts = np.maximum(np.bincount(point), 1)
        means = [np.bincount(point, then[:, axis]) / counts for axis in range(3)]
        squares = sum(np.bincount(point, (then[:, axis] - means[axis][point]) ** 2) for axis in range(3))
        size = BOX * np.sqrt(squares / counts)
        far = np.linalg.norm(xyz - then, axis=1) > MOVED * size[point]
        ids = np.flatnonzero(np.bincount(point[far], minlength=len(counts)) > MANY * counts)
        return np.intersect1d(ids, self._table["ids"]).astype(np.int32)

    def describe(self, ids: np.ndarray, moved: np.ndarray, xyz: np.ndarray, up: np.ndarray | None = None) -> None:
        """Vote for the points of these instances (ascending); find class, score and box of those that are new, have
        other points than before, or ``moved``.

        Args:
            xyz, up: (P, 3) place of each point of this revision, and the vertical there.
        """
        online, segment = self._incidence, self.segment()
        tops = [ids, segment, self._point, self._table["ids"], *self._owner.values()]
        wanted = np.zeros(max(map(_top, tops)) + 1, bool)
        wanted[ids] = True
        theirs = wanted[self._point]
        for owner in self._owner.values():
            theirs |= wanted[owner]
        rows = wanted[segment]
        flat = online.observed
        inside = theirs[flat.slot] & (flat.row >= 0)
        rows[flat.row[inside]] = True
        part = online.held_part(rows, theirs)
        entries = part.incidence.matrix.tocoo()
        entry = segment[part.rows][entries.row]
        seeds = self._seeds_of(part.rows)
        base = len(wanted)
        parts = np.unique(seeds.segment.astype(np.int64) * base + seeds.instance)
        divided = np.zeros(len(part.rows), bool)
        divided[seeds.segment] = True
        for class_id in np.unique(part.incidence.classes[divided]).tolist():
            asked = np.flatnonzero((divided & (part.incidence.classes == class_id))[entries.row])
            mine = self.owner(class_id)[part.slots[entries.col[asked]]]
            accepted = np.isin(entries.row[asked].astype(np.int64) * base + mine, parts)
            entry[asked[accepted]] = mine[accepted]
        point, confidence = vote_points(part.incidence.matrix, segment[part.rows], entry.astype(np.int32))
        self._point[theirs], self._confidence[theirs] = 0, 0.0
        self._point[part.slots], self._confidence[part.slots] = point, confidence

        alive = np.zeros(len(wanted), bool)
        alive[segment[part.rows]] = alive[seeds.instance] = True
        alive &= wanted
        now = np.bincount(self.point, minlength=len(wanted))
        changed = np.zeros(len(wanted), bool)
        changed[moved] = True
        then = {int(i): int(n) for i, n in zip(self._table["ids"], self._points_then, strict=True)}
        for i in np.flatnonzero(alive).tolist():
            changed[i] |= i not in then or abs(now[i] - then[i]) > MANY * then[i]
        due = alive & changed
        seeds_due = due[seeds.instance]
        columns = online.columns[part.slots]
        # Each point's winner is known: its votes are made unanimous.
        found = describe(
            part.incidence,
            xyz[columns],
            np.where(due[segment[part.rows]], segment[part.rows], 0),
            np.where(due[point], point, 0)[entries.col],
            Cuts(seeds.segment[seeds_due], seeds.instance[seeds_due], seeds.xy[seeds_due]),
            None if up is None else up[columns],
        )
        done = part.slots[due[point]]
        self._described_at[done] = xyz[online.columns[done]]
        kept = ~(wanted & (due | ~alive))[self._table["ids"]]
        order = np.argsort(np.concatenate([self._table["ids"][kept], found.ids]), kind="stable")
        new = _per_instance(found)
        self._table = {key: _join(old[kept], new[key])[order] for key, old in self._table.items()}
        self._points_then = np.concatenate([self._points_then[kept], now[found.ids]])[order]

    def _seeds_of(self, rows: np.ndarray) -> Cuts:
        """The cuts of some rows; ``segment`` counts them from 0."""
        found = []
        for place, row in enumerate(rows.tolist()):
            name, within = self._place(row)
            if (item := self._keyframes[name].cuts.get(within)) is not None:
                found.append((place, *item))
        return _cuts(found)

    def instances(self) -> Instances:
        """Everything, in the order of the whole incidence."""
        found = []
        for first, name in zip(self._incidence.first_row.tolist(), self._incidence.names, strict=False):
            found += [(first + place, *item) for place, item in sorted(self._keyframes[name].cuts.items())]
        slots = self._incidence.slot_of_column
        return Instances(
            segment_instance=self.segment(),
            point_instance=self._point[slots],
            point_confidence=self._confidence[slots],
            cuts=_cuts(found),
            **self._table,
        )


def _cuts(items: list[tuple[int, np.ndarray, np.ndarray]]) -> Cuts:
    if not items:
        return Cuts.none()
    rows = np.repeat(np.array([row for row, _, _ in items], np.int32), [len(ids) for _, ids, _ in items])
    return Cuts(rows, np.concatenate([ids for _, ids, _ in items]), np.concatenate([xy for _, _, xy in items]))


def _per_instance(instances: Instances) -> dict[str, Any]:
    return {name: getattr(instances, name) for name in PER_INSTANCE}


def _join(first: Any, second: Any) -> Any:
    """Two arrays one after the other, or two dataclasses of arrays."""
    return np.concatenate([first, second]) if isinstance(first, np.ndarray) else concatenated([first, second])


def _same(first: _Keyframe, second: _Keyframe) -> bool:
    return (
        np.array_equal(first.instance, second.instance)
        and first.cuts.keys() == second.cuts.keys()
        and all(
            np.array_equal(a, b) for place in first.cuts for a, b in zip(first.cuts[place], second.cuts[place], strict=True)
        )
    )


def _top(values: np.ndarray) -> int:
    return int(values.max(initial=0))
