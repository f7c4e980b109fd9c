"""Which thing the clicks mean: the smallest one that holds the positive clicks and excludes the negative ones.

A click speaks in its own image, and in every other view that sees the same place: an image that was cut at another level, or
where the detector missed the thing, is answered by its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.prompts.sights import Sight
from seg2d3d_ros.prompts.things import Candidate, Things

OWN_VIEW = 2.0
"""The weight of the clicked image beside that of another view."""
LEAST = 0.05
"""No click is surer than this to be misplaced."""
PRIOR = 0.5
"""The weight of not knowing, beside that of a view: who is shown in one view only is less sure."""
HELD = 0.5
"""A thing holds a click if so much of the views' weight says so."""
LACKS = 0.25
"""Where no thing agrees better than this with some click, things are put together."""
RAGGED = 0.008
"""Of the image's width: how far beside a mask a click may be meant for it."""
SLACK = 0.1
"""The same for further clicks, of a mask's size: they lie where an answer is wrong, and the right thing's own masks are wrong
at their borders, too. A click farther inside the error speaks for another thing."""
RINGS = (0.004, 0.008, 0.016, 0.03, 0.06)
"""Of the image's width: distances at which it is looked whether a mask's border is near."""
AS_GOOD, AT_LEVEL = 0.7, 1.5
"""Difference in logarithmic likelihood up to which things count as agreeing as well with the clicks as the best one; and up to
which those of the wanted level do."""
STAYS = 1.0
"""What the first click chose gains, in logarithmic likelihood: who clicks again mostly corrects its border."""
CIRCLE = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
_OFFSETS = np.concatenate([np.zeros((1, 2)), *(radius * CIRCLE for radius in RINGS)])


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


def seen_at(click: PlacedClick, sights: Sequence[Sight]) -> list[tuple[int, np.ndarray, float]]:
    """The sights that see the place of a click, its pixel (2,) there, and how much it counts there.

    Components of a map that falls apart have no place in common; one in the world is of the largest.
    """
    found = []
    component = next((sight.view.component for sight in sights if sight.name == click.name), 0)
    for k, sight in enumerate(sights):
        if sight.name == click.name:
            found.append((k, click.xy, OWN_VIEW))
        elif click.xyz is not None and click.confidence > 0 and sight.view.component == component:
            pixel, depth = sight.view.project(click.xyz[None])
            if depth[0] > 0 and sight.view.camera.inside(pixel)[0] and not sight.hidden(pixel, depth)[0]:
                found.append((k, pixel[0], click.confidence))
    return found


def support(
    click: PlacedClick, sights: Sequence[Sight], things: Things, slack: float = 0.0
) -> tuple[dict[int, float], dict[int, float]]:
    """For every thing that some view shows where it sees a click, how much of the views' weight agrees with the click, in
    [0, 1]; and how much of it holds the click's place.

    Args:
        slack: how far beside a mask's border a click may lie and still half agree with it, of the mask's size.
    """
    held: dict[int, float] = {}
    agrees: dict[int, float] = {}
    asked: dict[int, float] = {}
    for k, xy, weight in seen_at(click, sights):
        name, width = sights[k].name, sights[k].view.camera.width
        there = things.holding(name, xy + width * _OFFSETS)
        for i in things.shown(name):
            inside = i in there[0]
            asked[i] = asked.get(i, 0.0) + weight
            held[i] = held.get(i, 0.0) + weight * inside
            value = 1.0
            if inside != click.positive:
                value = _nearness(i, name, there, inside, width, slack, things)
            agrees[i] = agrees.get(i, 0.0) + weight * value
    share = {i: (agrees[i] + PRIOR / 2) / (asked[i] + PRIOR) for i in asked}
    return share, {i: held[i] / asked[i] for i in asked if held[i] > 0}


def _nearness(i: int, name: str, there: Sequence[set[int]], inside: bool, width: int, slack: float, things: Things) -> float:
    """How likely it is that a click on the wrong side of a mask's border is meant for the right side, in [0, 1]."""
    flips = ((i in one) != inside for one in there[1:])
    ring = next((k // len(CIRCLE) for k, flip in enumerate(flips) if flip), None)
    if ring is None:
        return 0.0
    region = things.region(i, name) if slack else None
    tolerance = max(RAGGED * width, 0.0 if region is None else slack * float(np.sqrt(region.area)))
    return float(np.exp(-np.log(2.0) * (RINGS[ring] * width / tolerance) ** 2))


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
    found = [(click.positive, *support(click, sights, things, SLACK if n else 0.0)) for n, click in enumerate(clicks)]
    every = {i for positive, _, held in found for i in held if positive} | set(box or ())
    if not every:
        return None

    def share(i: int, positive: bool, agreeing: Mapping[int, float]) -> float:
        return agreeing.get(i, 0.0 if positive else 1.0)

    likely = {}
    for i in every:
        terms = [share(i, positive, agreeing) for positive, agreeing, _ in found]
        likely[i] = float(np.log(np.maximum([*terms, *([box.get(i, 0.0)] if box else [])], LEAST)).sum())

    if len(clicks) > 1 and clicks[0].positive and not box:
        before = choose(clicks[:1], sights, things, level)
        for i in () if before is None else before.include:
            likely[i] += STAYS

    def smallest_first(ids: Iterable[int]) -> list[int]:
        # A node, which several views show, before a mask that one view alone has; deeper in the tree is smaller.
        return sorted(ids, key=lambda i: (i < 0, -things[i].level, -likely[i], i))

    first = next((held for positive, _, held in found if positive), {})
    alternatives = tuple(smallest_first(i for i, value in first.items() if value >= HELD))
    best = max(every, key=lambda i: (likely[i], -i))
    if box:
        return Choice((best,), (), alternatives) if likely[best] > np.log(LEAST) else None
    if not any(share(i, True, agreeing) >= LACKS for i in every for positive, agreeing, _ in found if positive):
        return None
    if all(share(best, positive, agreeing) >= LACKS for positive, agreeing, _ in found):
        as_good = [i for i in every if likely[i] >= likely[best] - AS_GOOD]
        fitting = [i for i in every if i > 0 and likely[i] >= likely[best] - AT_LEVEL and _is_at(things[i], level)]
        chosen = max(fitting, key=lambda i: (likely[i], -i)) if fitting else _at_level(smallest_first(as_good), things, level)
        return Choice((chosen,), (), alternatives)

    def agrees(i: int, positive: bool, agreeing: Mapping[int, float]) -> bool:
        return share(i, positive, agreeing) >= LACKS

    return Choice(*_composed(found, smallest_first(every), best, agrees), alternatives)


def _composed(
    found: Sequence[tuple[bool, dict[int, float], dict[int, float]]],
    order: Sequence[int],
    best: int,
    agrees: Callable[[int, bool, Mapping[int, float]], bool],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where no single thing agrees with all clicks: the likeliest one, with the smallest things at the positive clicks that it
    lacks, without the smallest ones at the negative clicks that it holds."""
    include, exclude = [best], []
    for positive, agreeing, held in found:
        if positive and not any(agrees(i, True, agreeing) for i in include):
            fits = (i for i in order if held.get(i, 0.0) >= HELD and all(agrees(i, p, a) for p, a, _ in found if not p))
            include += [i for i in [next(fits, None)] if i is not None]
    rank = {i: k for k, i in enumerate(order)}
    for positive, agreeing, held in found:
        if not positive and not all(agrees(i, False, agreeing) for i in include):
            there = sorted((i for i, value in held.items() if value >= HELD), key=lambda i: (rank.get(i, len(order)), i))
            fits = (i for i in there if not any(agrees(i, p, a) for p, a, _ in found if p))
            exclude += [i for i in [next(fits, None)] if i is not None]
    return tuple(include), tuple(dict.fromkeys(exclude))


def _is_at(thing: Candidate, level: str) -> bool:
    """Whether a node is of a level that was asked for; of ``fine`` and ``auto``, which depend on other things, none is."""
    return (level == "coarse" and thing.level == 0) or (level.isdecimal() and thing.level == int(level))


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
