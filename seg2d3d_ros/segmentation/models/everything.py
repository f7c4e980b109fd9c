"""Masks of anything: SAM asked at a grid of points, as its automatic generator does (arXiv 2304.02643, appendix B)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seg2d3d_ros.geometry.masks import Region, overlap
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.models import tiles
from seg2d3d_ros.segmentation.models.finishing import finished, kept_whole
from seg2d3d_ros.segmentation.models.grounded_sam import crop
from seg2d3d_ros.segmentation.models.mask_models import Mask, MaskModel
from seg2d3d_ros.segmentation.models.model_segmenter import ModelSegmenter
from seg2d3d_ros.types import Keyframe, Segments

EDGE = 3
"""A mask that comes this close (pixels) to the edge of its tile is cut there; the whole image or another tile has it."""


class Everything(ModelSegmenter):
    """Every mask is of the first prompt's class; its score is the model's own estimate of the mask's quality."""

    def __init__(self, masks: MaskModel, runtime: Runtime, config: SegmentationConfig):
        super().__init__([masks], runtime, config)
        self._masks = masks

    def asking_for(self, config: SegmentationConfig) -> Everything:
        """See ``ModelSegmenter``."""
        return Everything(self._masks, self.runtime, config)

    def segment(self, keyframe: Keyframe) -> Segments:
        """See ``ModelSegmenter``."""
        image = decode_rgb(keyframe.encoded, keyframe.source or keyframe.name)
        height, width = image.shape[:2]
        found: list[tuple[Region, float]] = []
        stability: dict[int, float] = {}
        for extent in tiles.extents(width, height, self._config.tile_size, self._config.tile_overlap):
            view = crop(image, extent)
            points = grid(view.shape[1], view.shape[0], self._config.points_per_side)
            masks = self._masks.from_points(view, points, self._config.min_quality)
            for mask in self._good(masks):
                region = mask.region.shifted(int(extent[0]), int(extent[1]))
                if not cut_off(region, extent, width, height):
                    found.append((region, mask.quality))
                    stability[id(region)] = mask.stability
        found = distinct(found, self._config.nms_iou)
        regions, scores = [region for region, _ in found], [score for _, score in found]
        flat = finished(keyframe.name, (height, width), regions, [1] * len(found), scores, self._config)
        steady = [stability[id(region)] for region in regions]
        return replace(flat, overlapping=kept_whole(keyframe.name, (height, width), regions, scores, steady, self._config))

    def _good(self, masks: list[Mask]) -> list[Mask]:
        limits = self._config.min_quality, self._config.min_stability
        return [mask for mask in masks if mask.quality >= limits[0] and mask.stability >= limits[1]]


def grid(width: int, height: int, per_side: int) -> np.ndarray:
    """(N, 2) float32 points in the middle of equal cells, ``per_side`` of them along the longer side."""
    step = max(width, height) / per_side
    columns, rows = max(1, round(width / step)), max(1, round(height / step))
    x, y = np.meshgrid((np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows)
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float32)


def cut_off(region: Region, extent: np.ndarray, width: int, height: int) -> bool:
    """Whether the mask ends at an edge of its tile that lies inside the image."""
    near = np.abs(np.array(region.box) - extent) <= EDGE
    inside = np.abs(np.array(extent) - np.array([0, 0, width, height])) > EDGE
    return bool((near & inside).any())


def distinct(found: list[tuple[Region, float]], iou: float) -> list[tuple[Region, float]]:
    """Of masks that overlap by more than ``iou`` only the best; from the best score down."""
    kept: list[tuple[Region, float]] = []
    for region, score in sorted(found, key=lambda item: -item[1]):
        if all(overlap(region, other) <= iou for other, _ in kept):
            kept.append((region, score))
    return kept
