"""Clicks to masks in every view that sees the object, by the trained network.

The views that see a click are asked first. What they answer tells the object's places, and the views that see some of these
are asked, too. Of the masks of three levels that the network makes, one level is chosen for all views.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.geometry.masks import Region, parts, region_of
from seg2d3d_ros.prompts.choosing import PlacedClick
from seg2d3d_ros.prompts.network.base_model import PER_CELL
from seg2d3d_ros.prompts.network.encoded_map import EncodedMap
from seg2d3d_ros.prompts.network.place_network import LEVELS, PlaceNetwork
from seg2d3d_ros.prompts.network.pointmap import SceneScale

if TYPE_CHECKING:
    import torch

SMALLEST = 0.001
"""Of an image's pixels: smaller pieces of a mask are dropped (MV-SAM)."""
SAMPLES = 400
"""Places of the object that tell which other views see it."""
SEEN = 0.1
"""Of these, so many a view must see to be asked."""
STEADY = 1.0
"""A mask is steady if its logits at -1 and at 1 hold the same pixels (SAM's stability)."""


class NetworkMasks:
    """A trained network over an open map. See ``session.ClickNetwork``.

    Attributes:
        encoded: the map as the network sees it.
    """

    def __init__(self, network: PlaceNetwork, encoded: EncodedMap) -> None:
        self.encoded, self._network = encoded, network
        self._place = {sight.name: k for k, sight in enumerate(encoded.session.sights)}

    def masks(self, clicks: Sequence[PlacedClick], level: str) -> tuple[dict[str, Region], list[str]]:
        """See ``session.ClickNetwork``."""
        placed = [click for click in clicks if click.xyz is not None]
        positive = np.array([click.xyz for click in placed if click.positive]).reshape(-1, 3)
        clicked = [self._place[click.name] for click in placed if click.name]
        first = self.encoded.scene(positive, clicked) if len(positive) else []
        if not first:
            return {}, []
        cells = [self.encoded.places(k) for k in first]
        known = np.concatenate([item.xyz[item.known] for item in cells])
        if len(known) == 0:
            return {}, []
        scale = SceneScale.of(known, np.concatenate([item.confidence[item.known] for item in cells]))
        logits = self._decoded(first, placed, scale)
        token = self._level(dict(zip(first, logits, strict=True)), placed, level)
        further = self._further(first, [item[token] for item in logits])
        logits += self._decoded(further, placed, scale)
        regions, empty = {}, []
        for k, item in zip([*first, *further], logits, strict=True):
            region, name = self._region(k, item[token]), self.encoded.session.sights[k].name
            if region is None:
                empty.append(name)
            else:
                regions[name] = region
        return regions, empty

    def _decoded(self, chosen: Sequence[int], clicks: Sequence[PlacedClick], scale: SceneScale) -> list[torch.Tensor]:
        """Of each chosen sight (LEVELS, 4h, 4w) logits, on the CPU."""
        import torch

        base, network = self.encoded.base, self._network
        places = torch.from_numpy(scale.normalized(np.array([click.xyz for click in clicks])))
        sure = torch.from_numpy(scale.sure(np.array([click.confidence for click in clicks])))
        positive = torch.tensor([click.positive for click in clicks])

        def call(part: Sequence[int]) -> list[torch.Tensor]:
            device, count = base.runtime.device, len(part)
            views = self.encoded.views(part)
            cells = [self.encoded.places(k) for k in part]
            pixels = network.place_codes(
                torch.from_numpy(np.stack([scale.normalized(item.xyz) for item in cells])).to(device),
                torch.from_numpy(np.stack([scale.sure(item.confidence) for item in cells])).to(device),
            )
            prompts = network.prompt_codes(places.to(device), sure.to(device), positive.to(device))
            levels = tuple(torch.cat(level).to(device).float() for level in zip(*(view.levels for view in views), strict=True))
            found = network.masks(levels, pixels, prompts.expand(count, -1, -1), base.dense(None))
            base.runtime.check(found)
            return list(found.float().cpu())

        base.load()
        return base.runtime.map(call, chosen)

    def _level(self, logits: dict[int, torch.Tensor], clicks: Sequence[PlacedClick], level: str) -> int:
        """The token whose masks are taken in all views."""
        if level.isdecimal():
            return min(int(level), LEVELS - 1)
        agree = np.zeros(LEVELS)
        for click in clicks:
            views = [self._place[click.name]] if click.name else list(logits)
            held = [self._held(k, logits[k], click) for k in views if k in logits]
            said = [item for item in held if item is not None]
            if said:
                share = np.mean(said, axis=0)
                agree += share >= 0.5 if click.positive else share < 0.5
        fitting = np.flatnonzero(agree == agree.max())
        if level == "auto":
            return int(max(fitting, key=lambda token: _steadiness([item[token] for item in logits.values()])))
        return int(fitting[-1] if level == "fine" else fitting[0])

    def _held(self, k: int, logits: torch.Tensor, click: PlacedClick) -> np.ndarray | None:
        """(LEVELS,) bool: the masks of a sight that hold a click; None where it does not see it."""
        xy = click.xy
        if not click.name:
            assert click.xyz is not None
            if not self.encoded.session.sights[k].sees(click.xyz[None])[0]:
                return None
            xy = self.encoded.session.sights[k].view.project(click.xyz[None])[0][0]
        frame = self.encoded.views([k])[0].frame
        column, row = frame.cell(xy, PER_CELL * self.encoded.base.cells)
        return np.asarray(logits[:, row, column] > 0)

    def _further(self, asked: Sequence[int], logits: Sequence[torch.Tensor]) -> list[int]:
        """Sights that were not asked, but see the object's places."""
        places = []
        side = self.encoded.base.cells
        for k, item in zip(asked, logits, strict=True):
            found = self.encoded.places(k)
            inside = (item.reshape(side, PER_CELL, side, PER_CELL).mean(dim=(1, 3)) > 0).reshape(-1).numpy()
            places.append(found.xyz[inside & found.known])
        every = np.concatenate(places).astype(np.float64)
        if len(every) == 0:
            return []
        some = every[np.linspace(0, len(every) - 1, min(len(every), SAMPLES)).astype(int)]
        sights = self.encoded.session.sights
        component = sights[asked[0]].view.component
        others = [k for k, sight in enumerate(sights) if k not in set(asked) and sight.view.component == component]
        return [k for k in others if sights[k].sees(some).mean() >= SEEN and self.encoded.readable(k)]

    def _region(self, k: int, logits: torch.Tensor) -> Region | None:
        """The mask of a sight in the image's pixels, without small pieces."""
        import torch

        with torch.inference_mode():
            mask = self.encoded.base.enlarged(self.encoded.views([k])[0], logits[None])[0] > 0
        region = region_of(mask.numpy())
        if region is None:
            return None
        kept = [part for part in parts(region) if part.area >= SMALLEST * mask.numel()]
        if not kept:
            return None
        pixels = np.zeros(tuple(mask.shape), bool)
        for part in kept:
            pixels[part.window] |= part.pixels
        return region_of(pixels)


def _steadiness(logits: Sequence[torch.Tensor]) -> float:
    inner, outer = (sum(int((item > threshold).sum()) for item in logits) for threshold in (STEADY, -STEADY))
    return inner / max(outer, 1)
