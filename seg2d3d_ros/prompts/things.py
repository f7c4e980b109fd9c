"""What a map knows as candidates for a prompt: nodes of its tree of objects with their masks, or its instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.mapstore.files.tree_file import TreeNode

KEPT = 64
"""Label images that are held at once."""


@dataclass(frozen=True)
class Candidate:
    """A candidate.

    Attributes:
        id: of a node or instance; below 0 for a mask that belongs to none.
        parent: id of what it is part of, 0 = none.
        level: steps down from its root.
        known: it is an instance of the map.
        class_name: what the map calls it.
        point_ids: of its 3D points.
    """

    id: int
    parent: int
    level: int
    known: bool
    class_name: str
    point_ids: frozenset[int] = field(default=frozenset(), repr=False)


class Things(Protocol):
    """All candidates of a map, and where masks show them."""

    def __getitem__(self, thing: int) -> Candidate:
        """The thing of this id; ``KeyError`` where there is none."""
        ...

    def holding(self, name: str, xy: np.ndarray) -> list[set[int]]:
        """The things whose masks in a keyframe hold each pixel (N, 2)."""
        ...

    def shown(self, name: str) -> set[int]:
        """The things that the masks of a keyframe show."""
        ...

    def region(self, thing: int, name: str) -> Region | None:
        """The pixels of a thing's own masks in a keyframe; None where it has none there."""
        ...

    def shape(self, name: str) -> tuple[int, int] | None:
        """Rows and columns of a keyframe's masks; None where it has none."""
        ...

    def parts(self, thing: int) -> Sequence[int]:
        """Everything below a thing, however deep."""
        ...


class TreeThings:
    """Nodes of a tree and, with ids below 0, masks that are in no node.

    Args:
        masks: by keyframe name.
    """

    def __init__(self, nodes: Iterable[TreeNode], masks: Mapping[str, OverlappingMasks]) -> None:
        self._masks = masks
        self._things: dict[int, Candidate] = {}
        self._places: dict[tuple[int, str], list[int]] = {}
        self._of: dict[str, list[int]] = {}
        self._children: dict[int, list[int]] = {}
        self._region = lru_cache(KEPT * 8)(self._drawn)
        for node in nodes:
            self._things[node.id] = Candidate(node.id, node.parent, node.level, node.chosen, "object", frozenset(node.points))
            self._children.setdefault(node.parent, []).append(node.id)
            for name, places in node.masks.items():
                self._places[node.id, name] = list(places)
        owner = {(name, k): i for (i, name), places in self._places.items() for k in places}
        for name, items in masks.items():
            self._of[name] = []
            for k in range(len(items)):
                i = owner.get((name, k))
                if i is None:
                    i = -1 - len(self._things)
                    self._things[i] = Candidate(i, 0, 0, False, "object")
                    self._places[i, name] = [k]
                self._of[name].append(i)

    def __getitem__(self, thing: int) -> Candidate:
        """See ``Things``."""
        return self._things[thing]

    def holding(self, name: str, xy: np.ndarray) -> list[set[int]]:
        """See ``Things``."""
        found: list[set[int]] = [set() for _ in xy]
        if name in self._masks:
            for row, k in zip(*(a.tolist() for a in self._masks[name].holding(xy)), strict=True):
                found[row].add(self._of[name][k])
        return found

    def shown(self, name: str) -> set[int]:
        """See ``Things``."""
        return set(self._of.get(name, ()))

    def region(self, thing: int, name: str) -> Region | None:
        """See ``Things``."""
        return self._region(thing, name) if (thing, name) in self._places else None

    def _drawn(self, thing: int, name: str) -> Region | None:
        masks = self._masks[name]
        pixels = np.zeros(masks.shape, bool)
        for k in self._places[thing, name]:
            if k < len(masks):
                region = masks.region(k)
                pixels[region.window] |= region.pixels
        return region_of(pixels)

    def shape(self, name: str) -> tuple[int, int] | None:
        """See ``Things``."""
        return self._masks[name].shape if name in self._masks else None

    def parts(self, thing: int) -> Sequence[int]:
        """See ``Things``."""
        below = list(self._children.get(thing, ())) if thing > 0 else []
        for child in below:  # grows
            below.extend(self._children.get(child, ()))
        return below


class FlatThings:
    """The instances of a map whose images have one label a pixel.

    Args:
        tracks: the content of tracks.json.
        labels: (H, W) uint16 instance ids by keyframe name.
        point_ids: by instance id.
    """

    def __init__(
        self, tracks: Mapping[str, Any], labels: Mapping[str, np.ndarray], point_ids: Mapping[int, frozenset[int]]
    ) -> None:
        self._labels, self._get = labels, lru_cache(KEPT)(labels.__getitem__)
        self._things = {
            item["id"]: Candidate(item["id"], 0, 0, True, item["class"], point_ids.get(item["id"], frozenset()))
            for item in tracks["instances"]
        }
        self._shown: dict[str, set[int]] = {}
        for item in tracks["instances"]:
            for observation in item["observations"]:
                self._shown.setdefault(observation["image"], set()).add(item["id"])

    def __getitem__(self, thing: int) -> Candidate:
        """See ``Things``."""
        return self._things[thing]

    def holding(self, name: str, xy: np.ndarray) -> list[set[int]]:
        """See ``Things``."""
        if name not in self._labels:
            return [set() for _ in xy]
        labels = self._get(name)
        pixel = np.floor(xy).astype(np.int64)
        inside = ((pixel >= 0) & (pixel < labels.shape[::-1])).all(axis=1)
        pixel[~inside] = 0
        ids = np.where(inside, labels[pixel[:, 1], pixel[:, 0]], 0)
        return [{i} & self._things.keys() for i in ids.tolist()]

    def shown(self, name: str) -> set[int]:
        """See ``Things``."""
        return self._shown.get(name, set())

    def region(self, thing: int, name: str) -> Region | None:
        """See ``Things``."""
        return region_of(self._get(name) == thing) if name in self._labels and thing in self.shown(name) else None

    def shape(self, name: str) -> tuple[int, int] | None:
        """See ``Things``."""
        return self._get(name).shape if name in self._labels else None

    def parts(self, thing: int) -> Sequence[int]:
        """See ``Things``."""
        return ()


class OneThing:
    """A single thing, with the id 1, whose masks are given.

    Args:
        regions: by keyframe name.
        shapes: rows and columns of every keyframe.
    """

    def __init__(self, regions: Mapping[str, Region], shapes: Mapping[str, tuple[int, int]]) -> None:
        self._regions, self._shapes = regions, shapes

    def __getitem__(self, thing: int) -> Candidate:
        """See ``Things``."""
        return Candidate(1, 0, 0, False, "object")

    def holding(self, name: str, xy: np.ndarray) -> list[set[int]]:
        """See ``Things``."""
        region = self._regions.get(name)
        return [{1} if held else set() for held in (np.zeros(len(xy), bool) if region is None else region.holds(xy))]

    def shown(self, name: str) -> set[int]:
        """See ``Things``."""
        return {1} if name in self._regions else set()

    def region(self, thing: int, name: str) -> Region | None:
        """See ``Things``."""
        return self._regions.get(name)

    def shape(self, name: str) -> tuple[int, int] | None:
        """See ``Things``."""
        return self._shapes.get(name)

    def parts(self, thing: int) -> Sequence[int]:
        """See ``Things``."""
        return ()
