"""Which masks of the views show the same thing: each proposed mask says of places in the world whether they are the thing's.

A belief is, for every place, the share of the views that see it whose mask holds it. Per view the proposal that fits the belief
best is taken, and the belief follows from these, until nothing changes. Where one starts decides on which of several things
nested in each other the views agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.prompts.sights import Sight

SAMPLES = 12
"""Places along the longer side of a proposal."""
PLACES = 1500
"""Places in all: more tell nothing new."""
LEAST_PLACES = 4
"""A view that sees fewer places of a thing does not show it."""
STEPS = 6
AREA_NEIGHBOURS = 4
HELD = 0.5


@dataclass(frozen=True)
class Proposal:
    """A mask of the view ``k`` that may show the thing.

    Attributes:
        trust: what its fit is multiplied with, in (0, 1].
    """

    k: int
    region: Region = field(repr=False)
    trust: float = 1.0


@dataclass(frozen=True)
class Agreement:
    """What the views agree on.

    Attributes:
        belief: (P,) in [0, 1], of the places that some view sees; elsewhere NaN.
        chosen: by view, the number of its proposal.
        fit: by view, intersection over union of its proposal and the belief, over the places that it sees.
        shows: the views that see enough of the thing.
    """

    belief: np.ndarray = field(repr=False)
    chosen: Mapping[int, int]
    fit: Mapping[int, float]
    shows: frozenset[int]

    @property
    def strength(self) -> float:
        """The mean fit over the views that see the thing; 0 where none does. A view without a proposal fits not at all."""
        return float(np.mean([self.fit.get(k, 0.0) for k in self.shows])) if self.shows else 0.0


class Ballot:
    """Proposals, and which places of the world they hold.

    Args:
        sights: every view of the map.
        proposals: the places are laid on the smallest and the largest of each view.
    """

    def __init__(self, sights: Sequence[Sight], proposals: Sequence[Proposal]) -> None:
        self._sights = sights
        self.proposals: list[Proposal] = []
        found = [sights[p.k].places_on(p.region, SAMPLES) for p in _extremes(proposals)]
        step = max(1, -(-sum(map(len, found)) // PLACES))
        self.xyz = np.concatenate([np.empty((0, 3)), *found])[::step]
        components = [sights[p.k].view.component for p in _extremes(proposals)]
        self._component = np.repeat(np.array(components, np.int64), [len(one) for one in found])[::step]
        self._area = _areas(self.xyz)
        self.seen = np.zeros((len(sights), len(self.xyz)), np.float32)
        self.pixels = np.zeros((len(sights), len(self.xyz), 2), np.float32)
        for k, sight in enumerate(sights):
            self._look(k, sight)
        self._held = np.empty((0, len(self.xyz)), np.float32)
        self._view = np.empty(0, np.int64)
        self._trust = np.empty(0, np.float32)
        self.add(proposals)

    def _look(self, k: int, sight: Sight) -> None:
        pixels, depth = sight.view.project(self.xyz)
        with np.errstate(invalid="ignore"):
            there = sight.view.camera.inside(pixels) & (depth > 0) & (self._component == sight.view.component)
        inside = np.flatnonzero(there)
        if len(inside):
            inside = inside[~sight.hidden(pixels[inside], depth[inside])]
        self.seen[k, inside] = 1.0
        self.pixels[k, inside] = pixels[inside]

    def add(self, proposals: Sequence[Proposal]) -> list[int]:
        """More proposals, the places stay; returns their numbers."""
        held = np.zeros((len(proposals), len(self.xyz)), np.float32)
        for row, proposal in zip(held, proposals, strict=True):
            seen = np.flatnonzero(self.seen[proposal.k])
            row[seen] = proposal.region.holds(self.pixels[proposal.k, seen])
        first = len(self.proposals)
        self.proposals += proposals
        self._held = np.concatenate([self._held, held])
        self._view = np.append(self._view, np.array([p.k for p in proposals], np.int64))
        self._trust = np.append(self._trust, np.array([p.trust for p in proposals], np.float32))
        return list(range(first, len(self.proposals)))

    def held(self, number: int) -> np.ndarray:
        """(P,) bool: the places that a proposal holds."""
        return self._held[number] > 0

    def start(self, numbers: Sequence[int]) -> np.ndarray:
        """The belief (P,) of some proposals alone."""
        return self._shares(numbers, np.ones(len(numbers), np.float32), np.full(len(self.xyz), np.nan))

    def settle(self, belief: np.ndarray) -> Agreement:
        """What the views agree on when they start with a belief."""
        before: dict[int, int] = {}
        for _ in range(STEPS):
            fits = self.fits(belief)
            chosen = self._best(fits, belief)
            if chosen == before:
                break
            before, numbers = chosen, list(chosen.values())
            belief = self._shares(numbers, (fits**2 * self._trust)[numbers], belief)
        shows = frozenset(np.flatnonzero(self._shown(belief)).tolist())
        fits = self.fits(belief)
        return Agreement(belief, before, {k: float(fits[n]) for k, n in before.items()}, shows)

    def fits(self, belief: np.ndarray) -> np.ndarray:
        """(N,) intersection over union of each proposal and a belief, over the places that its view sees."""
        known = self._area * np.isfinite(belief)
        wanted = self._area * (np.nan_to_num(belief) >= HELD)
        common = self._held @ wanted
        either = self._held @ known + (self.seen @ wanted)[self._view] - common
        return np.asarray(common / np.maximum(either, 1e-9))

    def covering(self, belief: np.ndarray, least: float, first: int = 0) -> set[int]:
        """The views in which a proposal, numbered ``first`` or higher, covers so much of what they see of a belief."""
        wanted = self._area * (np.nan_to_num(belief) >= HELD)
        share = (self._held @ wanted) / np.maximum((self.seen @ wanted)[self._view], 1e-9)
        return set(self._view[first:][share[first:] >= least].tolist())

    def likeness(self, belief: np.ndarray, other: np.ndarray) -> float:
        """Intersection over union of what two beliefs hold, over the places that both speak of."""
        known = np.isfinite(belief) & np.isfinite(other)
        a, b = known & (np.nan_to_num(belief) >= HELD), known & (np.nan_to_num(other) >= HELD)
        return float(self._area[a & b].sum() / max(self._area[a | b].sum(), 1e-9))

    def best(self, belief: np.ndarray, first: int = 0) -> dict[int, tuple[int, float]]:
        """By view, the proposal that fits a belief best, of those with the number ``first`` or higher; and its fit."""
        fits = self.fits(belief)
        found: dict[int, tuple[int, float]] = {}
        for number in np.argsort(-fits * self._trust, kind="stable").tolist():
            if number >= first:
                found.setdefault(int(self._view[number]), (number, float(fits[number])))
        return found

    def _shown(self, belief: np.ndarray) -> np.ndarray:
        """(V,) bool: the views that see enough places of the thing."""
        return np.asarray(self.seen @ (np.nan_to_num(belief) >= HELD).astype(np.float32) >= LEAST_PLACES)

    def _best(self, fits: np.ndarray, belief: np.ndarray) -> dict[int, int]:
        """By view that sees the thing, the proposal that fits best, if any fits at all."""
        rated = fits * self._trust * self._shown(belief)[self._view]
        chosen: dict[int, int] = {}
        for number in np.argsort(-rated, kind="stable").tolist():
            if rated[number] > 0:
                chosen.setdefault(int(self._view[number]), number)
        return chosen

    def _shares(self, numbers: Sequence[int], weights: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """(P,) of the views of some proposals that see a place, the share that holds it."""
        held = weights @ self._held[list(numbers)]
        seen = weights @ self.seen[self._view[list(numbers)]]
        return np.where(seen > 0, held / np.maximum(seen, 1e-9), otherwise)


def _extremes(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The smallest and the largest proposal of each view, in a fixed order."""
    of: dict[int, list[Proposal]] = {}
    for proposal in sorted(proposals, key=lambda p: p.region.area):
        of.setdefault(proposal.k, []).append(proposal)
    return [p for k in sorted(of) for p in (of[k] if len(of[k]) < 2 else [of[k][0], of[k][-1]])]


def _areas(xyz: np.ndarray) -> np.ndarray:
    """(P,) float32: the area that each place stands for, to a factor, by its distance to the places around it; small masks are
    laid more densely with places than large ones, and would seem large."""
    if len(xyz) <= AREA_NEIGHBOURS:
        return np.ones(len(xyz), np.float32)
    distance = cKDTree(xyz).query(xyz, k=[AREA_NEIGHBOURS + 1])[0][:, 0]
    return np.asarray((distance / max(float(np.median(distance)), 1e-9)) ** 2, np.float32)
