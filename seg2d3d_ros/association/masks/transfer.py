"""Where an instance should lie in an image: its masks of other views, carried over by the surface of its 3D points.

Each pixel gets a depth from the instance's points, hence a place in the world, and the other views say whether their masks
of the instance hold that place. What most of them hold is the region. It is far closer to the object's outline than the
hull of its points, of which there are none along eaves and corners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.masks.missed import MissedView, Sightings, sightings, solid_points
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.visibility import occluded
from seg2d3d_ros.types import Incidence, Instances, SparseModel

VIEWS = 6
"""Views that are asked: those that see the object most alike."""
GRID = 96
"""Cells along the longer side of the area that is looked at."""
MARGIN = 0.5
"""Of the points' box on each side, that the region may reach beyond it."""
NEIGHBOURS = 8
KEPT_LABELS = 24
"""Label images that are held at once."""
SMALL_PART = 0.1
"""Parts of the region below this share of it go."""


class Transfer:
    """Carries the instances' masks of a whole map into views that lack them.

    Args:
        labels_of: the (H, W) uint16 instance ids of a keyframe, as far as they are known.
    """

    def __init__(
        self,
        models: Sequence[SparseModel],
        incidence: Incidence,
        instances: Instances,
        labels_of: Callable[[str], np.ndarray],
    ) -> None:
        self._xyz = np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)])
        self._views = [view for model in models for view in model.views()]
        self._names = incidence.names
        self._solid = solid_points(self._xyz, instances)
        self._seen: Sightings = sightings(models, incidence)
        self._rows = places(self._seen.keyframe, len(self._views))
        self._labels_of = lru_cache(KEPT_LABELS)(labels_of)
        self._shown: dict[int, set[int]] = {}
        for segment, instance in (
            (np.arange(len(instances.segment_instance)), instances.segment_instance),
            (instances.cuts.segment, instances.cuts.instance),
        ):
            for k, i in zip(incidence.segment_keyframe[segment].tolist(), instance.tolist(), strict=True):
                self._shown.setdefault(i, set()).add(k)

    def region(self, missed: MissedView) -> Region | None:
        """The pixels where the instance should be seen, whoever else claims them; None where nothing is left."""
        view = self._views[missed.keyframe]
        assert view is not None  # only posed keyframes are judged
        mine = np.flatnonzero(self._solid == missed.instance)
        pixels, depth = view.project(self._xyz[mine])
        usable = np.isfinite(pixels).all(axis=1) & (np.abs(pixels) < 4.0 * max(view.camera.width, view.camera.height)).all(
            axis=1
        )
        x0, y0, x1, y1 = _area(missed.xy, view)
        shape = (y1 - y0, x1 - x0)
        step = max(1.0, max(shape) / GRID)
        cells = (max(1, round(shape[0] / step)), max(1, round(shape[1] / step)))
        grid_x = (np.arange(cells[1]) + 0.5) * shape[1] / cells[1] + x0
        grid_y = (np.arange(cells[0]) + 0.5) * shape[0] / cells[0] + y0
        centers = np.stack(np.meshgrid(grid_x, grid_y), axis=-1).reshape(-1, 2)
        surface = surface_depth(pixels[usable], depth[usable], centers, step)
        share = self._share(missed, view, view.back_project(centers, surface))
        share[self._hidden(missed.keyframe, missed.instance, view, centers, surface)] = 0.0
        field = cv2.resize(share.reshape(cells).astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        chosen = _with_points(field >= 0.5, missed.xy - [x0, y0])
        return region_of(chosen, x0, y0)

    def _share(self, missed: MissedView, view: View, xyz: np.ndarray) -> np.ndarray:
        """(N,) share of the views, of those that see the places (N, 3), whose masks of the instance hold them."""
        held, asked = np.zeros(len(xyz)), np.zeros(len(xyz))
        for k in self._alike(missed, view):
            labels, other = self._labels_of(self._names[k]), self._views[k]
            assert other is not None
            pixels, _ = other.project(xyz)
            inside = np.flatnonzero(other.inside(pixels))
            u, v = np.floor(pixels[inside]).astype(np.intp).T
            held[inside] += labels[v, u] == missed.instance
            asked[inside] += 1
        return np.asarray(held / np.maximum(asked, 1))

    def _alike(self, missed: MissedView, view: View) -> list[int]:
        """The keyframes with masks of the instance that see it from the most similar side and distance."""
        middle = np.median(self._xyz[missed.point], axis=0)
        ray = view.center - middle
        rated = []
        for k in sorted(self._shown.get(missed.instance, ())):
            other = self._views[k]
            if other is None or other.component != view.component:
                continue
            across = other.center - middle
            lengths = max(float(np.linalg.norm(across)), 1e-9), max(float(np.linalg.norm(ray)), 1e-9)
            angle = np.arccos(np.clip(across @ ray / (lengths[0] * lengths[1]), -1.0, 1.0))
            rated.append((float(angle) + abs(float(np.log(lengths[0] / lengths[1]))), k))
        return [k for _, k in sorted(rated)[:VIEWS]]

    def _hidden(self, k: int, instance: int, view: View, centers: np.ndarray, surface: np.ndarray) -> np.ndarray:
        """(N,) bool, cells around which the points that the keyframe sees are much nearer than the instance's surface."""
        rows = self._rows[k]
        rows = rows[self._seen.observed[rows] | (self._solid[self._seen.point[rows]] > 0)]
        own = self._solid[self._seen.point[rows]] == instance
        depth = view.depth(self._xyz[self._seen.point[rows]])
        if len(rows) < 3:
            return np.zeros(len(centers), bool)
        return occluded(centers, surface, cKDTree(self._seen.xy[rows]), depth, ~own, neighbours=3)


def _area(xy: np.ndarray, view: View) -> tuple[int, int, int, int]:
    """``x0 y0 x1 y1`` around pixels, with a margin, within the image."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    margin = MARGIN * (high - low) + 8.0
    limit = [view.camera.width, view.camera.height]
    x0, y0 = np.floor(np.maximum(low - margin, 0)).astype(int).tolist()
    x1, y1 = np.ceil(np.minimum(high + margin, limit)).astype(int).tolist()
    return x0, y0, x1, y1


def surface_depth(pixels: np.ndarray, depth: np.ndarray, at: np.ndarray, scale: float) -> np.ndarray:
    """(M,) depth of a surface through points, at other pixels.

    The inverse depth of a plane is an affine function of the pixel, so a robust affine fit (iteratively reweighted least
    squares) carries on beyond the points; the residuals of the nearest points bend it where there are several façades.

    Args:
        pixels, depth: (N, 2) and (N,) of the points, N ≥ 1.
        at: (M, 2) pixels.
        scale: pixels over which single points are smoothed.
    """
    inverse = 1.0 / depth
    origin = np.median(pixels, axis=0)
    extent = float(np.ptp(pixels, axis=0).max()) + 1e-6
    basis = np.column_stack([(pixels - origin) / extent, np.ones(len(pixels))])
    weight = np.ones(len(pixels))
    for _ in range(6):
        weighted = basis * weight[:, None]
        # The slopes are held back a little: few points, or points in a row, say nothing about them.
        normal = weighted.T @ basis + np.diag([1e-3, 1e-3, 0.0]) * len(pixels)
        plane = np.linalg.solve(normal, weighted.T @ inverse)
        residual = inverse - basis @ plane
        spread = 1.5 * float(np.median(np.abs(residual))) + 1e-12
        weight = np.minimum(1.0, spread / np.maximum(np.abs(residual), 1e-15))
    far = 3.0 * spread + 0.15 * float(np.median(inverse))
    sane = np.abs(residual) < far
    result = np.column_stack([(at - origin) / extent, np.ones(len(at))]) @ plane
    if sane.any():
        gap, near = cKDTree(pixels[sane]).query(at, k=min(NEIGHBOURS, int(sane.sum())))
        gap, near = gap.reshape(len(at), -1), near.reshape(len(at), -1)
        pull = 1.0 / (gap**2 + (2.0 * scale) ** 2)
        result += (pull * residual[sane][near]).sum(axis=1) / (pull.sum(axis=1) + 1.0 / (0.25 * extent) ** 2)
    return np.asarray(1.0 / np.clip(result, 0.5 * inverse.min(), 2.0 * inverse.max()))


def _with_points(mask: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(H, W) bool without the parts that are small or hold none of the pixels (N, 2)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    u, v = np.clip(np.floor(xy).astype(np.intp), 0, [mask.shape[1] - 1, mask.shape[0] - 1]).T
    holding = np.unique(labels[v, u])
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = [k for k in holding.tolist() if k and areas[k] >= SMALL_PART * mask.sum()]
    return np.isin(labels, kept)
