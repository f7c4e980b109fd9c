"""A map as the network sees it: each view's embeddings, and the place of each cell; made when asked for, and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

from seg2d3d_ros.mapstore.stored import StoredImages
from seg2d3d_ros.prompts.network.base_model import PER_CELL, BaseSam, EncodedView
from seg2d3d_ros.prompts.network.pointmap import InputFrame, Pointmap, pointmap
from seg2d3d_ros.prompts.session import PromptSession

KEPT_BYTES = 2 << 30
"""Of embeddings that are held at once: 1000 views of SAM, 250 of SAM 2, in half precision."""


class EncodedMap:
    """Views of an open map.

    Args:
        fine: whether places are also wanted for the cells of masks, which are finer (to learn from).
    """

    def __init__(self, session: PromptSession, base: BaseSam, *, fine: bool = False) -> None:
        self.session, self.base = session, base
        self._images = StoredImages(session.store)
        self._kept: OrderedDict[int, EncodedView] = OrderedDict()
        self._places: dict[int, Pointmap] = {}
        self._fine: dict[int, Pointmap] = {}
        self._frames: dict[int, InputFrame] = {}
        self._grid = lru_cache(2 * len(session.sights))(InputFrame.pixels)
        self._wants_fine = fine

    @cached_property
    def lost(self) -> frozenset[int]:
        """Sights whose image is gone or damaged; all images are read for it."""
        return frozenset(k for k, sight in enumerate(self.session.sights) if self._images.get(sight.name) is None)

    def scene(self, places: np.ndarray, chosen: Sequence[int] = ()) -> list[int]:
        """The sights that see one of the places (N, 3), and those that are chosen: what they show sets the network's scale.

        All of one component: that of the chosen ones, else of most that see a place.
        """
        sights = self.session.sights
        seeing = [k for k, sight in enumerate(sights) if sight.sees(places).any()]
        components = [sights[k].view.component for k in (chosen or seeing)]
        if not components:
            return []
        component = max(components, key=components.count)
        return [k for k in sorted({*seeing, *chosen}) if sights[k].view.component == component and self.readable(k)]

    def readable(self, k: int) -> bool:
        """Whether sight k has an image to look at."""
        return k in self._frames or self._images.get(self.session.sights[k].name) is not None

    def views(self, chosen: Sequence[int]) -> list[EncodedView]:
        """The embeddings of sights. Raises ``DataError`` where an image is gone or damaged."""
        missing = [k for k in chosen if k not in self._kept]
        if missing:
            images = [self._images[self.session.sights[k].name] for k in missing]
            for k, view in zip(missing, self.base.encoded(images), strict=True):
                self._kept[k] = view
        found = []
        for k in chosen:
            self._kept.move_to_end(k)
            found.append(self._kept[k])
        while sum(view.bytes for view in self._kept.values()) > KEPT_BYTES and len(self._kept) > len(chosen):
            self._kept.popitem(last=False)
        return found

    def places(self, k: int) -> Pointmap:
        """Of the cells of the encoder's grid over sight k."""
        if k not in self._places:
            self._look(k)
        return self._places[k]

    def fine_places(self, k: int) -> Pointmap:
        """Of the cells of a mask over sight k, ``PER_CELL`` times finer."""
        if k not in self._fine:
            self._look(k)
        return self._fine[k]

    def fine_pixels(self, k: int) -> np.ndarray:
        """(N, 2) pixels of the cells of a mask over sight k; NaN outside the image."""
        return self._grid(self._frame(k), PER_CELL * self.base.cells)

    def _frame(self, k: int) -> InputFrame:
        if k not in self._frames:
            self._frames[k] = self.views([k])[0].frame
        return self._frames[k]

    def _look(self, k: int) -> None:
        """Both maps at once: fitting the surfaces takes most of the time."""
        frame, sight = self._frame(k), self.session.sights[k]
        grids = [frame.pixels(self.base.cells)]
        if self._wants_fine:
            grids.append(frame.pixels(PER_CELL * self.base.cells))
        things = self.session.things
        masks = [region for i in things.shown(sight.name) if (region := things.region(i, sight.name)) is not None]
        found = pointmap(sight, np.concatenate(grids), masks, self.session.dense)
        first = len(grids[0])
        self._places[k] = Pointmap(found.xyz[:first], found.confidence[:first])
        if self._wants_fine:
            self._fine[k] = Pointmap(found.xyz[first:], found.confidence[first:])
