"""What is taken out of a map: the chosen instances, a cloud, poses and labels, and where they lie on the Earth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.earth_coordinates import Coordinates
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, POINT, read_points
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.types import SparseModel

CLOUDS = {"points": "points.ply", "dense": "dense.ply", "lidar": "cloud.ply"}
HOW_TO_GET = {
    "points": "seg2d3d run",
    "dense": "seg2d3d run … --densify",
    "lidar": "seg2d3d bag BAG … --cloud TOPIC",
}

NOTHING_FOUND = Kind(
    "export_without_instances",
    "exports of a map that has no instance",
    cause="no object was found when the map was made; its report says why",
    remedy="see the report's first lines; `seg2d3d run … --resume` with other labels or masks makes the map's objects anew",
)
ELSEWHERE = Kind(
    "export_elsewhere",
    "instances of models that do not hang together with the largest",
    cause="the photographs fall into separate models, and each has a frame of its own: nobody knows where these lie",
    remedy="take photographs that overlap with both, or give positions (--gps), and run again",
)
IMAGES_WITHOUT_LABELS = Kind(
    "export_without_labels",
    "images without labels, of which no masks are written",
    cause="no label image of them is in the map: nobody looked for objects there, or they are not registered",
    remedy="run the map again with a segmenter, if they should have some",
)
LABELS_DAMAGED = Kind(
    "export_labels_damaged",
    "label images that cannot be read, of which no masks are written",
    cause="{detail}",
    remedy="run the map again with --resume, which writes them anew",
)


@dataclass(frozen=True)
class Contents:
    """A map as exporters see it.

    Attributes:
        store: the map directory.
        instances: the chosen entries of tracks.json, by id.
        coordinates: of what is written.
        cloud: a key of ``CLOUDS``.
        class_codes: ASPRS class code by class name, beside those that are usual.
        findings: what is left out or doubted.
        completed: (P,) the chosen cloud's records with labels that were completed elsewhere; None = those of its file.
    """

    store: MapStore
    instances: Sequence[Mapping[str, Any]]
    coordinates: Coordinates
    cloud: str = "points"
    class_codes: Mapping[str, int] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    completed: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        store: MapStore,
        *,
        crs: str | None = None,
        cloud: str = "points",
        ids: Sequence[int] | None = None,
        class_codes: Mapping[str, int] | None = None,
        findings: Findings | None = None,
        completed: np.ndarray | None = None,
    ) -> Contents:
        """Of a map directory.

        Args:
            crs: as in ``Coordinates.of``.
            ids: the instances; None = all.

        Raises:
            UsageError: there is no such instance or system.
            DataError: as ``Coordinates.of``.
        """
        findings = Findings() if findings is None else findings
        tracks = store.read_tracks()
        instances = sorted(tracks["instances"], key=lambda item: item["id"])
        if ids is not None:
            known = {item["id"] for item in instances}
            if unknown := sorted(set(ids) - known):
                raise UsageError(f"--instances: {store.root} has no instance {unknown[0]}; it has {_in_short(sorted(known))}")
            instances = [item for item in instances if item["id"] in set(ids)]
        findings.add(NOTHING_FOUND, count=int(not instances), of=1)
        coordinates = Coordinates.of(tracks["frame"], crs, findings)
        return cls(store, instances, coordinates, cloud, class_codes or {}, findings, completed)

    @property
    def ids(self) -> np.ndarray:
        """(I,) int64 of the chosen instances, ascending."""
        return np.array([item["id"] for item in self.instances], np.int64)

    @cached_property
    def placed(self) -> list[Mapping[str, Any]]:
        """The chosen instances of the largest model, which alone has the map's frame; the others are told of."""
        here = [item for item in self.instances if not item.get("component", 0)]
        others = [str(item["id"]) for item in self.instances if item.get("component", 0)]
        if others:
            self.findings.add(ELSEWHERE, *others, of=len(self.instances))
        return here

    @cached_property
    def records(self) -> dict[str, KeyframeRecord]:
        """The keyframes, by name."""
        return {record.name: record for record in self.store.read_keyframes()}

    @cached_property
    def models(self) -> list[SparseModel]:
        """The components of the reconstruction, the largest first.

        Raises:
            DataError: there is none, or it is damaged.
        """
        from seg2d3d_ros.reconstruction.model_io import read_models

        models = read_models(self.store.root)
        if not models:
            raise DataError(f"{self.store.root}: holds no reconstruction (sparse/ is empty)")
        return models

    def is_own(self, name: str) -> bool:
        """Whether a keyframe is to be listed: in a part of a city, those that a neighbour lists are not."""
        return True

    def image_path(self, record: KeyframeRecord) -> Path:
        """Where a keyframe's image is."""
        return self.store.image_path(record)

    def points(self) -> np.ndarray:
        """The chosen cloud in the map's frame, structured like ``CLOUD_POINT``, in the photographs' colours where these are
        known.

        Points of other models than the largest are left out. ``instance`` is 0 where the instance is not chosen.

        Raises:
            DataError: the map has no such cloud.
        """
        path = self.store.root / CLOUDS[self.cloud]
        if not path.exists():
            raise DataError(f"{path}: the map has no such cloud; it is made by '{HOW_TO_GET[self.cloud]}'")
        points = read_points(path, layout_of(self.cloud)) if self.completed is None else self.completed.copy()
        if self.cloud == "points":
            points = self._in_photo_colors(points)[self._of_largest_model(points)]
        points["instance"][~np.isin(points["instance"], self.ids)] = 0
        return points

    def _of_largest_model(self, points: np.ndarray) -> np.ndarray:
        """(P,) bool: of the points of points.ply."""
        everywhere = self.store.read_tracks()["instances"]
        if len(self.store.read_metrics().get("models", ())) < 2 and not any(item.get("component") for item in everywhere):
            return np.ones(len(points), bool)
        largest = [item["id"] for item in everywhere if not item.get("component")]
        _ = self.placed
        return np.isin(points["instance"], largest) | np.isin(points["point_id"], self.models[0].point_ids)

    def _in_photo_colors(self, points: np.ndarray) -> np.ndarray:
        """The same points in the colours of points_rgb.ply, where there is one."""
        path = self.store.root / "points_rgb.ply"
        if path.exists():
            photo = read_points(path)
            order = np.argsort(photo["point_id"], kind="stable")
            photo = photo[order]
            place = np.searchsorted(photo["point_id"], points["point_id"]).clip(0, max(len(photo) - 1, 0))
            known = photo["point_id"][place] == points["point_id"] if len(photo) else np.zeros(len(points), bool)
            for color in ("red", "green", "blue"):
                points[color][known] = photo[color][place[known]]
        return points

    def labels_of(self, name: str, of: int = 0) -> np.ndarray | None:
        """(H, W) uint16 label image, 0 where the instance is not chosen; None, and told, where there is none or it is damaged.

        Args:
            of: how many there may be.
        """
        if not self.store.label_path(name).exists():
            self.findings.add(IMAGES_WITHOUT_LABELS, name, of=of)
            return None
        try:
            labels = self.store.read_labels(name)
        except DataError as error:
            self.findings.add(LABELS_DAMAGED, name, of=of, detail=str(error))
            return None
        labels[~np.isin(labels, self.ids)] = 0
        return labels

    def labelled_images(self) -> Iterator[tuple[KeyframeRecord, np.ndarray]]:
        """Each keyframe with its (H, W) uint16 label image, 0 where the instance is not chosen, sorted by name."""
        for name, record in sorted(self.records.items()):
            labels = self.labels_of(name, len(self.records))
            if labels is not None:
                yield record, labels


def layout_of(cloud: str) -> np.dtype:
    """The columns of a cloud's file: only the sparse points have ids."""
    return POINT if cloud == "points" else CLOUD_POINT


def xyz_of(points: np.ndarray) -> np.ndarray:
    """(P, 3) float64 places of a structured cloud."""
    return np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64)


def _in_short(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:10]))
    return (shown + (f", … ({len(ids)})" if len(ids) > 10 else "")) or "none"
