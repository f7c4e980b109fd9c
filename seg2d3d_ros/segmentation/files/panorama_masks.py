"""Masks that somebody made for panoramas, cut into the views that the panoramas are cut into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.geometry.panorama.panorama_view import PanoramaView
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.segmentation.finest import flat_choice
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe, Segments

BEYOND_VIEWS = Kind(
    "masks_beyond_views",
    "masks of panoramas that lie where no view looks",
    cause="the views reach from {below}° below to {above}° above the horizon; e.g. the vehicle's roof, the zenith",
    remedy="nothing need be done, unless an object is wanted there",
    level=NOTE,
)


class PanoramaMasks:
    """Passes photographs on to a segmenter that reads files; of a view of a panorama it asks for the panorama's masks.

    A mask keeps its id in every view that shows it.

    Attributes:
        files: who reads the masks.
    """

    given = True
    """Somebody made the masks; they are not found by a model."""

    def __init__(self, files: Segmenter, findings: Findings) -> None:
        self.files, self._findings = files, findings
        self._last: tuple[str, Segments | DataError | None] = "", None

    def expect(self, photos: Sequence[PhotoName]) -> None:
        """See ``LabelImages.expect``."""
        self.files.expect(photos)  # type: ignore[attr-defined]

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """See ``Segmenter``; views of one panorama come one after the other, so that its masks are read once."""
        view = keyframe.view
        if view is None:
            return self.files.segment(keyframe)
        if view.panorama != self._last[0]:
            self._last = view.panorama, self._whole(view)
        whole = self._last[1]
        if isinstance(whole, DataError):
            raise whole
        return None if whole is None else cut_segments(keyframe.name, view, whole)

    def close(self) -> None:
        """See ``Segmenter``."""
        self.files.close()

    def _whole(self, view: PanoramaView) -> Segments | DataError | None:
        """The masks of a panorama, in its pixels."""
        try:
            encoded = Path(view.source).read_bytes()
        except OSError:  # it came in a stream
            encoded = encode_png(np.zeros((view.shape.height, view.shape.width), np.uint8))
        facts: dict[str, Any] = {"camera_name": view.camera_name, "stamp_ns": 0, "file_name": view.file_name}
        try:
            whole = self.files.segment(Keyframe(view.panorama, encoded=encoded, source=view.source, **facts))
        except DataError as error:
            return error
        if whole is not None:
            self._tell(view, whole)
        return whole

    def _tell(self, view: PanoramaView, whole: Segments) -> None:
        """Count the masks that none of the views shows."""
        row = (np.arange(view.shape.height) + 0.5 + view.shape.top) / view.shape.pixels_per_radian
        below, above = view.reach
        seen = np.unique(whole.labels[(np.pi / 2 - row >= below) & (np.pi / 2 - row <= above)])
        if lost := len(np.setdiff1d(whole.ids, seen)):
            down, up = f"{-np.degrees(below):.0f}", f"{np.degrees(above):.0f}"
            self._findings.add(BEYOND_VIEWS, view.panorama, count=lost, below=down, above=up)


def cut_segments(name: str, view: PanoramaView, whole: Segments) -> Segments:
    """The part of a panorama's masks that a view shows."""
    labels = view.cut(whole.labels)
    seen = np.isin(whole.ids, np.unique(labels))
    cut = Segments(name, labels, whole.ids[seen], whole.classes[seen], whole.scores[seen])
    return cut if whole.overlapping is None else flat_choice(cut_masks(name, view, whole.overlapping))


def cut_masks(name: str, view: PanoramaView, whole: OverlappingMasks) -> OverlappingMasks:
    """The parts of a panorama's overlapping masks that a view shows."""
    regions, rows = [], []
    for k in range(len(whole)):
        pixels = np.zeros(whole.shape, np.uint16)
        region = whole.region(k)
        pixels[region.window] = region.pixels
        part = region_of(view.cut(pixels) > 0)
        if part is not None:
            regions.append(part)
            rows.append(k)
    arrays = whole.classes[rows].tolist(), whole.scores[rows].tolist(), whole.stabilities[rows].tolist()
    return OverlappingMasks.of_regions(name, (view.camera.height, view.camera.width), regions, *arrays)
