"""A COCO JSON file of instances: its images and their annotations, each checked by itself."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Finding, Findings, Kind
from seg2d3d_ros.segmentation.files.class_table import ClassTable
from seg2d3d_ros.segmentation.files.photo_names import Named

EXPECTED = "COCO instances with images, annotations and categories"
_ROBOFLOW = re.compile(r"^(.+)_(?:jpe?g|png|tiff?|bmp|webp)\.rf\.[0-9A-Za-z]+$", re.IGNORECASE)
_LABEL_STUDIO = re.compile(r"^[0-9a-f]{4,}-(.+)$", re.IGNORECASE)

BROKEN = Kind(
    "coco_annotations_unusable",
    "parts of the COCO file that cannot be used and were left out",
    cause="{reasons}",
    remedy="export these annotations again; the others are used",
)
CROWDS = Kind(
    "coco_crowds",
    "annotations of crowds (iscrowd), which hold several objects and are left out",
    cause="the annotator did not separate them",
    remedy="annotate the objects one by one if they are wanted",
    level=NOTE,
)


@dataclass(frozen=True)
class CocoImage:
    """An entry of ``images``: its file's name, its size (width, height) if that is given, and its annotations.

    Attributes:
        annotated: it has annotations of whatever kind, usable or not.
        found: class, score and segmentation of those that were asked for.
    """

    file_name: str
    size: tuple[int, int] | None
    annotated: bool
    found: tuple[tuple[int, float, Any], ...]

    @property
    def named(self) -> Named:
        """For ``match_names``."""
        return Named(self.file_name, name_forms(self.file_name))


class CocoDocument:
    """What a file says; what is bad about single entries is counted.

    Attributes:
        images: in the file's order.
        scored: annotations have scores: a detector made them, and it looked at every image that is listed.
        categories: how many annotations each has.
    """

    def __init__(self, path: Path, classes: ClassTable, findings: Findings) -> None:
        """Read it.

        Raises:
            DataError: not such a file.
        """
        self.path, self._findings, self._reasons = path, findings, Counter[str]()
        document = read_json(path, remedy=f"expected {EXPECTED}", unreadable=DataError, lenient=True)
        if isinstance(document, list):
            raise DataError(
                f"{path}: is a list of results; expected {EXPECTED}: put the results into 'annotations' of the data set"
            )
        parts = [document.get(key) if isinstance(document, dict) else None for key in ("images", "annotations", "categories")]
        if not all(isinstance(part, list) for part in parts):
            raise DataError(f"{path}: no {EXPECTED}")
        images, annotations, categories = parts
        names = {}
        for entry in categories or ():
            if (key := _key_of(entry, "id")) is not None and isinstance(entry.get("name"), str):
                names[key] = entry["name"]
            else:
                self.left_out("a category without id or name")
        entries = self._entries(images or [])
        self.categories: Counter[str] = Counter()
        self.scored = any(isinstance(entry, dict) and "score" in entry for entry in annotations or ())
        annotated, found = set[str](), defaultdict[str, list[tuple[int, float, Any]]](list)
        for number, entry in enumerate(annotations or ()):
            image, category = _key_of(entry, "image_id"), _key_of(entry, "category_id")
            if image is None or category is None:
                self.left_out("an annotation without image_id or category_id")
            elif image not in entries:
                self.left_out("an annotation of an image that is not listed, or whose id several images have")
            elif category not in names:
                self.left_out("an annotation of a category that is not listed")
            else:
                annotated.add(image)
                self.categories[names[category]] += 1
                if (item := self._annotation(entry, names[category], classes, number)) is not None:
                    found[image].append(item)
        self.images = [
            CocoImage(entry["file_name"], _size(entry), key in annotated, tuple(found[key])) for key, entry in entries.items()
        ]
        if document and not self.images:
            why = f" ({self._listed()})" if self._reasons else ""
            raise DataError(f"{path}: lists no usable image{why}; expected {EXPECTED}, each image with id and file_name")

    def left_out(self, reason: str) -> None:
        """Count something that cannot be used."""
        self._reasons[reason] += 1
        self._findings.put(Finding(BROKEN, self._reasons.total(), details={"reasons": self._listed()}))

    def _listed(self) -> str:
        return ", ".join(f"{reason}: {count}" for reason, count in self._reasons.most_common(8))

    def _entries(self, images: list[Any]) -> dict[str, dict[str, Any]]:
        """The images by id; those whose id is not theirs alone are left out."""
        entries: dict[str, dict[str, Any]] = {}
        keys = Counter(_key_of(entry, "id") for entry in images)
        for entry in images:
            key = _key_of(entry, "id")
            if key is None or not isinstance(entry.get("file_name"), str) or not entry["file_name"].strip():
                self.left_out("an image without id or file_name")
            elif keys[key] > 1:
                self.left_out("an image whose id other images have, too")
            else:
                entries[key] = entry
        return entries

    def _annotation(
        self, entry: dict[str, Any], category: str, classes: ClassTable, number: int
    ) -> tuple[int, float, Any] | None:
        class_id = classes.number(category)
        if class_id is None:
            return None
        if entry.get("iscrowd") in (1, "1", True):
            self._findings.add(CROWDS)
            return None
        if entry.get("segmentation") is None:
            self.left_out("an annotation with a box only, without a segmentation")
            return None
        score = entry.get("score", None if self.scored else 1.0)  # a detector scores all; a person none
        return class_id, classes.score(score, f"annotation {entry.get('id', number)}"), entry["segmentation"]


def name_forms(file_name: str) -> tuple[tuple[str, ...], ...]:
    """A file name as photos may have it: without ending and drive; without what Roboflow and Label Studio add."""
    path = re.sub(r"^[A-Za-z]:", "", file_name.strip().replace("\\", "/")).lstrip("/")
    plain = PurePosixPath(path).with_suffix("").as_posix() if PurePosixPath(path).name else path
    folder, slash, name = plain.rpartition("/")
    shorter = [match[1] for pattern in (_ROBOFLOW, _LABEL_STUDIO) if (match := pattern.match(name))]
    return ((plain,), tuple(f"{folder}{slash}{text}" for text in shorter))


def _key_of(entry: Any, field: str) -> str | None:
    """An id as text, since some tools write numbers and others texts; None where there is none."""
    value = entry.get(field) if isinstance(entry, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value).strip()[:200]


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    sides = [entry.get("width"), entry.get("height")]
    try:
        width, height = (int(side) for side in sides)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None
