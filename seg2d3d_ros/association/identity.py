"""Instance ids that stay the same while the map is solved again and again.

Segments are the memory: a keyframe's segment is the same thing in every revision, the points and their ids are not.
New clusters inherit the ids of the old ones they share most segments with (an optimal one-to-one assignment); a
cluster that unites several old ones keeps the oldest id; ids are never used twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from seg2d3d_ros.types import Incidence, Instances

SegmentKey = tuple[str, int]
"""Keyframe name and segment id."""


@dataclass(frozen=True)
class Identity:
    """What is remembered between revisions.

    ``of_segment``: the last id (> 0) of each segment that ever had one. ``next_id``: the lowest id never given.
    """

    of_segment: Mapping[SegmentKey, int] = field(default_factory=dict)
    next_id: int = 1

    @classmethod
    def from_tracks(cls, tracks: Mapping[str, Any]) -> Identity:
        """Memory of a map that was written before (the content of tracks.json)."""
        instances = tracks["instances"]
        # Of a segment that was cut, the largest part's instance is its own.
        seen = [
            (o.get("share", 1.0), o["image"], int(o["segment"]), int(i["id"])) for i in instances for o in i["observations"]
        ]
        known = {(image, segment): instance_id for _, image, segment, instance_id in sorted(seen)}
        return cls(known, 1 + max((int(i["id"]) for i in instances), default=0))


@dataclass(frozen=True)
class Merge:
    """Instances that turned out to be one: ``absorbed`` ids are gone, ``kept`` stands for them."""

    kept: int
    absorbed: tuple[int, ...]


def inherit_ids(incidence: Incidence, instances: Instances, identity: Identity) -> tuple[Instances, Identity, list[Merge]]:
    """Rename the instances so that objects keep the ids they had.

    Args:
        incidence: the segments (their keyframes and ids) that ``instances`` speaks of.
        instances: with any ids.

    Returns:
        The same instances under persistent ids, what to remember now, and the merges.
    """
    keys = [(incidence.names[k], int(i)) for k, i in zip(incidence.segment_keyframe, incidence.segment_ids, strict=True)]
    old = np.array([identity.of_segment.get(key, 0) for key in keys], np.int64)
    old_ids, shared = _overlap(instances, old)
    kept, absorbed = _assign(old_ids, shared)

    next_id = identity.next_id
    names = np.zeros(len(instances.ids), np.int32)
    for row in range(len(names)):
        names[row] = kept.get(row, next_id)
        next_id += row not in kept
    renamed = _rename(instances, names)
    rows = np.flatnonzero(renamed.segment_instance)
    remembered = {**identity.of_segment, **{keys[row]: int(renamed.segment_instance[row]) for row in rows}}
    merges = [Merge(int(names[row]), ids) for row, ids in absorbed.items()]
    return renamed, Identity(remembered, next_id), merges


def _overlap(instances: Instances, old: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Old ids (O,) ascending, and (I, O) numbers of segments shared with each new instance."""
    both = (instances.segment_instance > 0) & (old > 0)
    old_ids = np.unique(old[both])
    shared = np.zeros((len(instances.ids), len(old_ids)), np.int64)
    rows = np.searchsorted(instances.ids, instances.segment_instance[both])
    np.add.at(shared, (rows, np.searchsorted(old_ids, old[both])), 1)
    return old_ids, shared


def _assign(old_ids: np.ndarray, shared: np.ndarray) -> tuple[dict[int, int], dict[int, tuple[int, ...]]]:
    """Per row of ``shared`` the id it inherits; and per row the ids it absorbs."""
    # Of equal overlaps the older id wins: a bonus that cannot outweigh one segment.
    age = np.arange(len(old_ids))[::-1] / (len(old_ids) + 1) / max(min(shared.shape), 1)
    rows, columns = linear_sum_assignment(np.where(shared > 0, shared + age, 0.0), maximize=True)
    winner = {int(row): int(column) for row, column in zip(rows, columns, strict=True) if shared[row, column] > 0}
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
