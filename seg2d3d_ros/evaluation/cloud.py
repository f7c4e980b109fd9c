"""What the evaluation knows of a map's points: their true owners, and the label that any grouping of the masks gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.solve import stacked_xyz
from seg2d3d_ros.association.votes import vote_points
from seg2d3d_ros.config import Config, load_config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.evaluation.overlaps import Overlaps
from seg2d3d_ros.evaluation.points import point_metrics, true_owners
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredSegments
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.types import Incidence


@dataclass(frozen=True)
class MapCloud:
    """P points of a map, and the S raw segments that hold them.

    Attributes:
        xyz: (P, 3) in the world frame.
        incidence: raw segments × points.
        region: (S,) the region of ``raw`` that each segment is, -1 where its image has no truth.
        owner: (P,) see ``points.true_owners``.
        instance, confidence: (P,) as the map labels them.
    """

    xyz: np.ndarray
    incidence: Incidence
    region: np.ndarray
    owner: np.ndarray
    instance: np.ndarray
    confidence: np.ndarray

    def of_map(self) -> dict[str, float | None]:
        """3D metrics of the map's own labels."""
        return point_metrics(self.owner, self.instance, self.confidence)

    def of_masks(self, labels: np.ndarray) -> dict[str, float | None]:
        """3D metrics of a grouping of the raw masks, (R,) with 0 = none: each mask votes for its points."""
        table = np.append(np.asarray(labels, np.int64), 0)
        return point_metrics(self.owner, *vote_points(self.incidence.matrix, table[self.region]))


def read_cloud(map_root: Path, truth: Path, raw: Overlaps) -> MapCloud:
    """Read the map's model, segments and labelled points.

    Args:
        raw: overlaps of the raw segments; its objects are those that count.

    Raises:
        DataError: a part is missing or damaged; the message says which.
        UsageError: its config.yaml is not understood.
    """
    if not (map_root / "sparse").is_dir():
        raise DataError("the map has no sparse reconstruction")
    if not (map_root / "segments").is_dir():
        raise DataError("the map has no raw segments")
    store, saved = MapStore(map_root), map_root / "config.yaml"
    prompts = (load_config(file=saved) if saved.exists() else Config()).segmentation.prompts
    models = read_models(map_root)
    incidence = build_incidence(models, StoredSegments(store, [n for m in models for n in m.names], prompts))

    def truth_of(name: str) -> np.ndarray | None:
        path = truth / f"{name}.png"
        return read_labels(path) if path.exists() else None

    owner = true_owners(models, truth_of, raw.object_ids)
    labelled = store.read_points()
    order = np.argsort(labelled["point_id"], kind="stable")
    ids = labelled["point_id"][order].astype(np.int64)
    place = np.searchsorted(ids, incidence.point_ids)
    known = np.append(ids, -1)[place] == incidence.point_ids
    row = order[place[known]]
    instance, confidence = np.zeros(len(owner), np.int64), np.zeros(len(owner))
    instance[known], confidence[known] = labelled["instance"][row], labelled["confidence"][row]

    names = {name: k for k, name in enumerate(raw.names)}
    places = zip(raw.region_image.tolist(), raw.region_label.tolist(), strict=True)
    regions = {place: r for r, place in enumerate(places)}
    keys = zip(incidence.segment_keyframe.tolist(), incidence.segment_ids.tolist(), strict=True)
    region = np.array([regions.get((names.get(incidence.names[k], -1), i), -1) for k, i in keys], np.int64)
    return MapCloud(stacked_xyz(models), incidence, region, owner, instance, confidence)
