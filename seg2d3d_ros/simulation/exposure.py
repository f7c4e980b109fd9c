"""What a camera does to the light: exposure, white balance, vignetting, motion blur, noise."""

from __future__ import annotations

import cv2
import numpy as np


def expose(rng: np.random.Generator, color: np.ndarray, drift: float, sideways: bool, grain: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an ideal picture (float32, 0 … 255).

    Args:
        drift: where the automatic exposure stands, about -1 … 1; it changes slowly from image to image.
        sideways: the camera looks across the direction of travel, where motion smears rows.
        grain: factor on the sensor's noise.
    """
    height, width = color.shape[:2]
    bright = float(np.mean(color))
    gain = (118.0 / bright) ** 0.5 * np.exp(0.13 * drift + rng.normal(0.0, 0.04))
    balance = np.array([1.0, 1.0, 1.0]) + np.array([0.035, 0.0, -0.035]) * (0.6 * drift + rng.normal(0.0, 0.3))
    radius = np.hypot(*(np.mgrid[0:height, 0:width] - np.array([height, width])[:, None, None] / 2)) / (
        0.5 * np.hypot(height, width)
    )
    image = color * (gain * balance * (1.0 - 0.20 * radius**2)[..., None]).astype(np.float32)
    scale = width / 960.0
    strong = rng.random() < 0.06
    length = scale * (rng.uniform(2.5, 5.0) if strong else rng.uniform(0.0, 2.0)) * (1.0 if sideways else 0.5)
    if length > 1.0:
        size = 2 * int(np.ceil(length / 2)) + 1
        kernel = np.clip(length / 2 + 0.5 - np.abs(np.arange(size) - size // 2), 0.0, 1.0)
        image = cv2.filter2D(image, -1, (kernel / kernel.sum())[None].astype(np.float32), borderType=cv2.BORDER_REPLICATE)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.35, 0.6))
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    image += grain * noise * (1.2 + 0.22 * np.sqrt(np.clip(image, 0.0, 255.0)))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def exposure_drift(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count,) slowly changing values of about unit size (a first-order autoregression)."""
    values = np.zeros(count)
    state = rng.normal()
    for i in range(count):
        values[i] = state
        state = 0.85 * state + 0.53 * rng.normal()
    return values


def sunshine_drift(rng: np.random.Generator, count: int, clouds: float) -> np.ndarray:
    """(count,) share of the sun's light that comes through, slowly changing from image to image; 1 without ``clouds``."""
    return 1.0 - clouds / (1.0 + np.exp(-4.0 * exposure_drift(rng, count)))
