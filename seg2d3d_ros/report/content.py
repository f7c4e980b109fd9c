"""What a report tells, read from a map directory. Pictures stay on disk until their turn comes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.config import read_parameters
from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.mapstore.point_cloud import POINT
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.types import SparseModel


@dataclass(frozen=True)
class Instance:
    """One instance of tracks.json.

    ``images``: names of the keyframes that show it, in order of capture. ``scores``: the best detector score in each.
    ``boxes``: (x0, y0, x1, y1) around all of its segments in each.
    """

    id: int
    class_name: str
    score: float
    points: int
    component: int
    images: tuple[str, ...]
    scores: Mapping[str, float]
    boxes: Mapping[str, tuple[int, int, int, int]]


@dataclass(frozen=True)
class Content:
    """Everything but the pixels.

    ``points`` is structured like ``mapstore.point_cloud.POINT``; ``damage`` lists, in words, what could not be read.
    """

    store: MapStore
    records: Sequence[KeyframeRecord]
    instances: Sequence[Instance]
    frame: Mapping[str, Any]
    points: np.ndarray
    models: Sequence[SparseModel]
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    damage: Sequence[str]

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
        models=attempt(lambda: read_models(root) if (root / "sparse").is_dir() else [], []),
        config=attempt(lambda: read_parameters(root / "config.yaml") if (root / "config.yaml").exists() else {}, {}),
        metrics=attempt(store.read_metrics, {}),
        damage=damage,
    )


def _instance(item: Mapping[str, Any], order: Mapping[str, tuple[int, str]]) -> Instance:
    scores: dict[str, float] = {}
    boxes: dict[str, tuple[int, int, int, int]] = {}
    for observation in item["observations"]:
        name, (x0, y0, x1, y1) = observation["image"], (int(v) for v in observation["box"])
        scores[name] = max(scores.get(name, 0.0), float(observation["score"]))
        if name in boxes:
            a, b, c, d = boxes[name]
            x0, y0, x1, y1 = min(a, x0), min(b, y0), max(c, x1), max(d, y1)
        boxes[name] = (x0, y0, x1, y1)
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
    )
