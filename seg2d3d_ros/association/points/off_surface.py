"""Points behind the surface of the masks that hold them: they prove nothing about which masks show the same object.

A wrong match of two views lies anywhere along its rays, most often far behind the object that its masks show. So does what is
seen in panes and between leaves. The other points of the mask around it tell where the object's surface is. An object cannot be
much deeper than it is wide: a point that is farther behind this surface than the mask is wide, at the surface's distance,
does not lie on the object. What lies before the surface may: a bay, a stair, a wing of the house.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.association.segment_lookup import masks_of_observations
from seg2d3d_ros.types import Segments, SparseModel

NEIGHBOURS, LEAST = 8, 4
"""The surface is known by so many of the mask's observations around one, and from so few on."""
LEAST_RATIO = 1.25
"""Points up to so many times as deep as the surface are on it, however narrow the mask."""


def without_off_surface(models: Sequence[SparseModel], segments: Mapping[str, Segments]) -> list[SparseModel]:
    """The models without the observations of points that lie behind the surface of their masks; the points themselves stay.

    Args:
        segments: by keyframe name.

    Raises:
        DataError: masks that do not fit the images.
    """
    return [model.without_observations(off_surface(model, segments)) for model in models]


def off_surface(model: SparseModel, segments: Mapping[str, Segments]) -> np.ndarray:
    """(P,) bool: points that are behind the surface in more than half of the masks that hold them and have one, or behind it in
    one and as far before it in all the others: a wrong match of two objects lies between them."""
    points = len(model.point_ids)
    if not model.posed or len(model.obs_point) == 0:
        return np.zeros(points, bool)
    mask, width = masks_of_observations(model, segments)
    inside = np.flatnonzero(mask >= 0)
    if len(inside) == 0:
        return np.zeros(points, bool)
    view, point, mask = model.obs_keyframe[inside], model.obs_point[inside], mask[inside]
    depth = model.pose[view].apply_each(model.xyz[point])[:, 2]
    xy = model.obs_xy[inside].astype(float)
    # Masks are far apart in a third dimension: neighbours are of the same mask.
    apart = np.ptp(xy, axis=0).max() + 1.0
    separated = np.column_stack([xy, mask * (2.0 * apart)])
    gap, near = cKDTree(separated).query(separated, k=NEIGHBOURS + 1, distance_upper_bound=1.5 * apart)
    around = np.where(np.isfinite(gap), depth[np.minimum(near, len(depth) - 1)], np.nan)[:, 1:]
    known = np.isfinite(around).sum(axis=1) >= LEAST
    surface = np.full(len(depth), np.nan)
    surface[known] = np.nanmedian(around[known], axis=1)
    limit = np.maximum(1.0 + width[inside], LEAST_RATIO)
    with np.errstate(invalid="ignore", divide="ignore"):
        behind, before = known & ~(depth < limit * surface), known & (depth * limit < surface)
    judged, back, front = (np.bincount(point[some], minlength=points) for some in (known, behind, before))
    return np.asarray((2 * back > judged) | ((back > 0) & (back + front == judged)))
