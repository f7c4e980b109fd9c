"""What the values of a mask file mean: ids of objects, black and white, or "ignore"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.findings import NOTE, Kind
from seg2d3d_ros.segmentation.files.mask_images import GREY, PALETTE, MaskImage

IGNORED = (255, 65535)
"""What tools write for "ignore"."""
SMALL_ID = 127
"""Beside ids up to here, 255 is no next id; ids stretched to the whole range reach beyond."""
AROUND = 0.8
"""Of the objects' outline, where it is a border that is to be ignored."""

VOID = Kind(
    "masks_void",
    "label images in which a value was taken for 'ignore'",
    cause="{value} stands beside small ids as a border around objects, or as the last entry of a palette",
    remedy="if it is an object, give it another id; segmentation.segments_void says which value means 'ignore'",
    level=NOTE,
)
VOID_DOUBTED = Kind(
    "masks_void_doubted",
    "label images in which 255 was taken for an object, though it may mean 'ignore'",
    cause="the other ids are small",
    remedy="where it means 'ignore': --set segmentation.segments_void=255; where it is an object: …segments_void=0",
)
BINARY = Kind(
    "masks_binary",
    "black-and-white masks, each taken for one object of the first class",
    cause="{value} is the only value in the file",
    remedy="where there are several objects in an image, give each its own id (1, 2, 3, …)",
    level=NOTE,
)
NO_BACKGROUND = Kind(
    "masks_without_background",
    "label images in which no pixel is 0",
    cause="the values may be classes, one of which is the background, instead of objects",
    remedy="write 0 where there is no object; objects of one class that touch need ids of their own",
)


@dataclass(frozen=True)
class Meaning:
    """A label image, and what was assumed.

    Attributes:
        image: with "ignore" set to 0.
        assumed: the findings' kinds, with the value that made them.
    """

    image: MaskImage
    assumed: tuple[tuple[Kind, int], ...]


def meaning_of(image: MaskImage, void: int) -> Meaning:
    """Sort out the values.

    Args:
        void: the value that means "ignore", as it stands in the file; 0 = none does; -1 = what is plain: 65535 beside other
            ids, 255 in a palette or around the objects, VOC's border colour.
    """
    values = image.values
    original = np.arange(int(values.max(initial=0)) + 1) if image.original is None else image.original
    present = np.unique(values)
    ids = present[present > 0]
    if len(ids) == 0:
        return Meaning(image, ())
    assumed: list[tuple[Kind, int]] = []
    ignored, doubted = _ignored(image, original, ids) if void < 0 else (np.flatnonzero(original == void), False)
    ignored = ignored[(ignored > 0) & np.isin(ignored, ids)]
    if len(ignored):
        values = np.where(np.isin(values, ignored), np.uint16(0), values)
        ids = np.setdiff1d(ids, ignored)
        assumed.append((VOID, int(original[ignored[0]])))
    elif doubted:
        assumed.append((VOID_DOUBTED, 255))
    if len(present) and present[0] > 0:
        assumed.append((NO_BACKGROUND, int(original[present[0]])))
    if len(ids) == 1 and int(original[ids[0]]) in IGNORED:
        assumed.append((BINARY, int(original[ids[0]])))
    return Meaning(replace(image, values=values), tuple(assumed))


def _ignored(image: MaskImage, original: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, bool]:
    """The values that plainly mean "ignore", and whether one more may."""
    if image.border and len(ids) > 1:
        return np.array([image.border]), False
    top = int(ids[-1])
    if len(ids) < 2 or image.original is not None or top not in IGNORED:
        return np.empty(0, np.int64), False
    if top == IGNORED[1] or image.kind == PALETTE:
        return np.array([top]), False
    if image.kind != GREY or ids[-2] > SMALL_ID:
        return np.empty(0, np.int64), False
    return (np.array([top]), False) if _share_around(image.values, top) >= AROUND else (np.empty(0, np.int64), True)


def _share_around(values: np.ndarray, value: int) -> float:
    """Of the outline of all other objects, as far as they do not touch each other, the share that touches this value; 0 where
    there is no background beside."""
    touching = outline = 0
    for first, second in ((values[:, :-1], values[:, 1:]), (values[:-1], values[1:])):
        one, other = np.minimum(first, second), np.maximum(first, second)
        touching += int(((one > 0) & (one != value) & (other == value)).sum())
        outline += int(((one == 0) & (other > 0) & (other != value)).sum())
    return touching / (touching + outline) if touching and not values.all() else 0.0


def void_of(images: Iterable[MaskImage]) -> int:
    """The value that plainly means "ignore" in some images of a folder, if it does in most of those that have it; -1 = none."""
    plain, other = Counter[int](), Counter[int]()
    for image in images:
        meaning = meaning_of(image, -1)
        plain.update(value for kind, value in meaning.assumed if kind is VOID)
        other.update(value for kind, value in meaning.assumed if kind is VOID_DOUBTED)
    value, count = max(plain.items(), key=lambda item: item[1], default=(-1, 0))
    return value if count > other[value] else -1
