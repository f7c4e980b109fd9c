"""Instance ids that stay the same while the map is solved again and again.

Segments are the memory: a keyframe's segment is the same thing in every revision, the points and their ids are not.
New clusters inherit the ids of the old ones they share most segments with (an optimal one-to-one assignment); a
cluster that unites several old ones keeps the oldest id, of those that were shown if any was; ids are never given to another
object. What a union absorbed is remembered: where it is taken back, the old ids come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from seg2d3d_ros.types import Incidence, Instances

SegmentKey = tuple[str, int]
"""Keyframe name and segment id."""


@dataclass(frozen=True)
class Identity:
    """What is remembered between revisions.

    ``of_segment``: the last id (> 0) of each segment that ever had one. ``next_id``: the lowest id never given.
    ``absorbed``: the id that a segment had before the first union that took it away, 0 = none.
    """

    of_segment: Mapping[SegmentKey, int] = field(default_factory=dict)
    next_id: int = 1
    absorbed: Mapping[SegmentKey, int] = field(default_factory=dict)

    @classmethod
    def from_tracks(cls, tracks: Mapping[str, Any]) -> Identity:
        """Memory of a map that was written before (the content of tracks.json)."""
        instances = tracks["instances"]
        # Of a segment that was cut, the largest part's instance is its own. Recovered regions are nobody's segments: the
        # number of one may be a segment's of the same image tomorrow.
        seen = [
            (o.get("share", 1.0), o["image"], int(o["segment"]), int(i["id"]))
            for i in instances
            for o in i["observations"]
            if not o.get("recovered", False)
        ]
        known = {(image, segment): instance_id for _, image, segment, instance_id in sorted(seen)}
        return cls(known, 1 + max((int(i["id"]) for i in instances), default=0))


@dataclass(frozen=True)
class Merge:
    """Instances that turned out to be one: ``absorbed`` ids are gone, ``kept`` stands for them."""

    kept: int
    absorbed: tuple[int, ...]


@dataclass(frozen=True)
class Heirs:
    """Ids of C clusters (C,), the merges, and the lowest id never given."""

    names: np.ndarray
    merges: list[Merge]
    next_id: int


def inherit_ids(
    incidence: Incidence,
    instances: Instances,
    identity: Identity,
    point_instance: np.ndarray | None = None,
    shown: Set[int] | None = None,
) -> tuple[Instances, Identity, list[Merge]]:
    """Rename the instances so that objects keep the ids they had.

    Args:
        incidence: the segments (their keyframes and ids) that ``instances`` speaks of.
        instances: with any ids.
        point_instance: (P,) the ids that the points had, where that is known.
        shown: ids that were published; they go before the others. None = all were.

    Returns:
        The same instances under persistent ids, what to remember now, and the merges.
    """
    keys = keys_of(incidence, np.arange(len(incidence.segment_ids)))
    old = np.array([identity.of_segment.get(key, 0) for key in keys], np.int64)
    segments = _pairs(np.searchsorted(instances.ids, instances.segment_instance), old, instances.segment_instance > 0)
    points = None
    if point_instance is not None:
        place = np.searchsorted(instances.ids, instances.point_instance)
        points = _pairs(place, point_instance, instances.point_instance > 0)
    clusters = np.where(instances.segment_instance > 0, np.searchsorted(instances.ids, instances.segment_instance), -1)
    lost = lost_ids(clusters, keys, identity.absorbed)
    heirs = inherit(len(instances.ids), segments, identity.next_id, points, shown, lost)
    renamed = _rename(instances, heirs.names)
    rows = np.flatnonzero(renamed.segment_instance)
    now = {keys[row]: int(renamed.segment_instance[row]) for row in rows}
    absorbed = {**identity.absorbed, **absorbed_ids(now, identity.of_segment, identity.absorbed, heirs.merges)}
    return renamed, Identity({**identity.of_segment, **now}, heirs.next_id, absorbed), heirs.merges


def keys_of(incidence: Incidence, rows: np.ndarray) -> list[SegmentKey]:
    """Of some segments, (n,) rows."""
    names = [incidence.names[k] for k in incidence.segment_keyframe[rows].tolist()]
    return list(zip(names, incidence.segment_ids[rows].tolist(), strict=True))


def lost_ids(clusters: np.ndarray, keys: Sequence[SegmentKey], absorbed: Mapping[SegmentKey, int]) -> np.ndarray:
    """(2, N) cluster, and an id that a union took from it, of each segment that has both.

    Args:
        clusters: (S,) of the segments ``keys``, -1 = none.
        absorbed: as in ``Identity``.
    """
    places = np.flatnonzero(clusters >= 0).tolist() if absorbed else []
    found = [(int(clusters[k]), lost) for k in places if (lost := absorbed.get(keys[k], 0))]
    return np.array(found, np.int64).reshape(-1, 2).T


def absorbed_ids(
    now: Mapping[SegmentKey, int],
    before: Mapping[SegmentKey, int],
    absorbed: Mapping[SegmentKey, int],
    merges: Sequence[Merge],
) -> dict[SegmentKey, int]:
    """What ``absorbed`` of ``Identity`` is from now on, for the segments where it changes.

    Args:
        now, before: ids of segments.
    """
    heir = {gone: merge.kept for merge in merges for gone in merge.absorbed}
    changed = {}
    for key, instance_id in now.items():
        lost, old = absorbed.get(key, 0), before.get(key, 0)
        if lost == instance_id:
            changed[key] = 0
        elif not lost and heir.get(old) == instance_id:
            changed[key] = old
    return changed


def _pairs(cluster: np.ndarray, old: np.ndarray, named: np.ndarray) -> np.ndarray:
    chosen = named & (old > 0)
    return np.stack([cluster[chosen], old[chosen]])


def inherit(
    count: int,
    segments: np.ndarray,
    next_id: int,
    points: np.ndarray | None = None,
    shown: Set[int] | None = None,
    lost: np.ndarray | None = None,
    taken: Set[int] = frozenset(),
) -> Heirs:
    """Give clusters the ids of the old instances that they share most with.

    Args:
        count: C, clusters.
        segments: (2, N) cluster and old id of each segment that has both.
        points: (2, M) the same of points. All of them weigh less than one segment: they decide between equals, and for
            instances that show in parts of segments only.
        shown: ids that were published. They are kept before the others; None = all were.
        lost: (2, K) ``lost_ids``. A cluster that inherits no id has one of these again, if most of it is there.
        taken: ids that instances elsewhere have.
    """
    points = np.empty((2, 0), np.int64) if points is None else points
    old_ids = np.unique(np.concatenate([segments[1], points[1]]))
    shape = (count, len(old_ids))
    by_age = np.arange(len(old_ids)) if shown is None else np.argsort([i not in shown for i in old_ids.tolist()], kind="stable")
    column = np.empty(len(old_ids), np.int64)
    column[by_age] = np.arange(len(old_ids))
    shared, common = (
        sparse.csr_matrix((np.ones(item.shape[1]), (item[0], column[np.searchsorted(old_ids, item[1])])), shape)
        for item in (segments, points)
    )
    old_ids = old_ids[by_age]
    hidden = 0 if shown is None else sum(i not in shown for i in old_ids.tolist())
    # A point goes astray easily: only where most of an instance's points went, they say something.
    share = (common @ sparse.diags(1.0 / np.maximum(np.asarray(common.sum(axis=0)).ravel(), 1.0))).tocsr()
    share.data = np.where(share.data > 0.5, 0.5 * share.data, 0.0)
    share.eliminate_zeros()
    weight = (shared + share).tocsr()
    kept: dict[int, int] = {}
    absorbed: dict[int, tuple[int, ...]] = {}
    links = sparse.bmat([[None, weight], [weight.T, None]]) if weight.nnz else sparse.csr_matrix((sum(shape), sum(shape)))
    _, block = connected_components(links, directed=False)
    order = np.argsort(block, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
        rows, columns = group[group < count], group[group >= count] - count
        if len(rows) and len(columns):
            tables = weight[rows].toarray()[:, columns], shared[rows].toarray()[:, columns]
            found, gone = _assign(old_ids[columns], columns < len(old_ids) - hidden, *tables)
            kept.update({int(rows[row]): instance_id for row, instance_id in found.items()})
            absorbed.update({int(rows[row]): ids for row, ids in gone.items()})
    if lost is not None and lost.size:
        kept.update(
            _returned(count, lost, {*kept.values(), *taken, *(i for ids in absorbed.values() for i in ids)}, kept.keys())
        )
    names = np.zeros(count, np.int32)
    for row in range(count):
        names[row] = kept.get(row, next_id)
        next_id += row not in kept
    return Heirs(names, [Merge(int(names[row]), ids) for row, ids in sorted(absorbed.items())], next_id)


def _returned(count: int, lost: np.ndarray, taken: Set[int], named: Set[int]) -> dict[int, int]:
    """Clusters that have an id again which a union had absorbed.

    Args:
        lost: (2, K) cluster and lost id of segments.
        taken: ids that are in use, or are absorbed just now.
        named: clusters that have an id.
    """
    ids, column = np.unique(lost[1], return_inverse=True)
    shared = np.zeros((count, len(ids)))
    np.add.at(shared, (lost[0], column), 1.0)
    # Most of an id is in one cluster at the most; of several ids, a cluster has the one that most of it had, or the eldest.
    there = np.where(2 * shared > shared.sum(axis=0), shared, 0.0)
    there[:, [i in taken for i in ids.tolist()]] = 0.0
    there[sorted(named)] = 0.0
    return {row: int(ids[there[row].argmax()]) for row in np.flatnonzero(there.any(axis=1)).tolist()}


def _assign(
    old_ids: np.ndarray, shown: np.ndarray, weight: np.ndarray, shared: np.ndarray
) -> tuple[dict[int, int], dict[int, tuple[int, ...]]]:
    """Per row of ``weight`` the id it inherits; and per row the ids it absorbs.

    Args:
        old_ids: (O,) the eldest first.
        shown: (O,) bool. The others are given where none of these is.
        weight: (C, O) what clusters and ids have in common.
        shared: (C, O) segments among it.
    """
    # Of equal overlaps the older id wins: a bonus that cannot outweigh one segment.
    age = np.arange(len(old_ids))[::-1] / (len(old_ids) + 1) / max(min(weight.shape), 1) / 2
    weight_of_shown = np.where(shown, 1.0, 1.0 / (1.0 + weight.sum()))
    rows, columns = linear_sum_assignment(np.where(weight > 0, (weight + age) * weight_of_shown, 0.0), maximize=True)
    winner = {int(row): int(column) for row, column in zip(rows, columns, strict=True) if weight[row, column] > 0}
    taken = set(winner.values())
    absorbed: dict[int, list[int]] = {}
    for column in range(len(old_ids)):
        row = int(shared[:, column].argmax())
        # An id nobody inherits, and most of whose segments went to one instance: the two are one object.
        if column not in taken and row in winner and 2 * shared[row, column] > shared[:, column].sum():
            absorbed.setdefault(row, []).append(column)
    for row, gone in absorbed.items():
        eldest = min(winner[row], *gone)
        gone[:] = sorted({winner[row], *gone} - {eldest})
        winner[row] = eldest
    kept = {row: int(old_ids[column]) for row, column in winner.items()}
    return kept, {row: tuple(int(old_ids[c]) for c in gone) for row, gone in absorbed.items()}


def _rename(instances: Instances, names: np.ndarray) -> Instances:
    """``instances`` with ``names[k]`` in place of ``ids[k]``, sorted by the new ids."""
    lookup = np.zeros(int(instances.ids.max(initial=0)) + 1, np.int32)
    lookup[instances.ids] = names
    order = np.argsort(names)
    return replace(
        instances,
        segment_instance=lookup[instances.segment_instance],
        point_instance=lookup[instances.point_instance],
        ids=names[order],
        classes=instances.classes[order],
        scores=instances.scores[order],
        boxes=instances.boxes[order],
        cuts=replace(instances.cuts, instance=lookup[instances.cuts.instance]),
    )
