"""How many pixels truth objects and predicted masks share: all that the metrics need to know about the images.

A *truth mask* is one object in one image; a *region* is one predicted mask, the pixels of one label in one image.
Ignored pixels (65535 in the truth, and objects that only one image shows) belong to neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from seg2d3d_ros.errors import DataError

IGNORE = 65535
"""Truth value of pixels that count neither for nor against a prediction."""

THETA = 0.5
"""Mask IoU from which a region matches a truth mask."""

MIN_IMAGES = 2
"""Objects that fewer images show have no identity to keep; their pixels are ignored."""


@dataclass(frozen=True)
class Overlaps:
    """Overlaps over K images of G objects (T truth masks) with R regions; N pairs share pixels.

    Attributes:
        names: (K,) image names.
        object_ids: (G,) truth ids of the objects, ascending.
        truth_image: (T,) index into ``names``.
        truth_object: (T,) index into ``object_ids``.
        truth_area: (T,) pixels.
        region_image: (R,) index into ``names``; ascending.
        region_label: (R,) the label, > 0. At most one region for each image and label.
        region_area: (R,) pixels, without ignored ones.
        region_ignored: (R,) ignored pixels under the region.
        pair_truth: (N,) index of a truth mask.
        pair_region: (N,) index of a region.
        pair_area: (N,) shared pixels, > 0.
        single_image_objects: how many objects were left out because only one image shows them.
    """

    names: tuple[str, ...]
    object_ids: np.ndarray
    truth_image: np.ndarray
    truth_object: np.ndarray
    truth_area: np.ndarray
    region_image: np.ndarray
    region_label: np.ndarray
    region_area: np.ndarray
    region_ignored: np.ndarray
    pair_truth: np.ndarray
    pair_region: np.ndarray
    pair_area: np.ndarray
    single_image_objects: int = 0

    @cached_property
    def pair_iou(self) -> np.ndarray:
        """(N,) float64 mask IoU of each pair."""
        union = self.truth_area[self.pair_truth] + self.region_area[self.pair_region] - self.pair_area
        return self.pair_area / union

    @cached_property
    def track_labels(self) -> np.ndarray:
        """(P,) the labels that occur, ascending: the predicted tracks."""
        return np.unique(self.region_label)

    @cached_property
    def region_track(self) -> np.ndarray:
        """(R,) index into ``track_labels``."""
        return np.searchsorted(self.track_labels, self.region_label)

    @cached_property
    def object_images(self) -> np.ndarray:
        """(G,) |F_g|, the number of images that show each object."""
        return np.bincount(self.truth_object, minlength=len(self.object_ids))

    @cached_property
    def track_images(self) -> np.ndarray:
        """(P,) the number of images (= regions) of each track."""
        return np.bincount(self.region_track, minlength=len(self.track_labels))

    def count_pairs(self, chosen: np.ndarray) -> sparse.csr_matrix:
        """(G, P) CSR int64: in how many images a chosen pair links the object with the track. ``chosen``: (N,) bool."""
        rows, columns = self.truth_object[self.pair_truth[chosen]], self.region_track[self.pair_region[chosen]]
        shape = (len(self.object_ids), len(self.track_labels))
        return sparse.coo_matrix((np.ones(len(rows), np.int64), (rows, columns)), shape).tocsr()


class OverlapCounter:
    """Collects overlaps image by image, so that only one image need be in memory."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._pairs = [np.empty((0, 4), np.int64)]  # image, truth value, label, pixels

    def add(self, name: str, truth: np.ndarray, regions: np.ndarray) -> None:
        """Count one image.

        Args:
            truth: (H, W) uint16, 0 = background, 65535 = ignore, else the object's id.
            regions: (H, W) uint16, 0 = none, else a label.

        Raises:
            DataError: the sizes differ.
        """
        truth_id, label, area = joint_counts(truth, regions, name)
        self._pairs.append(np.stack([np.full(len(area), len(self._names)), truth_id, label, area], axis=1))
        self._names.append(name)

    def finish(self) -> Overlaps:
        """The overlaps of all images that were added."""
        pairs = np.concatenate(self._pairs)
        truth, regions = _totals(pairs[:, :2], pairs[:, 3]), _totals(pairs[:, [0, 2]], pairs[:, 3])
        truth, regions = truth[(truth[:, 1] > 0) & (truth[:, 1] < IGNORE)], regions[regions[:, 1] > 0]
        pairs = pairs[pairs[:, 2] > 0]

        ids, images = np.unique(truth[:, 1], return_counts=True)
        object_ids = ids[images >= MIN_IMAGES]
        ignored = (pairs[:, 1] > 0) & ~np.isin(pairs[:, 1], object_ids)
        truth = truth[np.isin(truth[:, 1], object_ids)]

        pair_region = _find(regions[:, :2], pairs[:, [0, 2]])
        under = np.bincount(pair_region[ignored], pairs[ignored, 3], len(regions)).astype(np.int64)
        linked = ~ignored & (pairs[:, 1] > 0)
        return Overlaps(
            names=tuple(self._names),
            object_ids=object_ids,
            truth_image=truth[:, 0],
            truth_object=np.searchsorted(object_ids, truth[:, 1]),
            truth_area=truth[:, 2],
            region_image=regions[:, 0],
            region_label=regions[:, 1],
            region_area=regions[:, 2] - under,
            region_ignored=under,
            pair_truth=_find(truth[:, :2], pairs[linked, :2]),
            pair_region=pair_region[linked],
            pair_area=pairs[linked, 3],
            single_image_objects=len(ids) - len(object_ids),
        )


def joint_counts(first: np.ndarray, second: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of values at the same pixel of two (H, W) uint16 images.

    Returns:
        Values of the first and of the second image and the number of pixels, each (n,) int64, sorted by the values.

    Raises:
        DataError: the sizes differ.
    """
    if first.shape != second.shape:
        sizes = [f"{image.shape[1]}×{image.shape[0]}" for image in (first, second)]
        raise DataError(
            f"{name}: the truth is {sizes[0]} pixels and the map's label image is {sizes[1]}; "
            "both must have the size of the photograph"
        )
    values_a, rank_a = _ranks(first)
    values_b, rank_b = _ranks(second)
    columns = max(len(values_b), 1)
    code = rank_a.ravel() * np.uint32(columns) + rank_b.ravel()
    if len(values_a) * columns <= 4 * code.size + 4096:
        counts = np.bincount(code)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:  # Damaged label images can hold thousands of values; the table of all pairs would not fit the memory.
        found, counts = np.unique(code, return_counts=True)
    return values_a[found // columns], values_b[found % columns], counts


def relabel(overlaps: Overlaps, labels: np.ndarray) -> Overlaps:
    """The same masks under other labels: regions of one image with one label become one, label 0 drops a region.

    Args:
        labels: (R,) integer ≥ 0.
    """
    kept = labels > 0
    keys = np.stack([overlaps.region_image[kept], labels[kept].astype(np.int64)], axis=1)
    merged, place = _unique_rows(keys)
    target = np.full(len(labels), -1)
    target[kept] = place

    linked = target[overlaps.pair_region] >= 0
    pair_keys = np.stack([overlaps.pair_truth[linked], target[overlaps.pair_region[linked]]], axis=1)
    pairs, pair_place = _unique_rows(pair_keys)
    return replace(
        overlaps,
        region_image=merged[:, 0],
        region_label=merged[:, 1],
        region_area=_sum(overlaps.region_area[kept], place, len(merged)),
        region_ignored=_sum(overlaps.region_ignored[kept], place, len(merged)),
        pair_truth=pairs[:, 0],
        pair_region=pairs[:, 1],
        pair_area=_sum(overlaps.pair_area[linked], pair_place, len(pairs)),
    )


def excused(overlaps: Overlaps, theta: float = THETA) -> np.ndarray:
    """(R,) bool: regions that lie for more than half on ignored pixels and match no object.

    Their remainder is a sliver of something whose truth is not asked for; it counts as no false positive (the rule of
    KITTI MOTS for ignore regions).
    """
    matched = np.zeros(len(overlaps.region_label), bool)
    matched[overlaps.pair_region[overlaps.pair_iou >= theta]] = True
    return (overlaps.region_ignored > overlaps.region_area) & ~matched


def without_excused(overlaps: Overlaps, theta: float = THETA) -> Overlaps:
    """The overlaps without the regions that ``excused`` names."""
    return relabel(overlaps, np.where(excused(overlaps, theta), 0, overlaps.region_label))


def _ranks(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that occur, (n,) int64 ascending, and (H, W) uint32 their ranks."""
    values = np.flatnonzero(np.bincount(image.ravel()))
    lookup = np.zeros(int(values.max(initial=0)) + 1, np.uint32)
    lookup[values] = np.arange(len(values))
    return values, lookup.take(image)


def _totals(keys: np.ndarray, area: np.ndarray) -> np.ndarray:
    """(n, 3) int64 rows of image, value, pixels: the sums of ``area`` (N,) over equal keys (N, 2)."""
    rows, place = _unique_rows(keys)
    return np.column_stack([rows, _sum(area, place, len(rows))])


def _sum(amounts: np.ndarray, place: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(place, amounts, count).astype(np.int64)


def _codes(keys: np.ndarray) -> np.ndarray:
    """(n,) int64, ordered like the (n, 2) keys; both columns must be below 2^31."""
    return keys[:, 0].astype(np.int64) << 31 | keys[:, 1].astype(np.int64)


def _unique_rows(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, place = np.unique(_codes(keys), return_inverse=True)
    return np.stack([codes >> 31, codes & (2**31 - 1)], axis=1), place


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Row of each wanted (n, 2) key in the sorted ``keys``."""
    return np.searchsorted(_codes(keys), _codes(wanted))
