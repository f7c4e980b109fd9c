"""What a report tells, read from a map directory. Pictures stay on disk until their turn comes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.config import read_parameters
from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.export.gis.features import best_image, footprint
from seg2d3d_ros.mapstore.point_cloud import POINT
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.types import SparseModel
from seg2d3d_ros.viewer.captions import captions, short_name
from seg2d3d_ros.viewer.scene_reading import read_photographed

STAMPED_NAME = re.compile(r"\w[\w.:/-]*_\d{16,19}(?!\d)")
RADIUS_95 = 2.4477
"""Standard deviations of two dimensions that hold 95 %."""


@dataclass(frozen=True)
class Instance:
    """One instance of tracks.json.

    ``images``: names of the keyframes that show it, in order of capture. ``scores``: the best detector score in each.
    ``boxes``: (x0, y0, x1, y1) around all of its segments in each. ``recovered``: the keyframes in which no mask showed it.
    ``best``: the keyframe that shows most of it; empty where none does. ``document``: the entry of tracks.json.
    """

    id: int
    class_name: str
    score: float
    points: int
    component: int
    images: tuple[str, ...]
    scores: Mapping[str, float]
    boxes: Mapping[str, tuple[int, int, int, int]]
    recovered: frozenset[str] = frozenset()
    best: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[float, float, float] | None:
        """Length, depth and height of the upright box in units of the map; None where it has none."""
        box = self.document.get("box3d") or {}
        return tuple(box["size"]) if "size" in box else None

    @property
    def place(self) -> np.ndarray | None:
        """(3,) where it stands: as it was triangulated, else the middle of the box's lower face."""
        if "position" in self.document:
            return np.array(self.document["position"], float)
        ring = footprint(self.document)
        return None if ring is None else ring[:4].mean(axis=0)

    @property
    def spread(self) -> float | None:
        """Half the longer axis of the horizontal ellipse that holds the place with 95 %; None where nobody said."""
        if self.document.get("covariance") is None:
            return None
        widest = float(np.linalg.eigvalsh(np.array(self.document["covariance"], float)[:2, :2])[-1])
        return RADIUS_95 * math.sqrt(max(widest, 0.0)) if math.isfinite(widest) else None


@dataclass(frozen=True)
class Content:
    """Everything but the pixels.

    ``points`` is structured like ``mapstore.point_cloud.POINT``; ``photographed`` are the same points, and strays, in the
    photographs' colours; ``damage`` lists, in words, what could not be read.
    """

    store: MapStore
    records: Sequence[KeyframeRecord]
    instances: Sequence[Instance]
    frame: Mapping[str, Any]
    points: np.ndarray
    photographed: np.ndarray
    models: Sequence[SparseModel]
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    damage: Sequence[str]

    @cached_property
    def captions(self) -> dict[str, str]:
        """What people read instead of the keyframes' names."""
        return captions(self.records)

    def caption(self, name: str) -> str:
        """What people read instead of the name of an image, also of one that is no keyframe."""
        return self.captions.get(name) or short_name(name)

    def readable(self, words: str) -> str:
        """Words in which the names of stamped images are replaced by their captions."""
        return STAMPED_NAME.sub(lambda found: self.caption(found[0]), words)

    @property
    def datum(self) -> tuple[float, float, float] | None:
        """Latitude, longitude and altitude of the origin, where the map is georeferenced."""
        datum = self.frame.get("datum") or {}
        if self.frame.get("kind") != "enu" or not {"latitude", "longitude", "altitude"} <= set(datum):
            return None
        return datum["latitude"], datum["longitude"], datum["altitude"]

    @property
    def metric(self) -> bool:
        """Whether lengths are in metres."""
        return self.frame.get("kind") in ("metric", "enu")

    @property
    def registered(self) -> set[str]:
        """Names of the keyframes that have a pose."""
        return {name for model in self.models for name in model.names}

    @property
    def image_count(self) -> int:
        """All images that were offered, those that could not be read included."""
        listed = (self.metrics.get("counts") or {}).get("images", 0)
        return max(len({record.name for record in self.records} | set(self.unregistered) | self.registered), int(listed))

    @property
    def segmented(self) -> bool:
        """Whether masks were asked for."""
        return self.config.get("segmentation.segmenter") != "none"

    @property
    def labelled_points(self) -> int:
        """How many points belong to an instance."""
        return int((self.points["instance"] != 0).sum())

    @property
    def seconds(self) -> float:
        """Sum of the stages' times."""
        return sum(self.timings.values())

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per stage, in the order of the work."""
        stages = self.metrics.get("timings") or {}
        return {str(stage): float(s) for stage, s in stages.items() if isinstance(s, int | float) and math.isfinite(s)}

    @property
    def unregistered(self) -> dict[str, str]:
        """Reason, in words, why an image has no pose."""
        listed = self.metrics.get("unregistered") or []
        return {str(item["image"]): str(item.get("reason") or "no reason given") for item in listed if "image" in item}


def read_content(root: Path) -> Content:
    """Read a map directory. A damaged file costs its part of the report, not the report.

    Raises:
        DataError: ``root`` is no map directory.
    """
    root = Path(root)
    parts = ("keyframes.json", "tracks.json", "points.ply", "metrics.json", "config.yaml", "sparse")
    if not root.is_dir() or not any((root / part).exists() for part in parts):
        raise DataError(f"{root}: is no map directory; make one with 'seg2d3d run IMAGES --label building --out {root}'")
    store = MapStore(root)
    damage: list[str] = []

    def attempt(read: Any, fallback: Any) -> Any:
        try:
            return read()
        except (Seg2d3dError, OSError, KeyError, TypeError, ValueError) as error:
            message = str(error) if isinstance(error, Seg2d3dError) else f"{type(error).__name__}: {error}"
            damage.append(message)
            return fallback

    records = attempt(store.read_keyframes, [])
    order = {record.name: (record.stamp_ns, record.name) for record in records}
    tracks = attempt(store.read_tracks, {})
    return Content(
        store=store,
        records=records,
        instances=attempt(lambda: [_instance(item, order) for item in tracks.get("instances", [])], []),
        frame=tracks.get("frame") or {"kind": "arbitrary"},
        points=attempt(store.read_points, np.empty(0, POINT)),
        photographed=read_photographed(store),
        models=attempt(lambda: read_models(root) if (root / "sparse").is_dir() else [], []),
        config=attempt(lambda: read_parameters(root / "config.yaml") if (root / "config.yaml").exists() else {}, {}),
        metrics=attempt(store.read_metrics, {}),
        damage=damage,
    )


def _instance(item: Mapping[str, Any], order: Mapping[str, tuple[int, str]]) -> Instance:
    scores: dict[str, float] = {}
    boxes: dict[str, tuple[int, int, int, int]] = {}
    masked: set[str] = set()
    for observation in item["observations"]:
        name, (x0, y0, x1, y1) = observation["image"], (int(v) for v in observation["box"])
        scores[name] = max(scores.get(name, 0.0), float(observation["score"]))
        if name in boxes:
            a, b, c, d = boxes[name]
            x0, y0, x1, y1 = min(a, x0), min(b, y0), max(c, x1), max(d, y1)
        boxes[name] = (x0, y0, x1, y1)
        if not observation.get("recovered", False):
            masked.add(name)
    images = tuple(sorted(scores, key=lambda name: order.get(name, (0, name))))
    return Instance(
        int(item["id"]),
        str(item["class"]),
        float(item["score"]),
        int(item["points"]),
        int(item.get("component", 0)),
        images,
        scores,
        boxes,
        frozenset(set(scores) - masked),
        best_image(item) or "",
        item,
    )
