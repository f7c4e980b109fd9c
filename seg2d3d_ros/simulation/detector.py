"""What a detector of a given quality would make of the true masks: misses, ragged borders, splits, merges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from seg2d3d_ros.simulation.scene.street import FAR_HOUSE

MAX_SEGMENTS = 999
"""Local ids stay below 1000, so that ``class_id * 1000 + id`` is unambiguous."""


@dataclass(frozen=True)
class DetectorQuality:
    """Shares are probabilities per building (``merge``: per pair of neighbours; ``far_merge``: per group of small ones).

    Attributes:
        min_area: smallest building that is found, as a share of the image.
        miss: never found in this image; small ones up to twice as often.
        split: found as two segments.
        merge: two neighbours found as one.
        far_merge: a group of touching small houses found as one.
        fill: occluders up to this many pixels wide (at 960 px width; poles, twigs) are overlooked and covered.
        jitter: typical displacement of borders in pixels at 960 px width.
        false: expected number of segments on things that are no building.
        far_houses: chance that houses beyond the street are found at all.
    """

    min_area: float
    miss: float = 0.0
    split: float = 0.0
    merge: float = 0.0
    far_merge: float = 0.0
    fill: float = 0.0
    jitter: float = 0.0
    false: float = 0.0
    far_houses: float = 0.0


DETECTORS = {
    "clean": DetectorQuality(min_area=0.0015),
    "typical": DetectorQuality(0.0015, miss=0.10, split=0.10, merge=0.06, far_merge=0.5, fill=9.0, jitter=2.0, far_houses=0.4),
    "hard": DetectorQuality(
        0.0015, miss=0.2, split=0.2, merge=0.15, far_merge=0.7, fill=13.0, jitter=4.0, false=0.8, far_houses=0.6
    ),
}
SMALL = 0.015
"""Houses below this share of the image count as small (far down the street)."""


def detect(
    labels: np.ndarray, quality: DetectorQuality, rng: np.random.Generator
) -> tuple[np.ndarray, dict[int, dict[str, object]]]:
    """Segments of one image.

    Args:
        labels: (H, W) int32, the building at each pixel (0 none, ``FAR_HOUSE`` = beyond the street).

    Returns:
        (H, W) uint16 local segment ids (random, 0 = none) and per id ``{"class": "building", "score": float}``.
    """
    pixels = labels.size
    ids, areas = np.unique(labels, return_counts=True)
    area = {
        int(i): int(a) for i, a in zip(ids, areas, strict=True) if i not in (0, FAR_HOUSE) and a >= quality.min_area * pixels
    }
    groups = _merge(labels, area, quality, rng)
    scale = labels.shape[1] / 960.0
    seen = shift_borders(_fill(labels, round(quality.fill * scale)), quality.jitter * scale, rng)
    found: list[tuple[np.ndarray, float]] = []
    for group in groups:
        share = sum(area[i] for i in group) / pixels
        miss, base = rng.random(), 0.93 - 0.25 * np.exp(-share / 0.01) - (0.15 if len(group) > 1 else 0.0)
        if miss < quality.miss * (1.0 + np.exp(-share / 0.008)):
            continue
        mask = np.isin(seen, group)
        parts = _split(mask, rng) if share > SMALL and rng.random() < quality.split else [mask]
        found += [(part, base - (0.12 if len(parts) > 1 else 0.0)) for part in parts if part.sum() >= 30]
    found += _extra(seen, quality, rng)
    return _paint(labels.shape, found[:MAX_SEGMENTS], quality.jitter > 0, rng)


def neighbours(labels: np.ndarray, ids: list[int], border: int = 6) -> list[tuple[int, int]]:
    """Pairs (smaller, larger) of ``ids`` that touch along at least ``border`` pixels of the image."""
    touching = []
    for first, second in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        edge = (first != second) & np.isin(first, ids) & np.isin(second, ids)
        touching.append(np.sort(np.stack([first[edge], second[edge]], 1), axis=1))
    pairs, counts = np.unique(np.concatenate(touching), axis=0, return_counts=True)
    return [(a, b) for a, b in pairs[counts >= border].tolist()]


def _merge(labels: np.ndarray, area: dict[int, int], quality: DetectorQuality, rng: np.random.Generator) -> list[list[int]]:
    """Groups of buildings that come out as one segment."""
    owner = {i: i for i in area}
    for a, b in neighbours(labels, list(area)):
        small = max(area[a], area[b]) < SMALL * labels.size
        if rng.random() < (quality.far_merge if small else quality.merge):
            owner.update({i: owner[a] for i, root in owner.items() if root == owner[b]})
    return [[i for i in area if owner[i] == root] for root in sorted(set(owner.values()))]


def _fill(labels: np.ndarray, width: int) -> np.ndarray:
    """Cover what is narrower than ``width`` pixels in front of a building: a closing of each mask over the background."""
    if width < 2:
        return labels
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    filled = labels.copy()
    for i in np.setdiff1d(labels, [0]):
        padded = cv2.copyMakeBorder(np.uint8(labels == i), *(width,) * 4, cv2.BORDER_CONSTANT, value=0)
        closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[width:-width, width:-width]
        filled[(closed > 0) & (filled == 0)] = i
    return filled


def shift_borders(labels: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    """The labels with every border displaced by a smooth random field of about ``pixels``, and each mask grown or shrunk."""
    if pixels <= 0:
        return labels
    height, width = labels.shape
    fields = []
    for _ in range(2):
        coarse = rng.normal(size=(height // 24 + 3, width // 24 + 3)).astype(np.float32)
        fields.append(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * pixels * 1.2)
    rows, columns = np.mgrid[0:height, 0:width]
    y = np.clip(np.rint(rows + fields[0]), 0, height - 1).astype(np.intp)
    x = np.clip(np.rint(columns + fields[1]), 0, width - 1).astype(np.intp)
    moved = labels[y, x]
    result = np.zeros_like(moved)
    for i in rng.permutation(np.setdiff1d(moved, [0])):
        radius = round(float(rng.normal(0.0, 0.6 * pixels)))
        size = (2 * abs(radius) + 1,) * 2
        mask = np.uint8(moved == i)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size)
        mask = cv2.dilate(mask, kernel) if radius > 0 else cv2.erode(mask, kernel) if radius < 0 else mask
        result[(mask > 0) & ((result == 0) | (moved == i))] = i
    return result


def _split(mask: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a mask in two: between two windows' columns, or the shop from the floors above."""
    rows, columns = np.nonzero(mask)
    if len(rows) < 60:
        return [mask]
    upright = rng.random() < 0.6
    place = columns if upright else rows
    cut = np.quantile(place, rng.uniform(0.3, 0.7))
    first = np.zeros_like(mask)
    chosen = place < cut
    first[rows[chosen], columns[chosen]] = True
    return [first, mask & ~first]


def _extra(seen: np.ndarray, quality: DetectorQuality, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Rows beyond the street as blobs, and segments where there is no building."""
    found = []
    blobs, count = ndimage.label(seen == FAR_HOUSE, structure=np.ones((3, 3)))
    for i in range(1, count + 1):
        mask = blobs == i
        if mask.sum() >= quality.min_area * seen.size and rng.random() < quality.far_houses:
            found.append((mask, 0.6))
    height, width = seen.shape
    rows, columns = np.mgrid[0:height, 0:width]
    for _ in range(int(rng.poisson(quality.false))):
        center = rng.uniform(0.1, 0.9, 2) * [height, width]
        radii = rng.uniform(0.03, 0.12, 2) * width
        mask = (((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 < 1) & (seen == 0)
        if mask.sum() >= 60:
            found.append((mask, 0.42))
    return found


def _paint(
    shape: tuple[int, ...], found: list[tuple[np.ndarray, float]], noisy: bool, rng: np.random.Generator
) -> tuple[np.ndarray, dict[int, dict[str, object]]]:
    """One label a pixel: the better score wins."""
    image = np.zeros(shape, np.uint16)
    ids = rng.choice(np.arange(1, MAX_SEGMENTS + 1), len(found), replace=False)
    scores = [float(np.clip(base + (rng.normal(0.0, 0.06) if noisy else 0.0), 0.2, 0.99)) for _, base in found]
    for i in np.argsort(scores, kind="stable"):
        image[found[i][0]] = ids[i]
    facts: dict[int, dict[str, object]] = {
        int(ids[i]): {"class": "building", "score": round(scores[i], 4)} for i in range(len(found)) if (image == ids[i]).any()
    }
    return image, dict(sorted(facts.items()))
