"""One colour per instance id, the same in every picture, export and marker."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

UNLABELLED = (150, 150, 150)
_GOLDEN = 0.6180339887498949
_LIGHTNESS = np.array([0.68, 0.54, 0.81, 0.61, 0.75])
_CHROMA = np.array([0.19, 0.16, 0.15, 0.18, 0.17])
# OKLab -> LMS (cube roots) -> linear sRGB, Ottosson 2020, https://bottosson.github.io/posts/oklab/
_LMS_FROM_OKLAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_SRGB_FROM_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def instance_colors(ids: ArrayLike) -> np.ndarray:
    """Colours (N, 3) uint8 sRGB of instance ids (N,); 0 (none) is grey.

    An id's colour depends on nothing but the id. The hue advances by the golden ratio of a turn, so that ids next
    to each other lie far apart, and the lightness cycles through five levels (no period shared with the
    near repeats of the hue at 8, 13, 21, 34); both in OKLCh, where equal steps
    look equal.
    """
    ids = np.asarray(ids, np.int64).reshape(-1)
    hue = 2 * np.pi * np.mod(ids * _GOLDEN, 1.0)
    lightness, chroma = _LIGHTNESS[ids % 5], _CHROMA[ids % 5]
    oklab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    linear = np.clip((oklab @ _LMS_FROM_OKLAB.T) ** 3 @ _SRGB_FROM_LMS.T, 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    colors = np.rint(255 * srgb).astype(np.uint8)
    colors[ids == 0] = UNLABELLED
    return colors


def hex_color(instance_id: int) -> str:
    """The id's colour as ``#rrggbb``."""
    red, green, blue = instance_colors([instance_id])[0]
    return f"#{red:02x}{green:02x}{blue:02x}"
