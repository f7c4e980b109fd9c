"""Posed views with features inside their masks, finer than those that the reconstruction was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Segments

CONTRAST = 0.008
"""OpenCV's contrast threshold, a fifth of its default: the poses will tell which of the weak features match."""
PER_MASK = 500
"""Features kept in one mask, the strongest: a façade that fills the image must not cost more than a far one."""
MAX_SIDE = 1600
"""Images are searched at this size at most."""


@dataclass(frozen=True)
class View:
    """N features of one posed image, all inside masks.

    Attributes:
        xy: (N, 2) float32 pixels (COLMAP's convention).
        ray: (N, 2) float64 the same, as x/z and y/z in front of the lens.
        descriptors: (N, 128) uint8 RootSIFT times 512.
        colors: (N, 3) uint8.
        segment: (N,) int64 segment id at each feature.
        camera_from_world: (3, 4) float64.
        focal: pixels per unit of ``ray``.
    """

    xy: np.ndarray
    ray: np.ndarray
    descriptors: np.ndarray
    colors: np.ndarray
    segment: np.ndarray
    camera_from_world: np.ndarray
    focal: float

    def __len__(self) -> int:
        return len(self.xy)


def focal_length(camera: Camera) -> float:
    """Pixels per unit of tangent at the image's centre, from the lens itself: models differ in what they call f."""
    pixels = _lens(camera).img_from_cam(np.array([[0.0, 0.0, 1.0], [1e-3, 0.0, 1.0]]))
    return float(np.linalg.norm(pixels[1] - pixels[0]) * 1e3)


def rays(camera: Camera, xy: np.ndarray) -> np.ndarray:
    """(N, 2) x/z and y/z of pixels (N, 2); NaN where the lens has none."""
    if len(xy) == 0:
        return np.empty((0, 2))
    return np.asarray(_lens(camera).cam_from_img(np.ascontiguousarray(xy, np.float64)), np.float64).reshape(-1, 2)


def _lens(camera: Camera) -> Any:
    import pycolmap

    return pycolmap.Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))


def look(rgb: np.ndarray, segments: Segments, camera: Camera, camera_from_world: np.ndarray) -> View:
    """Find the features of (H, W, 3) uint8 RGB inside ``segments``."""
    height, width = rgb.shape[:2]
    shrink = min(1.0, MAX_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    labels = segments.labels
    if shrink < 1.0:
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    sift: Any = cv2.SIFT_create(nfeatures=0, contrastThreshold=CONTRAST, enable_precise_upscale=True)  # type: ignore[attr-defined]
    found = sift.detect(gray, np.uint8(labels > 0) * 255)
    kept = _strongest(found, labels)
    found, values = sift.compute(gray, [found[i] for i in kept])
    xy = np.array([k.pt for k in found], np.float64).reshape(-1, 2) + 0.5
    xy *= [width / size[0], height / size[1]]
    ray = rays(camera, xy)
    good = np.isfinite(ray).all(axis=1)
    xy, ray = xy[good], ray[good]
    values = np.empty((0, 128), np.float32) if values is None else values[good]
    values = np.rint(512 * np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12))).clip(0, 255).astype(np.uint8)
    pixel = np.floor(xy).astype(np.int64).clip(0, [width - 1, height - 1])
    return View(
        xy.astype(np.float32),
        ray,
        values,
        rgb[pixel[:, 1], pixel[:, 0]],
        segments.labels[pixel[:, 1], pixel[:, 0]].astype(np.int64),
        camera_from_world,
        focal_length(camera),
    )


def _strongest(found: Any, labels: np.ndarray) -> list[int]:
    """The strongest features of each mask, in the order found."""
    if not found:
        return []
    place = np.floor(np.array([k.pt for k in found])).astype(np.int64).clip(0, np.array(labels.shape)[::-1] - 1)
    mask = labels[place[:, 1], place[:, 0]]
    order = np.lexsort((-np.array([k.response for k in found]), mask))
    starts = np.flatnonzero(np.diff(mask[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[(rank < PER_MASK) & (mask[order] > 0)]).tolist()
