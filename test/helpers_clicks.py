"""Where the things of the row of house fronts (helpers_levels) are clicked, and how well an answer fits one."""

import numpy as np
from helpers_levels import DEPTH, FOCAL, HEIGHT, NAMES, WIDTH, camera_centers, picture, things

from seg2d3d_ros.geometry.masks import overlap

HOUSE, STOREY, WINDOW = (next(t for t in things() if t.level == level) for level in range(3))


def pixel(x: float, y: float, k: int) -> tuple[float, float]:
    """Of a place on the fronts, in view k."""
    center = camera_centers()[k]
    return (x - center[0]) / DEPTH * FOCAL + WIDTH / 2, (y - center[1]) / DEPTH * FOCAL + HEIGHT / 2


def middle(thing) -> tuple[float, float]:
    x0, y0, x1, y1 = thing.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def overlap_in_all_views(regions, thing) -> float:
    values = []
    for k, name in enumerate(NAMES):
        truth = picture(thing, k)
        if truth is not None and truth.area >= 150:
            values.append(overlap(truth, regions[name]) if name in regions else 0.0)
    assert len(values) > 4
    return float(np.mean(values))
