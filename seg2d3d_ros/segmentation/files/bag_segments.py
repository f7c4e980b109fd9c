"""Masks that come with the images: the segment topics of a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.keyframes.streams.bag_pass import BagItem
from seg2d3d_ros.segmentation.encoding import from_mono16
from seg2d3d_ros.types import Keyframe, Segments

NOT_RECORDED = Kind(
    "masks_not_recorded",
    "keyframes without recorded masks",
    cause="{reason}",
    remedy="let the segmenter copy the image's header, or set segmentation.stamp_tolerance; or take another --segmenter",
)
SCALED = Kind(
    "recorded_masks_scaled",
    "recorded masks of another size than their image, which were scaled to it",
    cause="the segmenter works on {size} pixels for images of {wanted}",
    remedy="let it scale its masks up itself, if borders matter",
    level=NOTE,
)


class RecordedSegments:
    """Passes on a recording's keyframes and answers for the masks of the one that was passed on last.

    Attributes:
        missing: names of the keyframes without a recorded label image.
    """

    given = True
    """Somebody made the masks; they are not found by a model."""

    def __init__(self, items: Iterable[BagItem], classes: int, min_area: float, findings: Findings, no_topic: str = ""):
        """Read from ``items``; ``classes`` is the number of prompts, ``no_topic`` says why a camera has no masks at all."""
        self._items, self._classes, self._min_area = items, classes, min_area
        self._last: BagItem | None = None
        self.missing: list[str] = []
        self._findings = findings
        self._no_topic = no_topic

    def keyframes(self) -> Iterator[Keyframe]:
        """The keyframes, one by one."""
        for item in self._items:
            self._last = item
            yield item.keyframe

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """The recorded masks of ``keyframe``; None where the recording has none (counted).

        Raises:
            DataError: masks of another size than the image, or a class without a prompt.
        """
        if self._last is None or self._last.keyframe is not keyframe:
            raise ValueError(f"{keyframe.name}: not the keyframe that was read last")
        width, height = keyframe.size
        labels = self._last.segments
        if labels is None:
            self.missing.append(keyframe.name)
            self._findings.add(NOT_RECORDED, keyframe.name, reason=self._last.reason or self._no_topic or "there are none")
            return None
        if labels.shape != (height, width):
            labels = self._scaled(keyframe.name, labels, width, height)
        return from_mono16(
            keyframe.name, labels, self._classes, self._min_area, source=keyframe.source, findings=self._findings
        )

    def _scaled(self, name: str, labels: np.ndarray, width: int, height: int) -> np.ndarray:
        rows, columns = labels.shape
        if abs(columns * height - rows * width) > max(width, height):
            raise DataError(f"{name}: its recorded masks are {columns}×{rows}, which is not the shape of {width}×{height}")
        self._findings.add(SCALED, name, size=f"{columns}×{rows}", wanted=f"{width}×{height}")
        return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    def close(self) -> None:
        """Nothing to free."""
