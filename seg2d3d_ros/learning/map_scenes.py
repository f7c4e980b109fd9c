"""A map directory → a scene to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from seg2d3d_ros.arrays import places
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.learning.image_features import ImageFeatures, PlaceFeatures, point_features
from seg2d3d_ros.learning.learning_scene import LearningScene
from seg2d3d_ros.learning.scene_building import Cloud, PreparedCloud, SceneView, build_scene, prepare_cloud
from seg2d3d_ros.mapstore.files.embeddings_file import read_embeddings
from seg2d3d_ros.mapstore.held_map import look_into
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points, stray_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.superpoints.shown_labels import LabelledView, ShownLabels, sampled, shown_labels
from seg2d3d_ros.types import SparseModel

FILES = {"lidar": "cloud.ply", "dense": "dense.ply"}
"""Clouds beside the map's own points."""
CLOUD_CHOICES = ("auto", *FILES, "points")


def map_scene(
    root: Path,
    name: str,
    voxel: float,
    reach: float,
    cloud: str,
    findings: Findings,
    features: ImageFeatures | None = None,
    progress: Progress | None = None,
) -> LearningScene:
    """Read a map's cloud, its views' masks and labels, and its instances' embeddings, where it has some.

    Args:
        name: of the scene.
        voxel: metres between points.
        reach: metres between a camera and the points that it sees.
        cloud: of ``CLOUD_CHOICES``; ``auto`` = the densest that there is.
        features: what is asked about the pictures; None = nothing.

    Raises:
        DataError: no map, one without masks, without metres, or without the cloud that was asked for.
    """
    store = look_into(root)
    models = _metric_models(root, store)
    if not any((store.root / "segments").glob("[!.]*.png")):
        raise DataError(f"{root}: has no masks (segments/); make the map with a segmenter, or with --segments")
    kind = _chosen(store, cloud)
    raw = _cloud(store, models, kind)
    prepared = prepare_cloud(raw, voxel, findings)
    views = _sparse_views(store, models, prepared) if kind == "points" else _dense_views(store, models, raw, prepared, reach)
    scene = build_scene(name, prepared, views, findings)
    if features is not None:
        image = _features(store, models, raw.xyz[prepared.row], features, reach, findings, progress)
        scene = replace(scene, image=image, image_model=features.name)
    embeddings = read_embeddings(store.root)
    if embeddings is None or len(embeddings) == 0:
        return scene
    return replace(scene, text_instance=embeddings.ids, text=embeddings.vectors.astype(np.float32), text_model=embeddings.model)


def map_cloud(root: Path) -> Cloud:
    """The densest cloud of a map, in metres.

    Raises:
        DataError: no map, one without a cloud, or without metres.
    """
    store = look_into(root)
    models = _metric_models(root, store)
    return _cloud(store, models, _chosen(store, "auto"))


def map_features(
    root: Path, features: ImageFeatures, reach: float, findings: Findings, progress: Progress | None
) -> PlaceFeatures:
    """What gives the image features of places in a map's frame, from its photographs."""
    store = look_into(root)
    models = _metric_models(root, store)
    return lambda xyz: _features(store, models, xyz, features, reach, findings, progress)


def _features(
    store: MapStore,
    models: Sequence[SparseModel],
    xyz: np.ndarray,
    features: ImageFeatures,
    reach: float,
    findings: Findings,
    progress: Progress | None,
) -> np.ndarray:
    views = [
        (name, view) for model in models for name, view in zip(model.names, model.views(), strict=True) if view is not None
    ]
    return point_features(xyz, views, StoredImages(store), features, reach, findings, progress)


def _metric_models(root: Path, store: MapStore) -> list[SparseModel]:
    """The components in the frame of the largest one."""
    models = read_models(store.root)
    if not models:
        raise DataError(f"{root}: has no reconstruction; there are no points to work on")
    if models[0].frame.kind == "arbitrary":
        raise DataError(
            f"{root}: its scale is arbitrary, and the network works in metres; make the map with positions (--gps), "
            "poses, or a rig of known size"
        )
    return [model for model in models if model.frame == models[0].frame]


def _chosen(store: MapStore, cloud: str) -> str:
    if cloud == "auto":
        return next((kind for kind, file in FILES.items() if (store.root / file).is_file()), "points")
    if cloud in FILES and not (store.root / FILES[cloud]).is_file():
        raise DataError(f"{store.root}: has no {FILES[cloud]}; take --cloud auto, or make it (`bag --cloud`, `--densify`)")
    return cloud


def _cloud(store: MapStore, models: Sequence[SparseModel], kind: str) -> Cloud:
    return _sparse_cloud(models) if kind == "points" else _file_cloud(store.root / FILES[kind], models[0].up.direction)


def _file_cloud(path: Path, up: np.ndarray) -> Cloud:
    points = read_points(path, CLOUD_POINT)
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64)
    return Cloud(xyz, np.stack([points[color] for color in ("red", "green", "blue")], axis=1), up)


def _sparse_cloud(models: Sequence[SparseModel]) -> Cloud:
    """All points of the components, in order; strays as NaN, so that the order stays."""
    xyz = np.concatenate([model.xyz for model in models]).astype(np.float64)
    xyz[stray_points(models)] = np.nan
    return Cloud(xyz, np.concatenate([model.rgb for model in models]), models[0].up.direction)


def _images(store: MapStore, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The masks (H, W) and the labels (H, W) of a keyframe; None where either is missing."""
    segments = store.read_named_segments(name)
    if segments is None or not store.label_path(name).exists():
        return None
    return segments.runs.image(), store.read_labels(name)


def _dense_views(
    store: MapStore, models: Sequence[SparseModel], raw: Cloud, prepared: PreparedCloud, reach: float
) -> Iterator[SceneView]:
    """What each keyframe shows of a cloud, which hides itself."""
    place = raw.xyz[prepared.row]
    for model in models:
        for name, view in zip(model.names, model.views(), strict=True):
            images = None if view is None else _images(store, name)
            if view is None or images is None:
                yield _nothing(name)
                continue
            masks, labels = images
            seen = False
            for _, shown in shown_labels(place, [LabelledView(view, _constant(masks))], reach):
                seen = True
                yield SceneView(name, shown, sampled(labels, view, shown.pixels).astype(np.int32))
            if not seen:
                yield _nothing(name)


def _constant(image: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: image


def _sparse_views(store: MapStore, models: Sequence[SparseModel], prepared: PreparedCloud) -> Iterator[SceneView]:
    """What each keyframe shows of the points that were matched in it."""
    table = np.full(sum(len(model.point_ids) for model in models), -1, np.int32)
    table[prepared.row] = np.arange(len(prepared.row), dtype=np.int32)
    first = 0
    for model in models:
        mine = table[first : first + len(model.point_ids)]
        first += len(model.point_ids)
        entries = places(model.obs_keyframe, len(model.names))
        for name, view, rows in zip(model.names, model.views(), entries, strict=True):
            images = None if view is None else _images(store, name)
            point = mine[model.obs_point[rows]]
            kept = np.unique(np.where(point >= 0, point, -1), return_index=True)[1]
            kept = kept[point[kept] >= 0]
            if view is None or images is None or len(kept) == 0:
                yield _nothing(name)
                continue
            pixels = model.obs_xy[rows][kept]
            depth = view.depth(model.xyz[model.obs_point[rows][kept]]).astype(np.float32)
            masks, labels = (sampled(image, view, pixels).astype(np.int32) for image in images)
            yield SceneView(name, ShownLabels(view, point[kept], masks, pixels, depth), labels)


def _nothing(name: str) -> SceneView:
    """A view that shows no point, or has no masks; it is counted and left out."""
    none = np.empty(0, np.int32)
    nowhere: View = None  # type: ignore[assignment]
    return SceneView(name, ShownLabels(nowhere, none, none, np.empty((0, 2), np.float32), np.empty(0, np.float32)), none)
