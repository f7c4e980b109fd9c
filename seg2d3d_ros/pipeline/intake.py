"""Keyframes into a map that is being built offline: features and masks, in the order that the masks ask for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Stopwatch
from seg2d3d_ros.segmentation.movable import class_ids, movable_mask
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe, Segments

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstructor

log = logging.getLogger(__name__)


class Intake:
    """Takes keyframes one by one; call ``finish`` after the last.

    Where classes of movable things are asked for, a keyframe is segmented before its features are found, so that these
    leave such things out; else it is segmented only if its image could be used.

    Args:
        segmenter: None for reconstruction only.
        watch: gets the stages ``features`` and ``segmentation``.
        images_in: folder where the keyframes' ``file_name`` lie already; None to keep the images in the map directory.

    Attributes:
        records: of the keyframes that were taken.
        left_out: name -> reason, of those that were not.
        warnings: in words.
    """

    def __init__(
        self,
        store: MapStore,
        config: Config,
        reconstructor: Reconstructor,
        segmenter: Segmenter | None,
        watch: Stopwatch,
        images_in: Path | None,
    ) -> None:
        self.reconstructor = reconstructor
        self.records: list[KeyframeRecord] = []
        self.left_out: dict[str, str] = {}
        self.warnings: list[str] = []
        self._store, self._segmenter, self._watch, self._images_in = store, segmenter, watch, images_in
        self._class_names = config.segmentation.asked
        self._movable = class_ids(self._class_names, config.segmentation.movable)
        self._pending: list[Keyframe] = []

    def take(self, keyframe: Keyframe) -> None:
        """Take one keyframe; an image that cannot be used is noted in ``left_out``."""
        masks_first = self._segmenter is not None and len(self._movable) > 0
        if not masks_first and not self._add(keyframe, None):
            return
        if self._segmenter is not None:
            self._pending.append(keyframe)
            if len(self._pending) >= getattr(self._segmenter, "batch", 1):
                self.finish()

    def finish(self) -> None:
        """Do what waits for its batch."""
        pending, self._pending = self._pending, []
        if self._segmenter is None or not pending:
            return
        with self._watch("segmentation"):
            found = self._segment(self._segmenter, pending)
        for keyframe in pending if len(self._movable) else []:
            segments = found.get(keyframe.name)
            self._add(keyframe, None if segments is None else movable_mask(segments, self._movable))

    def _add(self, keyframe: Keyframe, ignore: np.ndarray | None) -> bool:
        try:
            with self._watch("features"):
                self.reconstructor.add(keyframe, ignore)
        except DataError as error:
            log.warning("left out: %s", error)
            self.left_out[keyframe.name] = str(error)
            return False
        known = self._images_in
        image = known / keyframe.file_name if known else self._store.write_image(keyframe).relative_to(self._store.root)
        self.records.append(KeyframeRecord.of(keyframe, image))
        return True

    def _segment(self, segmenter: Segmenter, keyframes: Sequence[Keyframe]) -> dict[str, Segments]:
        """Segment and keep the masks; a keyframe whose masks are unusable still helps the reconstruction."""
        together = getattr(segmenter, "segment_all", None)
        try:
            results = together(keyframes) if together else [segmenter.segment(keyframe) for keyframe in keyframes]
        except DataError as error:
            if len(keyframes) > 1:
                return {name: s for keyframe in keyframes for name, s in self._segment(segmenter, [keyframe]).items()}
            log.warning("used without segments: %s", error)
            self.warnings.append(f"{keyframes[0].name} is used without segments: {error}")
            return {}
        for segments in results:
            self._store.write_segments(segments, self._class_names)
        return {segments.name: segments for segments in results}
