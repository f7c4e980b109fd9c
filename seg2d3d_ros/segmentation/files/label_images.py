"""Segments that somebody else made, as label images in a directory."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.segmentation.files.class_table import ClassTable, checked_score
from seg2d3d_ros.segmentation.segmenter import no_segments, segments_from_labels
from seg2d3d_ros.types import Keyframe, Segments

log = logging.getLogger(__name__)


class LabelImages:
    """Reads ``DIRECTORY/<image stem>.png`` (uint8 or uint16, 0 = none, else a segment id of this image).

    For images in one folder per camera, ``front/0001.jpg``, both ``front_0001.png`` and ``front/0001.png`` are found.
    An optional ``segments.json``, ``{stem: {segment id: {"class": str, "score": float}}}``, gives classes and scores;
    without an entry a segment is of the first prompt's class with score 1. Segments of classes that are not among the
    prompts are dropped (case does not matter).

    Attributes:
        missing: names of the keyframes that had no label image.
        dropped: segments that were dropped because of their class, by class name.
        resized: label images that had another size than their photo.
    """

    def __init__(self, directory: Path, prompts: Sequence[str], min_area: float = 0.0, findings: Findings | None = None):
        """Open ``directory``.

        Raises:
            UsageError: no such directory, or no prompts.
            DataError: a damaged ``segments.json``.
        """
        self.directory = Path(directory)
        if not self.directory.is_dir():
            raise UsageError(f"{directory}: no such directory of segment images")
        self._classes = ClassTable(prompts)
        self.dropped = self._classes.dropped
        self._min_area = min_area
        self._facts = _read_facts(self.directory / "segments.json")
        self.missing: list[str] = []
        self._findings = Findings() if findings is None else findings
        self.resized = 0

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """The segments of ``keyframe``; none where there is no label image (counted in ``missing``).

        Raises:
            DataError: the label image is damaged, has several channels, or another aspect than the photo.
        """
        width, height = keyframe.size
        stem, path = self._find(keyframe)
        if path is None:
            self.missing.append(keyframe.name)
            log.debug("%s: no label image in %s", keyframe.name, self.directory)
            return None
        labels = self._fit(read_labels(path), width, height, path)
        facts = self._facts.get(stem) or self._facts.get(keyframe.name, {})
        return segments_from_labels(keyframe.name, labels, lambda segment: self._lookup(facts.get(segment)), self._min_area)

    def close(self) -> None:
        """Nothing to free."""

    def _find(self, keyframe: Keyframe) -> tuple[str, Path | None]:
        """The key in ``segments.json`` and the label image's path."""
        below = Path(keyframe.file_name).with_suffix("").as_posix() if keyframe.file_name else keyframe.name
        for stem in dict.fromkeys((keyframe.name, below)):
            if (path := self.directory / f"{stem}.png").is_file():
                return stem, path
        return keyframe.name, None

    def _fit(self, labels: np.ndarray, width: int, height: int, path: Path) -> np.ndarray:
        """Bring a label image of another size to the photo's. Half a pixel of rounding in either image is no fault."""
        rows, columns = labels.shape
        if (columns, rows) == (width, height):
            return labels
        if abs(columns * height - rows * width) > max(width, height, columns, rows):
            raise DataError(
                f"{path}: the label image is {columns}×{rows}, its photo {width}×{height}: they do not show the same picture; "
                "make the label images from the photos as they are stored (EXIF orientation not applied)"
            )
        if not self.resized:
            log.warning("%s: %d×%d label images are resized to %d×%d, as their photos", path, columns, rows, width, height)
        self.resized += 1
        return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    def _lookup(self, fact: tuple[str | None, float] | None) -> tuple[int, float] | None:
        name, score = fact or (None, 1.0)
        if name is None:
            return 1, score
        number = self._classes.number(name)
        return None if number is None else (number, score)


def _read_facts(path: Path) -> dict[str, dict[int, tuple[str | None, float]]]:
    """``{stem: {segment id: (class or None, score)}}`` from ``segments.json``; empty where there is no such file."""
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {stem: {int(segment): _fact(fact) for segment, fact in entries.items()} for stem, entries in document.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        shape = '{stem: {segment id: {"class": text, "score": 0 to 1}}}'
        raise DataError(f"{path}: cannot be read as {shape} ({error})") from error


def _fact(fact: dict[str, Any]) -> tuple[str | None, float]:
    name = fact.get("class")
    if not isinstance(name, str | None):
        raise ValueError(f"bad entry {fact}")
    return name, checked_score(fact.get("score", 1.0))
