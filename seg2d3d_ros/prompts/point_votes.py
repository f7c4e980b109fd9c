"""Which places belong to an object whose masks are known: most views that see a place hold it in their mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.prompts.sights import Sight

MOST = 0.5
"""A place is the object's if more than so much of the views that see it say so."""


def held_share(sights: Sequence[Sight], regions: Mapping[str, Region], xyz: np.ndarray) -> np.ndarray:
    """(N,) of the views that see places (N, 3), the share whose mask of the object, by keyframe name, holds them."""
    held, asked = np.zeros(len(xyz)), np.zeros(len(xyz))
    for sight in sights:
        pixels, depth = sight.view.project(xyz)
        with np.errstate(invalid="ignore"):
            inside = np.flatnonzero(sight.view.camera.inside(pixels) & (depth > 0))
        if len(inside) == 0:
            continue
        inside = inside[~sight.hidden(pixels[inside], depth[inside])]
        region = regions.get(sight.name)
        if region is not None:
            held[inside] += region.holds(pixels[inside])
        asked[inside] += 1
    return np.asarray(held / np.maximum(asked, 1))


def points_held(sights: Sequence[Sight], regions: Mapping[str, Region], xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows (M,) of places (N, 3) that are the object's, and (M,) float32 how much of the views say so."""
    some = np.zeros(len(xyz), bool)
    views = [sight for sight in sights if sight.name in regions]
    for sight in views:
        pixels, depth = sight.view.project(xyz)
        with np.errstate(invalid="ignore"):
            near = np.flatnonzero(sight.view.camera.inside(pixels) & (depth > 0))
        some[near] |= regions[sight.name].holds(pixels[near])
    rows = np.flatnonzero(some)
    share = held_share(sights, regions, xyz[rows])
    mine = share > MOST
    return rows[mine], share[mine].astype(np.float32)
