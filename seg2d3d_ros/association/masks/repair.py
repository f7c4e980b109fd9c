"""Masks that glue several objects are cut along their points: each pixel goes to the object of the keypoints around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.association.votes import agreement
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.geometry.masks import cell_grid
from seg2d3d_ros.types import Incidence, Instances, Observation, Segments

NEIGHBOURS = 7
"""Keypoints that vote for a pixel, nearer ones with more weight: a single wrong one cuts nothing out."""
GRID = 64
"""Cells along the longer side of a mask: the cut is found between cells and followed by interpolation."""
SMALL_PART = 0.04
"""Parts, and islands of parts, with less than this share of the mask go to what surrounds them."""


@dataclass(frozen=True)
class Repaired:
    """One image's segments after the cut.

    Attributes:
        segments: each part of a cut segment is a segment with an id of its own.
        instance_of: from segment id to instance id.
        parent: from the id of a part to the segment that it was cut from.
        recovered: ids of regions that no mask showed (``association.masks.recovered_masks``).
        agreement: of the labelled points in a segment, by its id, how many are the instance's (``votes.agreement``).
    """

    segments: Segments
    instance_of: Mapping[int, int]
    parent: Mapping[int, int]
    recovered: frozenset[int] = frozenset()
    agreement: Mapping[int, float] = field(default_factory=dict)

    @property
    def labels(self) -> LabelRuns:
        """The instance of each pixel."""
        return self.segments.runs.mapped(self.instance_of)

    def observations(self) -> list[Observation]:
        """Each segment, or part of one, that shows an instance."""
        item = self.segments
        ids, areas = item.ids.tolist(), item.runs.areas(item.ids).tolist()
        origin = [self.parent.get(i, i) for i in ids]
        whole = dict.fromkeys(origin, 0)
        for i, area in zip(origin, areas, strict=True):
            whole[i] += area
        boxes, classes, scores = item.boxes.tolist(), item.classes.tolist(), item.scores.tolist()
        return [
            Observation(
                item.name,
                origin[k],
                self.instance_of[i],
                classes[k],
                tuple(boxes[k]),
                scores[k],
                areas[k] / whole[origin[k]] if areas[k] < whole[origin[k]] else 1.0,
                i in self.recovered,
                self.agreement.get(i, 1.0),
            )
            for k, i in enumerate(ids)
            if i in self.instance_of
        ]


class Repair:
    """The cuts of a whole map, image by image."""

    def __init__(self, incidence: Incidence, instances: Instances) -> None:
        self._tables: dict[str, dict[int, int]] = {}
        self._cuts: dict[str, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        self._agreement: dict[str, dict[int, float]] = {}
        agreed = agreement(incidence.matrix, instances.segment_instance, instances.point_instance)
        for row in np.flatnonzero(instances.segment_instance).tolist():
            name, segment_id = incidence.names[incidence.segment_keyframe[row]], int(incidence.segment_ids[row])
            self._tables.setdefault(name, {})[segment_id] = int(instances.segment_instance[row])
            self._agreement.setdefault(name, {})[segment_id] = float(agreed[row])
        for row, (owner, xy) in instances.cuts.by_segment().items():
            name = incidence.names[incidence.segment_keyframe[row]]
            self._agreement.get(name, {}).pop(int(incidence.segment_ids[row]), None)  # its parts are cut along the points
            self._cuts.setdefault(name, []).append((int(incidence.segment_ids[row]), owner, xy))

    def instance_of(self, name: str) -> Mapping[int, int]:
        """From segment id to instance id in a keyframe; the largest part's where a segment is cut."""
        return self._tables.get(name, {})

    def __call__(self, segments: Segments) -> Repaired:
        """Cut one image's segments. Without cuts they come back as they are."""
        table = dict(self.instance_of(segments.name))
        cuts = self._cuts.get(segments.name, [])
        agreed = self._agreement.get(segments.name, {})
        if not cuts:
            return Repaired(segments, table, {}, agreement=agreed)
        labels = segments.labels.copy()
        parent: dict[int, int] = {}
        free = int(segments.ids.max(initial=0)) + 1
        for segment_id, owner, xy in cuts:
            parts = cut_mask(segments.labels == segment_id, owner, xy)
            present = sorted(parts, key=lambda instance: -int(parts[instance].sum()))
            if not present:
                continue
            table[segment_id] = present[0]
            for instance in present[1:]:
                labels[parts[instance]] = free
                table[free], parent[free] = instance, segment_id
                free += 1
        shown = {segment_id: instance for segment_id, instance in table.items() if instance}
        return Repaired(_with_parts(segments, labels, parent), shown, parent, agreement=agreed)


def _with_parts(segments: Segments, labels: np.ndarray, parent: Mapping[int, int]) -> Segments:
    """``segments`` with the parts appended; a part has the class and score of the segment it was cut from."""
    ids = np.array([*segments.ids.tolist(), *parent], np.uint16)
    source = np.searchsorted(segments.ids, [*segments.ids.tolist(), *parent.values()])
    return Segments(segments.name, labels, ids, segments.classes[source], segments.scores[source])


def cut_mask(mask: np.ndarray, owner: np.ndarray, xy: np.ndarray) -> dict[int, np.ndarray]:
    """Divide a mask between the instances of its keypoints.

    Args:
        mask: (H, W) bool.
        owner: (n,) instance ids > 0 of the keypoints.
        xy: (n, 2) their pixel coordinates.

    Returns:
        Per instance its (H, W) bool pixels, together the mask; parts too small to stand alone went to the others.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) == 0 or len(owner) == 0:
        return {}
    names = np.unique(owner)
    x0, y0, x1, y1 = box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    inside = mask[y0:y1, x0:x1]
    cells, centers, step = cell_grid(box, GRID)
    gap, nearest = cKDTree(xy).query(centers, k=min(NEIGHBOURS, len(owner)))
    gap, nearest = gap.reshape(len(centers), -1), nearest.reshape(len(centers), -1)
    weight = 1.0 / (gap + step) ** 2
    votes = np.stack([(weight * (owner[nearest] == name)).sum(axis=1) for name in names])
    votes /= votes.sum(axis=0)
    fields = [
        cv2.resize(v.reshape(cells).astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) for v in votes
    ]
    winner = np.argmax(fields, axis=0)
    winner = _without_islands(winner, inside, len(names))
    parts = {}
    for k, name in enumerate(names.tolist()):
        chosen = inside & (winner == k)
        if chosen.any():
            parts[name] = np.zeros(mask.shape, bool)
            parts[name][y0:y1, x0:x1] = chosen
    return parts


def _without_islands(winner: np.ndarray, inside: np.ndarray, count: int) -> np.ndarray:
    """Give islands of a part that are small to the nearest pixel of a part that is not."""
    least = SMALL_PART * inside.sum()
    firm = np.zeros(inside.shape, bool)
    for k in range(count):
        total, component, stats, _ = cv2.connectedComponentsWithStats(np.uint8(inside & (winner == k)), connectivity=8)
        large = np.flatnonzero(stats[:total, cv2.CC_STAT_AREA] >= least)
        firm |= np.isin(component, large[large > 0])
    if not firm.any() or firm.sum() == inside.sum():
        return winner
    _, labels = cv2.distanceTransformWithLabels(np.uint8(~firm), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owner_of_label = np.zeros(int(labels.max()) + 1, winner.dtype)
    owner_of_label[labels[firm]] = winner[firm]
    return np.where(firm, winner, owner_of_label[labels])
