"""A map directory in memory as corrections change it: labels, tracks and clouds together, written with what lies beneath."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.mapstore.checks import MAX_ID
from seg2d3d_ros.mapstore.files.unedited_file import CloudBeneath, Unedited, checksum, read_unedited, write_unedited
from seg2d3d_ros.mapstore.panoramas import panorama_boxes, panorama_labels, views_by_panorama
from seg2d3d_ros.mapstore.point_cloud import colored_by_instance, read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.prompts.laying import CLOUDS, box_document
from seg2d3d_ros.prompts.sights import Sight, sights
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.types import SparseModel

GEOMETRY = ("box3d", "position", "covariance")
"""What tracks.json says of an instance's place."""


class Geometry:
    """The models of a map and what their images see, each read when it is first asked for; corrections change none of it.

    Args:
        models: None = those in ``sparse/``.
    """

    def __init__(self, root: Path, models: Sequence[SparseModel] | None = None) -> None:
        self._root, self._given = root, models

    @cached_property
    def models(self) -> Sequence[SparseModel]:
        """Of the map, the largest first."""
        return read_models(self._root) if self._given is None else list(self._given)

    @cached_property
    def sights(self) -> list[Sight]:
        """What each image sees."""
        return sights(self.models)

    @cached_property
    def sight_of(self) -> dict[str, Sight]:
        """By keyframe."""
        return {sight.name: sight for sight in self.sights}

    @property
    def up(self) -> np.ndarray:
        """(3,) the vertical."""
        return self.models[0].up.direction if self.models else np.array([0.0, 0.0, 1.0])


class EditableMap:
    """See the module. Corrections may be shown already; what lies beneath them is kept.

    Args:
        geometry: of the map; None = read from ``sparse/`` when it is needed.

    Attributes:
        items: entries of tracks.json, by id.

    Raises:
        DataError: a damaged file.
    """

    def __init__(self, store: MapStore, geometry: Geometry | None = None) -> None:
        self.store = store
        self.geometry = Geometry(store.root) if geometry is None else geometry
        self._former = read_unedited(store.root)
        self._tracks = store.read_tracks()
        self._beneath = self._former.tracks if self._former is not None else copy.deepcopy(self._tracks)
        self.items: dict[int, dict[str, Any]] = {int(item["id"]): item for item in self._tracks["instances"]}
        self._kept: dict[str, LabelRuns | None] = {}
        self._changed: dict[str, LabelRuns] = {}

    # What there is.

    @cached_property
    def clouds(self) -> dict[str, np.ndarray]:
        """The points of each cloud of the map, by its file; to be changed in place."""
        found = {}
        for file, layout in CLOUDS.items():
            path = self.store.root / file
            if path.exists():
                found[file] = read_points(path, layout)
        self._cloud_before = {file: (p["instance"].copy(), p["confidence"].copy()) for file, p in found.items()}
        return found

    def labels(self, name: str) -> np.ndarray | None:
        """(H, W) uint16 instances of a keyframe; None where it has no label image."""
        runs = self._changed.get(name)
        if runs is None:
            if name not in self._kept:
                there = self.store.label_path(name).exists()
                self._kept[name] = LabelRuns.of(self.store.read_labels(name)) if there else None
            runs = self._kept[name]
        return None if runs is None else runs.image()

    def images_of(self, ids: Iterable[int]) -> list[str]:
        """The keyframes that show one of these instances."""
        seen = {item["image"] for i in ids if i in self.items for item in self.items[i]["observations"]}
        return sorted(seen)

    def free_id(self, wanted: int = 0) -> int:
        """``wanted``, or where that is an instance's, a number that none has.

        Raises:
            DataError: there is none left.
        """
        beneath = {int(item["id"]) for item in self._beneath["instances"]}
        if wanted and wanted not in self.items and wanted not in beneath:
            return wanted
        free = 1 + max([0, wanted, *self.items, *beneath])
        if free > MAX_ID:
            raise DataError(f"{self.store.root}: all {MAX_ID} numbers that label images can hold are given")
        return free

    # What changes.

    def relabel(self, name: str, after: np.ndarray, *, drawn: int = 0) -> None:
        """Replace a label image; the observations of instances whose pixels went to others go with them.

        Args:
            drawn: an instance whose observations the caller says.
        """
        before = self.labels(name)
        if before is None:
            before = np.zeros_like(after)
        moved = np.unique(before[before != after])
        for i in moved[moved > 0].tolist():
            if i in self.items and i != drawn:
                self._carry(i, name, before, after, drawn)
        self._changed[name] = LabelRuns.of(after.astype(np.uint16))

    def _carry(self, i: int, name: str, before: np.ndarray, after: np.ndarray, drawn: int) -> None:
        kept: list[dict[str, Any]] = []
        for observation in self.items[i]["observations"]:
            if observation["image"] != name:
                kept.append(observation)
                continue
            x0, y0, x1, y1 = (max(0, int(v)) for v in observation["box"])
            window = slice(y0, y1), slice(x0, x1)
            mine = before[window] == i
            total = int(np.count_nonzero(mine))
            if not total:
                kept.append(observation)
            for target in np.unique(after[window][mine]).tolist():
                if target in (0, drawn) or target not in self.items:
                    continue
                part = mine & (after[window] == target)
                share = int(np.count_nonzero(part)) / total
                region = region_of(part, x0, y0)
                moved = dict(observation)
                if share < 1 and region is not None:
                    moved["box"] = list(region.box)
                    moved["share"] = round(observation.get("share", 1.0) * share, 4)
                (kept if target == i else self.items[target]["observations"]).append(moved)
        self.items[i]["observations"] = kept

    def free_segment(self, name: str) -> int:
        """A number that no segment of a keyframe has."""
        used = [o["segment"] for item in self.items.values() for o in item["observations"] if o["image"] == name]
        return 1 + max(used, default=0)

    def settle(self, ids: Collection[int]) -> list[int]:
        """After a correction of these instances: their boxes by their points, and instances of which nothing is left go.

        Returns:
            those that went.
        """
        gone = [i for i, item in self.items.items() if not item["observations"]]
        for points in self.clouds.values():
            lost = np.isin(points["instance"], gone) if gone else np.zeros(len(points), bool)
            points["instance"][lost], points["confidence"][lost] = 0, 0
        for i in gone:
            del self.items[i]
        main = self.clouds.get("points_rgb.ply", self.clouds.get("points.ply"))
        for i in set(ids) & self.items.keys():
            item = self.items[i]
            item["observations"].sort(key=lambda o: (o["image"], o["segment"]))
            if main is None:
                continue
            rows = main["instance"] == i
            if not rows.any():
                continue  # what the rays of its masks placed, or nothing, stays as it is
            for key in GEOMETRY:
                item.pop(key, None)
            item["box3d"] = box_document(np.stack([main[axis][rows] for axis in "xyz"], axis=1).astype(float), self.geometry.up)
        return gone

    # The end.

    def save(self, states: Mapping[int, str]) -> None:
        """Write what changed, what lay beneath first.

        Args:
            states: as in ``Unedited``.

        Raises:
            DataError: the disk is full.
        """
        clouds, beneath = self._clouds_beneath()
        write_unedited(self.store.root, Unedited(self._beneath, beneath, states))
        for name, runs in self._changed.items():
            if self.store.read_unedited(name) is None:
                there = self._kept.get(name)
                self.store.write_unedited(name, np.zeros(runs.shape, np.uint16) if there is None else there.image())
            self.store.write_labels(name, runs)
        self._count_points()
        self._draw_panoramas()
        for file in clouds:
            points = self.clouds[file]
            write_points(self.store.root / file, colored_by_instance(points) if file == "points.ply" else points)
        write_json(self.store.root / "tracks.json", self._document())

    def _clouds_beneath(self) -> tuple[list[str], dict[str, CloudBeneath]]:
        """The clouds that changed, and of all what lies beneath."""
        beneath = dict(self._former.clouds) if self._former is not None else {}
        changed = []
        for file, points in self.clouds.items():
            instance, confidence = self._cloud_before[file]
            before = points.copy()
            before["instance"], before["confidence"] = instance, confidence
            former = beneath.pop(file, None)
            base = None if former is None else former.restored(before)
            base = before if base is None else base
            rows = np.flatnonzero((base["instance"] != points["instance"]) | (base["confidence"] != points["confidence"]))
            beneath[file] = CloudBeneath(rows, base["instance"][rows], base["confidence"][rows], checksum(points))
            if (instance != points["instance"]).any() or (confidence != points["confidence"]).any():
                changed.append(file)
        return changed, beneath

    def _count_points(self) -> None:
        points = self.clouds.get("points.ply")
        if points is not None:
            counts = np.bincount(np.maximum(points["instance"], 0), minlength=max([0, *self.items]) + 1)
            for i, item in self.items.items():
                item["points"] = int(counts[i])

    def _draw_panoramas(self) -> None:
        """Put the labels of panoramas whose views changed together anew, and say where they show each instance."""
        for panorama, views in views_by_panorama(self.store.read_keyframes()).items():
            if not any(name in self._changed for name, _ in views):
                continue
            labels = panorama_labels(views, self.labels)
            if labels is None:
                continue
            self.store.write_labels(panorama, LabelRuns.of(labels))
            boxes = panorama_boxes(panorama, labels)
            for i, item in self.items.items():
                there = [entry for entry in item.get("panoramas", ()) if entry["image"] != panorama]
                if i in boxes:
                    there.append({"image": panorama, "box": list(boxes[i].box)})
                if there:
                    item["panoramas"] = sorted(there, key=lambda entry: entry["image"])
                else:
                    item.pop("panoramas", None)

    def _document(self) -> dict[str, Any]:
        return {**self._tracks, "instances": [self.items[i] for i in sorted(self.items)]}

    @property
    def counts(self) -> dict[str, int]:
        """Those of metrics.json that corrections change."""
        points = self.clouds.get("points.ply")
        labelled = points["instance"][points["instance"] > 0] if points is not None else np.empty(0, np.int32)
        return {
            "instances": len(self.items),
            "instances_with_points": len(np.unique(labelled)),
            "labelled_points": len(labelled),
        }
