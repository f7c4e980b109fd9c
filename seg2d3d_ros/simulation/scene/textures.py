"""Procedural textures: materials with structure at every scale, so that they look and match like real ones.

Images are (H, W, 3) uint8 RGB. Every random choice comes from the generator that the caller passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

Color = tuple[float, float, float]


@dataclass
class TextureSet:
    """The textures of a street; meshes refer to them by index."""

    images: list[np.ndarray] = field(default_factory=list)

    def add(self, image: np.ndarray) -> int:
        """Add an image and return its index."""
        self.images.append(np.ascontiguousarray(np.clip(image, 0, 255), dtype=np.uint8))
        return len(self.images) - 1


def noise(
    rng: np.random.Generator, height: int, width: int, coarsest: float, finest: float = 1.0, falloff: float = 0.7
) -> np.ndarray:
    """Multi-octave value noise (H, W) float32, about -1 … 1; cell sizes in pixels from ``coarsest`` to ``finest``.

    ``falloff``: amplitude of an octave relative to the next coarser one.
    """
    total, amplitude, norm, cell = np.zeros((height, width), np.float32), 1.0, 0.0, float(coarsest)
    while cell >= finest:
        grid = rng.uniform(-1.0, 1.0, (int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
        enlarged = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC if cell > 1 else cv2.INTER_NEAREST)
        top = rng.integers(0, max(1, enlarged.shape[0] - height + 1))
        left = rng.integers(0, max(1, enlarged.shape[1] - width + 1))
        total += amplitude * enlarged[top : top + height, left : left + width]
        norm += amplitude**2
        amplitude, cell = amplitude * falloff, cell / 2.0
    return total / np.float32(max(norm, 1e-9) ** 0.5)


def plain(rng: np.random.Generator, color: Color, size: int = 64, contrast: float = 8.0) -> np.ndarray:
    """A nearly even surface of ``size`` × ``size`` pixels."""
    return np.clip(np.asarray(color, np.float32) + contrast * noise(rng, size, size, size / 4)[..., None], 0, 255)


def plaster(rng: np.random.Generator, height: int, width: int, color: Color, scale: float) -> np.ndarray:
    """Render or concrete with blotches and grain; ``scale`` in pixels a metre."""
    blotches = noise(rng, height, width, 2.0 * scale, scale / 8)
    grain = noise(rng, height, width, scale / 10, 1.0, 0.85)
    image = np.asarray(color, np.float32) * (1.0 + 0.07 * blotches + 0.05 * grain)[..., None]
    scars = noise(rng, height, width, 0.7 * scale, 2.0, 0.8)
    worn = np.clip((scars - 0.9) * 4.0, 0.0, 1.0)[..., None]
    return image * (1 - worn) + worn * (np.asarray(color, np.float32) * 0.72 + 20.0)


def bricks(
    rng: np.random.Generator, height: int, width: int, color: Color, scale: float, size: tuple[float, float] = (0.26, 0.085)
) -> np.ndarray:
    """Masonry in running bond; ``size`` of a brick in metres, ``scale`` in pixels a metre; every brick has its own tone."""
    rows, columns = np.arange(height, dtype=np.float32)[:, None] / scale, np.arange(width, dtype=np.float32)[None] / scale
    course = np.floor(rows / size[1]).astype(np.int32)
    place = columns / size[0] + 0.5 * (course % 2)
    number = np.floor(place).astype(np.int32)
    tones = rng.normal(0.0, 1.0, (course.max() + 2, number.max() + 2, 1)).astype(np.float32)
    hues = rng.normal(0.0, 4.0, (course.max() + 2, number.max() + 2, 3)).astype(np.float32)
    base = np.asarray(color, np.float32)
    image = base * (1.0 + 0.13 * tones[course, number]) + hues[course, number]
    joint = 0.011
    inside_x, inside_y = (place - number) * size[0], rows - course * size[1]
    mortar = (inside_x < joint) | (inside_y < joint)
    image[mortar] = 0.55 * np.array([176.0, 168.0, 156.0], np.float32) + 0.35 * base
    return image * (1.0 + 0.06 * noise(rng, height, width, 1.5 * scale, 1.0, 0.8))[..., None]


def faded(image: np.ndarray, contrast: float) -> np.ndarray:
    """The image drawn towards its mean colour; ``contrast`` 1 = as it is, 0 = even."""
    mean = image.reshape(-1, 3).mean(axis=0, dtype=np.float64).astype(np.float32)
    return image if contrast == 1.0 else mean + np.float32(contrast) * (image - mean)


def slabs(rng: np.random.Generator, height: int, width: int, color: Color, scale: float, size: float = 0.5) -> np.ndarray:
    """Pavement of square slabs with stains, chewing gum and moss in the joints."""
    image = bricks(rng, height, width, color, scale, (size, size)) * 0.5 + 0.5 * plaster(rng, height, width, color, scale)
    return spots(rng, image, int(height * width / scale**2 * 2.0), 0.025 * scale, (-45.0, -10.0))


def asphalt(rng: np.random.Generator, height: int, width: int, scale: float) -> np.ndarray:
    """Road surface with aggregate, repair patches, tar lines and oil stains."""
    gray = 88.0 + 9.0 * noise(rng, height, width, 3.0 * scale, scale / 4) + 11.0 * noise(rng, height, width, 4.0, 1.0, 1.0)
    image = np.repeat(gray[..., None], 3, axis=2).astype(np.float32)
    area = height * width / scale**2
    for _ in range(int(area / 40)):
        w, h = (rng.uniform(0.5, 2.5, 2) * scale).astype(int)
        x, y = int(rng.integers(-w, width)), int(rng.integers(-h, height))
        patch = image[max(y, 0) : y + h, max(x, 0) : x + w]
        patch += rng.uniform(-16.0, 12.0)
    image = cracks(rng, image, int(area / 9), scale * 2.5, (48.0, 48.0, 50.0), max(1, round(scale / 30)))
    return spots(rng, image, int(area / 3), 0.12 * scale, (-30.0, 8.0))


def spots(rng: np.random.Generator, image: np.ndarray, count: int, radius: float, change: tuple[float, float]) -> np.ndarray:
    """Blotches of about ``radius`` pixels that lighten or darken by a value within ``change``."""
    layer = np.zeros(image.shape[:2], np.float32)
    for _ in range(count):
        center = (int(rng.integers(0, image.shape[1])), int(rng.integers(0, image.shape[0])))
        axes = tuple(int(a) for a in np.maximum(1, radius * rng.uniform(0.4, 1.8, 2)))
        cv2.ellipse(layer, center, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(*change)), -1)
    return image + cv2.GaussianBlur(layer, (0, 0), max(0.6, radius / 5))[..., None]


def cracks(
    rng: np.random.Generator, image: np.ndarray, count: int, length: float, color: Color, thickness: int = 1
) -> np.ndarray:
    """Random walks of about ``length`` pixels."""
    image = np.ascontiguousarray(image, np.float32)
    for _ in range(count):
        steps = max(3, int(length * rng.uniform(0.4, 1.3) / 6))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, steps))
        path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * 6.0, axis=0)
        path += rng.uniform(0, 1, 2) * [image.shape[1], image.shape[0]]
        cv2.polylines(image, [path.astype(np.int32)], False, color, thickness, cv2.LINE_AA)
    return image


def write_words(rng: np.random.Generator, image: np.ndarray, words: str, color: Color) -> np.ndarray:
    """Put one line of text that fills the image's width or height."""
    image = np.ascontiguousarray(image, np.float32)
    height, width = image.shape[:2]
    font = int(rng.choice([cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX]))
    (w, h), _ = cv2.getTextSize(words, font, 1.0, 1)
    size = min(0.86 * width / w, 0.55 * height / h)
    origin = (int((width - w * size) / 2), int((height + h * size) / 2))
    cv2.putText(image, words, origin, font, size, color, max(1, round(2.2 * size)), cv2.LINE_AA)
    return image


def pick_color(rng: np.random.Generator, palette: Sequence[Color], spread: float = 10.0) -> Color:
    """A colour of the palette, slightly changed."""
    red, green, blue = np.clip(np.asarray(palette[int(rng.integers(len(palette)))]) + rng.normal(0, spread, 3), 10, 245)
    return float(red), float(green), float(blue)
