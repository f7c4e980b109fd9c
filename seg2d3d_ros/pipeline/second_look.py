"""A second look where a detector missed an object: a mask model asked for what the 3D model says is there.

The prompt is the box in which the object should be seen (``association.masks.transfer``); the answer counts only if it
agrees with the object's projected points. An accepted mask is a segment like any other, with a score that says how it
came about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from seg2d3d_ros.association.masks.missed import MissedView
from seg2d3d_ros.association.masks.recovered_masks import MIN_AREA, share_inside
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.geometry.masks import Region, overlap, region_of
from seg2d3d_ros.segmentation.models.mask_models import Looker
from seg2d3d_ros.types import Keyframe, Segments

SCORE = 0.6
"""Of an accepted mask that agrees with the points in everything."""
MIN_OWN = 0.7
"""Of the object's points: the mask holds so many."""
MAX_OTHERS = 0.25
"""Of the points in the mask: so many may belong to something else."""
MIN_OVERLAP = 0.4
"""Intersection over union of the mask and the region where the object should be seen: its area is sensible, and its place."""


@dataclass(frozen=True)
class Ask:
    """One missed object of a keyframe and the region where it should be seen."""

    missed: MissedView
    expected: Region


def agrees(mask: Region, ask: Ask) -> bool:
    """Whether a mask shows what was asked for: it holds most of the object's points, few others, and lies where expected."""
    own = share_inside(mask, ask.missed.xy)
    foreign = share_inside(mask, ask.missed.others) * len(ask.missed.others)
    held = own * len(ask.missed.xy) + foreign
    return own >= MIN_OWN and foreign <= MAX_OTHERS * held and overlap(mask, ask.expected) >= MIN_OVERLAP


def look_again(looker: Looker, keyframe: Keyframe, segments: Segments, asks: Sequence[Ask]) -> tuple[Segments, list[int]]:
    """Ask for the missed objects of one keyframe, and add what is accepted on pixels that no segment has.

    Returns:
        The segments with the new ones at the end, and the new ones' ids.

    Raises:
        DataError: an image that cannot be decoded, or weights that are unsuitable.
    """
    if not asks:
        return segments, []
    answers = looker.look(keyframe, np.array([ask.expected.box for ask in asks], np.float32))
    labels = segments.labels.copy()
    ids, classes, scores = segments.ids.tolist(), segments.classes.tolist(), segments.scores.tolist()
    added: list[int] = []
    for ask, answer in zip(asks, answers, strict=True):
        if answer is None or max(ids, default=0) >= np.iinfo(np.uint16).max:
            continue
        window = labels[answer.region.window]
        left = region_of(answer.region.pixels & (window == 0), *answer.region.box[:2])
        if left is None or left.area < MIN_AREA * labels.size or not agrees(left, ask):
            continue
        added.append(max(ids, default=0) + 1)
        labels[left.window][left.pixels] = added[-1]
        ids.append(added[-1])
        classes.append(ask.missed.class_id)
        scores.append(SCORE * ask.missed.confidence * share_inside(left, ask.missed.xy))
    if not added:
        return segments, []
    arrays = np.array(ids, np.uint16), np.array(classes, np.int32), np.array(scores, np.float32)
    return Segments(segments.name, labels, *arrays), added


def second_round(
    looker: Looker,
    asks: Iterable[tuple[str, Sequence[Ask]]],
    keyframe_of: Callable[[str], Keyframe],
    segments_of: Callable[[str], Segments],
) -> Iterator[tuple[Segments, list[int]]]:
    """Look again at every keyframe that misses something; yields those that gained segments, as ``look_again`` does.

    Args:
        asks: of ``asks_of``.
        segments_of: those of a keyframe so far.
    """
    for name, items in asks:
        found, added = look_again(looker, keyframe_of(name), segments_of(name), items)
        if added:
            yield found, added


def asks_of(missed: Sequence[MissedView], transfer: Transfer) -> Iterator[tuple[str, list[Ask]]]:
    """What to ask for in each keyframe that misses something.

    Args:
        missed: of ``find_missed``, keyframe by keyframe.
        transfer: says where the instances should be seen.
    """
    for name, items in groupby(missed, key=lambda item: item.name):
        if asks := [Ask(item, region) for item in items if (region := transfer.region(item)) is not None]:
            yield name, asks
