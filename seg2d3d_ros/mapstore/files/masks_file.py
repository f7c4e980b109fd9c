"""``masks/<name>.json``: the overlapping masks of a keyframe, as a COCO file with run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.overlapping.annotations import annotation, masks_of, read_entry
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.image_files import pixel_limit


def masks_document(masks: OverlappingMasks, class_names: Sequence[str]) -> dict[str, Any]:
    """The content of the file; class id k is ``class_names[k - 1]``."""
    height, width = masks.shape
    return {
        "images": [{"id": 1, "file_name": masks.name, "width": width, "height": height}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(class_names, start=1)],
        "annotations": [annotation(masks, k) for k in range(len(masks))],
    }


def masks_in(document: Any, name: str) -> tuple[OverlappingMasks, tuple[str, ...]]:
    """The masks of a keyframe in such a document, and its class names; class id k is the k-th of them.

    Raises:
        ValueError: it is no such document, or for an image that is too large. Nothing is decoded before its size is checked.
    """
    try:
        image, categories = document["images"][0], document["categories"]
        names = tuple(item["name"] for item in categories)
        numbers = {item["id"]: number for number, item in enumerate(categories, start=1)}
        height, width = image["height"], image["width"]
        if not (type(height) is int and type(width) is int and 0 < height * width <= pixel_limit() and min(height, width) > 0):
            raise ValueError(f"an image of {width}×{height}")
        if not all(isinstance(item, str) for item in names):
            raise ValueError("a category without a name")
        classes = [numbers[item["category_id"]] for item in document["annotations"]]
        entries = [read_entry(item, (height, width)) for item in document["annotations"]]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return masks_of(name, (height, width), entries, classes), names


def read_masks_document(path: Path, name: str, class_names: Sequence[str]) -> OverlappingMasks:
    """The masks of these classes in a file; class id k is ``class_names[k - 1]``. A file that is damaged anywhere is refused.

    Raises:
        DataError: it is damaged, or for an image that is too large.
    """
    document = read_json(path, remedy="delete it and segment again", unreadable=DataError)
    try:
        masks, names = masks_in(document, name)
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); delete it and segment again") from error
    number = np.array([0, *(class_names.index(item) + 1 if item in class_names else 0 for item in names)], np.int32)
    classes = number[masks.classes]
    return replace(masks, classes=classes).take(np.flatnonzero(classes))
