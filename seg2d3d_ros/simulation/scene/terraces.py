"""Rows of houses that look alike: one plaster, one height, and the same windows over several houses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from seg2d3d_ros.simulation.scene.facades import Facade, Opening, paint_door, paste
from seg2d3d_ros.simulation.scene.houses import FACADE_SCALE, Lot
from seg2d3d_ros.simulation.scene.styles import SceneStyle
from seg2d3d_ros.simulation.scene.textures import Color, bricks, noise, pick_color, plaster, spots

PLASTER: tuple[Color, ...] = ((206, 196, 172), (214, 208, 198), (196, 176, 138), (186, 182, 172))
PLINTHS: tuple[Color, ...] = ((92, 90, 86), (120, 114, 104))


BLOCK = (0.9, 0.42)
"""Width and height of a block of stone in metres."""
BLINDS: tuple[Color, ...] = ((206, 200, 186), (150, 140, 124), (120, 136, 150), (96, 84, 76))
SHUTTER: Color = (176, 172, 160)


@dataclass(frozen=True)
class Design:
    """What the houses of a row have in common; lengths in metres."""

    color: Color
    plinth: Color
    window: np.ndarray
    door: np.ndarray
    size: tuple[float, float]
    spacing: float
    ground: float
    storey: float


class Terraces:
    """Rows of 2 to ``style.terrace`` neighbours of one design and one height; designs come again along the street.

    Args:
        windows: the street's pictures of windows; all designs have the same one, and nearly the same measures.
    """

    def __init__(self, rng: np.random.Generator, style: SceneStyle, windows: Sequence[np.ndarray]) -> None:
        self._rng, self._style = rng, style
        window, size = windows[int(rng.integers(len(windows)))], (rng.uniform(1.0, 1.3), rng.uniform(1.3, 1.7))
        self.designs = [
            Design(
                color=pick_color(rng, PLASTER, 5),
                plinth=pick_color(rng, PLINTHS, 4),
                window=window,
                door=paint_door(rng, FACADE_SCALE),
                size=size,
                spacing=size[0] + rng.uniform(0.9, 1.3),
                ground=rng.uniform(3.0, 3.3),
                storey=rng.uniform(2.9, 3.1),
            )
            for _ in range(style.designs)
        ]
        self._design_of: dict[int, Design] = {}

    def plan(self, lots: Sequence[Lot]) -> list[Lot]:
        """The lots, in order of their sides, with the height of their row."""
        planned: list[Lot] = []
        left = 0
        for lot in lots:
            if left == 0 or planned[-1].side != lot.side:
                left, height, design = int(self._rng.integers(2, self._style.terrace + 1)), lot.height, self._any_design()
            planned.append(replace(lot, height=height))
            self._design_of[lot.label] = design
            left -= 1
        return planned

    def paint(self, lot: Lot, scale: float) -> Facade:
        """The façade of a planned lot, or of one beyond the street; ``scale`` in pixels a metre."""
        design = self._design_of.get(lot.label) or self._any_design()
        return paint_alike(self._rng, lot.width, lot.height, scale, design, self._style)

    def _any_design(self) -> Design:
        return self.designs[int(self._rng.integers(len(self.designs)))]


def paint_alike(
    rng: np.random.Generator, width: float, height: float, scale: float, design: Design, style: SceneStyle
) -> Facade:
    """A façade of a row's design; only dirt, blinds, and where the door is, tell it from the next.

    Args:
        width, height: in metres.
        scale: pixels a metre.
    """
    contrast, stone = style.contrast, style.stone
    h, w = max(8, int(height * scale)), max(8, int(width * scale))
    color = np.asarray(design.color, np.float32)
    surface = bricks(rng, h, w, design.color, scale, BLOCK) if stone else plaster(rng, h, w, design.color, scale)
    image = color + contrast * (surface - color)
    streaks = cv2.resize(noise(rng, max(4, h // 40), w, scale / 2, 1.0), (w, h), interpolation=cv2.INTER_CUBIC)
    image *= (1.0 - 0.10 * contrast * np.clip(streaks, 0.0, None))[..., None]
    foot = h - int(0.6 * scale)
    image[foot:] = np.asarray(design.plinth, np.float32) * (
        1.0 + 0.06 * contrast * noise(rng, h - foot, w, scale / 2)[..., None]
    )
    image = np.ascontiguousarray(image, np.float32)
    floors = tuple(np.arange(design.ground, height - design.size[1] - 0.8, design.storey).tolist())
    columns = max(1, int((width - 0.8) / design.spacing))
    centers = width / 2 + (np.arange(columns) - (columns - 1) / 2) * design.spacing
    entrance = int(rng.integers(columns))
    tall = design.size[1]
    openings = [Opening(c - design.size[0] / 2, z + 0.8, design.size[0], tall, True) for z in (0.2, *floors) for c in centers]
    openings[entrance] = Opening(centers[entrance] - 0.55, 0.05, 1.1, 2.3, False)
    if stone:
        image = spots(rng, image, int(width * height * 0.7), 0.10 * scale, (-34.0, 22.0))
    for opening in openings:
        if not opening.window:
            paste(image, scale, opening, design.door)
            continue
        varied = style.variety > 0 and rng.random() < style.variety
        paste(image, scale, opening, _with_blind(rng, design.window) if varied else design.window)
        if stone:
            _shutters(image, scale, opening, closed=varied and rng.random() < 0.4)
    return Facade(np.clip(image, 0, 255).astype(np.uint8), tuple(openings), (design.ground, *floors[1:]), shop=False)


def _with_blind(rng: np.random.Generator, window: np.ndarray) -> np.ndarray:
    """The window with a blind or a curtain before a part of it."""
    picture, (height, width) = window.copy(), window.shape[:2]
    tone = np.asarray(pick_color(rng, BLINDS), np.float32)
    if rng.random() < 0.6:
        picture[: int(height * rng.uniform(0.2, 0.9)), 6:-6] = tone
    else:
        left = int(width * rng.uniform(0.1, 0.5))
        picture[6:-6, left : left + int(width * rng.uniform(0.15, 0.5))] = tone
    return picture


def _shutters(image: np.ndarray, scale: float, opening: Opening, *, closed: bool) -> None:
    """Two leaves with slats: open beside a window, or closed before it."""
    wide = 0.45 * opening.width
    slats = np.ones((int(opening.height * scale), max(4, int(wide * scale)), 1), np.float32)
    slats[:: max(3, int(0.06 * scale))] = 0.72
    leaf = slats * np.asarray(SHUTTER, np.float32)
    middle = opening.left + opening.width / 2
    for left in (middle - wide, middle) if closed else (opening.left - wide, opening.left + opening.width):
        if left > 0 and (left + wide) * scale < image.shape[1]:
            paste(image, scale, Opening(left, opening.bottom, wide, opening.height, True), leaf)
