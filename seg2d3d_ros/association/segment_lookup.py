"""Which segment lies at a pixel, asked of a label image's runs again and again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seg2d3d_ros.arrays import places
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Segments, SparseModel


class SegmentLookup:
    """Keeps the runs of the segments' label image, not the image."""

    def __init__(self, segments: Segments) -> None:
        self._name, self._runs, self._ids = segments.name, segments.runs, segments.ids

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """(N,) int32 position in ``segments.ids`` of the segment under each of (N, 2) pixel coordinates, -1 for none.

        Raises:
            DataError: a pixel lies outside the label image.
        """
        height, width = self._runs.shape
        pixel = np.floor(xy).astype(np.int64)
        # A keypoint may lie on the very border; more than a pixel outside means that the label image is another size.
        if len(pixel) and (pixel.min() < -1 or pixel[:, 0].max() > width or pixel[:, 1].max() > height):
            raise DataError(
                f"{self._name}: keypoints reach {tuple(pixel.max(axis=0))}, but its label image is {width}×{height}; "
                "segments must have the image's size"
            )
        label = self._runs.at(np.clip(pixel, 0, [width - 1, height - 1]))
        place = np.searchsorted(self._ids, label)
        known = place < len(self._ids)
        known[known] = self._ids[place[known]] == label[known]
        return np.where(known & (label != 0), place, -1).astype(np.int32)


def masks_of_observations(model: SparseModel, segments: Mapping[str, Segments]) -> tuple[np.ndarray, np.ndarray]:
    """The mask at each of the model's N observations.

    Args:
        segments: by keyframe name.

    Returns:
        (N,) int64 a number of its own for each mask of each keyframe, -1 outside masks; (N,) float64 the mask's width, in units
        of its distance: the side of a square as large.

    Raises:
        DataError: a keypoint outside the label image.
    """
    number, width = np.full(len(model.obs_point), -1, np.int64), np.zeros(len(model.obs_point))
    first = 0
    for k, (name, mine) in enumerate(zip(model.names, places(model.obs_keyframe, len(model.names)), strict=True)):
        if name not in segments:
            continue
        item = segments[name]
        place, width[mine] = masks_at(model.obs_xy[mine], item, model.cameras[k] if k < len(model.cameras) else None)
        number[mine] = np.where(place >= 0, first + place, -1)
        first += len(item.ids)
    return number, width


def masks_at(xy: np.ndarray, segments: Segments, camera: Camera | None) -> tuple[np.ndarray, np.ndarray]:
    """The mask at each of (N, 2) pixel coordinates of one keyframe.

    Args:
        camera: None = unknown; widths are 0 then.

    Returns:
        (N,) int32 position in ``segments.ids``, -1 outside masks; (N,) float64 the mask's width, in units of its distance: the
        side of a square as large.

    Raises:
        DataError: a pixel outside the label image.
    """
    place, width = SegmentLookup(segments)(xy), np.zeros(len(xy))
    inside = place >= 0
    if camera is not None and inside.any():
        width[inside] = (np.sqrt(segments.runs.areas(segments.ids)) / camera.pixels_per_tangent)[place[inside]]
    return place, width
