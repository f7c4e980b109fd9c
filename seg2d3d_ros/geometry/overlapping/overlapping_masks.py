"""The masks of one image where one pixel may belong to several: a window, its storey, and the house."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seg2d3d_ros.arrays import check_array
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.geometry.overlapping.run_lengths import load_pycocotools, run_lengths


@dataclass(frozen=True)
class OverlappingMasks:
    """S masks of one keyframe. ``Segments`` is a flat choice made from them.

    Attributes:
        name: the keyframe's name.
        shape: (H, W) of the image.
        counts: S times COCO's compressed run lengths, which fit ``shape``.
        boxes: (S, 4) int32 ``x0 y0 x1 y1``, the last pixel excluded.
        classes: (S,) int32, 1-based index into the prompts.
        scores: (S,) float32 in [0, 1], the segmenter's own.
        stabilities: (S,) float32 in [0, 1], overlap of the mask's outlines at a lower and a higher threshold; 1 where nobody
            measured it.
    """

    name: str
    shape: tuple[int, int]
    counts: tuple[bytes, ...]
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    stabilities: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.counts)
        check_array(f"{self.name}: boxes", self.boxes, (count, 4), "i")
        check_array(f"{self.name}: classes", self.classes, (count,), "i")
        check_array(f"{self.name}: scores", self.scores, (count,), "f")
        check_array(f"{self.name}: stabilities", self.stabilities, (count,), "f")

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def of_regions(
        cls,
        name: str,
        shape: tuple[int, int],
        regions: Sequence[Region],
        classes: Iterable[int],
        scores: Iterable[float],
        stabilities: Iterable[float] | None = None,
    ) -> OverlappingMasks:
        """Masks given as pixels; none may be empty.

        Raises:
            UsageError: the arrays do not fit together, or pycocotools is missing.
        """
        coder = load_pycocotools()
        counts = []
        for region in regions:
            pixels = np.zeros(shape, np.uint8, order="F")
            pixels[region.window] = region.pixels
            counts.append(bytes(coder.encode(pixels)["counts"]))
        boxes = np.array([region.box for region in regions], np.int32).reshape(-1, 4)
        steady = np.ones(len(counts)) if stabilities is None else list(stabilities)
        return cls(
            name,
            shape,
            tuple(counts),
            boxes,
            np.array(list(classes), np.int32),
            np.array(list(scores), np.float32),
            np.array(steady, np.float32),
        )

    @classmethod
    def none(cls, name: str, shape: tuple[int, int]) -> OverlappingMasks:
        """No mask in an image of ``shape`` (H, W)."""
        return cls.of_regions(name, shape, [], [], [])

    @cached_property
    def ends(self) -> tuple[np.ndarray, ...]:
        """Of each mask the places ``column * H + row`` at which its runs end, int64 ascending; odd runs lie inside it."""
        return tuple(np.cumsum(run_lengths(counts)) for counts in self.counts)

    @cached_property
    def areas(self) -> np.ndarray:
        """(S,) int64 pixels of each mask."""
        return np.array([int(np.diff(ends, prepend=0)[1::2].sum()) for ends in self.ends], np.int64)

    def region(self, k: int) -> Region:
        """The pixels of one mask.

        Raises:
            UsageError: it has none.
        """
        height, width = self.shape
        decoded = load_pycocotools().decode({"size": [height, width], "counts": self.counts[k]})
        x0, y0, x1, y1 = self.boxes[k].tolist()
        region = region_of(decoded[y0:y1, x0:x1].astype(bool), x0, y0)
        if region is None:
            raise UsageError(f"{self.name}: mask {k} is empty")
        return region

    def holding(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which masks hold which pixels: two (n,) int64 arrays, positions in ``xy`` (N, 2) and masks, by mask.

        Pixels outside the image are held by none.
        """
        height, width = self.shape
        column, row = np.floor(xy).astype(np.int64).reshape(-1, 2).T
        place = column * height + row
        inside_image = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        points, masks = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for k, ends in enumerate(self.ends):
            x0, y0, x1, y1 = self.boxes[k].tolist()
            near = np.flatnonzero(inside_image & (column >= x0) & (column < x1) & (row >= y0) & (row < y1))
            held = near[np.searchsorted(ends, place[near], "right") % 2 == 1]
            points.append(held)
            masks.append(np.full(len(held), k))
        return np.concatenate(points), np.concatenate(masks)

    def take(self, rows: np.ndarray) -> OverlappingMasks:
        """Some of the masks, (n,) positions, in this order."""
        counts = tuple(self.counts[k] for k in rows.tolist())
        arrays = (self.boxes[rows], self.classes[rows], self.scores[rows], self.stabilities[rows])
        return OverlappingMasks(self.name, self.shape, counts, *arrays)

    def overlaps(self) -> np.ndarray:
        """(S, S) float64 intersection over union of each pair."""
        rle = [{"size": list(self.shape), "counts": counts} for counts in self.counts]
        if not rle:
            return np.zeros((0, 0))
        return np.asarray(load_pycocotools().iou(rle, rle, [0] * len(rle)), float)

    def without_duplicates(self, iou: float) -> OverlappingMasks:
        """Of masks that overlap by more than ``iou`` only the one with the best score."""
        overlap = self.overlaps()
        kept: list[int] = []
        for k in np.lexsort((np.arange(len(self)), -self.scores)).tolist():
            if not kept or overlap[k, kept].max() <= iou:
                kept.append(k)
        return self.take(np.array(sorted(kept), np.intp))
