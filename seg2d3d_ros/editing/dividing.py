"""An instance divided by a plane in space: one that a line in an image spans with the camera, or one that stands upright."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.association.masks.transfer import surface_depth
from seg2d3d_ros.editing.editable_map import EditableMap
from seg2d3d_ros.editing.frame_anchor import frame_now
from seg2d3d_ros.geometry.masks import Region, cell_grid
from seg2d3d_ros.prompts.sights import LEAST_POINTS, Sight

GRID = 96
"""Cells along the longer side of a mask whose places in the world are looked at."""


@dataclass(frozen=True)
class DividingPlane:
    """See the module.

    Attributes:
        point: (3,) on it.
        normal: (3,) of length 1, to the right of the line as it was drawn.
        image: the line was drawn there, so that it divides this image exactly; "" = it was drawn from above.
        component: the model in whose frame it lies.
    """

    point: np.ndarray
    normal: np.ndarray
    image: str
    component: int

    def right(self, xyz: np.ndarray) -> np.ndarray:
        """(N,) how far places (N, 3) lie to the right of it; negative on the left."""
        return np.asarray((xyz - self.point) @ self.normal)


def dividing_plane(edited: EditableMap, content: Mapping[str, Any]) -> DividingPlane | None:
    """The plane of a correction that divides, in the frame of the present result; None where that is not known any more."""
    line = content.get("line")
    if line is not None:
        sight = edited.geometry.sight_of.get(line["image"])
        if sight is None:
            return None
        ends = sight.view.back_project(np.array([line["from"], line["to"]], float), np.ones(2)) - sight.view.center
        return _plane(sight.view.center, np.cross(ends[0], ends[1]), line["image"], sight.view.component)
    now = frame_now(content["frame"], edited.geometry.models) if "frame" in content else None
    if now is None:
        return None
    similarity, component = now
    first, second = similarity.apply(np.array([content["above"]["from"], content["above"]["to"]], float))
    up = similarity.rotation @ np.array(content["above"]["up"], float)
    return _plane(first, np.cross(second - first, up), "", component)


def _plane(point: np.ndarray, normal: np.ndarray, image: str, component: int) -> DividingPlane | None:
    length = float(np.linalg.norm(normal))
    if not np.isfinite(length) or length < 1e-12:
        return None
    return DividingPlane(point, normal / length, image, component)


def right_of(plane: DividingPlane, region: Region, sight: Sight | None) -> np.ndarray | None:
    """(h, w) bool: pixels of a mask's box that show what lies to the right of a plane; None where nothing tells their places.

    Args:
        sight: of the image.
    """
    if sight is None or sight.view.component != plane.component:
        return None
    cells, centers, side = cell_grid(region.box, GRID)
    if sight.name == plane.image:
        depth = np.ones(len(centers))  # a plane through the camera's centre divides its picture whatever the depths are
    else:
        mine = np.flatnonzero(region.holds(sight.xy)) if len(sight.xy) else np.empty(0, np.int64)
        if len(mine) < LEAST_POINTS:
            if sight.tree is None or len(sight.xy) < LEAST_POINTS:
                return None
            near = sight.tree.query(centers.mean(axis=0), k=min(2 * LEAST_POINTS, len(sight.xy)))[1]
            mine = np.union1d(mine, np.atleast_1d(near))
        depth = surface_depth(sight.xy[mine], sight.depth[mine], centers, side)
    return _drawn(plane.right(sight.view.back_project(centers, depth)), cells, region)


def _drawn(distance: np.ndarray, cells: tuple[int, int], region: Region) -> np.ndarray:
    """The border between negative and positive cells, smooth in the pixels of the box."""
    height, width = region.pixels.shape
    field = cv2.resize(distance.reshape(cells).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(field > 0)
