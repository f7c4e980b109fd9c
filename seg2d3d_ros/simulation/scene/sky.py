"""A sky with clouds, as a function of the direction of view."""

from __future__ import annotations

import numpy as np

ZENITH = np.array([96.0, 142.0, 204.0], np.float32)
HORIZON = np.array([208.0, 220.0, 232.0], np.float32)


def sky_color(direction: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Colours (N, 3) float32, 0 … 255, of unit directions (N, 3); clouds are infinitely far away."""
    height = np.clip(direction[:, 2], 0.0, 1.0)
    color = HORIZON + (height**0.6)[:, None] * (ZENITH - HORIZON)
    plane = direction[:, :2] / (height[:, None] + 0.12)
    cloud = np.zeros(len(direction), np.float32)
    for octave, turn in enumerate((0.3, 1.9, 3.1, 4.4)):
        size = 1.3 * 2.1**octave
        wave = size * (plane @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32))
        cloud += (
            np.sin(wave[:, 0] + 1.7 * np.sin(0.8 * wave[:, 1] + turn)) * np.cos(wave[:, 1] + 0.9 * np.sin(wave[:, 0]))
        ) / (1.0 + octave)
    share = np.clip(0.55 * cloud + 0.1, 0.0, 0.85)[:, None]
    color = color * (1 - share) + 238.0 * share
    glow = np.clip(direction @ sun, 0.0, 1.0)[:, None] ** 40
    return np.clip(color + 60.0 * glow, 0.0, 255.0).astype(np.float32)
