"""Which points each keyframe of a map sees and at which pixels, so that a place can be tested for being hidden there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.masks.transfer import surface_depth
from seg2d3d_ros.association.projection import project_unobserved
from seg2d3d_ros.association.solve import stacked_xyz
from seg2d3d_ros.geometry.masks import Region, cell_grid
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.visibility import occluded
from seg2d3d_ros.types import SparseModel

AROUND = 1 / 16
"""Of the image's width: points this close to a place tell whether it is hidden."""
NEIGHBOURS = 5
LEAST_POINTS = 6
"""A surface is laid through so many points at least; where a mask holds fewer, through the nearest ones around it."""


@dataclass(frozen=True)
class Sight:
    """One keyframe.

    Attributes:
        name: the keyframe.
        view: camera and pose.
        point: (N,) the points that it sees, as places in all of the map's points.
        xy: (N, 2) where.
        depth: (N,) how deep.
        tree: of ``xy``; None where there is no point.
    """

    name: str
    view: View
    point: np.ndarray
    xy: np.ndarray
    depth: np.ndarray
    tree: cKDTree | None

    def hidden(self, pixels: np.ndarray, depth: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """(M,) bool: places that what the keyframe sees around them lies before.

        Args:
            pixels, depth: (M, 2) and (M,) of the places.
            own: (N,) bool, points that hide nothing, because they are the thing's own.
        """
        if self.tree is None:
            return np.zeros(len(pixels), bool)
        blocking = np.ones(len(self.point), bool) if own is None else ~own
        radius = AROUND * self.view.camera.width
        return occluded(pixels, depth, self.tree, self.depth, blocking, neighbours=NEIGHBOURS, radius=radius)

    def sees(self, xyz: np.ndarray) -> np.ndarray:
        """(N,) bool: places (N, 3) that lie in the picture, with nothing before them."""
        pixels, depth = self.view.project(xyz)
        with np.errstate(invalid="ignore"):
            seen = self.view.camera.inside(pixels) & (depth > 0)
        if seen.any():
            seen[seen] = ~self.hidden(pixels[seen], depth[seen])
        return np.asarray(seen)

    def places_on(self, region: Region, samples: int) -> np.ndarray:
        """(N, 3) places in the world of pixels of a mask, by a surface through the points around it; none without points.

        Args:
            samples: along the longer side of the mask.
        """
        if self.tree is None:
            return np.empty((0, 3))
        _, cells, side = cell_grid(region.box, samples)
        cells = cells[region.holds(cells)]
        if len(cells) == 0:
            return np.empty((0, 3))
        mine = np.flatnonzero(region.holds(self.xy))
        if len(mine) < LEAST_POINTS:
            near = self.tree.query(cells.mean(axis=0), k=min(2 * LEAST_POINTS, len(self.xy)))[1]
            mine = np.union1d(mine, np.atleast_1d(near))
        if len(mine) < LEAST_POINTS:
            return np.empty((0, 3))
        return self.view.back_project(cells, surface_depth(self.xy[mine], self.depth[mine], cells, side))


def sights(models: Sequence[SparseModel]) -> list[Sight]:
    """Of every keyframe with a pose: matched points, and those that it should see by its pose."""
    xyz = stacked_xyz(models)
    names = [name for model in models for name in model.names]
    views = [view for model in models for view in model.views()]
    keyframe, point, xy = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, 2))]
    first_keyframe = first_point = 0
    for model in models:
        keyframe.append(model.obs_keyframe + first_keyframe)
        point.append(model.obs_point + first_point)
        xy.append(model.obs_xy)
        first_keyframe, first_point = first_keyframe + len(model.names), first_point + len(model.point_ids)
    unseen = project_unobserved(models, set(names))
    keyframes = np.concatenate([*keyframe, unseen.keyframe])
    points, pixels = np.concatenate([*point, unseen.point]).astype(np.int64), np.concatenate([*xy, unseen.xy]).astype(float)
    found = []
    for k, rows in enumerate(places(keyframes, len(names))):
        view = views[k]
        if view is not None:
            tree = cKDTree(pixels[rows]) if len(rows) else None
            found.append(Sight(names[k], view, points[rows], pixels[rows], view.depth(xyz[points[rows]]), tree))
    return found
