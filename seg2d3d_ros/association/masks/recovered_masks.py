"""Missed objects drawn from their 3D points: observations beside the masks that a detector found.

The score of each says how often such a region covers its object by half; docs/segmenters.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.association.masks.missed import MissedView
from seg2d3d_ros.association.masks.repair import Repair, Repaired
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel

MIN_AREA = 0.0005
"""Of the image; smaller regions are not drawn."""
MIN_FREE = 0.5
"""Of a region; where masks have more of it, what is left is a rim."""
MIN_INSIDE = 0.5
"""Of the missed points; a region that holds fewer was carried to the wrong place."""


@dataclass(frozen=True)
class Recovered:
    """A region that no mask showed: the instance seen there, its pixels, and how sure that is (0 … 1).

    Attributes:
        carried: nobody looked for objects there; else they looked, and missed it.
    """

    instance: int
    class_id: int
    region: Region
    score: float
    carried: bool = False


class RecoveringRepair(Repair):
    """``Repair`` that also draws recovered regions, on pixels that no segment has."""

    def __init__(self, incidence: Incidence, instances: Instances, recovered: Mapping[str, Sequence[Recovered]]) -> None:
        super().__init__(incidence, instances)
        self._recovered = {name: tuple(items) for name, items in recovered.items()}

    def __call__(self, segments: Segments) -> Repaired:
        """See ``Repair``; the ids of recovered regions follow those of segments and their parts."""
        repaired = super().__call__(segments)
        items = self._recovered.get(segments.name, ())
        if not items:
            return repaired
        before, table = repaired.segments, dict(repaired.instance_of)
        labels = before.labels.copy()
        free = int(before.ids.max(initial=0)) + 1
        drawn: list[tuple[int, Recovered]] = []
        for item in items:
            window = labels[item.region.window]
            open_pixels = item.region.pixels & (window == 0)
            if open_pixels.any() and free <= np.iinfo(np.uint16).max:
                window[open_pixels] = free
                drawn.append((free, item))
                free += 1
        table.update({i: item.instance for i, item in drawn})
        after = Segments(
            before.name,
            labels,
            np.array([*before.ids.tolist(), *(i for i, _ in drawn)], np.uint16),
            np.array([*before.classes.tolist(), *(item.class_id for _, item in drawn)], np.int32),
            np.array([*before.scores.tolist(), *(item.score for _, item in drawn)], np.float32),
        )
        return Repaired(after, table, repaired.parent, frozenset(i for i, _ in drawn), repaired.agreement)


def recover(
    missed: Sequence[MissedView],
    models: Sequence[SparseModel],
    segments: Mapping[str, Segments],
    incidence: Incidence,
    instances: Instances,
) -> dict[str, list[Recovered]]:
    """Regions of missed instances, by keyframe, the surest first; none overlaps a segment or another region.

    Args:
        missed: of ``find_missed``.
        segments: of the keyframes that ``incidence`` was made from.
    """
    transfer = Transfer(models, incidence, instances, labels_by(Repair(incidence, instances), segments))
    found: dict[str, list[Recovered]] = {}
    taken: dict[str, np.ndarray] = {}
    for item in missed:
        region = transfer.region(item)
        if region is None:
            continue
        if item.name not in taken:
            taken = {item.name: segments[item.name].labels != 0}  # missed views come keyframe by keyframe
        drawn = drawable(region, item.xy, taken[item.name])
        if drawn is not None:
            taken[item.name][drawn.window] |= drawn.pixels
            made = Recovered(item.instance, item.class_id, drawn, item.confidence, carried=not item.segmented)
            found.setdefault(item.name, []).append(made)
    return found


def drawable(region: Region, xy: np.ndarray, taken: np.ndarray) -> Region | None:
    """What is left of a region on pixels that are not ``taken`` (H, W); None if that is too little to mean anything, or if
    it misses the points ``xy`` (N, 2) that it was drawn for."""
    left = region.pixels & ~taken[region.window]
    area = int(left.sum())
    if area < max(1.0, MIN_AREA * taken.size) or area < MIN_FREE * region.area:
        return None
    drawn = region_of(left, *region.box[:2])
    return drawn if drawn is not None and share_inside(drawn, xy) >= MIN_INSIDE else None


def share_inside(region: Region, xy: np.ndarray) -> float:
    """The share of pixels (N, 2) that lie in a region; 0 of none."""
    x0, y0, x1, y1 = region.box
    u, v = np.floor(xy).astype(np.intp).T
    inside = (u >= x0) & (u < x1) & (v >= y0) & (v < y1)
    held = region.pixels[np.where(inside, v - y0, 0), np.where(inside, u - x0, 0)] & inside
    return float(held.mean()) if len(held) else 0.0


def labels_by(repair: Repair, segments: Mapping[str, Segments]) -> Callable[[str], np.ndarray]:
    """From a keyframe's name to its (H, W) uint16 instance ids."""
    return lambda name: repair(segments[name]).labels.image()
