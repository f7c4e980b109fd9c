"""Text labels in, masks out: a detector finds boxes for the prompts, SAM cuts out what they show (arXiv 2401.14159)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.arrays import concatenated
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.models import tiles
from seg2d3d_ros.segmentation.models.detections import Detections, merged_across_tiles, plausible, suppress, without_rows
from seg2d3d_ros.segmentation.models.finishing import finished, thresholds
from seg2d3d_ros.segmentation.models.grounding_dino import Detector
from seg2d3d_ros.segmentation.models.mask_models import Mask, MaskModel
from seg2d3d_ros.segmentation.models.model_segmenter import ModelSegmenter
from seg2d3d_ros.types import Keyframe, Segments

KEYFRAMES_AT_ONCE = 4
"""Enough for the batches of a GPU."""


class GroundedSam(ModelSegmenter):
    """See the module.

    Attributes:
        batch: how many keyframes are best given to ``segment_all`` at once.
    """

    def __init__(self, detector: Detector, masks: MaskModel, runtime: Runtime, config: SegmentationConfig):
        """Nothing is loaded before it is used.

        Raises:
            UsageError: prompts or thresholds that make no sense.
        """
        super().__init__([detector, masks], runtime, config)
        self._detector, self._masks = detector, masks
        self._thresholds = thresholds(config, config.box_threshold)
        self.batch = config.batch_size or KEYFRAMES_AT_ONCE

    def asking_for(self, config: SegmentationConfig) -> GroundedSam:
        """See ``ModelSegmenter``."""
        return GroundedSam(self._detector, self._masks, self.runtime, config)

    def segment(self, keyframe: Keyframe) -> Segments:
        """See ``ModelSegmenter``."""
        return self.segment_all([keyframe])[0]

    def segment_all(self, keyframes: Sequence[Keyframe]) -> list[Segments]:
        """The objects of several keyframes, their images and tiles in batches. Raises like ``segment``."""
        images = [decode_rgb(keyframe.encoded, keyframe.source or keyframe.name) for keyframe in keyframes]
        views = [tiles.extents(i.shape[1], i.shape[0], self._config.tile_size, self._config.tile_overlap) for i in images]
        boxes = self._boxes(images, views)
        regions = self._regions(images, views, boxes)
        return [
            finished(keyframe.name, image.shape[:2], found, wanted.classes, wanted.scores, self._config)
            for keyframe, image, found, wanted in zip(keyframes, images, regions, boxes, strict=True)
        ]

    def look(self, keyframe: Keyframe, boxes: np.ndarray) -> list[Mask | None]:
        """The mask of what each box (N, 4) of a keyframe shows (``pipeline.second_look``). Raises like ``segment``."""
        image = decode_rgb(keyframe.encoded, keyframe.source or keyframe.name)
        return self._masks.from_boxes([image], [np.asarray(boxes, np.float32)])[0]

    def _boxes(self, images: Sequence[np.ndarray], views: Sequence[np.ndarray]) -> list[Detections]:
        """The boxes of each image, final."""
        crops = [crop(image, extent) for image, extents in zip(images, views, strict=True) for extent in extents]
        floor = float(self._thresholds.min())
        found = self._detector.detect(crops, self._config.prompts, floor)
        result = []
        for image, extents in zip(images, views, strict=True):
            own, found = found[: len(extents)], found[len(extents) :]
            result.append(self._merged(image.shape[1], image.shape[0], extents, own))
        return result

    def _merged(self, width: int, height: int, extents: np.ndarray, found: Sequence[Detections]) -> Detections:
        """One set of boxes from those of the image and of its tiles."""
        sets = []
        for (x0, y0, x1, y1), boxes in zip(extents, found, strict=True):
            sure = boxes.take(boxes.scores >= self._thresholds[boxes.classes - 1])
            seen = plausible(sure, x1 - x0, y1 - y0, min_area=0.0, sky_limit=0.0)
            sets.append(suppress(seen, self._config.nms_iou).shifted(x0, y0))
        boxes = concatenated(sets)
        if len(extents) > 1:
            origin = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
            boxes = merged_across_tiles(boxes, origin, extents, extents[0])
        least = max(self._config.min_mask_area, self._config.min_area)
        boxes = plausible(boxes, width, height, min_area=least, sky_limit=self._config.sky_limit)
        return without_rows(suppress(boxes, self._config.nms_iou))

    def _regions(
        self, images: Sequence[np.ndarray], views: Sequence[np.ndarray], boxes: Sequence[Detections]
    ) -> list[list[Region | None]]:
        """The mask of each box, cut out in the smallest tile that holds it whole."""
        jobs: list[tuple[int, np.ndarray, np.ndarray]] = []  # image, extent, rows of its boxes
        for index, (extents, wanted) in enumerate(zip(views, boxes, strict=True)):
            home = tiles.homes(wanted.xyxy, extents)
            jobs += [(index, extents[view], np.flatnonzero(home == view)) for view in np.unique(home)]
        regions: list[list[Region | None]] = [[None] * len(wanted) for wanted in boxes]
        masks = self._masks.from_boxes(
            [crop(images[index], extent) for index, extent, _ in jobs],
            [boxes[index].xyxy[rows] - np.tile(extent[:2], 2) for index, extent, rows in jobs],
        )
        for (index, extent, rows), cut in zip(jobs, masks, strict=True):
            for row, mask in zip(rows, cut, strict=True):
                regions[index][row] = mask.region.shifted(int(extent[0]), int(extent[1])) if mask else None
        return regions


def crop(image: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """The part ``x0 y0 x1 y1`` of an image."""
    x0, y0, x1, y1 = extent
    return image[y0:y1, x0:x1]
