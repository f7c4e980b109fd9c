"""Two textured houses, one set back, photographed while walking past: real images with a known answer, without open3d."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, FOCAL = 480, 320, 330.0
FAR, NEAR, GROUND = 12.0, 9.0, 1.6
PIXELS_PER_METRE = 60


def textures(seed: int) -> list[np.ndarray]:
    """Noise on several scales for left house, right house, ground; wide enough for the whole walk."""
    rng = np.random.default_rng(seed)
    result = []
    for tint in ((40, -10, -30), (-20, 0, 30), (0, 0, 0)):
        grey = np.zeros((1024, 2048), np.float32)
        for octave in (8, 16, 64, 256):
            noise = rng.normal(size=(octave, 2 * octave)).astype(np.float32)
            grey += cv2.resize(noise, (2048, 1024), interpolation=cv2.INTER_CUBIC) * 25
        result.append(np.clip(120 + grey[:, :, None] + np.float32(tint), 0, 255).astype(np.uint8))
    return result


def render(paint: list[np.ndarray], x: float, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Photo (H, W, 3) uint8 RGB and truth (H, W) uint16 (1 = left house, 2 = right house) from (x, 0, 0), yaw in radians."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    ray = np.stack([(u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL, np.ones_like(u)], axis=-1)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    ray = ray @ turn.T
    photo = np.full((HEIGHT, WIDTH, 3), (180, 205, 230), np.uint8)
    truth = np.zeros((HEIGHT, WIDTH), np.uint16)
    depth = np.full((HEIGHT, WIDTH), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for surface, texture in enumerate(paint):
            t = GROUND / ray[..., 1] if surface == 2 else (NEAR, FAR)[surface] / ray[..., 2]
            hit = np.array([x, 0, 0]) + t[..., None] * ray
            inside = (t > 0) & (t < depth)
            if surface < 2:
                inside &= ((hit[..., 0] < 0) == (surface == 0)) & (hit[..., 1] > -5) & (hit[..., 1] < GROUND)
            across = hit[..., 2] if surface == 2 else hit[..., 1]
            spots = [np.nan_to_num((c + 20) * PIXELS_PER_METRE).astype(np.float32) for c in (hit[..., 0], across)]
            colour = cv2.remap(texture, spots[0] % 2047, spots[1] % 1023, cv2.INTER_LINEAR)
            photo[inside], depth[inside] = colour[inside], t[inside]
            truth[inside] = (1, 2, 0)[surface]
    return photo, truth


def write_scene(folder: Path, images: int = 10, seed: int = 1) -> Path:
    """``images/``, ``segments/`` (local ids), ``truth/`` and ``camera.json`` below ``folder``; returns ``folder``."""
    paint = textures(seed)
    for name in ("images", "segments", "truth"):
        (folder / name).mkdir(parents=True)
    for k, x in enumerate(np.linspace(-4, 4, images)):
        photo, truth = render(paint, float(x), yaw=-0.04 * float(x))
        stem = f"photo{k:02d}"
        cv2.imwrite(str(folder / "images" / f"{stem}.jpg"), photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        cv2.imwrite(str(folder / "truth" / f"{stem}.png"), truth)
        local = np.array([0, 5 + k, 30 - k], np.uint16)[truth]
        cv2.imwrite(str(folder / "segments" / f"{stem}.png"), local)
    camera = {"model": "PINHOLE", "width": WIDTH, "height": HEIGHT, "params": [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]}
    (folder / "camera.json").write_text(json.dumps(camera))
    return folder
