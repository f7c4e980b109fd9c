"""``segments.json``: classes and scores of the segments in label images."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.segmentation.files.class_table import ClassTable

SHAPE = 'segments.json: {stem: {segment id: {"class": text, "score": 0 to 1}}}'

BROKEN_ENTRIES = Kind(
    "segments_json_broken",
    "entries of segments.json that cannot be read and were left out",
    cause="e.g. {entry}",
    remedy="write a segment's class as text and its score as number (docs/segmenters.md); until then it is of the first class",
)
UNLISTED = Kind(
    "segments_not_listed",
    "segments without an entry in segments.json, though others of their image have one",
    cause="the ids in the file and in the label images differ, or the list is not complete",
    remedy="list all segments; those without an entry count as the first class with score 1",
)

Fact = tuple[str | None, float]
"""Class, None = the first prompt's, and score."""


class SegmentFacts:
    """What the file says of each segment; empty where there is no file.

    Args:
        path: the file.
        classes: checks scores, and says which classes were asked for.
    """

    def __init__(self, path: Path, classes: ClassTable, findings: Findings) -> None:
        """Read it.

        Raises:
            DataError: a file that is no JSON object at all.
        """
        self.path, self._classes, self._findings = path, classes, findings
        self._facts: dict[str, dict[int, Fact]] = {}
        document = read_json(path, remedy=f"expected {SHAPE}", unreadable=DataError, lenient=True) if path.exists() else {}
        if not isinstance(document, dict):
            raise DataError(f"{path}: expected {SHAPE}, not a {type(document).__name__}")
        for stem, entries in document.items():
            self._facts[unicodedata.normalize("NFC", stem)] = self._entries(stem, entries)

    def of(self, names: Iterable[str]) -> Mapping[int, Fact]:
        """By segment id, under the first of an image's names that the file knows."""
        for name in names:
            if (found := self._facts.get(unicodedata.normalize("NFC", name))) is not None:
                return found
        return {}

    def classes_of(self, images: Iterable[Iterable[str]]) -> Counter[str]:
        """How many segments of each class these images (each by its names) have; empty where one has a segment of no class."""
        found: Counter[str] = Counter()
        for names in images:
            facts = self.of(names)
            if not facts or any(name is None for name, _ in facts.values()):
                return Counter()
            found.update(str(name) for name, _ in facts.values())
        return found

    def unlisted(self, name: str, count: int) -> None:
        """Count segments of an image that have no entry."""
        self._findings.add(UNLISTED, name, count=count)

    def _entries(self, stem: str, entries: Any) -> dict[int, Fact]:
        if not isinstance(entries, dict):
            self._broken(stem, entries)
            return {}
        found = {}
        for key, fact in entries.items():
            name = fact.get("class") if isinstance(fact, dict) else 0
            if not (key.isascii() and key.strip().isdecimal() and len(key) < 12 and isinstance(name, str | None)):
                self._broken(f"{stem}/{key}", fact)
                continue
            found[int(key)] = name, self._classes.score(fact.get("score", 1.0), f"{stem}/{key}")
        return found

    def _broken(self, place: str, entry: Any) -> None:
        self._findings.add(BROKEN_ENTRIES, place, entry=f"{place}: {str(entry)[:40]}")
