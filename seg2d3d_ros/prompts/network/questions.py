"""Questions to learn from: clicks on an object that is known, the views that are asked, and the masks that are right.

MV-SAM's sampling: ten clicks, at most a tenth of them negative; in a fifth of the questions a perturbed mask is given, too.
Added here: half of the questions have fewer clicks, since people give one to three; clicks and answers lie in several views,
not in one; and where the truth is complete, some views are asked that do not show the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from seg2d3d_ros.prompts.network.base_model import PER_CELL
from seg2d3d_ros.prompts.network.encoded_map import EncodedMap
from seg2d3d_ros.prompts.network.known_objects import KnownObjects, by_level

CLICKS, NEGATIVE = 10, 0.1
FEWER = 0.5
"""Of the questions that have one to nine clicks."""
DENSE = 0.2
"""Of the questions, with a perturbed mask in each view."""
VIEWS, ELSEWHERE = 4, 0.2
"""Views per question, and the share of them that lie anywhere, where the truth is complete."""
LEAST_CELLS = 6
"""A view shows an object if so many cells of a mask do."""
TRIES = 8
KEPT_MASKS = 20000
"""Masks of objects that are held at once, 8 kB each with SAM."""


@dataclass(frozen=True)
class Question:
    """Arrays of one question; cells of masks are numbered row by row.

    Attributes:
        source: which map.
        level: the object's, None where that is not known.
        views: (V,) sights that are asked.
        scene: sights whose places set the scale: those that show the object, and the asked ones.
        places: (P, 3) of the clicks, in the world.
        confidence: (P,) how sure these are.
        positive: (P,) bool.
        masks: (V, N) bool: the object's cells.
        counted: (V, N) bool: cells that are in the image.
        given: (V, N) bool masks that are given as prompts, None where there are none.
    """

    source: int
    level: int | None
    views: tuple[int, ...]
    scene: tuple[int, ...]
    places: np.ndarray
    confidence: np.ndarray
    positive: np.ndarray
    masks: np.ndarray
    counted: np.ndarray
    given: np.ndarray | None


class Questions:
    """Draws questions from maps.

    Args:
        maps: open, with places for fine cells.
        known: what each of them teaches.
    """

    def __init__(self, maps: Sequence[EncodedMap], known: Sequence[KnownObjects]) -> None:
        self._maps, self._known = maps, known
        self._covered = lru_cache(KEPT_MASKS)(self._cells)
        self._levels = [by_level(item.objects) for item in known]
        self._sight = []
        for item in maps:
            lost = item.lost
            self._sight.append({sight.name: k for k, sight in enumerate(item.session.sights) if k not in lost})

    def draw(self, random: np.random.Generator, count: int) -> list[Question]:
        """Questions with equally many clicks, at most ``count``: some of the objects that are drawn show too little."""
        clicks = CLICKS if random.random() >= FEWER else int(random.integers(1, CLICKS))
        dense = bool(random.random() < DENSE)
        found = (self._question(random, clicks, dense) for _ in range(count))
        return [question for question in found if question is not None]

    def _question(self, random: np.random.Generator, clicks: int, dense: bool) -> Question | None:
        for _ in range(TRIES):
            source = int(random.integers(len(self._maps)))
            levels = self._levels[source]
            level = list(levels)[int(random.integers(len(levels)))]
            item = self._known[source].objects[int(random.choice(np.asarray(levels[level])))]
            shown = self._views(random, source, item.id, item.views)
            if shown is None:
                continue
            views, masks, counted = shown
            click = self._clicks(random, source, views, masks, counted, clicks)
            if click is None:
                continue
            given = np.stack([_perturbed(mask, random) & inside for mask, inside in zip(masks, counted, strict=True)])
            place = self._sight[source]
            scene = tuple(sorted({*views, *(place[name] for name in item.views if name in place)}))
            return Question(source, level, views, scene, *click, masks, counted, given if dense else None)
        return None

    def _views(
        self, random: np.random.Generator, source: int, i: int, names: Sequence[str]
    ) -> tuple[tuple[int, ...], np.ndarray, np.ndarray] | None:
        """Sights that are asked, the object's cells there, and the cells inside the image."""
        place = self._sight[source]
        sights = [place[str(name)] for name in random.permutation(np.asarray(names)) if str(name) in place]
        rest = np.setdiff1d(list(place.values()), sights)
        elsewhere = min(int((random.random(VIEWS - 1) < ELSEWHERE).sum()), len(rest)) if self._known[source].complete else 0
        sights = [*sights[: VIEWS - elsewhere], *random.choice(rest, elsewhere, replace=False).tolist()]
        found = [(k, self._mask(source, i, k), self._inside(source, k)) for k in sights]
        # A view that shows little more than nothing of it teaches nothing; one without it teaches where it ends.
        found = [(k, mask, inside) for k, mask, inside in found if not 0 < mask.sum() < LEAST_CELLS]
        if not any(mask.any() for _, mask, _ in found):
            return None
        chosen, masks, counted = zip(*found, strict=True)
        return chosen, np.stack(masks), np.stack(counted)

    def _cells(self, source: int, i: int, k: int) -> np.ndarray:
        """(N / 8,) uint8: the cells that an object covers in a sight, packed."""
        pixels = self._maps[source].fine_pixels(k)
        region = self._known[source].region(i, self._maps[source].session.sights[k].name)
        mask, inside = np.zeros(len(pixels), bool), self._inside(source, k)
        if region is not None:
            mask[inside] = region.holds(pixels[inside])
        return np.packbits(mask)

    def _mask(self, source: int, i: int, k: int) -> np.ndarray:
        return np.unpackbits(self._covered(source, i, k), count=(PER_CELL * self._maps[source].base.cells) ** 2).view(bool)

    def _inside(self, source: int, k: int) -> np.ndarray:
        return np.asarray(np.isfinite(self._maps[source].fine_pixels(k)).all(axis=1))

    def _clicks(
        self,
        random: np.random.Generator,
        source: int,
        views: Sequence[int],
        masks: np.ndarray,
        counted: np.ndarray,
        clicks: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Places, confidences and signs of clicks in the views; None where the object has no place."""
        maps = [self._maps[source].fine_places(k) for k in views]
        known = np.stack([item.known for item in maps])
        inner = np.argwhere(masks & known)
        if len(inner) == 0:
            return None
        around = np.stack([_beside(mask) for mask in masks]) & counted & known
        outer = np.argwhere(around)
        negative = min(int((random.random(clicks) < NEGATIVE).sum()), max(1, round(NEGATIVE * clicks)), clicks - 1)
        negative = negative if len(outer) else 0
        rows = [*random.choice(inner, clicks - negative), *(random.choice(outer, negative) if negative else ())]
        places = np.stack([maps[v].xyz[cell] for v, cell in rows])
        confidence = np.array([maps[v].confidence[cell] for v, cell in rows])
        return places, confidence, np.arange(clicks) < clicks - negative


def _square(mask: np.ndarray) -> np.ndarray:
    side = round(len(mask) ** 0.5)
    return mask.reshape(side, side).astype(np.uint8)


def _beside(mask: np.ndarray) -> np.ndarray:
    """(N,) bool cells around a mask, as far as half of its size."""
    if not mask.any():
        return np.zeros_like(mask)
    reach = 2 * max(2, round(mask.sum() ** 0.5 / 4)) + 1
    return (cv2.dilate(_square(mask), np.ones((reach, reach), np.uint8)) > 0).reshape(-1) & ~mask


def _perturbed(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(N,) bool: moved, grown or shrunk, and with a bite taken out."""
    square = _square(mask)
    if not mask.any():
        return mask
    size = max(1, round(mask.sum() ** 0.5 / 8))
    kernel = np.ones((int(random.integers(1, 2 * size + 2)),) * 2, np.uint8)
    square = cv2.dilate(square, kernel) if random.random() < 0.5 else cv2.erode(square, kernel)
    dx, dy = random.integers(-size, size + 1, 2)
    square = cv2.warpAffine(square, np.array([[1, 0, dx], [0, 1, dy]], np.float32), square.shape[::-1], flags=cv2.INTER_NEAREST)
    row, column = random.integers(0, len(square), 2)
    bite = 2 * size * PER_CELL // 2
    square[row : row + bite, column : column + bite] = 0
    return (square > 0).reshape(-1)
