"""Instances of a live map are shown once they have been seen in some images, as trackers confirm their tracks.

What one or two masks suggest is often revised, or turns out to be a piece of something known. Until an instance is confirmed
it keeps an id within, and the labels say "none"; from then on it is shown for as long as it is there (cf. "tentative" tracks
in Wojke et al., Deep SORT, ICIP 2017).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from seg2d3d_ros.arrays import take
from seg2d3d_ros.association.online.identity import Merge
from seg2d3d_ros.types import Instances


class Confirmation:
    """Knows which instances are shown.

    Args:
        least: images in which an instance must have a mask of its own; parts of others' masks say less.
        shown: ids that were shown before.

    Attributes:
        shown: ids that are, or were, shown.
    """

    def __init__(self, least: int, shown: Iterable[int] = ()) -> None:
        self._least = least
        self.shown = set(shown)

    def confirm(self, instances: Instances, keyframe: np.ndarray, *, everything: bool = False) -> np.ndarray:
        """Show what has been seen in enough images, or everything; returns the keyframes where something appeared, ascending.

        Args:
            keyframe: (S,) of each segment.
        """
        own, parts = instances.segment_instance, instances.cuts.instance
        images = np.unique(np.stack([own, keyframe])[:, own > 0], axis=1)[0]
        found, count = np.unique(images, return_counts=True)
        enough = instances.ids if everything else found[count >= self._least]
        new = [i for i in enough.tolist() if i not in self.shown]
        self.shown.update(new)
        return np.unique(np.concatenate([keyframe[np.isin(own, new)], keyframe[instances.cuts.segment[np.isin(parts, new)]]]))

    def hide(self, instances: Instances) -> Instances:
        """``instances`` without those that are not shown: 0 in their place, also where segments are divided."""
        visible = np.zeros(int(max(x.max(initial=0) for x in _all_ids(instances))) + 1, bool)
        visible[[i for i in instances.ids.tolist() if i in self.shown]] = True
        kept = visible[instances.ids]
        if kept.all():
            return instances
        return replace(
            instances,
            segment_instance=np.where(visible[instances.segment_instance], instances.segment_instance, 0),
            point_instance=np.where(visible[instances.point_instance], instances.point_instance, 0),
            point_confidence=np.where(visible[instances.point_instance], instances.point_confidence, 0).astype(np.float32),
            cuts=replace(instances.cuts, instance=np.where(visible[instances.cuts.instance], instances.cuts.instance, 0)),
            ids=instances.ids[kept],
            classes=instances.classes[kept],
            scores=instances.scores[kept],
            boxes=take(instances.boxes, kept),
        )

    def announced(self, merges: Sequence[Merge]) -> tuple[Merge, ...]:
        """The merges of ids that were shown."""
        told = (Merge(merge.kept, tuple(i for i in merge.absorbed if i in self.shown)) for merge in merges)
        return tuple(merge for merge in told if merge.absorbed)


def _all_ids(instances: Instances) -> tuple[np.ndarray, ...]:
    return instances.ids, instances.segment_instance, instances.point_instance, instances.cuts.instance
