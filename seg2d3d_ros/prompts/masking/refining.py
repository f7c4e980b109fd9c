"""An answer refined by whoever gives masks for prompts: in each view, asked with the visible clicks and the box of the region.

The views then vote in 3D. Where a view's mask and the votes differ it is asked again, with a further point in the middle of the
difference, a few times. What differs in the end gets the region that the other views' masks give it, and is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.prompts.carrying import RegionCarrier
from seg2d3d_ros.prompts.choosing import CIRCLE, LEAST, SLACK, PlacedClick, seen_at
from seg2d3d_ros.prompts.masking.agreement import HELD, Agreement, Ballot, Proposal
from seg2d3d_ros.prompts.masking.mask_sources import MaskSource
from seg2d3d_ros.prompts.sights import Sight
from seg2d3d_ros.prompts.things import OneThing
from seg2d3d_ros.segmentation.models.mask_models import MaskPrompt

ROUNDS = 3
"""So often disagreeing views are asked again."""
AGREES = 0.5
"""Intersection over union of a view's mask and the votes, over the places that it sees, from which on they agree."""
BASE_TRUST = 0.7
"""Of a region that was found without the source: the source's own mask wins where both fit about as well."""
DENIED_TRUST = 0.5
"""Of a mask that lacks a positive click of its own image, or holds a negative one."""
STRENGTH, LIKENESS = 1.5, 1.2
"""How much the views' agreement, and likeness to the region found without the source, count beside the clicks."""
STARTS = 8
"""Masks of the clicked images that the views try to agree on."""
COVERED = 0.3
"""A view in which no mask covers so much of what the votes hold there, however it is asked, does not show the object: something
hides it, unless the map has a mask of it in this view."""
WEAK = 0.25
"""Where fewer of the views that show the object agree, they have no better answer than the one without the source."""

Seen = Sequence[tuple[int, np.ndarray, float]]
"""Of a click, as ``seen_at`` gives it."""


@dataclass(frozen=True)
class Refined:
    """What came of it.

    Attributes:
        regions: by sight, its pixels of the object.
        carried: the sights whose region is carried over from other views.
        asked: the sights that the source was asked about.
        disagreeing: those among them whose masks did not agree with the votes in the end: theirs is not used.
    """

    regions: Mapping[int, Region] = field(repr=False)
    carried: frozenset[int]
    asked: frozenset[int]
    disagreeing: frozenset[int]


class Refiner:
    """Asks one source about the views of a map.

    Args:
        shapes: rows and columns of every keyframe's masks.
    """

    def __init__(self, sights: Sequence[Sight], shapes: Mapping[str, tuple[int, int]], source: MaskSource) -> None:
        self._sights, self._shapes, self._source = sights, shapes, source

    def refine(self, clicks: Sequence[PlacedClick], base: Mapping[int, Region], carried: frozenset[int]) -> Refined:
        """The object of the clicks; without regions where no view has a mask of it, or the views do not agree.

        Args:
            base: by sight, the region that was found without the source; may be empty.
            carried: the sights among them whose region came from other views.
        """
        seen = [seen_at(click, self._sights) for click in clicks]
        shown: dict[int, list[tuple[np.ndarray, bool]]] = {}
        for click, views in zip(clicks, seen, strict=True):
            for k, xy, _ in views:
                shown.setdefault(k, []).append((xy, click.positive))
        first = [Proposal(k, region, BASE_TRUST) for k, region in base.items()]
        asked = {k for k, points in shown.items() if any(positive for _, positive in points)} | set(base)
        for k in sorted(asked):
            first += self._ask(k, self._first_prompts(shown.get(k, []), base.get(k)), clicks)
        if not first:
            return Refined({}, frozenset(), frozenset(asked), frozenset(asked))
        ballot = Ballot(self._sights, first)
        agreed = self._agree(ballot, clicks, seen, len(base))
        extra: dict[int, list[tuple[np.ndarray, bool]]] = {}
        for _ in range(ROUNDS):
            found = ballot.best(agreed.belief, len(base))
            again = {k for k in agreed.shows if k not in found or found[k][1] < AGREES}
            asked |= again
            more: list[Proposal] = []
            for k in sorted(again):
                number = found[k][0] if k in found else None
                prompt = self._further_prompt(ballot, agreed, k, number, shown.get(k, []), extra.setdefault(k, []))
                more += self._ask(k, [prompt], clicks)
            if not more:
                break
            ballot.add(more)
        return self._regions(ballot, agreed, frozenset(base), carried, asked)

    def _first_prompts(self, points: Sequence[tuple[np.ndarray, bool]], region: Region | None) -> list[MaskPrompt]:
        prompts = [_prompt(points)] if any(positive for _, positive in points) else []
        return [*prompts, _prompt(points, region.box)] if region is not None else prompts

    def _ask(self, k: int, prompts: Sequence[MaskPrompt], clicks: Sequence[PlacedClick]) -> list[Proposal]:
        name = self._sights[k].name
        found = [mask.region for masks in self._source.masks(name, prompts) for mask in masks]
        own = [click for click in clicks if click.name == name]
        proposals = []
        for region in found:
            obeyed = min((_obeys(region, click.xy, click.positive) for click in own), default=1.0)
            proposals.append(Proposal(k, region, DENIED_TRUST + (1 - DENIED_TRUST) * obeyed))
        return proposals

    def _agree(self, ballot: Ballot, clicks: Sequence[PlacedClick], seen: Sequence[Seen], bases: int) -> Agreement:
        """The best of what the views agree on from several starts: the base, and each mask of a clicked image."""
        base = ballot.start(range(bases)) if bases else None
        clicked = {k for k, sight in enumerate(self._sights) if any(click.name == sight.name for click in clicks)}
        numbers = range(bases, len(ballot.proposals))
        starts = [n for n in numbers if ballot.proposals[n].k in clicked and ballot.proposals[n].trust > DENIED_TRUST][:STARTS]
        beliefs = [ballot.start([n]) for n in starts] or [ballot.start(numbers)] if numbers else []
        if base is not None:
            beliefs.insert(0, base)
        found = [ballot.settle(belief) for belief in beliefs]
        return max(found, key=lambda agreed: _score(ballot, agreed, clicks, seen, base))

    def _further_prompt(
        self,
        ballot: Ballot,
        agreed: Agreement,
        k: int,
        number: int | None,
        points: Sequence[tuple[np.ndarray, bool]],
        extra: list[tuple[np.ndarray, bool]],
    ) -> MaskPrompt:
        """The box of what the votes hold in a view, and a point amid the places about which its mask is wrong."""
        seen = ballot.seen[k] > 0
        wanted = seen & (np.nan_to_num(agreed.belief) >= HELD)
        held = seen & ballot.held(number) if number is not None else np.zeros(len(seen), bool)
        missing, surplus = wanted & ~held, held & ~wanted & np.isfinite(agreed.belief)
        wrong, positive = (missing, True) if missing.sum() >= surplus.sum() else (surplus, False)
        if wrong.any():
            extra.append((_amid(ballot.pixels[k, wrong]), positive))
        low, high = np.percentile(ballot.pixels[k, wanted], [1, 99], axis=0)
        (x0, y0), (x1, y1) = low - 0.04 * (high - low), high + 0.04 * (high - low)
        return _prompt([*points, *extra], (float(x0), float(y0), float(x1), float(y1)))

    def _regions(
        self, ballot: Ballot, agreed: Agreement, base: frozenset[int], carried: frozenset[int], asked: set[int]
    ) -> Refined:
        found = ballot.best(agreed.belief, len(base))
        present = agreed.shows & ballot.covering(agreed.belief, COVERED, len(base))
        own = {k: ballot.proposals[found[k][0]].region for k in agreed.shows if k in found and found[k][1] >= AGREES}
        if len(own) < WEAK * len(present) or not own:
            return Refined({}, frozenset(), frozenset(asked), frozenset(asked))
        names = [sight.name for sight in self._sights]
        carrier = RegionCarrier(self._sights, OneThing({names[k]: region for k, region in own.items()}, self._shapes))
        regions, moved = dict(own), set()
        for k in sorted(agreed.shows - own.keys()):
            shown = k in base and k not in carried  # the map has a mask of it there
            if not shown and k in asked and k not in present:
                continue
            votes, _ = carrier.region(1, k)
            options = [] if votes is None else ballot.add([Proposal(k, votes)])
            number, _ = ballot.best(agreed.belief).get(k, (None, 0.0))
            if number is not None:
                regions[k] = ballot.proposals[number].region
                if number in options or (number < len(base) and not shown):
                    moved.add(k)
        lost = {k for k in base - carried if k not in regions}  # the map has a mask there that the votes do not see
        disagreeing = frozenset(((asked & agreed.shows) | lost) - own.keys())
        return Refined(regions, frozenset(moved), frozenset(asked), disagreeing)


def _score(
    ballot: Ballot, agreed: Agreement, clicks: Sequence[PlacedClick], seen: Sequence[Seen], base: np.ndarray | None
) -> float:
    """How likely what the views agree on is what the clicks mean: by how well they agree, obey, and are like the base."""
    score = STRENGTH * float(np.log(max(agreed.strength, LEAST)))
    for click, views in zip(clicks, seen, strict=True):
        right = total = 0.0
        for k, xy, weight in views:
            region = ballot.proposals[agreed.chosen[k]].region if k in agreed.chosen else None
            right, total = right + weight * _obeys(region, xy, click.positive), total + weight
        score += float(np.log(max(right / total, LEAST))) if total else 0.0
    return score if base is None else score + LIKENESS * ballot.likeness(agreed.belief, base)


def _prompt(points: Sequence[tuple[np.ndarray, bool]], box: tuple[float, float, float, float] | None = None) -> MaskPrompt:
    xy = np.array([xy for xy, _ in points], np.float32).reshape(-1, 2)
    return MaskPrompt(xy, np.array([positive for _, positive in points], bool), box)


def _obeys(region: Region | None, xy: np.ndarray, positive: bool) -> float:
    """How well a mask agrees with a click: 1, a half where the click lies beside the right side of its border, or 0."""
    if region is None:
        return 0.0 if positive else 1.0
    held = region.holds(np.concatenate([xy[None], xy + SLACK * np.sqrt(region.area) * CIRCLE])) == positive
    return 1.0 if held[0] else 0.5 if held.any() else 0.0


def _amid(pixels: np.ndarray) -> np.ndarray:
    """Of pixels (N, 2) the one with most of the others around it."""
    radius = max(float(np.linalg.norm(np.ptp(pixels, axis=0))) / 8, 2.0)
    near = cKDTree(pixels).query_ball_point(pixels, radius, return_length=True)
    return np.asarray(pixels[int(np.argmax(near))], float)
