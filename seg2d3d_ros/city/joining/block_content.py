"""What joining reads of a block: its largest model, its points with their instances, and its instances."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.mapstore.held_map import look_into
from seg2d3d_ros.reconstruction.model_io import model_folders, open_model, read_frame, sparse_model
from seg2d3d_ros.types import SparseModel

HELD = 6
"""Blocks that are held in memory at once."""


@dataclass(frozen=True, eq=False)
class BlockContent:
    """A block, read.

    Attributes:
        name: of the block.
        model: its largest model; the others have frames of their own.
        points: its points.ply, sorted by ``point_id``: ``mapstore.point_cloud.POINT``.
        instances: entries of its tracks.json by id, those of the largest model.
        elsewhere: registered images, and instances, of its other models.
    """

    name: str
    model: SparseModel
    points: np.ndarray
    instances: Mapping[int, Mapping[str, Any]]
    elsewhere: tuple[int, int]

    @cached_property
    def row(self) -> dict[str, int]:
        """Of each keyframe in the model, by name."""
        return {name: k for k, name in enumerate(self.model.names)}

    @cached_property
    def observed(self) -> list[np.ndarray]:
        """Of each keyframe the rows of its observations."""
        order = np.argsort(self.model.obs_keyframe, kind="stable")
        bounds = np.searchsorted(self.model.obs_keyframe[order], np.arange(len(self.model.names) + 1))
        return [order[a:b] for a, b in pairwise(bounds)]

    @cached_property
    def instance_of_point(self) -> np.ndarray:
        """(P,) int64 instance of each point of the model, 0 = none."""
        found = np.zeros(len(self.model.point_ids), np.int64)
        if len(self.points):
            ids = self.points["point_id"].astype(np.int64)
            place = np.searchsorted(ids, self.model.point_ids).clip(0, len(ids) - 1)
            there = ids[place] == self.model.point_ids
            found[there] = self.points["instance"][place[there]]
        found[~np.isin(found, list(self.instances))] = 0
        return found

    @cached_property
    def shown(self) -> dict[tuple[str, int], list[int]]:
        """Instances that hold each mask (image, segment); several where the block cut it."""
        found: dict[tuple[str, int], list[int]] = {}
        for number, item in self.instances.items():
            for seen in item["observations"]:
                if not seen.get("recovered"):
                    found.setdefault((str(seen["image"]), int(seen["segment"])), []).append(number)
        return found

    @cached_property
    def together(self) -> dict[str, set[int]]:
        """Instances that each image shows, by masks of its detector."""
        found: dict[str, set[int]] = {}
        for (image, _), numbers in self.shown.items():
            found.setdefault(image, set()).update(numbers)
        return found


def read_content(city: CityFolder, name: str) -> BlockContent | None:
    """A block; None where it has no model. Raises ``DataError`` where it is damaged."""
    store = look_into(city.block(name))
    folders = model_folders(store.root)
    if not folders:
        return None
    frame, revision, names = read_frame(folders[0])
    model = sparse_model(open_model(folders[0]), names, frame=frame, revision=revision, folder=folders[0])
    points = store.read_points()
    points = points[np.argsort(points["point_id"], kind="stable")]
    items = store.read_tracks()["instances"]
    own = {int(item["id"]): item for item in items if not item.get("component", 0)}
    counts = store.read_metrics().get("counts", {})
    apart = int(counts.get("registered", 0)) - int(counts.get("registered_largest", 0))
    return BlockContent(name, model, points, own, (apart, len(items) - len(own)))


class ContentReader:
    """Reads blocks, and holds the few that were asked for last.

    Args:
        city: of the blocks.
    """

    def __init__(self, city: CityFolder) -> None:
        self._city = city
        self._held: OrderedDict[str, BlockContent | None] = OrderedDict()

    def __call__(self, name: str) -> BlockContent | None:
        """A block; None where it has no model."""
        if name in self._held:
            self._held.move_to_end(name)
        else:
            self._held[name] = read_content(self._city, name)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return self._held[name]
