"""Recovered regions of a live map: found when everything is solved, and carried along by the updates in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seg2d3d_ros.association.masks.missed import instances_shown
from seg2d3d_ros.association.masks.recovered_masks import Recovered
from seg2d3d_ros.association.online.identity import Merge
from seg2d3d_ros.types import Incidence, Instances


class LiveRecovery:
    """The regions by keyframe. ``renew`` and ``follow`` return the keyframes whose regions are others than before.

    Attributes:
        regions: as ``recovered_masks.recover`` finds them.
    """

    def __init__(self) -> None:
        self.regions: dict[str, tuple[Recovered, ...]] = {}

    @property
    def count(self) -> int:
        """All regions together."""
        return sum(len(items) for items in self.regions.values())

    def forget(self, name: str) -> None:
        """A keyframe has other segments now; the regions were drawn around the old ones."""
        self.regions.pop(name, None)

    def renew(self, found: Mapping[str, Sequence[Recovered]]) -> set[str]:
        """Take over what was found in a map that was solved as a whole."""
        before, self.regions = self.regions, {name: tuple(items) for name, items in found.items()}
        names = before.keys() | self.regions.keys()
        return {name for name in names if _facts(before.get(name, ())) != _facts(self.regions.get(name, ()))}

    def follow(self, incidence: Incidence, instances: Instances, merges: Sequence[Merge]) -> set[str]:
        """Let the regions follow an update: instances that were united, went away, or are seen by a mask now."""
        if not self.regions:
            return set()
        heir = {old: merge.kept for merge in merges for old in merge.absorbed}
        alive = set(instances.ids.tolist())
        shown = dict(zip(incidence.names, instances_shown(incidence, instances), strict=True))
        changed: set[str] = set()
        for name, items in list(self.regions.items()):
            wanted = alive - shown[name] if name in shown else set()  # else the keyframe left the map
            still = tuple(
                item if heir_of == item.instance else replace(item, instance=heir_of)
                for item in items
                if (heir_of := _heir(item.instance, heir)) in wanted
            )
            if len(still) == len(items) and all(new is old for new, old in zip(still, items, strict=True)):
                continue
            changed.add(name)
            self.regions[name] = still
            if not still:
                del self.regions[name]
        return changed


def _heir(instance: int, heir: Mapping[int, int]) -> int:
    """Who an instance is after all merges; each of them keeps an older id, so this ends."""
    while instance in heir:
        instance = heir[instance]
    return instance


def _facts(items: Sequence[Recovered]) -> list[tuple[object, ...]]:
    return [(item.instance, item.class_id, item.score, item.region.box, item.region.pixels.tobytes()) for item in items]
