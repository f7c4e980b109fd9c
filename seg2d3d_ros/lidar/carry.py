"""Labels of instances carried from keyframes to the points of another cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.association.votes import vote_labels
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.visibility import spacings, visible

MIN_DEPTH = 0.5
"""Metres: what is nearer belongs to the vehicle."""
GREY = 128


@dataclass(frozen=True)
class LabelledView:
    """A keyframe whose labels are carried.

    Attributes:
        view: its camera and pose.
        labels: gives the (H, W) uint16 instance ids, or None where there are none.
        image: gives the (H, W, 3) uint8 RGB picture, or None.
    """

    view: View
    labels: Callable[[], np.ndarray | None]
    image: Callable[[], np.ndarray | None] = lambda: None


@dataclass(frozen=True)
class Carried:
    """Labels of N points.

    Attributes:
        instance: (N,) int32, 0 = none.
        confidence: (N,) float32, the winner's share of the votes. 0 = no view sees the point; above 0 with instance 0 = the
            views say that it belongs to none.
        rgb: (N, 3) uint8 from the nearest view that sees the point, grey where none does.
    """

    instance: np.ndarray
    confidence: np.ndarray
    rgb: np.ndarray


def carry_labels(xyz: np.ndarray, views: Iterable[LabelledView], max_range: float) -> Carried:
    """Vote for each point in all views that see it; near views count more, by the inverse of their distance.

    Args:
        xyz: (N, 3) metres in the world frame; together they hide each other, so scans of one place belong into one call.
        views: read one by one.
        max_range: metres between camera and point.
    """
    count = len(xyz)
    spacing = spacings(xyz)
    rgb, nearest = np.full((count, 3), GREY, np.uint8), np.full(count, np.inf, np.float32)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for item in views:
        candidates = np.flatnonzero(((xyz - item.view.center) ** 2).sum(axis=1) < max_range**2)
        if len(candidates) == 0 or (labels := item.labels()) is None:
            continue
        candidates, pixels, depth = seen_by(item.view, xyz, candidates, spacing)
        parts.append((candidates.astype(np.int32), _sample(labels, item.view, pixels).astype(np.int32), 1.0 / depth))
        closer = depth < nearest[candidates]
        if closer.any() and (image := item.image()) is not None:
            rgb[candidates[closer]] = _sample(image, item.view, pixels[closer])
            nearest[candidates[closer]] = depth[closer]
    if not parts:
        return Carried(np.zeros(count, np.int32), np.zeros(count, np.float32), rgb)
    point, label, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Carried(*vote_labels(label, point, weight, count), rgb)


def seen_by(
    view: View, xyz: np.ndarray, candidates: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the candidates (n,) among the points (N, 3) a view sees: indices, pixels (m, 2), depths (m,) float32."""
    rays = xyz[candidates] - view.center
    axis = view.axis
    # Beyond the image's border lens polynomials turn back and show points where they are not.
    front = rays @ axis > np.maximum(_edge_cosine(view) * np.linalg.norm(rays, axis=1), MIN_DEPTH)
    candidates = candidates[front]
    pixels, depth = view.project(xyz[candidates])
    inside = view.camera.inside(pixels)
    candidates, pixels, depth = candidates[inside], pixels[inside], depth[inside]
    size = (view.camera.width, view.camera.height)
    shown = visible(pixels, depth, spacing[candidates], view.camera.params[0], size)
    return candidates[shown], pixels[shown], depth[shown].astype(np.float32)


def _edge_cosine(view: View) -> float:
    """Cosine of the largest angle between the optical axis and a ray through the image's border, and a little more."""
    width, height = view.camera.width, view.camera.height
    border = np.array([(x, y) for x in (0, width / 2, width) for y in (0, height / 2, height)], float)
    rays = view.back_project(border, np.ones(len(border))) - view.center
    cosine = (rays @ view.axis) / np.linalg.norm(rays, axis=1)
    return float(np.nanmin(cosine)) - 0.02


def _sample(image: np.ndarray, view: View, pixels: np.ndarray) -> np.ndarray:
    """The values of an image, of whatever size, at pixels (n, 2) of the camera's."""
    size = np.array(image.shape[1::-1])
    column, row = np.minimum(pixels * (size / (view.camera.width, view.camera.height)), size - 1).astype(int).T
    return image[row, column]
