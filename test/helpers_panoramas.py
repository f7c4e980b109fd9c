"""A street of houses between two walls, seen in full panoramas by ray casting."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from seg2d3d_ros.geometry.wgs84 import from_enu
from seg2d3d_ros.images import write_labels

WIDTH, HEIGHT = 960, 480
NOTE = (
    b'<x:xmpmeta><rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
    b'GPano:ProjectionType="equirectangular"/></x:xmpmeta>'
)
DATUM = (51.05, 13.74, 120.0)
HOUSE, TALL, NEAR, FAR = 8.0, 7.0, -6.0, 7.0
"""Metres: width and height of a house, and where the walls are, west and east of the camera's way to the north."""
END = 40.0
PER_METRE = 20
"""Pixels of a wall's texture."""


class PanoramaStreet:
    """Houses on both sides of a straight street; house k of side s has the id 1 + k + 100 · s."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._walls = [self._texture(rng, END + 20.0, TALL) for _ in range(2)]
        self._ground = self._texture(rng, END + 20.0, FAR - NEAR)

    @staticmethod
    def _texture(rng: np.random.Generator, length: float, height: float) -> np.ndarray:
        """(H, W, 3) with detail at several scales."""
        size = int(length * PER_METRE), int(height * PER_METRE)
        layers = [
            cv2.resize(rng.uniform(0, 255, (size[1] // cell + 2, size[0] // cell + 2, 3)), size, interpolation=cv2.INTER_CUBIC)
            for cell in (4, 12, 40)
        ]
        return np.clip(sum(layers) / 3.0 * 1.6 - 80.0, 0, 255)

    def render(self, place: np.ndarray, heading: float) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 and (H, W) uint16 ids seen from ``place`` (east, north, up); the middle column looks ``heading``
        radians east of north."""
        azimuth = (np.arange(WIDTH) + 0.5) / WIDTH * 2 * np.pi - np.pi + heading
        up = np.pi / 2 - (np.arange(HEIGHT) + 0.5) / HEIGHT * np.pi
        east, north = np.cos(up)[:, None] * np.sin(azimuth), np.cos(up)[:, None] * np.cos(azimuth)
        rise = np.broadcast_to(np.sin(up)[:, None], east.shape)
        color = np.full((HEIGHT, WIDTH, 3), (150.0, 180.0, 220.0))
        labels, nearest = np.zeros((HEIGHT, WIDTH), np.uint16), np.full((HEIGHT, WIDTH), np.inf)
        for side, at in enumerate((NEAR, FAR)):
            with np.errstate(divide="ignore", invalid="ignore"):
                far = (at - place[0]) / east
                along, high = place[1] + far * north, place[2] + far * rise
            hit = (far > 0) & (along > -10) & (along < END + 10) & (high >= 0) & (high < TALL) & (far < nearest)
            color[hit] = _look_up(self._walls[side], along[hit] + 10.0, TALL - high[hit])
            labels[hit] = 1 + np.floor((along[hit] + 10.0) / HOUSE) + 100 * side
            nearest[hit] = far[hit]
        with np.errstate(divide="ignore", invalid="ignore"):
            far = -place[2] / rise
            across, along = place[0] + far * east - NEAR, place[1] + far * north + 10.0
        hit = (far > 0) & (far < nearest) & (across > 0) & (across < FAR - NEAR) & (along > 0) & (along < END + 20)
        color[hit] = _look_up(self._ground, along[hit], across[hit])
        return np.clip(cv2.GaussianBlur(color, (3, 3), 0.6), 0, 255).astype(np.uint8), labels


def _look_up(texture: np.ndarray, along: np.ndarray, down: np.ndarray) -> np.ndarray:
    column = np.clip((along * PER_METRE).astype(int), 0, texture.shape[1] - 1)
    return texture[np.clip((down * PER_METRE).astype(int), 0, texture.shape[0] - 1), column]


def photograph_street(root: Path, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Write ``images/``, ``masks/`` with ids that mean nothing beyond each panorama, ``truth/`` and ``gps.csv``; returns the
    place of each panorama, by its name, in metres east, north, up of ``DATUM``."""
    street, rng, places = PanoramaStreet(seed), np.random.default_rng(seed), {}
    for folder in ("images", "masks", "truth"):
        (root / folder).mkdir(parents=True)
    for k in range(count):
        name = f"pano_{k:02d}"
        places[name] = np.array([0.3 * np.sin(k), 3.0 + 3.0 * k, 2.3])
        color, labels = street.render(places[name], 0.2 * k)
        Image.fromarray(color).save(root / "images" / f"{name}.jpg", quality=93, xmp=NOTE)
        write_labels(root / "truth" / f"{name}.png", labels)
        renamed = np.zeros(300, np.uint16)
        renamed[1:] = 1 + rng.permutation(299)
        write_labels(root / "masks" / f"{name}.png", renamed[labels])
    known = from_enu(np.array(list(places.values())), DATUM)
    rows = [f"{n},{g.latitude:.9f},{g.longitude:.9f},{g.altitude:.4f},0.05\n" for n, g in zip(places, known, strict=True)]
    (root / "gps.csv").write_text("image,latitude,longitude,altitude,sigma\n" + "".join(rows))
    return places
