"""The street: lots on both sides, side streets, ground, trees, poles, parked cars, and the traffic.

Labels of triangles and pixels: 0 = nothing to be mapped, 1 … N = the street's houses, then the street furniture where there
is any (``furniture``), ``FAR_HOUSE`` = houses beyond the street that close the view; they are real buildings, but no part of
what is to be mapped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from seg2d3d_ros.simulation.scene.actors import bush, car, lamp_post, person, sign_post, tree
from seg2d3d_ros.simulation.scene.facades import window_pool
from seg2d3d_ros.simulation.scene.furniture import Fixture, furnish
from seg2d3d_ros.simulation.scene.houses import FACADE_SCALE, House, Lot, Materials, facade_scale, house
from seg2d3d_ros.simulation.scene.mesh import Mesh, box, concatenate, quad
from seg2d3d_ros.simulation.scene.styles import TYPICAL, SceneStyle
from seg2d3d_ros.simulation.scene.terraces import Terraces
from seg2d3d_ros.simulation.scene.textures import TextureSet, asphalt, bricks, faded, noise, plain, plaster, slabs, write_words

FAR_HOUSE = 65535
LANE = 1.7
"""Distance of a lane's middle from the road's; traffic keeps to the right."""
SIDE_STREET = 6.5


@dataclass(frozen=True)
class Mover:
    """Something that moves along the street: x = ``x`` + ``speed`` · time since its leg began (see ``Street.movers_at``).

    ``leg`` -1 = walks all the time, to and fro between the street's ends; 0 or 1 = drives in that leg only.
    ``follows`` True: ``x`` is the distance ahead of the camera vehicle.
    """

    mesh: Mesh
    x: float
    y: float
    speed: float
    leg: int = -1
    follows: bool = False


@dataclass(frozen=True)
class Street:
    """The whole scene, in the street frame; ``heading`` turns it into east-north-up (radians, counter-clockwise)."""

    lots: tuple[Lot, ...]
    length: float
    heading: float
    mesh: Mesh
    movers: tuple[Mover, ...]
    textures: TextureSet
    sun: np.ndarray
    houses: tuple[House, ...] = ()
    fixtures: tuple[Fixture, ...] = ()

    def movers_at(self, time: float, leg: int, since: float, vehicle_x: float) -> Mesh:
        """What moves, at ``time`` seconds, ``since`` seconds after the start of ``leg`` (0 there, 1 back)."""
        ahead = 1.0 if leg == 0 else -1.0
        found = []
        for mover in self.movers:
            if mover.leg not in (-1, leg):
                continue
            if mover.follows:
                x = vehicle_x + ahead * (mover.x + 2.5 * np.sin(0.6 * since))
            elif mover.leg >= 0:
                x = mover.x + mover.speed * since
            else:
                span = self.length + 16.0
                x = (mover.x + mover.speed * time) % span - 8.0
            forward = ahead if mover.follows else np.sign(mover.speed)
            if -20.0 < x < self.length + 20.0:
                found.append(mover.mesh.placed(x, mover.y, 0.12 if mover.leg < 0 else 0.0, 0.0 if forward > 0 else np.pi))
        return concatenate(found)


def plan_lots(
    rng: np.random.Generator, buildings: int, style: SceneStyle = TYPICAL, length: float | None = None
) -> tuple[list[Lot], float]:
    """Lots 1 … ``buildings`` and the street's length in metres; side streets are gaps between them.

    Args:
        length: in metres; None = by the style's mean width of a house.
    """
    sides = {-1: (buildings + 1) // 2, 1: buildings // 2}
    if length is None:
        length = max(sides.values()) * style.house_width + (SIDE_STREET if max(sides.values()) >= 3 else 0.0)
    lots: list[Lot] = []
    for side, count in sides.items():
        gaps = set()
        if count >= 3:
            first = int(rng.integers(1, count))
            gaps = set(range(first, count, 5)) | set(range(first - 5, 0, -5))
        widths = rng.uniform(0.7, 1.4, count)
        widths *= (length - SIDE_STREET * len(gaps)) / widths.sum() if count else 1.0
        x, previous = 0.0, 0.0
        for i in range(count):
            x += SIDE_STREET if i in gaps else 0.0
            setback = rng.choice([0.0, 0.0, rng.uniform(0.15, 0.5), rng.uniform(0.6, 1.5)])
            height = rng.uniform(*style.heights)
            height += 1.2 if abs(height - previous) < 0.8 else 0.0
            previous = height
            front = style.half_width + style.pavement + style.setback * setback
            lots.append(Lot(len(lots) + 1, side, x, x + widths[i], front, height, rng.uniform(8.0, 11.0)))
            x += widths[i]
    return lots, length


def build_street(
    seeds: np.random.SeedSequence,
    buildings: int,
    style: SceneStyle = TYPICAL,
    length: float | None = None,
    furniture: bool = False,
) -> Street:
    """Build everything; the same seed gives the same street.

    Args:
        length: in metres; None = by the style.
        furniture: rows of street furniture with labels of their own, in place of the few posts without labels.
    """
    generators = (np.random.default_rng(s) for s in seeds.spawn(7))
    layout, materials_rng, houses_rng, ground_rng, things_rng, traffic_rng, furniture_rng = generators
    lots, length = plan_lots(layout, buildings, style, length)
    textures = TextureSet()
    materials = _materials(materials_rng, textures, style)
    terraces = Terraces(houses_rng, style, materials.windows) if style.terrace else None
    if terraces:
        lots = terraces.plan(lots)

    def build(lot: Lot, decorated: bool = True) -> House:
        facade = terraces.paint(lot, facade_scale(decorated)) if terraces else None
        return house(houses_rng, lot, textures, materials, decorated, facade)

    houses = tuple(build(lot) for lot in lots)
    parts = [item.mesh for item in houses]
    parts += _far_houses(houses_rng, lots, length, lambda lot: build(lot, False).mesh)
    parts += _ground(ground_rng, lots, length, textures, style)
    parts += _things(things_rng, lots, length, textures, materials, style, posts=not furniture)
    fixtures: tuple[Fixture, ...] = ()
    if furniture:
        gaps = {side: _gaps(lots, side, length) for side in (-1, 1)}

        def free(x: float, side: float, margin: float) -> bool:
            return _beside(x, gaps[1 if side > 0 else -1], margin)

        rows, fixtures = furnish(furniture_rng, textures, materials.metal, length, free, len(lots) + 1, style.half_width)
        parts += rows
    movers = _traffic(traffic_rng, length, buildings, textures, style)
    azimuth, elevation = layout.uniform(0, 2 * np.pi), np.radians(layout.uniform(*style.elevations))
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    heading = float(layout.uniform(-np.pi, np.pi))
    return Street(tuple(lots), length, heading, concatenate(parts), tuple(movers), textures, sun, houses, fixtures)


def _materials(rng: np.random.Generator, textures: TextureSet, style: SceneStyle) -> Materials:
    scale, size = 36.0, int(4.0 * 36)
    walls = [bricks(rng, 2 * size, 2 * size, color, 2 * scale) for color in ((140, 92, 72), (150, 128, 108))]
    walls.append(plaster(rng, 2 * size, 2 * size, (176, 170, 160), 2 * scale))
    roofs = [bricks(rng, 144, 144, color, 48.0, (0.25, 0.3)) for color in ((146, 76, 58), (96, 84, 84), (120, 70, 58))]
    stones = [plaster(rng, 72, 72, color, 72.0) for color in ((196, 190, 178), (150, 144, 136), (222, 218, 210))]
    return Materials(
        windows=window_pool(rng, 4, FACADE_SCALE),
        party_walls=tuple(textures.add(faded(w, style.contrast)) for w in walls),
        roofs=tuple(textures.add(faded(r, style.contrast)) for r in roofs),
        stones=tuple(textures.add(faded(s, style.contrast)) for s in stones),
        metal=textures.add(plain(rng, (70, 72, 74), 32)),
    )


def _gaps(lots: list[Lot], side: int, length: float) -> list[tuple[float, float]]:
    """The side streets of one side as (x0, x1)."""
    own = sorted((lot for lot in lots if lot.side == side), key=lambda lot: lot.x0)
    edges = [(a.x1, b.x0) for a, b in itertools.pairwise(own) if b.x0 - a.x1 > 1.0]
    return edges if own else [(0.0, length)]


def _far_houses(rng: np.random.Generator, lots: list[Lot], length: float, build: Callable[[Lot], Mesh]) -> list[Mesh]:
    """Rows across both ends of the street and at the end of each side street."""
    parts = []
    for side in (-1, 1):
        for x0, x1 in [(-14.0, 0.0), *_gaps(lots, side, length), (length, length + 14.0)]:
            x = x0 - 9.0
            while x < x1 + 9.0:
                wide = rng.uniform(6.0, 10.0)
                parts.append(build(Lot(FAR_HOUSE, side, x, x + wide, 36.0, rng.uniform(7, 13), 9.0)))
                x += wide
    for end, turn in ((-22.0, np.pi / 2), (length + 22.0, -np.pi / 2)):
        along = -32.0
        while along < 32.0:
            wide = rng.uniform(7.0, 11.0)
            lot = Lot(FAR_HOUSE, 1, along, along + wide, 0.0, rng.uniform(8.0, 14.0), 9.0)
            parts.append(build(lot).placed(end, 0.0, 0.0, turn))
            along += wide
    return parts


def _ground(rng: np.random.Generator, lots: list[Lot], length: float, textures: TextureSet, style: SceneStyle) -> list[Mesh]:
    """Carriageway with markings, pavements with kerbs, and the asphalt beyond."""
    scale, start, end = 40.0, -20.0, length + 20.0
    h, w = int(2 * style.half_width * scale), int((end - start) * scale)
    road = asphalt(rng, h, w, scale)
    worn = np.clip(0.8 + 0.5 * noise(rng, h, w, scale, 2.0), 0.2, 1.0)[..., None]
    paint = np.zeros((h, w), np.uint8)
    for x in np.arange(0.0, (end - start), 4.5):
        cv2.rectangle(paint, (int(x * scale), h // 2 - 3), (int((x + 2.2) * scale), h // 2 + 3), 1, -1)
    for y in (3.2, -3.2) if style.half_width > 4.0 else ():
        row = int(h / 2 - y * scale)
        cv2.rectangle(paint, (0, row - 2), (w, row + 2), 1, -1)
    road = np.where(paint[..., None] > 0, road * (1 - 0.8 * worn) + 0.8 * worn * 205.0, road)
    road = np.ascontiguousarray(road, np.float32)
    for _ in range(max(2, int(length / 9))):
        center = (int(rng.uniform(0, w)), int(rng.uniform(0.2, 0.8) * h))
        cv2.circle(road, center, int(0.34 * scale), (62, 60, 58), -1)
        cv2.circle(road, center, int(0.34 * scale), (36, 36, 36), 2)
        for k in range(-2, 3):
            cv2.line(road, (center[0] - 9, center[1] + 4 * k), (center[0] + 9, center[1] + 4 * k), (90, 88, 84), 1)
    edge = style.half_width
    parts = [
        quad([(start, -edge, 0), (end, -edge, 0), (end, edge, 0), (start, edge, 0)], textures.add(faded(road, style.contrast)))
    ]
    tile = textures.add(faded(asphalt(rng, 480, 480, scale), style.contrast))
    far = 60.0
    parts.append(
        quad(
            [(start - far, -far, -0.02), (end + far, -far, -0.02), (end + far, far, -0.02), (start - far, far, -0.02)],
            tile,
            repeat=((end - start + 2 * far) / 12, far / 6),
        )
    )
    kerb = textures.add(plaster(rng, 48, 192, (158, 154, 146), 48.0))
    for side in (-1, 1):
        x = 0.0
        for x0, x1 in [*_gaps(lots, side, length), (length, length)]:
            if x0 - x > 0.5:
                size = (int(5.0 * 44), int((x0 - x) * 44))
                top = textures.add(faded(slabs(rng, *size, (150, 146, 140), 44.0), style.contrast))
                y0, y1 = sorted((side * (edge + 0.15), side * (edge + 5.15)))
                parts.append(quad([(x, y0, 0.12), (x0, y0, 0.12), (x0, y1, 0.12), (x, y1, 0.12)], top))
                k0, k1 = sorted((side * edge, side * (edge + 0.15)))
                parts.append(box((x, k0, 0.0), (x0, k1, 0.125), kerb, tile=1.0))
            x = x1
    return parts


def _beside(x: float, gaps: list[tuple[float, float]], margin: float) -> bool:
    """Whether a place is no part of a side street."""
    return all(x < x0 - margin or x > x1 + margin for x0, x1 in gaps)


def _things(
    rng: np.random.Generator,
    lots: list[Lot],
    length: float,
    textures: TextureSet,
    materials: Materials,
    style: SceneStyle,
    *,
    posts: bool,
) -> list[Mesh]:
    """Parked cars, trees, with ``posts`` lamps and signs, and what grows at the façades."""
    bark = textures.add(plaster(rng, 64, 64, (92, 80, 66), 40.0))
    glass = textures.add(plain(rng, (230, 226, 210), 16))
    face = textures.add(write_words(rng, plain(rng, (40, 70, 150), 64), "P", (245, 245, 245)))
    edge = style.half_width
    parts = []
    for side in (-1, 1):
        gaps = _gaps(lots, side, length)
        x = rng.uniform(1.0, 4.0)
        while x < length - 2.0:
            if _beside(x, gaps, 2.5) and rng.random() < style.parked:
                turn = 0.0 if side < 0 else np.pi
                parts.append(car(rng, textures).placed(x, side * (edge - 0.95), 0.0, turn + rng.normal(0, 0.02)))
            x += rng.uniform(5.2, 7.0)
        x = rng.uniform(2.0, 7.0)
        while x < length:
            if _beside(x, gaps, 1.0) and (style.trees >= 1.0 or rng.random() < style.trees):
                kind = rng.random()
                if kind < 0.5:
                    item = tree(rng, textures, bark)
                elif kind < 0.8:
                    item = lamp_post(rng, materials.metal, glass)
                else:
                    item = sign_post(materials.metal, face)
                turn = 0.0 if side < 0 else np.pi
                if posts or kind < 0.5:
                    parts.append(item.placed(x, side * (edge + 0.6), 0.12, turn))
            x += rng.uniform(5.5, 9.5)
    for lot in lots if style.plants else ():
        for _ in range(int(rng.poisson(style.plants))):
            along, z = rng.uniform(0.5, lot.width - 0.5), rng.uniform(0.5, 1.1)
            parts.append(bush(rng, textures, z).placed(*lot.at(along, 0.35, 0.12), 0.0))
    return parts


def _traffic(rng: np.random.Generator, length: float, buildings: int, textures: TextureSet, style: SceneStyle) -> list[Mover]:
    """Oncoming cars and one ahead in each leg; people on both pavements."""
    movers = []
    for leg, ahead in ((0, 1.0), (1, -1.0)) if style.traffic else ():
        x = rng.uniform(8.0, 20.0)
        while x < 2.5 * length + 40.0:
            start = x if leg == 0 else length - x
            movers.append(Mover(car(rng, textures), start, ahead * LANE, -ahead * rng.uniform(6.6, 7.4), leg))
            x += rng.uniform(22.0, 42.0)
        movers.append(Mover(car(rng, textures), rng.uniform(13.0, 18.0), -ahead * LANE, 0.0, leg, follows=True))
    for _ in range(max(2, round(style.people * buildings))):
        y = rng.choice([-1.0, 1.0]) * (style.half_width + rng.uniform(*style.walkers))
        speed = rng.choice([-1.0, 1.0]) * rng.uniform(1.0, 1.6)
        movers.append(Mover(person(rng, textures), rng.uniform(0.0, length + 16.0), y, speed))
    return movers
