"""The published method run again on a finished map: the baseline to beat, on the same reconstruction and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.evaluation.overlaps import Overlaps


def published(raw: Overlaps, map_root: Path) -> np.ndarray:
    """(R,) ids of the published method (arXiv 2605.26725) with the paper's thresholds, 0 = none.

    Args:
        raw: overlaps of the map's raw segments.
        map_root: map directory with ``sparse``, ``segments`` and ``config.yaml``.

    Raises:
        DataError: the map lacks a reconstruction or raw segments, or they are damaged.
        UsageError: its config.yaml is not understood.
    """
    if not (map_root / "sparse").is_dir():
        raise DataError("the map has no sparse reconstruction")
    if not (map_root / "segments").is_dir():
        raise DataError("the map has no raw segments")
    from seg2d3d_ros.association.incidence import build_incidence
    from seg2d3d_ros.association.masks.repair import Repair
    from seg2d3d_ros.association.solve import associate
    from seg2d3d_ros.config import AssociationConfig, Config, load_config
    from seg2d3d_ros.mapstore.store import MapStore
    from seg2d3d_ros.mapstore.stored import StoredSegments
    from seg2d3d_ros.reconstruction.model_io import read_models

    saved = map_root / "config.yaml"
    prompts = (load_config(file=saved) if saved.exists() else Config()).segmentation.prompts
    models = read_models(map_root)
    registered = [name for model in models for name in model.names]
    incidence = build_incidence(models, StoredSegments(MapStore(map_root), registered, prompts))
    xyz = np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)])
    repair = Repair(incidence, associate(incidence, xyz, AssociationConfig(method="published")))
    places = zip(raw.region_image, raw.region_label, strict=True)
    return np.array([repair.instance_of(raw.names[image]).get(int(label), 0) for image, label in places], np.int64)
