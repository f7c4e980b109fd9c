"""The truth at three levels: houses; their storeys, shop fronts and roofs; doors, windows and signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.simulation.scene.houses import House
from seg2d3d_ros.simulation.scene.street import FAR_HOUSE

LEVELS = ("house", "storey", "part")
EAVES = 0.1
"""Metres below a house's height from which on up is roof."""
RELIEF = (-0.15, 0.3)
"""Metres before the façade between which a surface shows an opening, its sill, or the wall."""


@dataclass(frozen=True)
class LevelObject:
    """An object of a level: what it is, and the object one level above that it is part of (0 = none)."""

    id: int
    level: int
    kind: str
    parent: int


class HouseLevels:
    """The objects of all houses. Ids are unique through all levels; a house's is its label.

    Args:
        taken: the last label of other things in the street.

    Attributes:
        objects: by id.
    """

    def __init__(self, houses: Sequence[House], taken: int = 0) -> None:
        self._taken = taken
        self.objects: dict[int, LevelObject] = {}
        self._houses = {house.lot.label: house for house in houses}
        self._storeys: dict[int, list[int]] = {}
        self._parts: dict[int, list[tuple[int, tuple[float, float, float, float]]]] = {}
        for label in self._houses:
            self.objects[label] = LevelObject(label, 0, "house", 0)
        for label, house in self._houses.items():
            ground = "shop front" if house.facade.shop else "storey"
            kinds = [ground, *("storey" for _ in house.facade.floors), "roof"]
            self._storeys[label] = [self._add(1, kind, label) for kind in kinds]
        for label, house in self._houses.items():
            places = [("window" if o.window else "door", (o.left, o.bottom, o.width, o.height)) for o in house.facade.openings]
            if house.facade.sign is not None:
                places.append(("sign", house.facade.sign))
            self._parts[label] = []
            for kind, place in places:
                storey = int(np.searchsorted(house.facade.floors, place[1] + place[3] / 2, "right"))
                self._parts[label].append((self._add(2, kind, self._storeys[label][storey]), place))

    def _add(self, level: int, kind: str, parent: int) -> int:
        number = max(self._taken, *self.objects) + 1
        self.objects[number] = LevelObject(number, level, kind, parent)
        return number

    def labels(self, houses: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The objects of each level at each pixel.

        Args:
            houses: (H, W) int32, the house at each pixel.
            surface: (H, W, 3) where each pixel's ray hits, in the street frame.

        Returns:
            Three (H, W) int32 label images, the coarsest first; 0 = none, ``FAR_HOUSE`` as in ``houses``.
        """
        storeys, parts = (np.where(houses == FAR_HOUSE, FAR_HOUSE, 0).astype(np.int32) for _ in range(2))
        for label in np.intersect1d(houses, list(self._houses)).tolist():
            house, mine = self._houses[label], houses == label
            lot, (x, y, z) = house.lot, surface[mine].T
            along, out = (x - lot.x0 if lot.side > 0 else lot.x1 - x), lot.front - lot.side * y
            storey = np.searchsorted(house.facade.floors, z, "right")
            storeys[mine] = np.array(self._storeys[label])[np.where(z > lot.height - EAVES, -1, storey)]
            part = np.zeros(len(z), np.int32)
            flat = (out > RELIEF[0]) & (out < RELIEF[1])
            for number, (left, bottom, width, height) in self._parts[label]:
                part[flat & (along > left) & (along < left + width) & (z > bottom) & (z < bottom + height)] = number
            parts[mine] = part
        return houses, storeys, parts

    def to_json(self) -> dict[str, Any]:
        """The content of ``levels.json``: kind, level and parent of each object, by id."""
        facts = {str(o.id): {"level": LEVELS[o.level], "kind": o.kind, "parent": o.parent} for o in self.objects.values()}
        return {"levels": list(LEVELS), "objects": facts}
