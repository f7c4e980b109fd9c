"""Posed views with features inside their masks, finer than those that the reconstruction was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.types import Segments

CONTRAST = 0.008
"""OpenCV's contrast threshold, a fifth of its default: the poses will tell which of the weak features match."""
PER_MASK = 500
"""Features kept in one mask, the strongest: a façade that fills the image must not cost more than a far one."""
MAX_SIDE = 1600
"""Images are searched at this size at most."""


@dataclass(frozen=True)
class FeatureView:
    """N features of one posed image, all inside masks.

    Attributes:
        xy: (N, 2) float32 pixels (COLMAP's convention).
        rays: (N, 3) float64 their directions in the camera's frame, with z = 1.
        descriptors: (N, 128) uint8 RootSIFT times 512.
        colors: (N, 3) uint8.
        segment: (N,) int64 segment id at each feature.
        camera_from_world: a single pose.
        focal: pixels per unit of ``rays``.
    """

    xy: np.ndarray
    rays: np.ndarray
    descriptors: np.ndarray
    colors: np.ndarray
    segment: np.ndarray
    camera_from_world: Pose
    focal: float

    def __len__(self) -> int:
        return len(self.xy)


def find_features(rgb: np.ndarray, segments: Segments, view: View) -> FeatureView:
    """The features of (H, W, 3) uint8 RGB inside ``segments``."""
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
    rays = view.camera.rays(xy)
    good = np.isfinite(rays).all(axis=1)
    xy, rays = xy[good], rays[good]
    values = np.empty((0, 128), np.float32) if values is None else values[good]
    values = np.rint(512 * np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12))).clip(0, 255).astype(np.uint8)
    pixel = np.floor(xy).astype(np.int64).clip(0, [width - 1, height - 1])
    return FeatureView(
        xy.astype(np.float32),
        rays,
        values,
        rgb[pixel[:, 1], pixel[:, 0]],
        segments.labels[pixel[:, 1], pixel[:, 0]].astype(np.int64),
        view.camera_from_world,
        view.camera.pixels_per_tangent,
    )


def _strongest(found: Sequence[cv2.KeyPoint], labels: np.ndarray) -> list[int]:
    """The strongest features of each mask, in the order found."""
    if not found:
        return []
    place = np.floor(np.array([k.pt for k in found])).astype(np.int64).clip(0, np.array(labels.shape)[::-1] - 1)
    mask = labels[place[:, 1], place[:, 0]]
    order = np.lexsort((-np.array([k.response for k in found]), mask))
    starts = np.flatnonzero(np.diff(mask[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[(rank < PER_MASK) & (mask[order] > 0)]).tolist()
