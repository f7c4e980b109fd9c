"""Additional points in masks that hold few, by epipolar guided matching; ``sparse/`` is left as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.points.feature_views import FeatureView, find_features
from seg2d3d_ros.association.points.point_tracks import PointTracks, triangulate
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.epipolar.guided_matching import guided_matches
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.types import Segments, SparseModel

log = logging.getLogger(__name__)

FIRST_ID = 2**31
"""Ids of the additional points begin here: no reconstruction reaches it, and PointCloud2 carries 32 bits."""
PARTNERS, NEAREST = 6, 4
"""Views that a view is matched with: those that share most points, and those that stand nearest and look the same way."""
FACING = 0.5
"""Least cosine between two views' axes."""
LARGE = 0.03
"""Share of the image from which a mask gets the full number of points; a smaller mask gets fewer, in proportion. The number of
points stands for the resolution: a far row of houses in one mask, filled with points, would outvote near views that see them
apart."""
NEIGHBOURS = 8
DEPTH_FACTOR = 1.4
"""A point this many times nearer or deeper than what surrounds it is a wrong match."""


def enrich(
    models: Sequence[SparseModel],
    segments: Mapping[str, Segments],
    read_image: Callable[[str], np.ndarray],
    *,
    enough: int,
    progress: Progress | None = None,
) -> list[SparseModel]:
    """The models with additional points, seen in masks that hold few.

    Args:
        segments: by keyframe name.
        read_image: (H, W, 3) uint8 RGB of a keyframe; its ``DataError`` leaves the keyframe out.
        enough: a large mask with so many observed points needs no more. Views without a mask that lacks points are only
            matched with those that have one.
        progress: called with the stage ``points in masks`` and the images and pairs done, for each model anew.
    """
    result, first = [], FIRST_ID
    for model in models:
        enriched = _enriched(model, segments, read_image, enough, first, progress or (lambda stage, done, total: None))
        result.append(enriched)
        first += len(enriched.point_ids) - len(model.point_ids)
    return result


def _enriched(
    model: SparseModel,
    segments: Mapping[str, Segments],
    read_image: Callable[[str], np.ndarray],
    enough: int,
    first: int,
    progress: Progress,
) -> SparseModel:
    """One component; the ids of its additional points begin with ``first``."""
    poor = _poor(model, segments, enough)
    if not any(lacking.any() for lacking in poor.values()):
        return model
    pairs = [(a, b) for a, b in _pairs(model) if a in poor and b in poor and (poor[a].any() or poor[b].any())]
    wanted = sorted({k for pair in pairs for k in pair})
    pose = model.pose
    posed = [View(model.cameras[k], pose[k]) for k in wanted]
    views, lacking = [], []
    for k, view in zip(wanted, posed, strict=True):
        item = segments[model.names[k]]  # one at a time: its label image takes megabytes
        views.append(find_features(_pixels(item, read_image), item, view))
        lacking.append(np.isin(views[-1].segment, item.ids[poor[k]]))
        progress("points in masks", len(views), len(wanted) + len(pairs))
    matches = []
    for i, j in np.searchsorted(wanted, pairs).tolist():
        second_from_first = views[j].camera_from_world @ views[i].camera_from_world.inverse()
        found = guided_matches(views[i], views[j], second_from_first, wanted=(lacking[i], lacking[j]))
        matches.append((i, j, found[:, 0], found[:, 1]))
        progress("points in masks", len(wanted) + len(matches), len(wanted) + len(pairs))
    tracks = _plausible(triangulate(views, matches), views, posed, model, wanted)
    return _with_tracks(model, tracks, views, wanted, first)


def _pixels(segments: Segments, read_image: Callable[[str], np.ndarray]) -> np.ndarray:
    """The keyframe's image; black, which has no features, where there is none."""
    try:
        rgb = read_image(segments.name)
        if rgb.shape[:2] == segments.labels.shape:
            return rgb
        log.warning("no additional points in %s: its masks have another size than the image", segments.name)
    except DataError as error:
        log.warning("no additional points in %s: %s", segments.name, error)
    return np.zeros((*segments.labels.shape, 3), np.uint8)


def _poor(model: SparseModel, segments: Mapping[str, Segments], enough: int) -> dict[int, np.ndarray]:
    """Per keyframe with masks: which of its segment ids hold too few points for their size (bool by position in ids)."""
    rows_of = places(model.obs_keyframe, len(model.names))
    result: dict[int, np.ndarray] = {}
    for k, view in enumerate(model.views()):
        if view is None or model.names[k] not in segments:
            continue
        item = segments[model.names[k]]
        height, width = item.labels.shape
        pixel = np.floor(model.obs_xy[rows_of[k]]).astype(np.int64).clip(0, [width - 1, height - 1])
        held = np.bincount(item.labels[pixel[:, 1], pixel[:, 0]], minlength=int(item.ids.max(initial=0)) + 1)
        area = np.bincount(item.labels.ravel(), minlength=len(held))[item.ids]
        result[k] = held[item.ids] < enough * np.minimum(1.0, area / (LARGE * item.labels.size))
    return result


def _pairs(model: SparseModel) -> list[tuple[int, int]]:
    """Pairs of keyframes to match, a < b."""
    count = len(model.names)
    shape = (count, len(model.point_ids))
    seen = sparse.csr_matrix((np.ones(len(model.obs_point), np.int32), (model.obs_keyframe, model.obs_point)), shape)
    shared = (seen @ seen.T).tocsr()
    shared.setdiag(0)
    axis, centers = model.pose.rotation[:, 2], model.centers
    tree = cKDTree(centers)
    pairs = set()
    for k in range(count):
        row = slice(shared.indptr[k], shared.indptr[k + 1])
        best = shared.indices[row][np.argsort(-shared.data[row], kind="stable")[:PARTNERS]]
        near = tree.query(centers[k], k=min(count, 4 * NEAREST))[1]
        near = np.atleast_1d(near)
        near = near[(axis[near] @ axis[k] > FACING) & (near != k)][:NEAREST]
        pairs |= {(min(k, int(other)), max(k, int(other))) for other in [*best, *near] if other != k}
    return sorted(pairs)


def _plausible(
    tracks: PointTracks, views: list[FeatureView], posed: list[View], model: SparseModel, keyframes: list[int]
) -> PointTracks:
    """Without points whose depth, in a view that sees them, is unlike that of the points around them.

    The inverse depth of one façade changes slowly over the image. A point must lie between the nearest and the deepest of its
    neighbours, without the extreme one on each side, up to ``DEPTH_FACTOR``.
    """
    rows_of = places(model.obs_keyframe, len(model.names))
    good = np.ones(len(tracks.xyz), bool)
    for n, k in enumerate(keyframes):
        mine = rows_of[k]
        here = np.flatnonzero(tracks.view == n)
        xyz = np.concatenate([tracks.xyz[tracks.track[here]], model.xyz[model.obs_point[mine]]])
        xy = np.concatenate([views[n].xy[tracks.feature[here]], model.obs_xy[mine]])
        if len(xy) <= NEIGHBOURS or len(here) == 0:
            continue
        depth = posed[n].depth(xyz)
        near = cKDTree(xy).query(xy[: len(here)], k=NEIGHBOURS + 1)[1][:, 1:]
        around = np.sort(depth[near], axis=1)
        own = depth[: len(here)]
        odd = (own < around[:, 1] / DEPTH_FACTOR) | (own > around[:, -2] * DEPTH_FACTOR)
        good[tracks.track[here][odd]] = False
    return tracks.take(good)


def _with_tracks(
    model: SparseModel, tracks: PointTracks, views: list[FeatureView], keyframes: list[int], first: int
) -> SparseModel:
    """The model with the tracks' points appended."""
    count = len(tracks.xyz)
    if count == 0:
        return model
    xy = np.stack([views[v].xy[f] for v, f in zip(tracks.view, tracks.feature, strict=True)])
    color = np.stack([views[v].colors[f] for v, f in zip(tracks.view, tracks.feature, strict=True)])
    total = np.stack([np.bincount(tracks.track, color[:, c], count) for c in range(3)], axis=1)
    mean = total / np.bincount(tracks.track, minlength=count)[:, None]
    keyframe = np.array(keyframes, np.int32)[tracks.view]
    return replace(
        model,
        xyz=np.concatenate([model.xyz, tracks.xyz]),
        rgb=np.concatenate([model.rgb, np.rint(mean).astype(np.uint8)]),
        error=np.concatenate([model.error, tracks.error]),
        point_ids=np.concatenate([model.point_ids, np.arange(first, first + count)]),
        obs_keyframe=np.concatenate([model.obs_keyframe, keyframe]),
        obs_point=np.concatenate([model.obs_point, (tracks.track + len(model.point_ids)).astype(np.int32)]),
        obs_xy=np.concatenate([model.obs_xy, xy]),
    )
