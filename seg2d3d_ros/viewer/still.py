"""The first view of a scene as a picture, for paper and for browsers that cannot draw in 3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.viewer.scene import MapScene

SLOPE = np.tan(np.radians(45.0) / 2)
"""Of the upper edge of the picture against its middle, as in assets/viewer.js."""
ROOM = 1.05
_GREY = (140, 140, 140, 150)
_CAMERA = (110, 120, 132, 255)
_EDGES = [(k, k | bit) for k in range(8) for bit in (1, 2, 4) if not k & bit]


class _Eye(NamedTuple):
    """A pinhole that looks at the scene: ``axes`` (3, 3) rows are right, down and forward in the world."""

    place: np.ndarray
    axes: np.ndarray
    focal: float
    size: tuple[int, int]

    def __call__(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) pixels of (N, 3) world places, and (N,) depths; not positive = behind."""
        seen = (np.asarray(xyz, float) - self.place) @ self.axes.T
        depth = np.where(seen[:, 2] > 1e-9, seen[:, 2], np.nan)
        return self.focal * seen[:, :2] / depth[:, None] + np.array(self.size) / 2, seen[:, 2]


def draw_still(scene: MapScene, size: tuple[int, int] = (1280, 640)) -> bytes:
    """PNG (RGBA, the ground transparent) of points, boxes, cameras and ids; ``size`` = width, height in pixels.

    Points have their instance's colour, or where there is no instance, the photographs'.
    """
    double = 2 * size[0], 2 * size[1]
    eye = _look(scene, double)
    canvas = np.zeros((double[1], double[0], 4), np.uint8)
    _draw_points(canvas, eye, scene)
    for camera in scene.cameras:
        _line(
            canvas, eye, np.stack([camera.center, camera.center + 0.02 * scene.radius * camera.corners.mean(axis=0)]), _CAMERA
        )
        (xy,), (depth,) = eye(camera.center[None])
        if depth > 0 and _near(xy, double):
            cv2.circle(canvas, _whole(xy), 5, _CAMERA, -1, cv2.LINE_AA)
    tops = [(item, *_draw_box(canvas, eye, item)) for item in scene.instances if _has_box(item)]
    smaller = _halved(canvas)
    _draw_ids(smaller, sorted(tops, key=lambda top: top[2]))
    return cv2.imencode(".png", cv2.cvtColor(smaller, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def _look(scene: MapScene, size: tuple[int, int]) -> _Eye:
    """From the scene's direction, so far away that the bulk is in the picture."""
    right = np.cross(scene.up, scene.direction)
    right /= np.linalg.norm(right)
    top = np.cross(scene.direction, right)
    off = scene.bounds - scene.center
    wide = np.abs(off @ right) / (SLOPE * size[0] / size[1])
    distance = float((ROOM * np.maximum(wide, np.abs(off @ top) / SLOPE) + off @ scene.direction).max())
    place = scene.center + distance * scene.direction
    return _Eye(place, np.stack([right, -top, -scene.direction]), 0.5 * size[1] / float(SLOPE), size)


def _draw_points(canvas: np.ndarray, eye: _Eye, scene: MapScene) -> None:
    """The farthest first; those of no instance below all others, since they are mostly of no interest."""
    xy, depth = eye(scene.xyz)
    height, width = canvas.shape[:2]
    inside = np.flatnonzero((depth > 0) & ((xy >= 0) & (xy < [width, height])).all(axis=1))
    order = inside[np.lexsort((-depth[inside], scene.instance[inside] != 0))]
    shades = instance_colors(scene.instance[order]) if scene.instances else scene.rgb[order]
    colors = np.concatenate([shades, np.full((len(order), 1), 255, np.uint8)], axis=1)
    if scene.instances:
        colors[scene.instance[order] == 0] = _GREY
    column, row = xy[order].astype(np.int64).T
    radius = 3.4 if len(order) < 40_000 else 2.3
    reach = int(radius)
    # Each disc is put down pixel by pixel of its shape, farthest points first within each; good enough at half the size.
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dx * dx + dy * dy <= radius * radius:
                x, y = (column + dx).clip(0, width - 1), (row + dy).clip(0, height - 1)
                canvas[y, x] = colors


def _has_box(item: Mapping[str, Any]) -> bool:
    return {"center", "size", "quaternion_xyzw"} <= set(item.get("box3d") or {})


def _draw_box(canvas: np.ndarray, eye: _Eye, item: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    """Draw the edges; returns the pixel above the middle of the upper face, and its depth."""
    box = item["box3d"]
    corners = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)]) - 0.5
    turn = Rotation.from_quat(box["quaternion_xyzw"]).as_matrix()
    places = corners * box["size"] @ turn.T + box["center"]
    color = (*instance_colors([int(item["id"])])[0].tolist(), 255)
    for start, end in _EDGES:
        _line(canvas, eye, places[[start, end]], color)
    (xy,), (depth,) = eye(places[4:].mean(axis=0)[None])
    return xy, float(depth)


def _line(canvas: np.ndarray, eye: _Eye, ends: np.ndarray, color: Sequence[int]) -> None:
    xy, depth = eye(ends)
    if (depth > 0).all() and all(_near(place, eye.size) for place in xy):
        cv2.line(canvas, _whole(xy[0]), _whole(xy[1]), tuple(color), 3, cv2.LINE_AA)


def _near(xy: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether OpenCV can be given the pixel: it cuts at the border what is not too far away."""
    return bool((np.abs(xy) < 20 * max(size)).all())


def _whole(xy: np.ndarray) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))


def _halved(canvas: np.ndarray) -> np.ndarray:
    """Half the size; colours weighed by their alpha, so that the transparent ground darkens no edge."""
    weighed: np.ndarray = canvas.astype(np.float32)
    weighed[..., :3] *= weighed[..., 3:] / 255
    small: np.ndarray = cv2.resize(weighed, (canvas.shape[1] // 2, canvas.shape[0] // 2), interpolation=cv2.INTER_AREA)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1e-3)
    return np.rint(small.clip(0, 255)).astype(np.uint8)


def _draw_ids(canvas: np.ndarray, tops: Sequence[tuple[Mapping[str, Any], np.ndarray, float]]) -> None:
    """The id of each instance on its colour above its box, the nearest first, where there is room."""
    taken: list[tuple[int, int, int]] = []
    for item, xy, depth in tops:
        color = instance_colors([int(item["id"])])[0]
        text, font = str(item["id"]), cv2.FONT_HERSHEY_SIMPLEX
        (width, height), _ = cv2.getTextSize(text, font, 0.5, 1)
        if depth <= 0 or not np.isfinite(xy).all():
            continue
        left, base = int(xy[0] / 2 - width / 2), int(xy[1] / 2 - 8)
        inside = 4 <= left < canvas.shape[1] - width - 4 and height + 4 <= base < canvas.shape[0] - 4
        if not inside or any(abs(base - y) < height + 10 and left < x + w + 10 and x < left + width + 10 for x, y, w in taken):
            continue
        taken.append((left, base, width))
        cv2.rectangle(canvas, (left - 4, base - height - 4), (left + width + 3, base + 4), (*color.tolist(), 255), -1)
        ink = (0, 0, 0, 255) if color @ np.array([0.299, 0.587, 0.114]) > 128 else (255, 255, 255, 255)
        cv2.putText(canvas, text, (left, base), font, 0.5, ink, 1, cv2.LINE_AA)
