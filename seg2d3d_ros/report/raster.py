"""The plan's points as a picture with a transparent ground, so that it suits light and dark pages."""

from __future__ import annotations

import cv2
import numpy as np

from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.report.plan import PlanView

_GREY = np.array([140, 140, 140], np.uint8)
_GREY_ALPHA = 150


def draw_points(plan: PlanView, xyz: np.ndarray, instance: np.ndarray, size: tuple[int, int]) -> bytes:
    """PNG (RGBA) of points (N, 3) with instance ids (N,), 0 = none; ``size`` = width, height in pixels.

    Points without an instance are small, grey and half transparent, and lie below the others.
    """
    width, height = size
    xy = plan(xyz)
    shown = plan.holds(xy)
    scale = np.array([width, height]) / (plan.high - plan.low)
    pixel = ((xy[shown] - plan.low) * scale).astype(np.int64)
    column, row = np.clip(pixel[:, 0], 0, width - 1), np.clip(height - 1 - pixel[:, 1], 0, height - 1)
    instance = instance[shown]

    canvas = np.zeros((height, width, 4), np.uint8)
    grey, coloured = instance == 0, instance != 0
    radius = 2.0 if len(instance) < 20_000 else 1.2
    _splat(canvas, column[grey], row[grey], np.append(_GREY, _GREY_ALPHA).astype(np.uint8), radius)
    colors = instance_colors(instance[coloured])
    opaque = np.concatenate([colors, np.full((len(colors), 1), 255, np.uint8)], axis=1)
    _splat(canvas, column[coloured], row[coloured], opaque, radius * 1.5)
    return cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def _splat(canvas: np.ndarray, column: np.ndarray, row: np.ndarray, color: np.ndarray, radius: float) -> None:
    """Put a disc of ``color`` (4,) or (N, 4) at each place."""
    height, width = canvas.shape[:2]
    reach = int(radius)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dx * dx + dy * dy <= radius * radius:
                x, y = column + dx, row + dy
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                canvas[y[inside], x[inside]] = color if color.ndim == 1 else color[inside]
