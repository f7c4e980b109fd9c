"""Full panoramas (equirectangular, 360° × 180°) among photographs: no pinhole camera took them."""

from __future__ import annotations

import re

import numpy as np

_PROJECTION = re.compile(rb"ProjectionType\W{1,4}\s*equirectangular", re.IGNORECASE)
_ASPECT_TOLERANCE = 0.005
_SEAM, _ACROSS = 2.0, 2.0
"""The seam differs at most so many times more than neighbouring columns do, there or on average, and at least so many times
less than far ones."""
_FLAT, _FLAT_SHARE = 1.5, 0.1
"""A pole varies along its row by at most so many grey values, or by this share of what the middle varies by."""


def says_panorama(metadata: bytes) -> bool:
    """Whether a file's XMP says so (Google's GPano schema, which 360° cameras write)."""
    return _PROJECTION.search(metadata) is not None


def looks_like_panorama(gray: np.ndarray, width: int, height: int) -> bool:
    """Whether a picture without such a note is a full panorama: 2:1, left and right border continue each other, a pole is one
    point. (At the other the vehicle or a tripod may have been cut out.)

    Args:
        gray: (h, w) uint8, the picture made small.
        width, height: of the picture itself.
    """
    if abs(width / (2 * height) - 1) > _ASPECT_TOLERANCE or min(gray.shape) < 16:
        return False
    values = gray.astype(np.float32)
    steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
    beside = float(max(steps.mean(), steps[0], steps[-1]))
    seam = float(np.abs(values[:, 0] - values[:, -1]).mean())
    across = float(np.abs(values[:, 0] - values[:, values.shape[1] // 2]).mean())
    varied = float(values[len(values) // 2 - 2 : len(values) // 2 + 2].std(axis=1).mean())
    pole = float(values[[0, -1]].std(axis=1).min())
    flat = pole <= max(_FLAT, _FLAT_SHARE * varied)
    return flat and seam <= _SEAM * max(beside, 0.5) and across >= _ACROSS * max(seam, 1.0)
