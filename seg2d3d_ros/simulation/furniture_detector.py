"""What a detector would make of the true masks of street furniture, on top of its masks of houses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from seg2d3d_ros.simulation.detector import MAX_SEGMENTS, neighbours

LEAST_AREA = 36.0
"""Pixels at 960 px width below which nothing is found."""


@dataclass(frozen=True)
class FurnitureQuality:
    """Shares are probabilities per thing and image.

    Attributes:
        miss: not found.
        part: only a part is found, the upper or the lower one: 30 to 80 % of its height.
        split: found as two segments, one above the other.
        merge: of two of one kind that touch in the image, found as one.
        false: segments where there is nothing, as a share of those found; each looks like one of them, elsewhere.
        shift: standard deviation of a segment's displacement in pixels at 960 px width.
        ragged: largest growth of the border in pixels at 960 px width.
    """

    miss: float = 0.0
    part: float = 0.0
    split: float = 0.0
    merge: float = 0.0
    false: float = 0.0
    shift: float = 0.0
    ragged: float = 0.0


FURNITURE_DETECTORS = {
    "clean": FurnitureQuality(),
    "typical": FurnitureQuality(miss=0.1, part=0.08, split=0.03, merge=0.3, false=0.02, shift=0.6, ragged=1.0),
    "hard": FurnitureQuality(miss=0.2, part=0.2, split=0.08, merge=0.5, false=0.05, shift=1.2, ragged=2.0),
}


def detect_furniture(
    labels: np.ndarray,
    kinds: Mapping[int, str],
    quality: FurnitureQuality,
    rng: np.random.Generator,
    segments: np.ndarray,
) -> tuple[np.ndarray, dict[int, dict[str, object]]]:
    """Paint the furniture of one image over its segments.

    Args:
        labels: (H, W) int32, the thing at each pixel; others are ignored.
        kinds: from label to the class's name.
        segments: (H, W) uint16 what was found before.

    Returns:
        (H, W) uint16 local segment ids, those of ``segments`` among them, and per new id its class and score.
    """
    scale = labels.shape[1] / 960.0
    things = np.where(np.isin(labels, list(kinds)), labels, 0)
    ids, areas = np.unique(things[things > 0], return_counts=True)
    seen = [int(i) for i, area in zip(ids, areas, strict=True) if area >= LEAST_AREA * scale**2]
    found: list[tuple[np.ndarray, str]] = []
    for group in _merged(things, seen, kinds, quality, rng):
        if rng.random() < quality.miss:
            continue
        mask = _cut(np.isin(things, group), quality.part, rng)
        parts = _halves(mask, rng) if rng.random() < quality.split else [mask]
        found += [(_blurred(part, quality, scale, rng), kinds[group[0]]) for part in parts]
    for k in rng.permutation(len(found))[: rng.poisson(quality.false * len(found))]:
        mask, kind = found[k]
        place = rng.uniform(-0.4, 0.4, 2) * [mask.shape[1], 0.3 * mask.shape[0]]
        found.append((_moved(mask, place), kind))
    image = segments.copy()
    used = np.unique(segments)
    free = rng.permutation(np.setdiff1d(np.arange(1, MAX_SEGMENTS + 1), used))
    facts: dict[int, dict[str, object]] = {}
    for (mask, kind), i in zip(found, free.tolist(), strict=False):
        if mask.sum() >= 0.5 * LEAST_AREA * scale**2:
            image[mask] = i
            facts[i] = {"class": kind, "score": round(float(np.clip(rng.normal(0.75, 0.1), 0.2, 0.99)), 4)}
    left = set(np.unique(image).tolist())
    return image, {i: fact for i, fact in sorted(facts.items()) if i in left}


def _merged(
    things: np.ndarray, seen: list[int], kinds: Mapping[int, str], quality: FurnitureQuality, rng: np.random.Generator
) -> list[list[int]]:
    """Groups of things that come out as one segment."""
    owner = {i: i for i in seen}
    for a, b in neighbours(things, seen) if len(seen) > 1 and quality.merge else []:
        if kinds[a] == kinds[b] and rng.random() < quality.merge:
            owner.update({i: owner[a] for i, root in owner.items() if root == owner[b]})
    return [[i for i in seen if owner[i] == root] for root in sorted(set(owner.values()))]


def _cut(mask: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The whole mask or, by chance, its upper or lower part."""
    if rng.random() >= share:
        return mask
    rows = np.flatnonzero(mask.any(axis=1))
    kept = max(1, round(len(rows) * rng.uniform(0.3, 0.8)))
    result = np.zeros_like(mask)
    chosen = rows[:kept] if rng.random() < 0.7 else rows[-kept:]
    result[chosen] = mask[chosen]
    return result


def _halves(mask: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    rows = np.flatnonzero(mask.any(axis=1))
    place = int(rows[0] + rng.uniform(0.3, 0.7) * len(rows))
    upper, lower = mask.copy(), mask.copy()
    upper[place:], lower[: place + 1] = False, False
    return [part for part in (upper, lower) if part.any()]


def _blurred(mask: np.ndarray, quality: FurnitureQuality, scale: float, rng: np.random.Generator) -> np.ndarray:
    """The mask moved a little, and with a ragged border."""
    moved = _moved(mask, rng.normal(0.0, quality.shift * scale, 2)) if quality.shift else mask
    radius = round(rng.uniform(0.0, quality.ragged * scale)) if quality.ragged else 0
    if radius:
        ring = cv2.dilate(np.uint8(moved), np.ones((2 * radius + 1,) * 2, np.uint8)).astype(bool) & ~moved
        coarse = rng.random((mask.shape[0] // 4 + 1, mask.shape[1] // 4 + 1)).astype(np.float32)
        moved = moved | (ring & (cv2.resize(coarse, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) < 0.5))
    return moved


def _moved(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    x, y = np.rint(pixels).astype(int).tolist()
    result = np.zeros_like(mask)
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    inside = (rows + y >= 0) & (rows + y < height) & (columns + x >= 0) & (columns + x < width)
    result[rows[inside] + y, columns[inside] + x] = True
    return result
