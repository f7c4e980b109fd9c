"""Segments as one mono16 image: ``class_id * 1000 + k``, the convention of Cityscapes' instance ids."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.segmentation.segmenter import segments_from_labels
from seg2d3d_ros.types import Segments

PER_CLASS = 1000
MAX_CLASS = np.iinfo(np.uint16).max // PER_CLASS - 1  # the last class with room for k = 0 … 999


WITHOUT_CODES = Kind(
    "mask_codes_assumed",
    "label images without class codes, whose values were taken for instance ids of the only prompt",
    cause="all values are below 1000; with codes they are class_id * 1000 + k",
    remedy="nothing, if that is what they are",
    level=NOTE,
)
CODES_MISSING = Kind(
    "mask_codes_missing",
    "label images without class codes, in which nothing was found",
    cause="all values are below 1000, and with {classes} prompts nobody knows of which class an instance is",
    remedy="send class_id * 1000 + k, class ids counted from 1 in the order of the prompts; or give one prompt only",
)
UNCOUNTABLE = Kind(
    "mask_values_uncountable",
    "label images with values from 1 to 999 beside class codes, which were left out",
    cause="as in Cityscapes, they stand for areas without objects, such as sky",
    remedy="give objects class_id * 1000 + k",
    level=NOTE,
)
UNKNOWN_CODES = Kind(
    "mask_codes_unknown",
    "label images with class ids that no prompt has, whose objects were left out",
    cause="class ids in {source} go up to {highest}, and there are {classes} prompts",
    remedy="give all prompts, in the order of the class ids, which count from 1",
)


def to_mono16(segments: Segments) -> np.ndarray:
    """(H, W) uint16 with ``class_id * 1000 + k`` where there is a segment, else 0.

    Segment ids that follow the convention already are kept; else k counts from 1 within each class.

    Raises:
        DataError: a class id above 64, or more than 999 segments of one class.
    """
    ids, classes = segments.ids.astype(np.int64), segments.classes.astype(np.int64)
    if len(ids) and not 1 <= classes.min() <= classes.max() <= MAX_CLASS:
        raise DataError(f"{segments.name}: class ids {classes.min()} … {classes.max()}, a mono16 image holds 1 … {MAX_CLASS}")
    if np.array_equal(ids // PER_CLASS, classes):
        return segments.labels.astype(np.uint16)
    table = np.zeros(int(segments.labels.max(initial=0)) + 1, np.uint16)
    for class_id in np.unique(classes):
        members = ids[classes == class_id]
        if len(members) >= PER_CLASS:
            raise DataError(f"{segments.name}: {len(members)} segments of class {class_id}, a mono16 image holds 999")
        table[members] = class_id * PER_CLASS + 1 + np.arange(len(members))
    return table[segments.labels]


def with_added(image: np.ndarray, segments: Segments, added: Iterable[int]) -> np.ndarray:
    """A ``class_id * 1000 + k`` image with some more segments; those that it has keep their values.

    Args:
        image: (H, W) uint16.
        segments: of the same size, among them the new ones.
        added: ids of these. One for which its class has no number left is not added.
    """
    result = image.copy()
    class_of = dict(zip(segments.ids.tolist(), segments.classes.tolist(), strict=True))
    for i in added:
        first = class_of[i] * PER_CLASS
        value = max(int(result[result // PER_CLASS == class_of[i]].max(initial=0)), first) + 1
        if 1 <= class_of[i] <= MAX_CLASS and value < first + PER_CLASS:
            result[segments.labels == i] = value
    return result


def from_mono16(
    name: str,
    image: np.ndarray,
    classes: int,
    min_area: float = 0.0,
    source: str = "",
    findings: Findings | None = None,
) -> Segments:
    """``Segments`` of a ``class_id * 1000 + k`` image; the values stay as segment ids, scores are 1.

    Values 1 … 999 have no object number (Cityscapes: areas that cannot be counted, such as sky) and are left out, unless the
    image has no others and there is one prompt: then they are instance ids of it. Objects of a class id that no prompt has are
    left out, too. All of this is counted.

    Args:
        image: (H, W) uint16 or uint8.
        classes: number of prompts.
        min_area: smaller segments (share of the image) are dropped.
        source: topic or file, for messages.
        findings: gets what is left out or assumed.

    Raises:
        DataError: not such an image.
    """
    where = source or name
    if image.ndim != 2 or image.dtype not in (np.uint16, np.uint8):
        raise DataError(f"{where}: a segment image is mono16 (H, W), this one is {image.shape} {image.dtype}")
    image, findings = image.astype(np.uint16, copy=False), Findings() if findings is None else findings
    coded = bool((image >= PER_CLASS).any())
    if not coded and classes == 1 and image.any():
        findings.add(WITHOUT_CODES, name)
        return segments_from_labels(name, image, lambda value: (1, 1.0), min_area)
    if coded and ((image > 0) & (image < PER_CLASS)).any():
        findings.add(UNCOUNTABLE, name)
    elif image.any() and not coded:
        findings.add(CODES_MISSING, name, classes=classes)
    highest = int(image.max(initial=0)) // PER_CLASS
    if highest > classes:
        findings.add(UNKNOWN_CODES, name, source=where, highest=highest, classes=classes)

    def class_and_score(value: int) -> tuple[int, float] | None:
        return (value // PER_CLASS, 1.0) if 1 <= value // PER_CLASS <= classes else None

    return segments_from_labels(name, image, class_and_score, min_area)
