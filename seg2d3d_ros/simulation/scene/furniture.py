"""Street furniture with ids of its own: poles, signs, lamps, bins, hydrants and manholes.

What stands on streets is bought by the dozen and set up at regular distances: all of a kind look alike, and the next one is
where the last one was a few images ago. That is what makes it hard to say which is which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.simulation.scene.actors import lamp_post, sign_post
from seg2d3d_ros.simulation.scene.mesh import Mesh, box, concatenate, ellipsoid, polygon, tube
from seg2d3d_ros.simulation.scene.textures import TextureSet, plain, write_words

PAVEMENT, CARRIAGEWAY = 0.12, 0.0
"""Heights of the two surfaces in metres."""
ROAD_EDGE = 5.0


@dataclass(frozen=True)
class Row:
    """Things of one kind, in a row along the street.

    Attributes:
        across: distance from the road's middle in metres; on both sides.
        every: metres from one to the next on one side.
        jitter: standard deviation in metres of each one's place along the row.
        surface: height of what it stands on.
    """

    kind: str
    across: float
    every: float
    jitter: float = 0.1
    surface: float = PAVEMENT


ROWS = (
    Row("pole", ROAD_EDGE + 0.35, 6.0),
    Row("lamp", ROAD_EDGE + 0.6, 18.0),
    Row("sign", ROAD_EDGE + 0.5, 9.0),
    Row("bin", ROAD_EDGE + 1.9, 14.0, 0.3),
    Row("hydrant", ROAD_EDGE + 0.8, 17.0, 0.3),
    Row("manhole", 1.7, 8.0, 0.2, CARRIAGEWAY),
    Row("manhole", ROAD_EDGE - 0.6, 10.0, 0.2, CARRIAGEWAY),
)
KINDS = tuple(dict.fromkeys(row.kind for row in ROWS))
"""The names of the classes."""


@dataclass(frozen=True)
class Fixture:
    """One thing: its label, its kind, and where its foot (of a manhole, its middle) is in the street frame, in metres."""

    id: int
    kind: str
    foot: tuple[float, float, float]


def furnish(
    rng: np.random.Generator,
    textures: TextureSet,
    metal: int,
    length: float,
    free: Callable[[float, float, float], bool],
    first_id: int,
    half_width: float = ROAD_EDGE,
) -> tuple[list[Mesh], tuple[Fixture, ...]]:
    """Set up all rows along a street.

    Args:
        metal: texture of posts.
        length: of the street in metres.
        free: whether a thing may stand at x, on the side of the sign of y, with a margin in metres.
        half_width: of the road in metres; rows at its edge move with it.
        first_id: label of the first thing; the others count on.
    """
    models = _models(rng, textures, metal)
    meshes: list[Mesh] = []
    fixtures: list[Fixture] = []
    for row in ROWS:
        across = row.across + (half_width - ROAD_EDGE if row.across > 3.0 else 0.0)
        for side in (-1, 1):
            x = rng.uniform(0.2, 1.0) * row.every
            while x < length:
                at = x + rng.normal(0.0, row.jitter)
                if row.surface == CARRIAGEWAY or free(at, side, 0.8):
                    label = first_id + len(fixtures)
                    mesh = models[row.kind].placed(at, side * across, row.surface, 0.0 if side < 0 else np.pi)
                    meshes.append(replace(mesh, label=np.full(len(mesh.label), label, np.int32)))
                    fixtures.append(Fixture(label, row.kind, (float(at), side * across, row.surface)))
                x += row.every
    return meshes, tuple(fixtures)


def _models(rng: np.random.Generator, textures: TextureSet, metal: int) -> dict[str, Mesh]:
    """One model of each kind, its foot at the origin."""
    glass = textures.add(plain(rng, (230, 226, 210), 16))
    face = textures.add(write_words(rng, plain(rng, (40, 70, 150), 64), "P", (245, 245, 245)))
    green = textures.add(plain(rng, (44, 74, 52), 32))
    red = textures.add(plain(rng, (168, 40, 36), 32))
    iron = textures.add(plain(rng, (66, 64, 62), 48))
    post, bin_height = rng.uniform(3.0, 3.8), rng.uniform(0.85, 1.05)
    around = np.linspace(0.0, 2.0 * np.pi, 17)[:-1]
    disc = 0.34 * np.column_stack([np.cos(around), np.sin(around)])
    hydrant = [tube((0, 0, 0), (0, 0, 0.55), (0.11, 0.1), red), ellipsoid((0, 0, 0.55), (0.12, 0.12, 0.14), red)]
    hydrant.append(tube((0, -0.2, 0.4), (0, 0.2, 0.4), (0.06, 0.06), red))
    return {
        "pole": tube((0, 0, 0), (0, 0, post), (0.06, 0.05), metal),
        "lamp": lamp_post(rng, metal, glass),
        "sign": sign_post(metal, face),
        "bin": box((-0.24, -0.22, 0.0), (0.24, 0.22, bin_height), green),
        "hydrant": concatenate(hydrant),
        "manhole": polygon(np.column_stack([disc, np.full(16, 0.006)]), disc / 0.68 + 0.5, iron),
    }
