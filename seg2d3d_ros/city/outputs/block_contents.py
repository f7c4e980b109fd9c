"""A block of a city as exporters see a map: in the city's frame, with the city's ids, and without what a neighbour exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.city.joining.block_content import BlockContent, ContentReader
from seg2d3d_ros.city.outputs.opened_city import OpenedCity
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.contents import CLOUDS, NOTHING_FOUND, Contents
from seg2d3d_ros.export.earth_coordinates import Coordinates
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.types import SparseModel

CITY_BLOCKS_UNEXPORTED = Kind(
    "city_blocks_unexported",
    "blocks of the city that are not in the file",
    cause="{reason}",
    remedy="run 'seg2d3d city' again, which makes what is missing; or export these blocks one by one",
)


@dataclass(frozen=True)
class BlockContents(Contents):
    """A block in the city's frame.

    Attributes:
        block: its name.
        city: it is of.
        read: gives blocks.
        everything: no instance was chosen; else points of others are nobody's.
    """

    block: str = ""
    city: OpenedCity = field(default=None)  # type: ignore[assignment]
    read: ContentReader = field(default=None)  # type: ignore[assignment]
    everything: bool = True
    chosen: frozenset[int] = frozenset()

    @property
    def placed(self) -> list[Mapping[str, Any]]:
        """The chosen instances that are at home in the block."""
        return list(self.instances)

    @cached_property
    def records(self) -> dict[str, KeyframeRecord]:
        """The keyframes of the block, and of others that show its instances."""
        found: dict[str, KeyframeRecord] = {}
        for name in self._around:
            store = MapStore(self.city.folder.block(name))
            for record in store.read_keyframes():
                found.setdefault(record.name, replace(record, image=str(store.image_path(record))))
        return found

    @cached_property
    def models(self) -> list[SparseModel]:
        """One model, without points: the cameras of the block, and of others that show its instances."""
        names: dict[str, np.ndarray] = {}
        cameras = {}
        for block in self._around:
            content = self._content(block)
            moved = moved_poses(content.model.camera_from_world, self.city.city_from[block])
            for name, camera, pose in zip(content.model.names, content.model.cameras, moved, strict=True):
                if name not in names:
                    names[name], cameras[name] = pose, camera
        none = np.zeros(0, np.int32)
        return [
            SparseModel(
                tuple(names),
                tuple(cameras[name] for name in names),
                np.array(list(names.values())).reshape(-1, 3, 4),
                np.zeros((0, 3)),
                np.zeros((0, 3), np.uint8),
                np.zeros(0, np.float32),
                np.zeros(0, np.int64),
                none,
                none,
                np.zeros((0, 2), np.float32),
            )
        ]

    def is_own(self, name: str) -> bool:
        """Whether a keyframe is one of the block's own."""
        return name in self.city.core[self.block]

    def image_path(self, record: KeyframeRecord) -> Path:
        """Where a keyframe's image is."""
        return Path(record.image)

    def points(self) -> np.ndarray:
        """The points that are nearest to one of the block's own cameras, in the city's frame, with the city's instances.

        Raises:
            DataError: the block has no such cloud.
        """
        items = sorted(self.store.read_tracks()["instances"], key=lambda item: item["id"])
        plain = Contents(self.store, items, Coordinates(None, None), self.cloud)  # what it lacks, the city told
        points = Contents.points(plain)
        content = self._content(self.block)
        xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64)
        _, nearest = cKDTree(content.model.centers).query(xyz)
        own = np.array([self.is_own(name) for name in content.model.names], bool)[nearest]
        points, xyz = points[own], self.city.city_from[self.block].apply(xyz[own])
        points["x"], points["y"], points["z"] = xyz.T
        known = self.city.numbers.get(self.block, {})
        labels, place = np.unique(points["instance"], return_inverse=True)
        points["instance"] = np.array([known.get(int(one), 0) for one in labels], np.int64)[place.ravel()]
        if not self.everything:
            points["instance"][~np.isin(points["instance"], list(self.chosen))] = 0
        return points

    @cached_property
    def _around(self) -> list[str]:
        """The block, and others that show its instances."""
        others = {part["block"] for item in self.instances for part in item["blocks"]} - {self.block}
        return [self.block, *sorted(others & set(self.city.placed))]

    def _content(self, block: str) -> BlockContent:
        content = self.read(block)
        if content is None:
            raise DataError(f"{self.city.folder.block(block)}: holds no reconstruction")
        return content


def moved_poses(camera_from_world: np.ndarray, city_from_world: Similarity) -> np.ndarray:
    """(K, 3, 4) ``camera_from_city`` of poses (K, 3, 4), in the city's unit."""
    rotation = camera_from_world[:, :, :3] @ city_from_world.rotation.T
    shift = city_from_world.scale * camera_from_world[:, :, 3] - rotation @ city_from_world.translation
    return np.concatenate([rotation, shift[:, :, None]], axis=2)


def city_contents(
    city: OpenedCity,
    *,
    crs: str | None,
    cloud: str,
    ids: Sequence[int] | None,
    class_codes: Mapping[str, int],
    findings: Findings,
) -> Iterator[BlockContents]:
    """The blocks of a city one after the other; blocks that cannot be read are told of.

    Raises:
        UsageError: there is no such instance or system.
        DataError: as ``Coordinates.of``; or no block has the cloud.
    """
    coordinates = Coordinates.of(city.frame, crs, findings)
    if ids is not None:
        known = {number for table in city.numbers.values() for number in table.values()}
        if unknown := sorted(set(ids) - known):
            raise UsageError(f"--instances: {city.folder.root} has no instance {unknown[0]}; it has {len(known)}, from 1 on")
    findings.add(NOTHING_FOUND, count=int(not any(city.numbers.values())), of=1)
    unplaced = [str(b["number"]) for b in city.index["blocks"] if b["city_from_block"] is None]
    if unplaced:
        reason = "they could not be made, or nobody knows how they lie to the others"
        findings.add(CITY_BLOCKS_UNEXPORTED, *unplaced, of=len(city.index["blocks"]), reason=reason)
    return _parts(city, coordinates, cloud, ids, class_codes, findings)


def _parts(
    city: OpenedCity,
    coordinates: Coordinates,
    cloud: str,
    ids: Sequence[int] | None,
    class_codes: Mapping[str, int],
    findings: Findings,
) -> Iterator[BlockContents]:
    read, given = ContentReader(city.folder), 0
    for name in city.placed:
        store = MapStore(city.folder.block(name))
        if cloud != "points" and not (store.root / CLOUDS[cloud]).exists():
            findings.add(CITY_BLOCKS_UNEXPORTED, name, of=len(city.placed), reason=f"they have no {CLOUDS[cloud]}")
            continue
        items = [item for item in city.instances(name) if ids is None or item["id"] in set(ids)]
        yield BlockContents(
            store,
            items,
            coordinates,
            cloud,
            class_codes,
            findings,
            block=name,
            city=city,
            read=read,
            everything=ids is None,
            chosen=frozenset(ids or ()),
        )
        given += 1
    if not given:
        raise DataError(f"{city.folder.root}: no block has the cloud {CLOUDS[cloud]}")
