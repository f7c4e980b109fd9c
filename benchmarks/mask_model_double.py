"""A double of a mask model, made of the truth and of stated errors, for ``benchmarks/prompts.py``.

It answers a prompt as SAM does: with one object of the three levels at the prompted place (house; storey, shop front or roof;
door, window or sign). Which one is drawn by lot; a level that a point contradicts is ``CONTRADICTED`` times as likely for each
such point, and one whose box overlaps the prompted box by the share ``i`` is ``i**BOX_POWER`` times as likely. Each answer may
be a miss (``MISSES``: no mask), or leak (``LEAKS``: a disc on its border is in it, too), and its border wanders by ``BORDER``
pixels (standard deviation) along its length. A repeated prompt gets the same answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.prompts.masking.mask_sources import box_overlap
from seg2d3d_ros.segmentation.models.mask_models import Mask, MaskPrompt

CONTRADICTED = 0.15
BOX_POWER = 2.0
MISSES, LEAKS = 0.08, 0.1
BORDER, WAVE = 1.5, 12.0
"""Pixels of a 640 pixel image: how far the border wanders, and over which length."""
IGNORED = 65535


class MaskModelDouble:
    """See the module.

    Args:
        folder: a simulated street.
        levels: the folders of its truth.
    """

    def __init__(self, folder: Path, levels: Sequence[str], seed: int = 0) -> None:
        self._folder, self._levels, self._seed = folder, levels, seed
        self._truth = lru_cache(64)(self._read)

    def _read(self, name: str) -> list[np.ndarray]:
        return [read_labels(self._folder / level / f"{name}.png") for level in self._levels]

    def masks(self, name: str, prompts: Sequence[MaskPrompt]) -> list[list[Mask]]:
        """See ``MaskSource``."""
        return [self._answer(name, prompt) for prompt in prompts]

    def _answer(self, name: str, prompt: MaskPrompt) -> list[Mask]:
        facts = repr((self._seed, name, np.round(prompt.points).tolist(), prompt.positive.tolist(), prompt.box))
        rng = np.random.default_rng(zlib.crc32(facts.encode()))
        candidates = [found for labels in self._truth(name) for found in _objects(labels, prompt)]
        if not candidates or rng.random() < MISSES:
            return []
        weights = np.array([_weight(mask, prompt) for mask in candidates])
        mask = candidates[int(rng.choice(len(candidates), p=weights / weights.sum()))]
        if rng.random() < LEAKS:
            mask = _leaked(mask, rng)
        region = region_of(_wandering(mask, rng))
        return [] if region is None else [Mask(region, 0.9, 0.9)]


def _objects(labels: np.ndarray, prompt: MaskPrompt) -> list[np.ndarray]:
    """The object of a level that a prompt may mean: the one at most of its positive points, else the one that fits its box."""
    pixels = np.floor(prompt.points[prompt.positive]).astype(int)
    there = [i for i in labels[pixels[:, 1], pixels[:, 0]].tolist() if i not in (0, IGNORED)] if len(pixels) else []
    if not there and prompt.box is not None:
        x0, y0, x1, y1 = (max(0, round(v)) for v in prompt.box)
        there = [i for i in np.unique(labels[y0:y1, x0:x1]).tolist() if i not in (0, IGNORED)]
        there = sorted(there, key=lambda i: -_box_fit(labels == i, prompt.box))[:1]
    return [labels == i for i in sorted(set(there), key=there.count)[-1:]]


def _box_fit(mask: np.ndarray, box: Sequence[float]) -> float:
    region = region_of(mask)
    return 0.0 if region is None else box_overlap(region.box, box)


def _weight(mask: np.ndarray, prompt: MaskPrompt) -> float:
    pixels = np.floor(prompt.points).astype(int)
    wrong = int((mask[pixels[:, 1], pixels[:, 0]] != prompt.positive).sum()) if len(pixels) else 0
    fit = 1.0 if prompt.box is None else max(_box_fit(mask, prompt.box), 0.05) ** BOX_POWER
    return float(CONTRADICTED**wrong * fit)


def _leaked(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With a disc of a quarter of its size, somewhere on its border."""
    edge = np.argwhere(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0)
    row, column = edge[int(rng.integers(len(edge)))].tolist()
    disc = np.zeros(mask.shape, np.uint8)
    cv2.circle(disc, (column, row), max(2, round(float(np.sqrt(mask.sum() / np.pi)) * 0.7)), 1, -1)
    return mask | (disc > 0)


def _wandering(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask with a border that goes in and out."""
    scale = mask.shape[1] / 640
    noise_shape = tuple(max(2, round(side / (WAVE * scale))) for side in mask.shape)
    noise = cv2.resize(rng.normal(0, BORDER * scale, noise_shape).astype(np.float32), mask.shape[::-1])
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    reach = int(6 * BORDER * scale) + 2
    window = (
        slice(max(0, rows[0] - reach), rows[-1] + 1 + reach),
        slice(max(0, columns[0] - reach), columns[-1] + 1 + reach),
    )
    part = mask[window].astype(np.uint8)
    inside, outside = (cv2.distanceTransform(one, cv2.DIST_L2, 5) for one in (part, 1 - part))
    result = np.zeros(mask.shape, bool)
    result[window] = inside - outside + noise[window] > 0
    return result
