"""What the 3D view shows of components that share a coordinate frame: points, boxes, cameras, and where to look from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.up import Z, level_frame
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.types import SparseModel
from seg2d3d_ros.viewer.sampling import choose_points

MOST_POINTS = 200_000
MOST_CAMERAS = 2_000
BULK = 3.0
"""Per cent of what is looked at that may lie beyond each side of what the first view holds."""
FEW_BOXES = 3
ELEVATION = np.radians(36.0)


@dataclass(frozen=True)
class SceneCamera:
    """Where a keyframe was taken.

    Attributes:
        center: (3,) in the world frame.
        corners: (4, 3) unit vectors from the centre through the image's corners, top left first, clockwise.
    """

    name: str
    caption: str
    center: np.ndarray
    corners: np.ndarray


@dataclass(frozen=True)
class MapScene:
    """Everything of one coordinate frame that a viewer draws.

    Attributes:
        xyz: (N, 3) float64.
        rgb: (N, 3) uint8, the photographs' colours.
        instance: (N,) int64, 0 = none.
        available: of so many points these N were chosen.
        instances: entries of ``tracks.json`` of these components, as they are there.
        cameras: at most ``MOST_CAMERAS`` of them, evenly chosen.
        components: which components of the map these are.
        kind: of the frame, as in ``WorldFrame``.
        up: (3,) unit vector.
        ground: height of the ground along ``up``.
        center: (3,) middle of the bulk.
        bounds: (8, 3) corners of the upright box that holds the bulk.
        direction: (3,) unit vector from the centre to where the first view looks from.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    instance: np.ndarray
    available: int
    instances: Sequence[Mapping[str, Any]]
    cameras: Sequence[SceneCamera]
    components: tuple[int, ...]
    kind: str
    up: np.ndarray
    ground: float
    center: np.ndarray
    bounds: np.ndarray
    direction: np.ndarray

    @property
    def radius(self) -> float:
        """Of the sphere around the bulk."""
        return float(np.linalg.norm(self.bounds - self.center, axis=1).max())


def frames(models: Sequence[SparseModel]) -> list[list[SparseModel]]:
    """Components that can be drawn together: those in east-north-up of one datum; every other one is on its own."""
    groups: dict[object, list[SparseModel]] = {}
    for model in models:
        key = model.frame.datum if model.frame.kind == "enu" else ("alone", model.component)
        groups.setdefault(key, []).append(model)
    return list(groups.values())


def make_scenes(
    models: Sequence[SparseModel],
    points: np.ndarray,
    photographed: np.ndarray,
    instances: Sequence[Mapping[str, Any]],
    captions: Mapping[str, str],
    most_points: int = MOST_POINTS,
) -> list[MapScene]:
    """The scenes of a map, the one of the largest component first; one without cameras where there are only points.

    Args:
        models: all components.
        points: (P,) as in ``points.ply``.
        photographed: (Q,) as in ``points_rgb.ply``; may be empty, then the points keep the colours that they have.
        instances: of ``tracks.json``.
        captions: what people read instead of the names of the keyframes.
        most_points: so many points are shown at most.
    """
    groups = frames(models)
    if not groups:
        return [_make_scene([], points, photographed, instances, captions, most_points)] if len(points) else []
    scenes = []
    for group in groups:
        components = {model.component for model in group}
        mine = points
        if len(groups) > 1:
            mine = points[np.isin(points["point_id"], np.concatenate([model.point_ids for model in group]))]
        listed = [item for item in instances if int(item.get("component", 0)) in components]
        scenes.append(_make_scene(group, mine, photographed, listed, captions, most_points))
    return scenes


def _make_scene(
    models: Sequence[SparseModel],
    points: np.ndarray,
    photographed: np.ndarray,
    instances: Sequence[Mapping[str, Any]],
    captions: Mapping[str, str],
    most_points: int,
) -> MapScene:
    xyz = np.stack([points[axis].astype(np.float64) for axis in "xyz"], axis=1)
    usable = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    chosen = usable[choose_points(xyz[usable], points["instance"][usable], most_points)]
    centers = np.concatenate([np.empty((0, 3)), *(model.centers for model in models)])
    centers = centers[np.isfinite(centers).all(axis=1)]
    up = models[0].up.direction if models else Z
    instance = points["instance"][chosen].astype(np.int64)
    seen = xyz[usable[points["instance"][usable] != 0]]
    seen = seen if len(seen) else xyz[usable]
    world_from_street = _axes(np.concatenate([seen, centers]), up)
    center, bounds = _bulk(np.concatenate([seen, centers]), world_from_street)
    return MapScene(
        xyz=xyz[chosen],
        rgb=photo_colors(points[chosen], photographed),
        instance=instance,
        available=len(usable),
        instances=instances,
        cameras=_cameras(models, captions),
        components=tuple(model.component for model in models),
        kind=models[0].frame.kind if models else "arbitrary",
        up=up,
        ground=_ground(seen, instances, up),
        center=center,
        bounds=bounds,
        direction=_first_direction(seen, centers, world_from_street),
    )


def photo_colors(points: np.ndarray, photographed: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 colours of points (N,) in the photographs, by their ids; their own where the photographs have none."""
    colors = np.stack([points[channel] for channel in ("red", "green", "blue")], axis=1)
    if len(photographed) == 0 or len(points) == 0:
        return colors
    order = np.argsort(photographed["point_id"], kind="stable")
    place = np.searchsorted(photographed["point_id"][order], points["point_id"]).clip(0, len(order) - 1)
    match = photographed[order[place]]
    same = match["point_id"] == points["point_id"]
    colors[same] = np.stack([match[channel] for channel in ("red", "green", "blue")], axis=1)[same]
    return colors


def _axes(xyz: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(3, 3) ``world_from_street``: x along the longer horizontal extent of (N, 3), z up."""
    world_from_level = level_frame(up)
    if len(xyz) < 3:
        return world_from_level
    along = np.linalg.eigh(np.cov((xyz @ world_from_level[:, :2]).T))[1][:, 1]
    turn = np.array([[along[0], -along[1], 0.0], [along[1], along[0], 0.0], [0.0, 0.0, 1.0]])
    return world_from_level @ turn


def _bulk(xyz: np.ndarray, world_from_street: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and corners (8, 3) of an upright box that holds the bulk of (N, 3)."""
    low, high = -np.ones(3), np.ones(3)
    if len(xyz):
        low, high = np.percentile(xyz @ world_from_street, [BULK, 100 - BULK], axis=0)
        high = np.maximum(high, low + 1e-6)
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(8, 3)
    return world_from_street @ ((low + high) / 2), corners @ world_from_street.T


def _ground(xyz: np.ndarray, instances: Sequence[Mapping[str, Any]], up: np.ndarray) -> float:
    """Where most boxes stand; of few boxes, the height of the lowest of the points (N, 3), but for the few lowest."""
    boxes = [box for item in instances if "center" in (box := item.get("box3d") or {}) and "size" in box]
    if len(boxes) >= FEW_BOXES:
        return float(np.median([np.dot(box["center"], up) - box["size"][2] / 2 for box in boxes]))
    return float(np.percentile(xyz @ up, 2)) if len(xyz) else 0.0


def _first_direction(seen: np.ndarray, centers: np.ndarray, world_from_street: np.ndarray) -> np.ndarray:
    """Across the street, from the side that the cameras are on, and from above."""
    side = -1.0
    if len(seen) and len(centers):
        side = 1.0 if (centers.mean(axis=0) - seen.mean(axis=0)) @ world_from_street[:, 1] > 0 else -1.0
    return world_from_street @ np.array([0.0, side * np.cos(ELEVATION), np.sin(ELEVATION)])


def _cameras(models: Sequence[SparseModel], captions: Mapping[str, str]) -> list[SceneCamera]:
    views = [(name, view) for model in models for name, view in zip(model.names, model.views(), strict=True) if view]
    if len(views) > MOST_CAMERAS:
        views = [views[k] for k in np.linspace(0, len(views) - 1, MOST_CAMERAS).round().astype(int)]
    return [SceneCamera(name, captions.get(name, name), view.center, _corners(view)) for name, view in views]


def _corners(view: View) -> np.ndarray:
    """(4, 3) unit vectors in the world frame; of a fisheye lens at most 60° off the axis, so that the pyramid stays one."""
    width, height = view.camera.width, view.camera.height
    (fx, fy), (cx, cy) = view.camera.focal_lengths, view.camera.principal_point
    pixels = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    tangents = ((pixels - [cx, cy]) / np.maximum([fx, fy], 1e-9)).clip(-1.73, 1.73)
    rays = np.concatenate([tangents, np.ones((4, 1))], axis=1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return rays @ view.camera_from_world.rotation
