"""Segments that somebody else made, as COCO JSON instances: polygons, and run lengths plain or compressed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.segmentation.files.class_table import ClassTable, checked_score
from seg2d3d_ros.segmentation.resolve import resolve_overlaps
from seg2d3d_ros.segmentation.segmenter import no_segments
from seg2d3d_ros.types import Keyframe, Segments

MIN_VISIBLE = 0.05
"""A mask that better ones cover but for this share is dropped."""
MAX_OUTLINE = 100
"""Longest outline of a polygon, and farthest point, in sums of the image's sides: pycocotools' memory grows with them."""


class CocoInstances:
    """Reads a COCO instances file (``images``, ``annotations``, ``categories``), or what its results format adds: ``score``.

    An image is found by its file name below the folder of images, else by its stem. Categories are matched with the
    prompts by name; others are dropped. ``iscrowd`` regions hold several objects and are left out.

    Attributes:
        missing: names of the keyframes that the file does not know.
        dropped: annotations that were dropped because of their category, by name.
    """

    def __init__(self, path: Path, prompts: Sequence[str], min_area: float = 0.0, findings: Findings | None = None):
        """Read the file.

        Raises:
            UsageError: no such file, no prompts, or pycocotools is not installed.
            DataError: not such a file.
        """
        self.path, self._min_area = Path(path), min_area
        if not self.path.is_file():
            raise UsageError(f"{path}: no such COCO JSON file")
        load_pycocotools()
        self._classes = ClassTable(prompts)
        self.dropped = self._classes.dropped
        self.missing: list[str] = []
        self._findings = Findings() if findings is None else findings
        self._images: dict[str, dict[str, Any]] = {}
        self._found: dict[int, list[tuple[int, float, Any]]] = {}
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
            for image in document["images"]:
                below = Path(str(image["file_name"]))
                self._images[below.stem] = self._images[below.with_suffix("").as_posix()] = image
            for entry in document["annotations"]:
                self._add(entry, names[entry["category_id"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: no COCO instances file with images, annotations and categories ({type(error).__name__}: {error})"
            ) from error

    def _add(self, entry: dict[str, Any], name: str) -> None:
        if entry.get("iscrowd") or (number := self._classes.number(name)) is None:
            return
        found = number, checked_score(float(entry.get("score", 1.0))), entry["segmentation"]
        self._found.setdefault(entry["image_id"], []).append(found)

    def segment(self, keyframe: Keyframe) -> Segments:
        """The annotated objects of ``keyframe``; none where the file does not know the image (counted in ``missing``).

        Raises:
            DataError: a damaged annotation, or an image of another size.
        """
        width, height = keyframe.size
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
        found = self._found.get(image["id"], [])
        try:
            regions = [decode(segmentation, height, width) for _, _, segmentation in found]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise DataError(f"{self.path}: {keyframe.name}: damaged segmentation ({error})") from error
        return resolve_overlaps(
            keyframe.name,
            (height, width),
            regions,
            [number for number, _, _ in found],
            [score for _, score, _ in found],
            min_area=self._min_area,
            min_visible=MIN_VISIBLE,
        )

    def close(self) -> None:
        """Nothing to free."""


def load_pycocotools() -> ModuleType:
    """``pycocotools.mask``, imported when it is needed.

    Raises:
        UsageError: it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UsageError(f"COCO files need pycocotools ({error}): pip install pycocotools") from error
    return mask


def decode(segmentation: Any, height: int, width: int) -> Region | None:
    """The mask of a COCO ``segmentation``: a list of polygons, or run lengths ``{"size", "counts"}``; None if empty.

    pycocotools decodes, but checks nothing: it reads and writes beyond its memory where counts are wrong.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: not such a value, or for an image of another size.
    """
    coder = load_pycocotools()
    if isinstance(segmentation, list):
        polygons = [_checked_polygon(polygon, MAX_OUTLINE * (height + width)) for polygon in segmentation]
        if not polygons:
            return None
        encoded = coder.merge(coder.frPyObjects(polygons, height, width))
    else:
        if list(map(int, segmentation["size"])) != [height, width]:
            raise ValueError(f"run lengths for {segmentation['size']}, the image has {[height, width]}")
        counts = segmentation["counts"]
        runs = run_lengths(counts) if isinstance(counts, str) else [int(count) for count in counts]
        if min(runs, default=0) < 0 or sum(runs) != height * width:
            raise ValueError(f"run lengths add up to {sum(runs)}, the image has {height * width} pixels")
        encoded = coder.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return region_of(coder.decode(encoded).astype(bool))


def _checked_polygon(polygon: Any, limit: float) -> list[float]:
    points = np.asarray(polygon, float)
    if points.ndim != 1 or len(points) % 2 or len(points) < 6:
        raise ValueError(f"a polygon is a list x y x y … of at least three points, not {str(polygon)[:60]}")
    corners = points.reshape(-1, 2)
    # NaN is not below the limit either.
    with np.errstate(over="ignore", invalid="ignore"):
        outline = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum()
    if not (np.abs(corners).max() <= limit and outline <= limit):
        raise ValueError(f"a polygon reaches far out of the image, or its outline is endless: {str(polygon)[:60]}")
    return points.tolist()


def run_lengths(text: str) -> list[int]:
    """The run lengths in COCO's text form: groups of 5 bits, the lowest first, each a character from 48 on whose bit 32 says
    that more follow; signed; from the fourth run on the difference to the run before the last (``rleFrString``).

    Raises:
        ValueError: other characters, more bits than a run has, or a text that is cut off.
    """
    if not re.fullmatch("(?:[P-o]{0,6}[0-O])*", text):
        raise ValueError(f"not the text of run lengths, or cut off: {text[:60]!r}")
    runs: list[int] = []
    for group in re.findall("[P-o]*[0-O]", text):
        codes = [ord(character) - 48 for character in group]
        value = sum((code & 31) << 5 * place for place, code in enumerate(codes))
        value -= (codes[-1] & 16) and 1 << 5 * len(codes)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
