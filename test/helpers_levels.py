"""A row of house fronts on a plane: houses, their storeys, and windows; points, cameras, and masks of a level that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.types import SparseModel

WIDTH, HEIGHT, FOCAL = 320, 240, 200.0
DEPTH, SIDE, STOREY = 12.0, 8.0, 3.0
HOUSES, STOREYS, WINDOWS = 2, 3, 2
POINTS_PER_HOUSE = 400
NAMES = tuple(f"view{k:02d}" for k in range(12))


@dataclass(frozen=True)
class Thing:
    """A rectangle ``x0 y0 x1 y1`` in metres on the plane; y points down; ``parent`` is the id of what it is part of."""

    id: int
    level: int
    parent: int
    box: tuple[float, float, float, float]


def things() -> list[Thing]:
    """Houses, storeys and windows, with ids that are unique through all levels."""
    found: list[Thing] = []
    for h in range(HOUSES):
        house = Thing(len(found) + 1, 0, 0, (h * SIDE, -STOREYS * STOREY, (h + 1) * SIDE, 0.0))
        found.append(house)
        for s in range(STOREYS):
            storey = Thing(len(found) + 1, 1, house.id, (h * SIDE, -(s + 1) * STOREY, (h + 1) * SIDE, -s * STOREY))
            found.append(storey)
            for w in range(WINDOWS):
                left, top = h * SIDE + 0.8 + w * 4.0, -(s + 1) * STOREY + 0.5
                found.append(Thing(len(found) + 1, 2, storey.id, (left, top, left + 2.4, top + 2.0)))
    return found


def camera_centers() -> np.ndarray:
    """(K, 3) metres, in a row before the houses."""
    return np.stack([np.linspace(-1, HOUSES * SIDE + 1, len(NAMES)), np.full(len(NAMES), -4.0), np.zeros(len(NAMES))], axis=1)


def street_front(seed: int = 0) -> SparseModel:
    """The sparse model: every view matches 70 % of the points in its picture; the others are seen by its pose."""
    rng = np.random.default_rng(seed)
    count = HOUSES * POINTS_PER_HOUSE
    xyz = np.stack(
        [rng.uniform(0, HOUSES * SIDE, count), rng.uniform(-STOREYS * STOREY, 0, count), DEPTH + rng.normal(0, 0.02, count)],
        axis=1,
    )
    keyframe, point, pixel = [], [], []
    for k, center in enumerate(camera_centers()):
        xy = (xyz - center)[:, :2] / (xyz - center)[:, 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]
        seen = np.flatnonzero(((xy > 0) & (xy < [WIDTH, HEIGHT])).all(axis=1) & (rng.random(count) < 0.7))
        keyframe.append(np.full(len(seen), k))
        point.append(seen)
        pixel.append(xy[seen])
    pose = np.tile(np.eye(3, 4), (len(NAMES), 1, 1))
    pose[:, :, 3] = -camera_centers()
    return SparseModel(
        NAMES,
        (Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)),) * len(NAMES),
        pose,
        xyz,
        np.full((count, 3), 100, np.uint8),
        np.full(count, 0.5, np.float32),
        np.arange(count, dtype=np.int64) + 5,
        np.concatenate(keyframe).astype(np.int32),
        np.concatenate(point).astype(np.int32),
        np.concatenate(pixel).astype(np.float32),
    )


def picture(thing: Thing, k: int, shift: tuple[float, float] = (0.0, 0.0)) -> Region | None:
    """The pixels of a thing in view k, its borders moved by ``shift`` pixels; None where it is not in the picture."""
    x, y, z = camera_centers()[k]
    x0, y0, x1, y1 = (
        (value - center) / (DEPTH - z) * FOCAL + half
        for value, center, half in zip(thing.box, (x, y, x, y), (WIDTH / 2, HEIGHT / 2) * 2, strict=True)
    )
    mask = np.zeros((HEIGHT, WIDTH), bool)
    columns, rows = (np.clip(np.round(ends), 0, None).astype(int) for ends in ((x0 + shift[0], x1), (y0 + shift[1], y1)))
    mask[rows[0] : rows[1], columns[0] : columns[1]] = True
    return region_of(mask)


def truth_image(level: int, k: int) -> np.ndarray:
    """(H, W) uint16 ids of the things of a level in view k."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    for thing in things():
        region = picture(thing, k) if thing.level == level else None
        if region is not None:
            labels[region.window][region.pixels] = thing.id
    return labels


def cut_at_random(
    seed: int = 0, miss: float = 0.05, level_of_view: Sequence[int] | None = None
) -> tuple[dict[str, OverlappingMasks], dict[tuple[str, int], int]]:
    """Masks that cut each house at a random level in each view, sometimes at two, and the thing that each mask shows.

    ``level_of_view``: the one level of each view, instead.
    """
    rng = np.random.default_rng(seed)
    every = things()
    house_of = {thing.id: thing.id if thing.level == 0 else 0 for thing in every}
    for thing in every:
        house_of[thing.id] = house_of[thing.id] or house_of[thing.parent]
    masks, shown = {}, {}
    for k, name in enumerate(NAMES):
        regions: list[Region] = []
        levels = {h: rng.permutation(3)[: 1 + (rng.random() < 0.4)].tolist() for h in set(house_of.values())}
        if level_of_view is not None:
            levels = {key: [level_of_view[k]] for key in levels}
        for thing in every:
            region = picture(thing, k, tuple(rng.normal(0, 1.0, 2)))
            wanted = thing.level in levels[house_of[thing.id]] and rng.random() >= miss
            if wanted and region is not None and region.area >= 60:
                shown[name, len(regions)] = thing.id
                regions.append(region)
        count = len(regions)
        masks[name] = OverlappingMasks.of_regions(name, (HEIGHT, WIDTH), regions, [1] * count, [0.9] * count)
    return masks, shown
