"""The scenes of a map directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.point_cloud import POINT, read_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.viewer.captions import captions
from seg2d3d_ros.viewer.scene import MOST_POINTS, MapScene, make_scenes


def read_photographed(store: MapStore) -> np.ndarray:
    """The points in the photographs' colours, as in ``points_rgb.ply``; none where that is missing or damaged."""
    path = store.root / "points_rgb.ply"
    try:
        return read_points(path) if path.is_file() else np.empty(0, POINT)
    except (DataError, OSError):
        return np.empty(0, POINT)


def read_scenes(root: Path, most_points: int = MOST_POINTS) -> list[MapScene]:
    """The scenes of the map at ``root``, the largest component's first; empty for a map without a model.

    Raises:
        DataError: a file of the map is damaged.
    """
    store = MapStore(root)
    models = read_models(root) if (root / "sparse").is_dir() else []
    instances = store.read_tracks()["instances"]
    named = captions(store.read_keyframes())
    return make_scenes(models, store.read_points(), read_photographed(store), instances, named, most_points)
