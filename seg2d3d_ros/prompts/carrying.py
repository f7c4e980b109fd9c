"""A thing's pixels in any view: its own masks there, those of its parts, else its masks of other views, carried over.

A surface through the points around a mask gives each of its pixels a place in the world. In another view these places say where
to look; there each pixel gets a depth by the same surface, and the views that have masks of the thing vote. What lies behind
the points that the view sees is left out: a thing that is hidden there has no mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from seg2d3d_ros.association.masks.transfer import surface_depth
from seg2d3d_ros.geometry.masks import Region, cell_grid, region_of
from seg2d3d_ros.prompts.sights import Sight
from seg2d3d_ros.prompts.things import Things

VIEWS = 6
"""Views that vote: those that see the thing most alike."""
SAMPLES, GRID = 16, 72
"""Cells along the longer side of a mask whose places are kept, and of the area that is looked at."""
WHOLE = 0.6
"""Of a thing's points that a view sees, so many in its masks there show it whole."""
LEAST_AREA = 0.0004
"""Of the image."""
LEAST_SEEN = 0.15
"""Of the looked-for area, so much must be free to be seen for the view to see the thing."""
RAGGED = 0.01
"""Of the image's width: how far a part may reach beyond the mask of its whole, whose border is ragged."""
FARTHEST = 4.0
"""A view farther away than so many times the farthest view with masks shows too little."""
STEEPEST = 0.12
"""Cosine between a view's ray and the surface's normal, below which it sees the surface from the edge, or from behind."""


class RegionCarrier:
    """Regions of things in the views of a map. What was computed once is kept."""

    def __init__(self, sights: Sequence[Sight], things: Things) -> None:
        self._sights, self._things = sights, things
        self._place = {sight.name: k for k, sight in enumerate(sights)}
        self.region = lru_cache(None)(self._region)
        self._sources = lru_cache(None)(self._sources_of)
        self._patch = lru_cache(None)(self._patch_of)

    def _region(self, thing: int, k: int) -> tuple[Region | None, bool]:
        """The pixels of a thing in sight k, None where it is not seen; and whether they were carried there."""
        sight = self._sights[k]
        own = self._own(thing, sight.name)
        if own is not None and self._covered(thing, sight, own) >= WHOLE:
            return own, False
        carried = self._carried(thing, k)
        if carried is None or own is None:
            return (own, False) if carried is None else (carried, True)
        return _union([own, carried], self._shape(k)), True

    def _own(self, thing: int, name: str) -> Region | None:
        """Its masks in a view, else those of its parts."""
        own = self._things.region(thing, name)
        shape = self._things.shape(name)
        if own is not None or shape is None:
            return own
        shown = self._things.shown(name)
        pieces = [self._things.region(part, name) for part in self._things.parts(thing) if part in shown]
        return _union([piece for piece in pieces if piece is not None], shape)

    def _covered(self, thing: int, sight: Sight, own: Region) -> float:
        """Of the thing's places that should be seen in a view, how many lie in a region; 1 where nothing says."""
        _, xyz = self._sources(thing)
        pixels, depth = sight.view.project(xyz)
        with np.errstate(invalid="ignore"):
            inside = sight.view.camera.inside(pixels) & (depth > 0)
        if not inside.any():
            return 1.0
        pixels, depth = pixels[inside], depth[inside]
        free = pixels[~sight.hidden(pixels, depth)]
        return float(own.holds(free).mean()) if len(free) else 1.0

    def _shape(self, k: int) -> tuple[int, int]:
        camera = self._sights[k].view.camera
        return self._things.shape(self._sights[k].name) or (camera.height, camera.width)

    def _sources_of(self, thing: int) -> tuple[tuple[int, ...], np.ndarray]:
        """The sights with masks of a thing, and places (N, 3) on it."""
        found = [k for k, sight in enumerate(self._sights) if thing in self._things.shown(sight.name)]
        patches = [self._patch(thing, k) for k in found]
        return tuple(found), np.concatenate([np.empty((0, 3)), *patches])

    def _patch_of(self, thing: int, k: int) -> np.ndarray:
        """(N, 3) places of pixels of a thing's masks in a view."""
        region = self._things.region(thing, self._sights[k].name)
        return np.empty((0, 3)) if region is None else self._sights[k].places_on(region, SAMPLES)

    def _carried(self, thing: int, k: int) -> Region | None:
        sight = self._sights[k]
        sources, xyz = self._sources(thing)
        sources = tuple(s for s in sources if s != k and self._sights[s].view.component == sight.view.component)
        if not sources or len(xyz) < 4:
            return None
        middle = np.median(xyz, axis=0)
        near = self._alike(sources, sight, middle)
        if near is None or self._from_behind(xyz, middle, sight, near):
            return None
        pixels, depth = sight.view.project(xyz)
        with np.errstate(invalid="ignore"):
            inside = sight.view.camera.inside(pixels) & (depth > 0)
        if inside.sum() < 4:
            return None
        pixels, depth = pixels[inside], depth[inside]
        height, width = self._shape(k)
        low, high = np.percentile(pixels, [1, 99], axis=0)
        margin = 0.15 * (high - low) + 3.0
        x0, y0 = np.floor(np.maximum(low - margin, 0)).astype(int).tolist()
        x1, y1 = np.ceil(np.minimum(high + margin, [width, height])).astype(int).tolist()
        cells, centers, side = cell_grid((x0, y0, x1, y1), GRID)
        some = np.linspace(0, len(pixels) - 1, min(len(pixels), 1200)).astype(int)
        surface = surface_depth(pixels[some], depth[some], centers, side)
        share = self._votes(thing, near, sight.view.back_project(centers, surface))
        wanted = share >= 0.5
        if not wanted.any():
            return None
        hidden = sight.hidden(centers, surface)
        share[hidden] = 0.0
        if (wanted & ~hidden).sum() < LEAST_SEEN * wanted.sum():
            return None
        field = cv2.resize(share.reshape(cells).astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        region = region_of(field >= 0.5, x0, y0)
        region = None if region is None else self._within_whole(thing, k, region)
        return region if region is not None and region.area >= LEAST_AREA * height * width else None

    def _alike(self, sources: Sequence[int], sight: Sight, middle: np.ndarray) -> list[int] | None:
        """The sources that see a thing from the most similar side and distance; None where the view is much too far away."""
        ray = sight.view.center - middle
        length = max(float(np.linalg.norm(ray)), 1e-9)
        rated, reach = [], 0.0
        for s in sources:
            across = self._sights[s].view.center - middle
            other = max(float(np.linalg.norm(across)), 1e-9)
            reach = max(reach, other)
            angle = float(np.arccos(np.clip(across @ ray / (length * other), -1.0, 1.0)))
            rated.append((angle + abs(float(np.log(other / length))), s))
        return [s for _, s in sorted(rated)[:VIEWS]] if length <= FARTHEST * reach else None

    def _from_behind(self, xyz: np.ndarray, middle: np.ndarray, sight: Sight, near: Sequence[int]) -> bool:
        """Whether the view sees the plane through a thing's places from the other side, or from its edge."""
        normal = np.linalg.svd(xyz[:: max(1, len(xyz) // 300)] - middle, full_matrices=False)[2][-1]
        sides = [float(normal @ (self._sights[s].view.center - middle)) for s in near]
        ray = sight.view.center - middle
        cosine = float(normal @ ray) / max(float(np.linalg.norm(ray)), 1e-9)
        return cosine * np.sign(np.median(sides)) < STEEPEST

    def _votes(self, thing: int, near: Sequence[int], xyz: np.ndarray) -> np.ndarray:
        """(N,) share of the views that see the places (N, 3) whose masks of the thing hold them.

        What hides a place in a view, a tree say, makes a hole in its mask, which says nothing.
        """
        held, asked = np.zeros(len(xyz)), np.zeros(len(xyz))
        for s in near:
            other = self._sights[s]
            region = self._things.region(thing, other.name)
            pixels, depth = other.view.project(xyz)
            with np.errstate(invalid="ignore"):
                inside = np.flatnonzero(other.view.camera.inside(pixels) & (depth > 0))
            if region is not None:
                there = region.holds(pixels[inside])
                lacking = inside[~there]  # unless something before the place is what the mask lacks
                seen = lacking[~other.hidden(pixels[lacking], depth[lacking])] if len(lacking) else lacking
                held[inside[there]] += 1
                asked[inside[there]] += 1
                asked[seen] += 1
        return np.asarray(held / np.maximum(asked, 1))

    def _within_whole(self, thing: int, k: int, region: Region) -> Region | None:
        """The part of a region inside the masks that the view has of what the thing is part of, if it has any."""
        name, up = self._sights[k].name, self._things[thing].parent
        while up > 0:
            whole = self._things.region(up, name)
            if whole is not None:
                limit = np.zeros(self._shape(k), np.uint8)
                limit[whole.window] = whole.pixels
                size = 2 * max(1, round(RAGGED * limit.shape[1])) + 1
                grown = cv2.dilate(limit, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
                return region_of(region.pixels & (grown[region.window] > 0), *region.box[:2])
            up = self._things[up].parent
        return region


def _union(regions: Sequence[Region], shape: tuple[int, int]) -> Region | None:
    pixels = np.zeros(shape, bool)
    for region in regions:
        pixels[region.window] |= region.pixels
    return region_of(pixels)
