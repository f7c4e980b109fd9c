"""Link keypoints to masks: P(i, s), the 3D points that segment s of keyframe i holds (arXiv 2605.26725)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.projection import project_unobserved
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.types import Incidence, Placements, Segments, SparseModel


def build_incidence(models: Sequence[SparseModel], segments: Mapping[str, Segments], *, project: bool = False) -> Incidence:
    """All segments of all registered keyframes against all points of all components.

    The points of the components stand one after the other; components share no point, so no segment of one can be
    associated with a segment of another. A point observed twice inside one segment counts once.

    Args:
        models: components of the reconstruction.
        segments: by keyframe name; a keyframe without segments contributes visibility only.
        project: also find where points lie that a keyframe should see but does not observe. Components whose poses are
            unknown (NaN) have none.

    Raises:
        DataError: a label image is smaller than the image that the keypoints were found in.
    """
    names = tuple(name for model in models for name in model.names)
    point_ids = np.concatenate([m.point_ids for m in models]) if models else np.empty(0, np.int64)
    obs_keyframe, obs_point, obs_xy = _stack_observations(models)
    unseen = project_unobserved(models, set(segments)) if project else Placements.none()
    keyframe = np.concatenate([obs_keyframe, unseen.keyframe])
    point = np.concatenate([obs_point, unseen.point])
    xy = np.concatenate([obs_xy, unseen.xy])

    in_image = [segments.get(name) for name in names]
    counts = np.array([0 if item is None else len(item.ids) for item in in_image], np.int64)
    first_row = np.concatenate([[0], np.cumsum(counts)])
    row = np.full(len(point), -1, np.int64)
    order = np.argsort(keyframe, kind="stable")
    bounds = np.searchsorted(keyframe[order], np.arange(len(names) + 1))
    for k, item in enumerate(in_image):
        if item is None or counts[k] == 0:
            continue
        mine = order[bounds[k] : bounds[k + 1]]
        local = _segment_rows(item, xy[mine])
        row[mine] = np.where(local >= 0, first_row[k] + local, -1)

    observations = len(obs_point)
    inside = np.flatnonzero(row[:observations] >= 0)
    shape = (int(first_row[-1]), len(point_ids))

    def placements(chosen: np.ndarray) -> Placements:
        where, what, which = (column[chosen].astype(np.int32) for column in (keyframe, row, point))
        return Placements(where, what, which, xy[chosen].astype(np.float32))

    return Incidence(
        matrix=_binary(row[inside], point[inside], shape).astype(np.float32),
        visibility=_binary(obs_keyframe, obs_point, (len(names), len(point_ids))),
        names=names,
        segment_keyframe=np.repeat(np.arange(len(names), dtype=np.int32), counts),
        segment_ids=_stack([None if s is None else s.ids for s in in_image], np.uint16),
        classes=_stack([None if s is None else s.classes for s in in_image], np.int32),
        scores=_stack([None if s is None else s.scores for s in in_image], np.float32),
        point_ids=point_ids,
        observed=placements(inside),
        projected=placements(np.arange(observations, len(point))),
    )


def _stack_observations(models: Sequence[SparseModel]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keyframe index, point index and pixel of all observations, counted through all components."""
    keyframes, points, pixels = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, 2), np.float32)]
    first_keyframe = first_point = 0
    for model in models:
        keyframes.append(model.obs_keyframe.astype(np.int64) + first_keyframe)
        points.append(model.obs_point.astype(np.int64) + first_point)
        pixels.append(model.obs_xy)
        first_keyframe += len(model.names)
        first_point += len(model.point_ids)
    return np.concatenate(keyframes), np.concatenate(points), np.concatenate(pixels)


def _segment_rows(segments: Segments, xy: np.ndarray) -> np.ndarray:
    """(N,) position in ``segments.ids`` of the segment under each keypoint, -1 for none."""
    height, width = segments.labels.shape
    pixel = np.floor(xy).astype(np.int64)
    # A keypoint may lie on the very border; more than a pixel outside means that the label image is another size.
    if len(pixel) and (pixel.min() < -1 or pixel[:, 0].max() > width or pixel[:, 1].max() > height):
        raise DataError(
            f"{segments.name}: keypoints reach {tuple(pixel.max(axis=0))}, but its label image is {width}×{height}; "
            "segments must have the image's size"
        )
    u, v = np.clip(pixel[:, 0], 0, width - 1), np.clip(pixel[:, 1], 0, height - 1)
    label = segments.labels[v, u]
    row = np.searchsorted(segments.ids, label)
    known = row < len(segments.ids)
    known[known] = segments.ids[row[known]] == label[known]
    return np.where(known & (label != 0), row, -1)


def _binary(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """CSR bool matrix with ones at the given places, duplicates counted once."""
    matrix = sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape).tocsr()
    return matrix.astype(bool)


def _stack(parts: Sequence[np.ndarray | None], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *(part.astype(dtype) for part in parts if part is not None)])
