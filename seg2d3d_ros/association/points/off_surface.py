"""Points behind the surface of the masks that hold them: they prove nothing about which masks show the same object.

A wrong match of two views lies anywhere along its rays, most often far behind the object that its masks show. So does what is
seen in panes and between leaves. The other points of the mask around it tell where the object's surface is. An object cannot be
much deeper than it is wide: a point that is farther behind this surface than the mask is wide, at the surface's distance,
does not lie on the object. What lies before the surface may: a bay, a stair, a wing of the house.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.segment_lookup import masks_at
from seg2d3d_ros.types import Segments, SparseModel

NEIGHBOURS, LEAST = 8, 4
"""The surface is known by so many of the mask's observations around one, and from so few on."""
LEAST_RATIO = 1.25
"""Points up to so many times as deep as the surface are on it, however narrow the mask."""
MOVED = 0.01
"""Depths that changed by less than this share are judged as before."""


def without_off_surface(models: Sequence[SparseModel], segments: Mapping[str, Segments]) -> list[SparseModel]:
    """The models without the observations of points that lie behind the surface of their masks; the points themselves stay.

    Args:
        segments: by keyframe name.

    Raises:
        DataError: masks that do not fit the images.
    """
    return LiveSurfaces().without_off_surface(models, segments)


def off_surface(model: SparseModel, segments: Mapping[str, Segments]) -> np.ndarray:
    """(P,) bool: points that are behind the surface in more than half of the masks that hold them and have one, or behind it in
    one and as far before it in all the others: a wrong match of two objects lies between them."""
    return LiveSurfaces().off_surface(model, segments)


@dataclass(frozen=True)
class _Verdicts:
    """What one keyframe says of its n observations.

    Attributes:
        point_id: (n,), and ``xy`` (n, 2) and ``depth`` (n,): what was judged.
        known, behind, before: (n,) bool: the mask there has a surface; the point is behind it; it is as far before it.
    """

    point_id: np.ndarray
    xy: np.ndarray
    depth: np.ndarray
    known: np.ndarray
    behind: np.ndarray
    before: np.ndarray

    def hold(self, point_id: np.ndarray, xy: np.ndarray, depth: np.ndarray) -> bool:
        """Whether these observations are the same, at nearly the same depths."""
        same = np.array_equal(self.point_id, point_id) and np.array_equal(self.xy, xy)
        return same and bool((np.abs(depth - self.depth) <= MOVED * np.abs(self.depth)).all())


class LiveSurfaces:
    """Judges one revision of a map after the other: of each, keyframes whose observations or masks are others than before."""

    def __init__(self) -> None:
        self._verdicts: dict[str, _Verdicts] = {}

    def without_off_surface(
        self, models: Sequence[SparseModel], segments: Mapping[str, Segments], fresh: Set[str] = frozenset()
    ) -> list[SparseModel]:
        """As the function of this name.

        Args:
            fresh: keyframes whose segments are new or others than before.
        """
        for name in self._verdicts.keys() & fresh:
            del self._verdicts[name]
        return [model.without_observations(self.off_surface(model, segments)) for model in models]

    def off_surface(self, model: SparseModel, segments: Mapping[str, Segments]) -> np.ndarray:
        """As the function of this name."""
        points = len(model.point_ids)
        if not model.posed or len(model.obs_point) == 0:
            return np.zeros(points, bool)
        depth, point_id = model.observation_depths(), model.point_ids[model.obs_point]
        known, behind, before = (np.zeros(len(depth), bool) for _ in range(3))
        for k, (name, mine) in enumerate(zip(model.names, places(model.obs_keyframe, len(model.names)), strict=True)):
            if name not in segments or len(mine) == 0:
                continue
            seen = point_id[mine], model.obs_xy[mine], depth[mine]
            found = self._verdicts.get(name)
            if found is None or not found.hold(*seen):
                mask, width = masks_at(seen[1], segments[name], model.cameras[k])
                found = self._verdicts[name] = _Verdicts(*seen, *_judge(*seen[1:], mask, width))
            known[mine], behind[mine], before[mine] = found.known, found.behind, found.before
        judged, back, front = (np.bincount(model.obs_point[some], minlength=points) for some in (known, behind, before))
        return np.asarray((2 * back > judged) | ((back > 0) & (back + front == judged)))


def _judge(
    pixels: np.ndarray, depths: np.ndarray, masks: np.ndarray, widths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) bool ``known``, ``behind`` and ``before`` of the observations of one keyframe.

    Args:
        pixels, depths: (n, 2), (n,).
        masks, widths: (n,) the mask that holds each, -1 = none, and its width in units of its distance.
    """
    known, behind, before = (np.zeros(len(depths), bool) for _ in range(3))
    inside = np.flatnonzero(masks >= 0)
    if len(inside) == 0:
        return known, behind, before
    xy, depth = pixels[inside].astype(float), depths[inside]
    # Masks are far apart in a third dimension: neighbours are of the same mask.
    apart = np.ptp(xy, axis=0).max() + 1.0
    separated = np.column_stack([xy, masks[inside] * (2.0 * apart)])
    gap, near = cKDTree(separated).query(separated, k=NEIGHBOURS + 1, distance_upper_bound=1.5 * apart)
    around = np.where(np.isfinite(gap), depth[np.minimum(near, len(depth) - 1)], np.nan)[:, 1:]
    some = np.isfinite(around).sum(axis=1) >= LEAST
    surface = np.nanmedian(around[some], axis=1)
    limit = np.maximum(1.0 + widths[inside][some], LEAST_RATIO)
    known[inside] = some
    behind[inside[some]] = ~(depth[some] < limit * surface)
    before[inside[some]] = depth[some] * limit < surface
    return known, behind, before
