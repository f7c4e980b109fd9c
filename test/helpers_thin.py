"""A drive past equal posts at equal distances, and lids in the road: masks drawn from geometry, points on the road only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.types import Segments, SparseModel, WorldFrame

CAMERA = Camera("PINHOLE", 480, 320, (300.0, 300.0, 240.0, 160.0))
POST, LID = 1, 2
HEIGHT, HALF_WIDTH, RADIUS = 3.0, 0.08, 0.35
CAMERA_HEIGHT = 2.0


@dataclass(frozen=True)
class ThinWorld:
    """Things at (T, 2) places of (T,) classes; masks of K views, whose ids are 1 + the thing's place among them, 100 more for
    second pieces; and the model."""

    places: np.ndarray
    classes: np.ndarray
    segments: dict[str, Segments]
    model: SparseModel

    def thing_of(self, names: Sequence[str], keyframe: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """(S,) the true thing of each segment."""
        del names, keyframe
        return (ids.astype(int) - 1) % 100


def thin_world(
    posts: Sequence[tuple[float, float]] = tuple((x, y) for y in (4.0, -4.0) for x in np.arange(11.0, 42.0, 5.0)),
    lids: Sequence[tuple[float, float]] = (),
    *,
    cameras: int = 14,
    step: float = 2.0,
    edit: Callable[[str, int, np.ndarray], list[np.ndarray]] | None = None,
    noise: tuple[float, float] = (0.0, 0.0),
    road: int = 700,
    seed: int = 0,
) -> ThinWorld:
    """Forward cameras along x, ``step`` metres apart, 2 m above the ground.

    Args:
        edit: (view, thing, mask) -> the masks in its place: none, one, or two pieces.
        noise: standard deviation of each pose in metres and degrees about each axis.
        road: points on the ground.
    """
    rng = np.random.default_rng(seed)
    places = np.array([*posts, *lids]).reshape(-1, 2)
    classes = np.repeat([POST, LID], [len(posts), len(lids)])
    optical = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    names = tuple(f"v{k:02d}" for k in range(cameras))
    ground = np.column_stack([rng.uniform(-5, cameras * step + 25, road), rng.uniform(-6, 6, road), np.zeros(road)])
    segments, poses, seen = {}, [], []
    for k, name in enumerate(names):
        center = np.array([k * step, 0.2 * np.sin(k), CAMERA_HEIGHT])
        view = View(CAMERA, Pose(optical, -optical @ center))
        segments[name] = _draw(name, view, places, classes, edit)
        turn = Rotation.from_rotvec(rng.normal(0, np.radians(noise[1]), 3)).as_matrix()
        moved = center + rng.normal(0, noise[0], 3)
        poses.append(Pose(turn @ optical, -turn @ optical @ moved))
        xy, depth = view.project(ground)
        inside = np.flatnonzero(CAMERA.inside(xy) & (depth < 25))
        seen.append((np.full(len(inside), k, np.int32), inside.astype(np.int32), xy[inside].astype(np.float32)))
    keyframe, point, pixel = (np.concatenate([item[i] for item in seen]) for i in range(3))
    model = SparseModel(
        names,
        (CAMERA,) * cameras,
        np.array([pose.matrix[:3] for pose in poses]),
        ground,
        np.full((road, 3), 99, np.uint8),
        np.full(road, 0.5, np.float32),
        np.arange(1, road + 1, dtype=np.int64),
        keyframe,
        point,
        pixel,
        WorldFrame("metric", up=(0.0, 0.0, 1.0)),
    )
    return ThinWorld(places, classes, segments, model)


def _draw(
    name: str,
    view: View,
    places: np.ndarray,
    classes: np.ndarray,
    edit: Callable[[str, int, np.ndarray], list[np.ndarray]] | None,
) -> Segments:
    labels = np.zeros((CAMERA.height, CAMERA.width), np.uint16)
    depth = view.depth(np.column_stack([places, np.zeros(len(places))]))
    kinds: dict[int, int] = {}
    for thing in np.argsort(-depth).tolist():
        if not 1.0 < depth[thing] < 30.0:
            continue
        xy, _ = view.project(_outline(places[thing], classes[thing], view.center))
        mask = np.zeros(labels.shape, np.uint8)
        cv2.fillPoly(mask, [np.rint((xy - 0.5) * 16).astype(np.int32)], 1, shift=4)
        pieces = [mask.astype(bool)] if edit is None else edit(name, thing, mask.astype(bool))
        for number, piece in enumerate(pieces):
            if piece.sum() >= 12:
                labels[piece] = 1 + thing + 100 * number
                kinds[1 + thing + 100 * number] = int(classes[thing])
    ids = np.setdiff1d(np.unique(labels), [0]).astype(np.uint16)
    kind = np.array([kinds[i] for i in ids.tolist()], np.int32)
    return Segments(name, labels, ids, kind, np.full(len(ids), 0.8, np.float32))


def _outline(place: np.ndarray, kind: int, center: np.ndarray) -> np.ndarray:
    """Corners in the world, of a post as a strip that faces the camera."""
    if kind == LID:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        return np.column_stack([place + RADIUS * np.column_stack([np.cos(angle), np.sin(angle)]), np.zeros(24)])
    away = place - center[:2]
    side = HALF_WIDTH * np.array([-away[1], away[0]]) / np.hypot(*away)
    low, high = place - side, place + side
    return np.array([[*low, 0.0], [*high, 0.0], [*high, HEIGHT], [*low, HEIGHT]])


def first_views(world: ThinWorld, count: int) -> SparseModel:
    """The model of the first views alone, all points in it."""
    model, kept = world.model, world.model.obs_keyframe < count
    return replace(
        model,
        names=model.names[:count],
        cameras=model.cameras[:count],
        camera_from_world=model.camera_from_world[:count],
        obs_keyframe=model.obs_keyframe[kept],
        obs_point=model.obs_point[kept],
        obs_xy=model.obs_xy[kept],
    )


def shuffled(world: ThinWorld, seed: int) -> ThinWorld:
    """The same views in another order."""
    model = world.model
    order = np.random.default_rng(seed).permutation(len(model.names))
    place = np.argsort(order)
    moved = replace(
        model,
        names=tuple(model.names[k] for k in order),
        camera_from_world=model.camera_from_world[order],
        obs_keyframe=place[model.obs_keyframe].astype(np.int32),
    )
    return replace(world, model=moved)
