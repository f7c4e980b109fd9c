"""Masks that come with the images: the segment topics of a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.keyframes.bag_keyframes import BagItem
from seg2d3d_ros.segmentation.encoding import from_mono16
from seg2d3d_ros.types import Keyframe, Segments

NOT_RECORDED = Kind(
    "masks_not_recorded",
    "keyframes without recorded masks",
    cause="the segment topic has no message with the image's stamp",
    remedy="let the segmenter copy the image's header, or take another --segmenter",
)


class RecordedSegments:
    """Passes on a recording's keyframes and answers for the masks of the one that was passed on last.

    Attributes:
        missing: names of the keyframes without a recorded label image.
    """

    given = True
    """Somebody made the masks; they are not found by a model."""

    def __init__(self, items: Iterable[BagItem], classes: int, min_area: float, findings: Findings):
        """Read from ``items``; ``classes`` is the number of prompts."""
        self._items, self._classes, self._min_area = items, classes, min_area
        self._last: BagItem | None = None
        self.missing: list[str] = []
        self._findings = findings

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
            self._findings.add(NOT_RECORDED, keyframe.name)
            return None
        if labels.shape != (height, width):
            rows, columns = labels.shape
            raise DataError(f"{keyframe.name}: its recorded masks are {columns}×{rows}, the image is {width}×{height}")
        return from_mono16(
            keyframe.name, labels, self._classes, self._min_area, source=keyframe.source, findings=self._findings
        )

    def close(self) -> None:
        """Nothing to free."""
