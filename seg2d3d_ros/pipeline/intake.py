"""Keyframes into a map that is being built offline: their masks, and their features without what moves."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Progress, Stopwatch
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.movable import class_ids, movable_mask
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe, Segments

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction, Reconstructor

WITHOUT_SEGMENTS = Kind(
    "images_without_segments",
    "images used without segments",
    cause="{reason}",
    remedy="mend or replace the masks of these images",
)
log = logging.getLogger(__name__)


class Intake:
    """The steps that a keyframe takes before all of them are mapped together.

    Args:
        segmenter: None for reconstruction only.
        images_in: folder where the keyframes' ``file_name`` lie already, or where the image of each lies, by name; None to keep
            the images in the map directory.
        findings: gets the keyframes that are used without segments.

    Attributes:
        records: of the keyframes that were taken.
        left_out: name -> reason, of those that were not.
        watch: has the stages ``features`` and ``segmentation``.
    """

    def __init__(
        self,
        store: MapStore,
        config: SegmentationConfig,
        reconstructor: Reconstructor,
        segmenter: Segmenter | None,
        images_in: Path | Mapping[str, Path] | None,
        findings: Findings,
    ) -> None:
        self.records: list[KeyframeRecord] = []
        self.left_out: dict[str, str] = {}
        self._findings = findings
        self._segmented = self._objects = 0
        self._failed: dict[str, str] = {}
        self.watch = Stopwatch()
        self._store, self._reconstructor, self._segmenter, self._images_in = store, reconstructor, segmenter, images_in
        self._movable = class_ids(config.asked, config.movable)

    @property
    def batch(self) -> int:
        """Keyframes that the segmenter takes at once."""
        return int(getattr(self._segmenter, "batch", 1))

    def segment(self, keyframes: Sequence[Keyframe]) -> Iterator[tuple[Keyframe, Segments | None]]:
        """Each keyframe with its masks; None without a segmenter, where nobody looked for objects, and where the segmenter
        fails: the image may still help the map."""
        failed: dict[str, str] = {}
        with self.watch("segmentation"):
            found = self._segments(keyframes, failed) if self._segmenter else {}
        self._segmented, self._objects = self._segmented + len(found), self._objects + sum(len(s.ids) for s in found.values())
        self._failed |= failed
        for keyframe in keyframes:
            yield keyframe, found.get(keyframe.name)
            if keyframe.name in failed and keyframe.name not in self.left_out:
                log.warning("%s is used without segments: %s", keyframe.name, failed[keyframe.name])
                self._findings.add(WITHOUT_SEGMENTS, keyframe.name, reason=failed[keyframe.name])

    def movable(self, segments: Segments | None) -> np.ndarray | None:
        """(H, W) bool, True on things that move; None where there are none."""
        return None if segments is None else movable_mask(segments, self._movable)

    def take(self, keyframe: Keyframe, ignore: np.ndarray | None) -> bool:
        """Find the features outside ``ignore``, and keep the image; False, noted in ``left_out``, where it cannot be used."""
        try:
            with self.watch("features"):
                self._reconstructor.add(keyframe, ignore)
        except DataError as error:
            log.warning("left out: %s", error)
            self.left_out[keyframe.name] = str(error)
            return False
        self.records.append(KeyframeRecord.of(keyframe, self._place(keyframe)))
        return True

    def _place(self, keyframe: Keyframe) -> Path:
        """Where the keyframe's image lies, which is kept where it lies nowhere."""
        if isinstance(self._images_in, Mapping):
            return self._images_in[keyframe.name]
        if self._images_in is not None and not keyframe.view:  # a view of a panorama is no file yet
            return self._images_in / keyframe.file_name
        return self._store.write_image(keyframe).relative_to(self._store.root)

    def solve(self, progress: Progress) -> Reconstruction:
        """Map all that was taken; keyframes.json is written before.

        Raises:
            DataError: masks were given, and there is no object in any of them.
        """
        self._require_objects()
        pictures = len({record.name if record.view is None else record.view.panorama for record in self.records})
        progress("images", pictures, pictures)
        self._store.write_keyframes(self.records)
        return self._reconstructor.solve(progress)

    def keyframe(self, name: str) -> Keyframe:
        """One that was taken, read again. Raises ``DataError`` where its image file is gone."""
        record = next(record for record in self.records if record.name == name)
        return record.keyframe(self._store.read_image(record))

    def _require_objects(self) -> None:
        """A map without objects takes as long as one with them: who gave masks learns now that none can be used."""
        if self._segmenter is None:
            return
        log.info("masks for %d of %d images, %d objects", self._segmented, len(self.records), self._objects)
        if self._objects or not self.records or not getattr(self._segmenter, "given", False):
            return
        reasons = [*dict.fromkeys(self._failed.values())][:3] or [finding.text for finding in self._findings.list()][:3]
        why = f" ({'; '.join(reasons)})" if reasons else ""
        raise DataError(
            f"no object in the masks of {self._segmented} of {len(self.records)} images{why}; "
            "give masks of what was asked for, or --segmenter none for 3D only"
        )

    def _segments(self, keyframes: Sequence[Keyframe], failed: dict[str, str]) -> dict[str, Segments]:
        """By name; where a group fails, one by one."""
        segmenter, together = self._segmenter, getattr(self._segmenter, "segment_all", None)
        assert segmenter is not None
        try:
            found = together(keyframes) if together else [segmenter.segment(keyframe) for keyframe in keyframes]
        except DataError as error:
            if len(keyframes) > 1:
                return {name: s for keyframe in keyframes for name, s in self._segments([keyframe], failed).items()}
            failed[keyframes[0].name] = str(error)
            return {}
        return {segments.name: segments for segments in found if segments is not None}
