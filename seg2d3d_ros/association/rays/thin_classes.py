"""Which classes are of thin or small things: decided by how wide their masks are where points tell the distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.association.rays.ground import camera_height
from seg2d3d_ros.association.rays.level_views import LevelViews
from seg2d3d_ros.association.rays.mask_rays import thickness
from seg2d3d_ros.types import Incidence, Segments, SparseModel

WIDE = 1.5
"""Metres; classes whose masks are mostly wider are left to the points."""
CAMERA_HEIGHT = 1.8
"""Metres above the ground that cameras on streets are, where a model has no scale."""
STREET = 10.0
"""Metres that most points of a street are away, from where the search for the ground begins then."""


def metre_of(model: SparseModel) -> float:
    """World units in a metre; a guess by the cameras' height above the ground where the model has no scale."""
    if model.frame.kind != "arbitrary" or not len(model.obs_point):
        return 1.0
    depth = model.observation_depths()
    unit = float(np.median(depth[depth > 0])) / STREET if (depth > 0).any() else 1.0
    views = LevelViews.of(model)
    height = camera_height(views.center, views.from_world(model.xyz), unit)
    return unit if height is None else height / CAMERA_HEIGHT


def thin_classes(models: Sequence[SparseModel], segments: Mapping[str, Segments], incidence: Incidence) -> list[int]:
    """The classes whose masks are mostly narrow, or of which no mask holds a point.

    Args:
        incidence: all segments, in the components' order.
    """
    width = np.full(len(incidence.segment_ids), np.nan)
    depth = _depths(models, incidence)
    first = 0
    of_keyframe = np.searchsorted(incidence.segment_keyframe, np.arange(len(incidence.names) + 1))
    for model in models:
        metre = metre_of(model) if model.posed else 1.0
        for k, name in enumerate(model.names if model.posed else ()):
            rows = slice(of_keyframe[first + k], of_keyframe[first + k + 1])
            if rows.stop > rows.start:
                pixel = 1.0 / model.cameras[k].pixels_per_tangent
                width[rows] = thickness(segments[name]) * pixel * depth[rows] / metre
        first += len(model.names)
    found = []
    for class_id in np.unique(incidence.classes).tolist():
        known = width[(incidence.classes == class_id) & np.isfinite(width)]
        if len(known) == 0 or np.median(known) < WIDE:
            found.append(int(class_id))
    return found


def _depths(models: Sequence[SparseModel], incidence: Incidence) -> np.ndarray:
    """(S,) median distance, along the optical axis, of the points observed in each segment; NaN without points."""
    seen = incidence.observed
    poses = np.concatenate([np.empty((0, 3, 4)), *(model.camera_from_world for model in models)])
    result = np.full(len(incidence.segment_ids), np.nan)
    inside = np.flatnonzero(seen.segment >= 0)
    if incidence.xyz is None or not len(inside):
        return result
    row = poses[seen.keyframe[inside], 2]
    depth = np.einsum("ij,ij->i", row[:, :3], incidence.xyz[seen.point[inside]]) + row[:, 3]
    order = np.lexsort((depth, seen.segment[inside]))
    segment = seen.segment[inside][order]
    begin = np.flatnonzero(np.diff(segment, prepend=-1))
    end = np.append(begin[1:], len(segment))
    result[segment[begin]] = depth[order][(begin + end) // 2]
    return result
