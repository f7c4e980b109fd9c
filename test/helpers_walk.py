"""Keyframes of a walk past two houses, rendered, with known places."""

from __future__ import annotations

import random

import cv2
import numpy as np
from helpers_scene import FOCAL, HEIGHT, WIDTH, render, textures

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Keyframe, SparseModel

CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
SECOND = 1_000_000_000


def walk(seed: int, camera: str, count: int) -> tuple[list[Keyframe], dict[str, float]]:
    """Keyframes ``<camera>_<stamp>`` a second apart, and the metres along the way of each."""
    paint = textures(seed)
    places = np.linspace(-3, 3, count)
    frames = []
    for k, x in enumerate(places):
        photo, _ = render(paint, float(x), yaw=-0.04 * float(x))
        encoded = cv2.imencode(".png", photo[..., ::-1])[1].tobytes()
        stamp = (100 + k) * SECOND
        frames.append(Keyframe(f"{camera}_{stamp}", camera, stamp, encoded, CAMERA, file_name=f"{camera}_{stamp}.png"))
    return frames, {f.name: float(x) for f, x in zip(frames, places, strict=True)}


def shuffled(frames: list[Keyframe], seed: int) -> list[Keyframe]:
    """Another order of arrival."""
    order = list(frames)
    random.Random(seed).shuffle(order)
    return order


def spread(model: SparseModel, truth: dict[str, float]) -> float:
    """Largest error of the centres along the walk after a straight-line fit, in metres."""
    target = np.array([truth[name] for name in model.names])
    centers = model.centers - model.centers.mean(0)
    along = centers @ np.linalg.svd(centers)[2][0]
    return float(np.abs(np.polyval(np.polyfit(along, target, 1), along) - target).max())
