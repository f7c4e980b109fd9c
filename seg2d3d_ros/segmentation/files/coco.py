"""Segments that somebody else made, as COCO JSON instances: polygons, and run lengths plain or compressed."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.images import image_size
from seg2d3d_ros.segmentation.resolve import resolve_regions
from seg2d3d_ros.segmentation.segmenter import no_segments
from seg2d3d_ros.types import Keyframe, Segments

log = logging.getLogger(__name__)

MIN_VISIBLE = 0.05
"""A mask that better ones cover but for this share is dropped."""


class CocoInstances:
    """Reads a COCO instances file (``images``, ``annotations``, ``categories``), or what its results format adds: ``score``.

    An image is found by its file name below the folder of images, else by its stem. Categories are matched with the
    prompts by name; others are dropped. ``iscrowd`` regions hold several objects and are left out.

    Attributes:
        missing: names of the keyframes that the file does not know.
        dropped: annotations that were dropped because of their category, by name.
    """

    def __init__(self, path: Path, prompts: Sequence[str], min_area: float = 0.0):
        """Read the file.

        Raises:
            UsageError: no such file, or no prompts.
            DataError: not such a file.
        """
        self.path, self._min_area = Path(path), min_area
        if not self.path.is_file():
            raise UsageError(f"{path}: no such COCO JSON file")
        if not prompts:
            raise UsageError("no prompts: name at least one class of objects, e.g. --label building")
        classes = {prompt.casefold(): number for number, prompt in enumerate(prompts, start=1)}
        self.missing: list[str] = []
        self.dropped: dict[str, int] = {}
        self._images: dict[str, dict[str, Any]] = {}
        self._found: dict[int, list[tuple[int, float, Any]]] = {}
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
            for image in document["images"]:
                below = Path(str(image["file_name"]))
                self._images[below.stem] = self._images[below.with_suffix("").as_posix()] = image
            for entry in document["annotations"]:
                self._add(entry, names[entry["category_id"]], classes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: no COCO instances file with images, annotations and categories ({type(error).__name__}: {error})"
            ) from error

    def _add(self, entry: dict[str, Any], name: str, classes: dict[str, int]) -> None:
        if entry.get("iscrowd"):
            return
        number = classes.get(name.casefold())
        if number is None:
            self.dropped[name] = self.dropped.get(name, 0) + 1
            return
        score = float(entry.get("score", 1.0))
        if not 0 <= score <= 1:
            raise ValueError(f"annotation {entry.get('id')}: score {score} is outside 0 … 1")
        self._found.setdefault(entry["image_id"], []).append((number, score, entry["segmentation"]))

    def segment(self, keyframe: Keyframe) -> Segments:
        """The annotated objects of ``keyframe``; none where the file does not know the image (counted in ``missing``).

        Raises:
            DataError: a damaged annotation, or an image of another size.
        """
        width, height = image_size(keyframe.encoded, keyframe.source or keyframe.name)
        below = Path(keyframe.file_name).with_suffix("").as_posix()
        image = self._images.get(below) or self._images.get(keyframe.name)
        if image is None:
            self.missing.append(keyframe.name)
            return no_segments(keyframe.name, (height, width))
        if (image.get("width", width), image.get("height", height)) != (width, height):
            raise DataError(
                f"{self.path}: {keyframe.name} is {image['width']}×{image['height']} there, its photo {width}×{height}; "
                "make the annotations from the photos as they are stored (EXIF orientation not applied)"
            )
        regions, kept, found = [], [], self._found.get(image["id"], [])
        for row, (_, _, segmentation) in enumerate(found):
            try:
                region = decode(segmentation, height, width)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise DataError(f"{self.path}: {keyframe.name}: damaged segmentation ({error})") from error
            if region is not None:
                regions.append(region)
                kept.append(row)
        return resolve_regions(
            keyframe.name,
            (height, width),
            regions,
            [found[row][0] for row in kept],
            [found[row][1] for row in kept],
            min_area=self._min_area,
            min_visible=MIN_VISIBLE,
        )

    def close(self) -> None:
        """Nothing to free."""


def decode(segmentation: Any, height: int, width: int) -> Region | None:
    """The mask of a COCO ``segmentation``: a list of polygons, or run lengths ``{"size", "counts"}``; None if empty.

    Raises:
        ValueError, KeyError, TypeError: not such a value, or for an image of another size.
    """
    if isinstance(segmentation, list):
        mask = np.zeros((height, width), bool)
        for polygon in segmentation:
            points = np.asarray(polygon, float)
            if points.ndim != 1 or len(points) % 2 or len(points) < 6 or not np.isfinite(points).all():
                raise ValueError(f"a polygon is a list x y x y … of at least three points, not {str(polygon)[:60]}")
            fill(mask, points.reshape(-1, 2))
        return region_of(mask)
    if list(map(int, segmentation["size"])) != [height, width]:
        raise ValueError(f"run lengths for {segmentation['size']}, the image has {[height, width]}")
    counts = segmentation["counts"]
    runs = np.asarray(decompressed(counts) if isinstance(counts, str) else counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"run lengths add up to {runs.sum()}, the image has {height * width} pixels")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return region_of(values.reshape(width, height).T)


def fill(mask: np.ndarray, points: np.ndarray) -> None:
    """Set the pixels of ``mask`` (H, W) whose centres lie inside a polygon (N, 2); the first pixel's centre is (0.5, 0.5)."""
    following = np.roll(points, -1, axis=0)
    first = max(0, math.floor(points[:, 1].min() - 0.5))
    for row in range(first, min(len(mask), math.ceil(points[:, 1].max() + 0.5))):
        y = row + 0.5
        (x0, y0), (x1, y1) = points.T, following.T
        crosses = (y0 <= y) != (y1 <= y)
        at = np.sort(x0[crosses] + (y - y0[crosses]) * (x1[crosses] - x0[crosses]) / (y1[crosses] - y0[crosses]))
        for left, right in at.reshape(-1, 2):
            mask[row, max(0, math.ceil(left - 0.5)) : max(0, math.ceil(right - 0.5))] = True


def decompressed(text: str) -> list[int]:
    """Run lengths from COCO's text form: base 32 with continuation bit and sign, from 48 on; from the third run on the
    difference to the run before the last (``rleFrString`` of the COCO API)."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"character {character!r} in run lengths")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("run lengths are cut off")
    return runs
