"""Detections of a detector: suppression within a class, rows of houses, and boxes that the edge of a tile cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.arrays import concatenated, take

ROW_MEMBER = 0.85
"""A box lies inside another one when this share of it does."""
ROW_COVER = 0.6
"""A box is a row when the boxes inside it cover this share of it."""


@dataclass(frozen=True)
class Detections:
    """N detections of one image.

    Attributes:
        xyxy: (N, 4) float32 ``x0 y0 x1 y1`` in pixels, the image's upper left corner at (0, 0).
        classes: (N,) int32, 1-based index into the prompts.
        scores: (N,) float32 in [0, 1].
    """

    xyxy: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def of(cls, xyxy: object = (), classes: object = (), scores: object = ()) -> Detections:
        """From anything array-like; none without arguments."""
        return cls(
            np.asarray(xyxy, np.float32).reshape(-1, 4),
            np.asarray(classes, np.int32).ravel(),
            np.asarray(scores, np.float32).ravel(),
        )

    def take(self, rows: np.ndarray) -> Detections:
        """The detections that ``rows`` (indices or a mask) choose."""
        return take(self, rows)

    def shifted(self, dx: float, dy: float) -> Detections:
        """The same boxes in an image whose origin lies ``(dx, dy)`` further up and left."""
        return Detections(self.xyxy + np.array([dx, dy, dx, dy], np.float32), self.classes, self.scores)


def areas(xyxy: np.ndarray) -> np.ndarray:
    """(N,) areas."""
    return np.prod(np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0), axis=1)


def intersections(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) areas common to each box of ``first`` (N, 4) and of ``second`` (M, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union."""
    common = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None, :] - common
    return common / np.maximum(union, 1e-9)


def suppress(boxes: Detections, iou: float) -> Detections:
    """Greedy non-maximum suppression within each class: best score first; a box that overlaps a kept one by more than
    ``iou`` goes. Returned from the best score down."""
    order = np.argsort(-boxes.scores, kind="stable")
    boxes = boxes.take(order)
    rival = (overlaps(boxes.xyxy, boxes.xyxy) > iou) & (boxes.classes[:, None] == boxes.classes[None, :])
    keep = np.ones(len(boxes), bool)
    for row in range(len(boxes)):
        if keep[row]:
            keep[row + 1 :] &= ~rival[row, row + 1 :]
    return boxes.take(keep)


def without_rows(boxes: Detections) -> Detections:
    """Drop boxes that merely hold several smaller ones: a whole row of houses besides its houses.

    A box goes when at least two others of its class, each at most 0.7 of its area, lie inside it (``ROW_MEMBER`` of
    each) and together cover ``ROW_COVER`` of it. One house before a larger one, or a few small ones far behind it, leave
    the larger box alone.
    """
    size = areas(boxes.xyxy)
    inside = intersections(boxes.xyxy, boxes.xyxy) >= ROW_MEMBER * size[None, :]
    inside &= (boxes.classes[:, None] == boxes.classes[None, :]) & (size[None, :] <= 0.7 * size[:, None])
    keep = np.ones(len(boxes), bool)
    for row in np.flatnonzero(inside.sum(axis=1) >= 2):
        keep[row] = covered(boxes.xyxy[row], boxes.xyxy[inside[row]]) < ROW_COVER
    return boxes.take(keep)


def covered(outer: np.ndarray, inner: np.ndarray) -> float:
    """Share of the box ``outer`` (4,) that the union of ``inner`` (N, 4) covers; exact, on the grid of their edges."""
    x0, y0, x1, y1 = outer
    clipped = np.column_stack([np.clip(inner[:, ::2], x0, x1), np.clip(inner[:, 1::2], y0, y1)])  # x0 x1 y0 y1
    xs, ys = np.unique([x0, x1, *clipped[:, :2].ravel()]), np.unique([y0, y1, *clipped[:, 2:].ravel()])
    grid = np.zeros((len(ys) - 1, len(xs) - 1), bool)
    for left, right, top, bottom in clipped:
        grid[np.searchsorted(ys, top) : np.searchsorted(ys, bottom), np.searchsorted(xs, left) : np.searchsorted(xs, right)] = (
            True
        )
    total = (x1 - x0) * (y1 - y0)
    return float((grid * np.outer(np.diff(ys), np.diff(xs))).sum() / total) if total > 0 else 0.0


def plausible(boxes: Detections, width: int, height: int, *, min_area: float, sky_limit: float) -> Detections:
    """Clip to the image; drop boxes below ``min_area`` (share of the image) and boxes that end above the image's top
    ``sky_limit`` (share of its height)."""
    xyxy = np.clip(boxes.xyxy, 0, np.array([width, height, width, height], np.float32))
    clipped = Detections(xyxy, boxes.classes, boxes.scores)
    size = areas(xyxy)
    return clipped.take((size > 0) & (size >= min_area * width * height) & (xyxy[:, 3] > sky_limit * height))


def merged_across_tiles(
    boxes: Detections, views: np.ndarray, extents: np.ndarray, image: np.ndarray, margin: float = 3.0
) -> Detections:
    """Merge the parts of boxes that the edges of tiles have cut: an object in neighbouring tiles becomes one box.

    A box that ends at an edge of its tile inside the image (within ``margin`` pixels) is cut. Cut boxes of one class from
    different tiles belong together when they agree, within the area that both tiles see, by an intersection over union
    above 0.5. A cut box of which ``ROW_MEMBER`` lies in an uncut box of its class has been seen whole, and goes.

    Args:
        boxes: in pixels of the whole image.
        views: (N,) the tile of each box, index into ``extents``.
        extents: (V, 4) the tiles in pixels of the image.
        image: (4,) the whole image, ``0 0 width height``.
    """
    extent = extents[views] if len(boxes) else np.zeros((0, 4))
    at_edge = np.abs(boxes.xyxy - extent) <= margin
    cut = (at_edge & (np.abs(extent - image) > margin)).any(axis=1)
    whole, pieces, origin = boxes.take(~cut), boxes.take(cut), views[cut]
    same = pieces.classes[:, None] == whole.classes[None, :]
    seen = same & (intersections(pieces.xyxy, whole.xyxy) >= ROW_MEMBER * areas(pieces.xyxy)[:, None])
    pieces, origin = pieces.take(~seen.any(axis=1)), origin[~seen.any(axis=1)]
    group = np.arange(len(pieces))
    for a in range(len(pieces)):
        for b in range(a + 1, len(pieces)):
            if pieces.classes[a] == pieces.classes[b] and origin[a] != origin[b]:
                common = _intersection(extents[origin[a]], extents[origin[b]])
                one, two = (_intersection(pieces.xyxy[k], common)[None] for k in (a, b))
                if overlaps(one, two)[0, 0] > 0.5:
                    group[group == group[b]] = group[a]
    merged = [whole]
    for label in np.unique(group):
        members = pieces.take(group == label)
        box = np.concatenate([members.xyxy[:, :2].min(axis=0), members.xyxy[:, 2:].max(axis=0)])
        merged.append(Detections.of(box, members.classes[0], members.scores.max()))
    return concatenated(merged)


def _intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])])
