"""What a mask says without points: a bearing, the elevations of its two ends, and a width.

Things that stand upright are points in the plane, and a mask of one is a ray there: its azimuth does not change along the
thing, however much of it is hidden. All angles are of a level frame, so that neither pitch nor roll of the camera matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.arrays import concatenated
from seg2d3d_ros.association.rays.level_views import LevelViews
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.types import Segments, SparseModel

SIGMA_BEARING, SIGMA_SHARE = np.radians(0.2), 0.15
"""Standard deviation of a bearing: of the pose and the mask's border, and as a share of its width."""
BINS = 12
"""A mask's azimuth and width are medians over so many slices of its height."""
MOST_PIXELS = 6000
MARGIN = 2
"""Pixels from the image's border within which a mask is cut off by it."""


@dataclass(frozen=True, eq=False)
class MaskRays:
    """N masks, views ascending. Angles in radians, elevations as tangents, level frame.

    Attributes:
        row: (N,) row of the incidence.
        view: (N,) place of the view among the component's.
        bearing: (N,) azimuth.
        width: (N,) angular width.
        bottom, top: (N,) elevations of the two ends.
        open_bottom, open_top: (N,) bool, the image's border cuts the mask off there.
        cut: (N,) bool, it cuts the mask off at a side.
        pixel: (N,) radians that a pixel spans.
    """

    row: np.ndarray
    view: np.ndarray
    bearing: np.ndarray
    width: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    open_bottom: np.ndarray
    open_top: np.ndarray
    cut: np.ndarray
    pixel: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def sigma(self) -> np.ndarray:
        """(N,) standard deviation of the bearings in radians."""
        return np.hypot(SIGMA_BEARING, np.where(self.cut, 0.5, SIGMA_SHARE) * self.width)

    @classmethod
    def none(cls) -> MaskRays:
        """No mask."""
        index, value, flag = np.empty(0, np.int64), np.empty(0), np.empty(0, bool)
        return cls(index, index, value, value, value, value, flag, flag, flag, value)


def thickness(segments: Segments) -> np.ndarray:
    """(S,) mean width of each mask in pixels, across its longer side."""
    boxes = segments.boxes
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    return np.asarray(segments.runs.areas(segments.ids) / np.maximum(longer, 1))


def sight(
    model: SparseModel, views: LevelViews, segments: Mapping[str, Segments], wanted: Sequence[Mapping[int, int]]
) -> MaskRays:
    """The masks of one component.

    Args:
        wanted: for each view, from segment id to row of the incidence, of the masks to look at.
    """
    found = [MaskRays.none()]
    for k, rows in enumerate(wanted):
        if rows:
            found.append(_of_view(model, views, k, segments[model.names[k]].runs, rows))
    return concatenated(found)


def _of_view(model: SparseModel, views: LevelViews, k: int, runs: LabelRuns, rows: Mapping[int, int]) -> MaskRays:
    ids = np.array(sorted(rows))
    mine = np.flatnonzero(np.isin(runs.values, ids))
    if len(mine) == 0:
        return MaskRays.none()
    mask, xy = _pixels(runs, mine, ids)
    local = model.cameras[k].rays(xy) @ views.rotation[k]
    known = np.isfinite(local).all(axis=1)
    mask, xy, local = mask[known], xy[known], local[known]
    present, first = np.unique(mask, return_index=True)
    azimuth = np.arctan2(local[:, 1], local[:, 0])
    start = np.zeros(len(ids))
    start[present] = azimuth[first]
    azimuth = np.angle(np.exp(1j * (azimuth - start[mask])))
    across = np.hypot(local[:, 0], local[:, 1])
    elevation = local[:, 2] / np.maximum(across, 1e-6)
    pixel = float(views.pixel[k])
    low, high = np.full(len(ids), np.inf), np.full(len(ids), -np.inf)
    np.minimum.at(low, mask, elevation)
    np.maximum.at(high, mask, elevation)
    slice_of = np.minimum((BINS * (elevation - low[mask]) / np.maximum(high - low, 1e-9)[mask]).astype(int), BINS - 1)
    # Sorted by mask, slice and azimuth, the middle of each group is its median.
    order = np.lexsort((azimuth, slice_of, mask))
    group = (mask * BINS + slice_of)[order]
    bounds = np.flatnonzero(np.diff(group, prepend=-1, append=-1))
    begin, end = bounds[:-1], bounds[1:]
    middle = (azimuth[order][begin] + azimuth[order][end - 1]) / 2
    # A pixel spans more azimuth the nearer it is to straight down or up.
    spread = azimuth[order][end - 1] - azimuth[order][begin] + pixel * np.sqrt(1.0 + elevation[order][begin] ** 2)
    owner = group[begin] // BINS
    left, right = np.full(len(ids), np.inf), np.full(len(ids), -np.inf)
    np.minimum.at(left, mask, azimuth)
    np.maximum.at(right, mask, azimuth)
    span = right - left + pixel
    height, width = runs.shape
    beside = (xy[:, 0] < MARGIN) | (xy[:, 0] > width - MARGIN)
    border = beside | (xy[:, 1] < MARGIN) | (xy[:, 1] > height - MARGIN)
    third = (high - low)[mask] / 3
    lower, upper = border & (elevation <= low[mask] + third), border & (elevation >= high[mask] - third)
    cut, below, above = (np.bincount(mask, flags, len(ids)) > 0 for flags in (beside, lower, upper))
    found = []
    for place, slices in zip(
        present.tolist(), np.split(np.arange(len(owner)), np.searchsorted(owner, present)[1:]), strict=True
    ):
        half = pixel / 2 * (1.0 + low[place] ** 2)
        # What is wider than high has no side borders to speak of: a lid in the road is as wide as it is anywhere.
        wide = span[place] > high[place] - low[place]
        across_it = float(span[place] if wide else np.median(spread[slices]))
        facts = (rows[int(ids[place])], k, float(np.angle(np.exp(1j * (start[place] + np.median(middle[slices]))))))
        ends = (low[place] - half, high[place] + half, bool(below[place]), bool(above[place]), bool(cut[place]))
        found.append((*facts, across_it, *ends, pixel))
    if not found:
        return MaskRays.none()
    columns = list(zip(*found, strict=True))
    kinds = (np.int64, np.int64, float, float, float, float, bool, bool, bool, float)
    return MaskRays(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def _pixels(runs: LabelRuns, mine: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) place among ``ids`` of the mask of each pixel and (N, 2) its centre; of large masks evenly picked ones."""
    lengths, starts = runs.lengths[mine], runs.starts[mine].astype(np.int64)
    of_run = np.searchsorted(ids, runs.values[mine])
    area = np.bincount(of_run, lengths, minlength=len(ids))
    place = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(int(lengths.sum()))
    mask = np.repeat(of_run, lengths)
    step = np.maximum(area // MOST_PIXELS, 1).astype(int)
    kept = np.arange(len(mask)) % step[mask] == 0
    mask, place = mask[kept], place[kept]
    return mask, np.column_stack([place % runs.shape[1], place // runs.shape[1]]) + 0.5
