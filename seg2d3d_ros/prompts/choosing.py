"""Which thing the clicks mean: the smallest one that holds the positive clicks and excludes the negative ones.

A click speaks in its own image, and in every other view that sees the same place: an image that was cut at another level, or
where the detector missed the thing, is answered by its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.prompts.sights import Sight
from seg2d3d_ros.prompts.things import Things

OWN_VIEW = 2.0
"""The weight of the clicked image beside that of another view."""
LEAST = 0.05
"""No click is surer than this to be misplaced."""
HELD, FURTHER = 0.5, 0.25
"""A thing holds a click if so much of the views' weight says so. Further clicks lie where an answer is wrong, hence often at a
ragged border: they speak against a thing only if less than ``FURTHER`` (of a positive click), or all but that (of a negative
one), holds them."""
RAGGED = 0.008
"""Of the image's width: how far around a click masks are looked at."""
AROUND = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


@dataclass(frozen=True)
class PlacedClick:
    """A click: the keyframe's name ("" = a place in the world), the pixel (2,) there, its place (3,) or None, and more."""

    name: str
    xy: np.ndarray
    xyz: np.ndarray | None
    confidence: float
    positive: bool


@dataclass(frozen=True)
class Choice:
    """The object is all of ``include`` without ``exclude``; ``alternatives`` hold the first click, the smallest first."""

    include: tuple[int, ...]
    exclude: tuple[int, ...] = ()
    alternatives: tuple[int, ...] = ()


def shares(click: PlacedClick, sights: Sequence[Sight], things: Things, *, ragged: bool = False) -> dict[int, float]:
    """For every thing that some view may show at a click, how much of the views' weight holds it there, in [0, 1].

    Args:
        ragged: the pixels around the click count as much as its own.
    """
    width = sights[0].view.camera.width if sights else 0
    held: dict[int, float] = {}
    asked: dict[int, float] = {}

    def ask(name: str, xy: np.ndarray, weight: float) -> None:
        there = things.holding(name, xy + RAGGED * width * (AROUND if ragged else AROUND[:1]))
        for i in things.shown(name):
            asked[i] = asked.get(i, 0.0) + weight
            held[i] = held.get(i, 0.0) + weight * sum(i in one for one in there) / len(there)

    if click.name:
        ask(click.name, click.xy, OWN_VIEW)
    if click.xyz is not None:
        for sight in sights:
            if sight.name == click.name or click.confidence <= 0:
                continue
            pixel, depth = sight.view.project(click.xyz[None])
            if depth[0] > 0 and sight.view.camera.inside(pixel)[0] and not sight.hidden(pixel, depth)[0]:
                ask(sight.name, pixel[0], click.confidence)
    return {i: held[i] / asked[i] for i in asked if held[i] > 0}


def choose(
    clicks: Sequence[PlacedClick],
    sights: Sequence[Sight],
    things: Things,
    level: str = "fine",
    box: dict[int, float] | None = None,
) -> Choice | None:
    """What the clicks mean; None where no thing holds a positive one.

    Args:
        level: of the things that agree with all clicks and lie in each other, ``fine`` is the smallest, ``coarse`` the largest,
            ``auto`` the one that is an instance of the map, else the smallest, a number that level of the tree.
        box: of things, how well each fits a box that was drawn, in [0, 1].
    """
    found = [(click.positive, shares(click, sights, things, ragged=len(clicks) > 1)) for click in clicks]
    every = {i for positive, share in found for i in share if positive} | set(box or ())
    if not every:
        return None

    def agrees(i: int, positive: bool, share: dict[int, float]) -> bool:
        if len(found) == 1:
            return share.get(i, 0.0) >= HELD
        return share.get(i, 0.0) >= FURTHER if positive else share.get(i, 0.0) <= 1.0 - FURTHER

    def likelihood(i: int) -> float:
        terms = [share.get(i, 0.0) if positive else 1.0 - share.get(i, 0.0) for positive, share in found]
        return float(np.log(np.maximum([*terms, *([box.get(i, 0.0)] if box else [])], LEAST)).sum())

    def smallest_first(ids: set[int]) -> list[int]:
        # A node, which several views show, before a mask that one view alone has; deeper in the tree is smaller.
        return sorted(ids, key=lambda i: (i < 0, -things[i].level, -likelihood(i), i))

    first = next((share for positive, share in found if positive), {})
    alternatives = tuple(smallest_first({i for i, share in first.items() if share >= HELD}))
    whole = {i for i in every if all(agrees(i, *item) for item in found)}
    if box:
        best = max(whole or every, key=lambda i: (likelihood(i), -i))
        return Choice((best,), (), alternatives) if likelihood(best) > np.log(LEAST) else None
    if whole:
        return Choice((_at_level(smallest_first(whole), things, level),), (), alternatives)
    if not any(agrees(i, *item) for i in every for item in found if item[0]):
        return None
    return Choice(*_composed(found, smallest_first(every), likelihood, agrees), alternatives)


def _composed(
    found: Sequence[tuple[bool, dict[int, float]]],
    order: Sequence[int],
    likelihood: Callable[[int], float],
    agrees: Callable[[int, bool, dict[int, float]], bool],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where no single thing agrees with all clicks: the likeliest one, with the smallest things at the positive clicks that it
    lacks, without the smallest ones at the negative clicks that it holds."""
    include = [max(order, key=likelihood)]
    for positive, share in found:
        if positive and not any(agrees(i, positive, share) for i in include):
            fits = (i for i in order if share.get(i, 0.0) >= HELD and all(agrees(i, *item) for item in found if not item[0]))
            include += [i for i in [next(fits, None)] if i is not None]
    exclude = []
    for positive, share in found:
        if not positive and any(not agrees(i, positive, share) for i in include):
            kept = [item for item in found if item[0]]
            fits = (i for i in order_of(share, order) if not any(agrees(i, *item) for item in kept))
            exclude += [i for i in [next(fits, None)] if i is not None]
    return tuple(include), tuple(dict.fromkeys(exclude))


def order_of(share: dict[int, float], order: Sequence[int]) -> list[int]:
    """The things that hold a click, in an order; those that are not in it come last."""
    rank = {i: k for k, i in enumerate(order)}
    return sorted((i for i, value in share.items() if value >= HELD), key=lambda i: (rank.get(i, len(order)), i))


def _at_level(order: Sequence[int], things: Things, level: str) -> int:
    """Of things that lie in each other, the smallest first, the one of a level."""
    nodes = [i for i in order if i > 0] or list(order)
    if level == "coarse":
        return nodes[-1]
    if level == "auto":
        return next((i for i in nodes if things[i].known), nodes[0])
    if level.isdecimal():
        return next((i for i in nodes if things[i].level <= int(level)), nodes[-1])
    return nodes[0]
