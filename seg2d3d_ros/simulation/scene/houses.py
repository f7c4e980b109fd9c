"""One house as a mesh: painted façade with relief, party walls, roof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.simulation.scene.facades import Facade, paint_facade
from seg2d3d_ros.simulation.scene.mesh import Mesh, box, concatenate, polygon, quad, tube
from seg2d3d_ros.simulation.scene.textures import TextureSet, pick_color, plain

FACADE_SCALE = 72.0
"""Pixels a metre of the labelled houses' façades: about what the cameras see from the nearer lane."""


@dataclass(frozen=True)
class Lot:
    """Where a house stands. ``side`` +1 = left of the street (y > 0), -1 = right; ``front`` = |y| of its façade.

    ``x0`` < ``x1`` metres along the street; ``height`` of the eaves and ``depth`` in metres.
    """

    label: int
    side: int
    x0: float
    x1: float
    front: float
    height: float
    depth: float

    @property
    def width(self) -> float:
        """Metres along the street."""
        return self.x1 - self.x0

    def at(self, along: float, out: float, z: float) -> tuple[float, float, float]:
        """The point ``along`` metres from the façade's left end (seen from the street) and ``out`` metres before it."""
        return (self.x0 + along if self.side > 0 else self.x1 - along), self.side * (self.front - out), z


@dataclass(frozen=True)
class House:
    """A house as it was built: its mesh, and the façade that says where storeys and openings are."""

    lot: Lot
    mesh: Mesh
    facade: Facade


@dataclass(frozen=True)
class Materials:
    """Textures that the houses share."""

    windows: list[np.ndarray]
    party_walls: tuple[int, ...]
    roofs: tuple[int, ...]
    stones: tuple[int, ...]
    metal: int


def facade_scale(decorated: bool) -> float:
    """Pixels a metre of a façade; far houses go without relief and with fewer."""
    return FACADE_SCALE if decorated else FACADE_SCALE / 3


def _block(lot: Lot, along: tuple[float, float], out: tuple[float, float], z: tuple[float, float], texture: int) -> Mesh:
    a, b = np.array(lot.at(along[0], out[0], z[0])), np.array(lot.at(along[1], out[1], z[1]))
    return box(tuple(np.minimum(a, b)), tuple(np.maximum(a, b)), texture, lot.label)


def house(
    rng: np.random.Generator,
    lot: Lot,
    textures: TextureSet,
    materials: Materials,
    decorated: bool = True,
    facade: Facade | None = None,
) -> House:
    """Build the house on ``lot``.

    Args:
        decorated: with relief; far houses go without.
        facade: a given one, without awnings and balconies; None = one of its own.
    """
    w, h, d = lot.width, lot.height, lot.depth
    given = facade is not None
    facade = facade or paint_facade(rng, w, h, facade_scale(decorated), materials.windows, decorated)
    face = textures.add(facade.image)
    wall = int(rng.choice(materials.party_walls))
    stone = int(rng.choice(materials.stones))
    parts = [quad([lot.at(0, 0, 0), lot.at(w, 0, 0), lot.at(w, 0, h), lot.at(0, 0, h)], face, lot.label)]
    for along in (0.0, w):
        corners = [lot.at(along, -d, 0), lot.at(along, 0, 0), lot.at(along, 0, h), lot.at(along, -d, h)]
        parts.append(quad(corners, wall, lot.label, (d / 4, h / 4)))
    parts.append(
        quad([lot.at(w, -d, 0), lot.at(0, -d, 0), lot.at(0, -d, h), lot.at(w, -d, h)], wall, lot.label, (w / 4, h / 4))
    )
    parts += _roof(rng, lot, wall, int(rng.choice(materials.roofs)), stone)
    if not decorated:
        return House(lot, concatenate(parts), facade)
    for opening in facade.openings:
        if opening.window and not (facade.shop and opening.bottom < facade.floors[0] - 2.5):
            reach = (opening.left - 0.08, opening.left + opening.width + 0.08)
            parts.append(_block(lot, reach, (0.0, 0.13), (opening.bottom - 0.09, opening.bottom), stone))
            top = opening.bottom + opening.height
            parts.append(_block(lot, reach, (0.0, 0.07), (top, top + 0.14), stone))
    parts.append(_block(lot, (0, w), (0.0, 0.22), (h - 0.28, h), stone))
    pipe = rng.choice([0.12, w - 0.12])
    parts.append(tube(lot.at(pipe, 0.1, 0), lot.at(pipe, 0.1, h), (0.06, 0.06), materials.metal, lot.label, sides=6))
    if given:
        return House(lot, concatenate(parts), facade)
    if facade.shop and rng.random() < 0.6:
        parts.append(_awning(rng, lot, textures, facade.floors[0] - 0.75))
    if rng.random() < 0.5:
        parts += _balconies(rng, lot, facade.floors, stone, materials.metal)
    return House(lot, concatenate(parts), facade)


def _roof(rng: np.random.Generator, lot: Lot, wall: int, tiles: int, stone: int) -> list[Mesh]:
    w, h, d = lot.width, lot.height, lot.depth
    if rng.random() < 0.35:
        flat = quad([lot.at(0, 0, h), lot.at(w, 0, h), lot.at(w, -d, h), lot.at(0, -d, h)], tiles, lot.label, (w / 3, d / 3))
        parapet = _block(lot, (0, w), (-0.3, 0.0), (h, h + 0.6), stone)
        return [flat, parapet, _block(lot, (w * 0.4, w * 0.6), (-d * 0.7, -d * 0.4), (h, h + 2.2), wall)]
    rise = d / 2 * rng.uniform(0.6, 1.0)
    slope = float(np.hypot(rise, d / 2))
    parts = [
        quad([lot.at(0, 0.35, h - 0.1), lot.at(w, 0.35, h - 0.1), lot.at(w, -d / 2, h + rise), lot.at(0, -d / 2, h + rise)],
             tiles, lot.label, (w / 3, slope / 3)),
        quad([lot.at(w, -d, h), lot.at(0, -d, h), lot.at(0, -d / 2, h + rise), lot.at(w, -d / 2, h + rise)],
             tiles, lot.label, (w / 3, slope / 3)),
    ]  # fmt: skip
    for along in (0.0, w):
        corners = [lot.at(along, 0, h), lot.at(along, -d, h), lot.at(along, -d / 2, h + rise)]
        parts.append(polygon(corners, [(0, 0), (d / 4, 0), (d / 8, -rise / 4)], wall, lot.label))
    at = w * rng.uniform(0.15, 0.8)
    parts.append(_block(lot, (at, at + 0.7), (-d * 0.45, -d * 0.35), (h + 0.3 * rise, h + rise + 0.9), wall))
    for i in range(int(rng.integers(0, 3))):
        left = w * (0.2 + 0.4 * i)
        parts.append(_block(lot, (left, left + 1.4), (-2.2, -0.7), (h + 0.2, h + 1.9), stone))
    return parts


def _awning(rng: np.random.Generator, lot: Lot, textures: TextureSet, top: float) -> Mesh:
    stripes = plain(rng, pick_color(rng, ((170, 40, 40), (40, 90, 70), (50, 70, 130), (200, 150, 60))), 64, 6.0)
    stripes[:, : len(stripes) // 2] = stripes[:, : len(stripes) // 2] * 0.2 + 190.0
    cloth = textures.add(stripes)
    left, right = sorted(rng.uniform(0.05, 0.95, 2) * lot.width)
    right = min(lot.width - 0.2, max(right, left + 2.0))
    left = max(0.2, right - 4.0)
    corners = [lot.at(left, 1.1, top - 0.55), lot.at(right, 1.1, top - 0.55), lot.at(right, 0.02, top), lot.at(left, 0.02, top)]
    return quad(corners, cloth, lot.label, ((right - left) / 0.5, 1.0))


def _balconies(rng: np.random.Generator, lot: Lot, floors: tuple[float, ...], stone: int, metal: int) -> list[Mesh]:
    left = rng.uniform(0.1, 0.5) * lot.width
    right = min(lot.width - 0.3, left + rng.uniform(1.8, 3.2))
    parts = []
    for level in floors[: int(rng.integers(1, len(floors) + 1))]:
        parts.append(_block(lot, (left, right), (0.0, 0.9), (level - 0.05, level + 0.1), stone))
        parts.append(_block(lot, (left, right), (0.86, 0.9), (level + 0.95, level + 1.0), metal))
        parts += [
            _block(lot, (x - 0.02, x + 0.02), (0.86, 0.9), (level + 0.1, level + 0.95), metal)
            for x in np.arange(left + 0.02, right, 0.16)
        ]
    return parts
