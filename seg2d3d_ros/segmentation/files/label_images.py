"""Segments that somebody else made, as label images in a directory."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.files.class_table import ClassTable
from seg2d3d_ros.segmentation.files.mask_files import MASK_SUFFIXES, MaskFiles
from seg2d3d_ros.segmentation.files.mask_images import MaskImage, read_mask
from seg2d3d_ros.segmentation.files.mask_placement import MaskPlacement
from seg2d3d_ros.segmentation.files.mask_values import VOID, meaning_of, void_of
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.segmentation.files.placed_masks import placed_masks
from seg2d3d_ros.segmentation.files.segments_json import SegmentFacts
from seg2d3d_ros.segmentation.finest import flat_choice
from seg2d3d_ros.segmentation.resolve import resolve_overlaps
from seg2d3d_ros.segmentation.segmenter import segments_from_labels
from seg2d3d_ros.types import Keyframe, Segments

SAMPLE = 12
"""Masks that are read beforehand, to learn what their values mean."""
MIN_VISIBLE = 0.05
"""Of single-object files that overlap: one that better ones cover but for this share is dropped."""


class LabelImages:
    """Reads a label image per photo: ``<image stem>.png``, 0 = none, else a segment id of this image.

    ``mask_files`` says which other names are found, ``mask_images`` and ``mask_values`` what a file may hold. A folder with the
    photo's name holds one black-and-white file per object. An optional ``segments.json`` gives classes and scores; without an
    entry a segment is of the first prompt's class with score 1. Segments of classes that are not among the prompts are dropped.
    """

    given = True
    """Somebody made the masks; they are not found by a model."""

    def __init__(self, directory: Path, config: SegmentationConfig, findings: Findings | None = None):
        """Open ``directory``; ``config`` has the prompts, and what is known of the files.

        Raises:
            UsageError: no such directory, or no prompts.
            DataError: a ``segments.json`` that is none.
        """
        self.directory = Path(directory)
        if not self.directory.is_dir():
            raise UsageError(f"{directory}: no such directory of segment images")
        self._config, self._findings = config, Findings() if findings is None else findings
        self._classes = ClassTable(config.prompts, self._findings)
        self._facts = SegmentFacts(self.directory / "segments.json", self._classes, self._findings)
        self._files = MaskFiles(self.directory, config.segments_pattern, self._findings)
        self._place = MaskPlacement(config.segments_orientation, self._findings)
        self._void = config.segments_void

    def expect(self, photos: Sequence[PhotoName]) -> None:
        """Look for the masks of all photos beforehand; what does not fit becomes a finding.

        Raises:
            DataError: not one photo has a mask, or no mask a class that was asked for.
        """
        self._files.expect(photos)
        masked = [photo for photo in photos if self._files.find(photo) is not None]
        self._classes.require_some(self._facts.classes_of(map(_names, masked)), str(self._facts.path))
        if self._void < 0:
            # What a value means is the same in the whole folder, and not plain in each image.
            self._void = void_of(self._sample(masked))

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """The segments of ``keyframe``; None where it has no label image.

        Raises:
            DataError: the label image is damaged, no label image, of another aspect than the photo, or the photo itself.
        """
        photo = PhotoName(keyframe.name, keyframe.file_name)
        path = self._files.find(photo)
        if path is None:
            return None
        if keyframe.source and path.resolve() == Path(keyframe.source):
            raise DataError(f"{path}: is the photo itself, not its mask; give the folder of masks to --segments")
        if path.is_dir():
            return self._one_file_per_object(path, keyframe)
        meaning = meaning_of(read_mask(path), self._void)
        for kind, value in meaning.assumed:
            if kind is not VOID or self._config.segments_void < 0:
                self._findings.add(kind, keyframe.name, value=value)
        labels, original = self._place(meaning.image.values, keyframe, str(path)), meaning.image.original
        facts = self._facts.of([path.stem, *_names(photo)])
        unlisted = 0

        def look_up(segment: int) -> tuple[int, float] | None:
            nonlocal unlisted
            fact = facts.get(segment if original is None else int(original[segment]))
            unlisted += bool(facts) and fact is None
            return self._class_and_score(*(fact or (None, 1.0)))

        segments = segments_from_labels(keyframe.name, labels, look_up, self._config.min_area)
        if unlisted:
            self._facts.unlisted(keyframe.name, unlisted)
        return segments

    def close(self) -> None:
        """Nothing to free."""

    def _class_and_score(self, name: str | None, score: float) -> tuple[int, float] | None:
        number = 1 if name is None else self._classes.number(name)
        return None if number is None else (number, score)

    def _sample(self, photos: Sequence[PhotoName]) -> Iterator[MaskImage]:
        """Some masks from everywhere in the folder; damaged ones are told when it is their turn."""
        for photo in photos[:: max(1, len(photos) // SAMPLE)]:
            path = self._files.find(photo)
            if path is not None and path.is_file():
                with contextlib.suppress(DataError):
                    yield read_mask(path)

    def _one_file_per_object(self, folder: Path, keyframe: Keyframe) -> Segments:
        """Masks as SAM's automatic mode writes them: ``0.png``, ``1.png``, … and perhaps ``metadata.csv``."""
        width, height = keyframe.size
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in MASK_SUFFIXES and p.name[0] != ".")
        quality = _quality(folder / "metadata.csv")
        facts, regions, rows = self._facts.of([folder.name, keyframe.name]), [], []
        for path in paths:
            values = meaning_of(read_mask(path), self._void).image.values
            if len(np.unique(values[values > 0])) > 1:
                raise DataError(
                    f"{path}: several ids in a folder of one file per object; give one label image per photo instead"
                )
            number = int(path.stem) if path.stem.isdecimal() and len(path.stem) < 10 else -1
            rated, steady = quality.get(path.stem, (1.0, 1.0))
            row = self._class_and_score(*facts.get(number, (None, rated)))
            if row is not None:
                regions.append(region_of(self._place(values, keyframe, str(path)) > 0))
                rows.append((*row, steady))
        if self._config.overlapping:
            kept = [(region, row) for region, row in zip(regions, rows, strict=True) if region is not None]
            whole = [region for region, _ in kept]
            known = [row for _, row in kept]
            return flat_choice(placed_masks(keyframe, (height, width), whole, known, "stored", str(folder)))
        classes, scores = [row[0] for row in rows], [row[1] for row in rows]
        limits = {"min_area": self._config.min_area, "min_visible": MIN_VISIBLE}
        return resolve_overlaps(keyframe.name, (height, width), regions, classes, scores, **limits)


def _names(photo: PhotoName) -> tuple[str, ...]:
    """What ``segments.json`` may call a photo."""
    return photo.name, photo.below, photo.stem


def _quality(path: Path) -> dict[str, tuple[float, float]]:
    """SAM's own rating of its masks and their stability, by file stem; empty where nobody wrote it."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8", errors="replace").splitlines()))
        columns = ("predicted_iou", "stability_score")
        rated = [[min(max(float(row.get(column) or 1.0), 0.0), 1.0) for column in columns] for row in rows]
        return {row["id"]: (quality, stability) for row, (quality, stability) in zip(rows, rated, strict=True)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return {}
