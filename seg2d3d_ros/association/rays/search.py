"""Which masks show the same thing: places along each ray where other rays cross it, the best supported taken first.

A row of equal posts seen from a moving camera has many crossings of rays that belong to different posts. Two views cannot tell
them apart; the others can: at a true place nearly every view that should see something does, with the same width and height.
So each place is weighed over all views around, the best one is taken, its masks are used up (a mask shows one thing), and the
others are weighed again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import concatenated, places, take
from seg2d3d_ros.association.rays.support import FARTHEST, NEAREST, Evidence, Supposed
from seg2d3d_ros.association.rays.triangulation import Located, locate

LEAST_ANGLE = np.radians(1.5)
"""Rays that open by less cross anywhere."""
EMPTY = 0.25
"""What a view speaks against a thing that it should see and has no mask of, beside 1 of a perfect mask for it."""
BEST, APART = 5, 0.08
"""So many places are kept along each ray, their distances this share of one another apart."""
LEAST_SCORE, LEAST_VIEWS = 1.2, 2
"""A thing needs this score, and masks in so many views."""
WORST_SIGMA = 1.0
"""Standard deviation in metres up to which a place is one."""
COMMON = 0.3
"""Pieces of one thing have less than this share of the smaller one's height in common."""
BESIDE = 0.2
"""Two things that this share of the smaller one's views show side by side are two."""
MANY, FIRM, UNLIKE = 6, 3, 0.5
"""Things of fewer masks must be like those of many: where there are three of these, whose ends lie within so many metres."""
SETTLE = 3
"""Rounds of giving masks to things and placing things by their masks."""
WIDEST = 2.5
"""Metres; what is wider is no thin or small thing."""


@dataclass(frozen=True, eq=False)
class Thing:
    """One thing: its place and the masks that show it, as places among the rays.

    Attributes:
        masks: (n,) at most one a view.
        pieces: (p,) others of these views, above or below those: the thing is cut there, by a branch, say.
    """

    located: Located
    masks: np.ndarray
    pieces: np.ndarray


class Search:
    """All things of one class in one component."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._of_view = places(evidence.rays.view, len(evidence.views.center))
        self._around = [np.concatenate([self._of_view[j] for j in near]) for near in evidence.views.neighbours]

    def run(self) -> list[Thing]:
        """The things, the best supported first."""
        used = np.zeros(len(self._evidence.rays), bool)
        things = self._greedy(used)
        for _ in range(SETTLE):
            things = self._settled(self._united(things))
        return self._united(things)

    def _greedy(self, used: np.ndarray) -> list[Thing]:
        heap = [(-score, one, distance) for one in range(len(used)) for score, distance in self._candidates(one)]
        heapq.heapify(heap)
        things: list[Thing] = []
        while heap:
            before, one, distance = heapq.heappop(heap)
            if used[one] or -before < LEAST_SCORE:
                continue
            supposed = self._evidence.suppose(one, np.array([distance]))
            score = self._weigh(int(self._evidence.rays.view[one]), supposed, used)[0]
            if heap and score < -heap[0][0] - 1e-9:
                if score >= LEAST_SCORE:
                    heapq.heappush(heap, (-score, one, distance))
                continue
            if score >= LEAST_SCORE and (thing := self._take(one, supposed, used)) is not None:
                used[thing.masks] = used[thing.pieces] = True
                things.append(thing)
        return things

    def _candidates(self, one: int) -> Iterator[tuple[float, float]]:
        """Score and distance of the best places along a ray."""
        evidence, s = self._evidence, self._evidence.rays
        view = int(s.view[one])
        others = self._around[view]
        others = others[s.view[others] != view]
        distance = self._crossings(one, others)
        if np.isfinite(evidence.reach[one]):
            distance = np.append(distance, evidence.reach[one])
        if len(distance) == 0:
            return
        score = self._weigh(view, evidence.suppose(one, distance))
        taken: list[float] = []
        for place in np.argsort(-score, kind="stable").tolist():
            if score[place] < LEAST_SCORE or len(taken) == BEST:
                return
            if all(abs(np.log(distance[place] / d)) > APART for d in taken):
                taken.append(float(distance[place]))
                yield float(score[place]), float(distance[place])

    def _crossings(self, one: int, others: np.ndarray) -> np.ndarray:
        """Distances along a ray at which those of other masks cross it."""
        s, center = self._evidence.rays, self._evidence.views.center
        base = center[s.view[others], :2] - center[s.view[one], :2]
        angle, other = s.bearing[one], s.bearing[others]
        sine = np.sin(other - angle)
        with np.errstate(divide="ignore", invalid="ignore"):
            mine = (base[:, 0] * np.sin(other) - base[:, 1] * np.cos(other)) / sine
            theirs = (base[:, 0] * np.sin(angle) - base[:, 1] * np.cos(angle)) / sine
        near = (mine > NEAREST) & (mine < FARTHEST) & (theirs > NEAREST) & (theirs < FARTHEST)
        good = near & (np.abs(sine) > np.sin(LEAST_ANGLE)) & (s.width[one] * mine < WIDEST)
        return np.asarray(mine[good])

    def _weigh(self, view: int, things: Supposed, used: np.ndarray | None = None) -> np.ndarray:
        """(M,) the score of supposed things seen in a view, over all views around it."""
        evidence, s, views = self._evidence, self._evidence.rays, self._evidence.views
        masks = self._around[view] if used is None else self._around[view][~used[self._around[view]]]
        near = views.neighbours[view]
        best = np.zeros((len(things.xy), len(near)))
        far = np.zeros(len(things.xy))
        if len(masks):
            value = evidence.support(things, masks)
            column = np.searchsorted(near, s.view[masks])
            start = np.flatnonzero(np.diff(column, prepend=-1))
            best[:, column[start]] = np.maximum.reduceat(value, start, axis=1)
            away = things.xy[:, None] - views.center[s.view[masks], :2]
            far = np.where(value > 0, np.hypot(away[..., 0], away[..., 1]), 0.0).max(axis=1)
        middle = np.column_stack([things.xy, (things.bottom + things.top) / 2])
        away = things.xy[:, None] - views.center[near, :2]
        close = np.hypot(away[..., 0], away[..., 1]) < far[:, None]
        empty = (best == 0) & close
        m, n = np.nonzero(empty)
        seen = views.sees(near[n], middle[m])
        against = np.bincount(m[seen], minlength=len(things.xy))
        enough = (best > 0).sum(axis=1) >= LEAST_VIEWS
        return np.where(enough, best.sum(axis=1) - EMPTY * against, 0.0)

    def _take(self, one: int, supposed: Supposed, used: np.ndarray) -> Thing | None:
        """Place the thing by its masks, and choose the masks by its place; None where it does not hold."""
        view = int(self._evidence.rays.view[one])
        pool = self._around[view]
        pool = pool[~used[pool]]
        chosen = self._one_a_view(pool, self._evidence.support(supposed, pool)[0])
        located = locate(self._evidence, chosen, supposed.xy[0]) if len(chosen) >= LEAST_VIEWS else None
        for _ in range(2):
            if located is None:
                return None
            new = self._one_a_view(pool, self._evidence.support(located.supposed(), pool)[0])
            if np.array_equal(new, chosen):
                break
            chosen = new
            located = locate(self._evidence, chosen, located.xy) if len(chosen) >= LEAST_VIEWS else None
        if located is None:
            return None
        value = self._evidence.support(located.supposed(), pool)[0]
        thing = Thing(located, chosen, self._pieces(pool[value > 0], chosen))
        return thing if self._holds(thing) else None

    def _pieces(self, masks: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Those of the masks that lie above or below the chosen one of their view."""
        s = self._evidence.rays
        masks = np.setdiff1d(masks, chosen)
        masks = masks[np.isin(s.view[masks], s.view[chosen])]
        beside = chosen[np.searchsorted(s.view[chosen], s.view[masks])]
        common = np.minimum(s.top[masks], s.top[beside]) - np.maximum(s.bottom[masks], s.bottom[beside])
        height = np.minimum(s.top[masks] - s.bottom[masks], s.top[beside] - s.bottom[beside])
        return masks[common < COMMON * height]

    def _one_a_view(self, masks: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Of each view the mask with the largest value, ascending."""
        order = np.lexsort((-value, self._evidence.rays.view[masks]))
        order = order[value[order] > 0]
        first = np.flatnonzero(np.diff(self._evidence.rays.view[masks[order]], prepend=-1))
        return np.sort(masks[order[first]])

    def _holds(self, thing: Thing) -> bool:
        return len(thing.masks) >= LEAST_VIEWS and thing.located.sigma < WORST_SIGMA and thing.located.width < WIDEST

    def _settled(self, things: list[Thing]) -> list[Thing]:
        """Give the masks of each view to the things anew, all at once, and place the things by them."""
        evidence = self._evidence
        mine: list[list[int]] = [[] for _ in things]
        spare: list[list[int]] = [[] for _ in things]
        if not things:
            return things
        xy = np.array([thing.located.xy for thing in things])
        supposed = concatenated([thing.located.supposed() for thing in things])
        for view, masks in enumerate(self._of_view):
            if len(masks) == 0:
                continue
            near = np.flatnonzero(np.hypot(*(xy - evidence.views.center[view, :2]).T) < FARTHEST)
            if len(near) == 0:
                continue
            value = evidence.support(take(supposed, near), masks)
            taken = np.zeros(len(masks), bool)
            for row, column in zip(*linear_sum_assignment(value, maximize=True), strict=True):
                if value[row, column] > 0:
                    mine[near[row]].append(int(masks[column]))
                    taken[column] = True
            for column in np.flatnonzero(~taken & (value.max(axis=0) > 0)).tolist():
                spare[near[int(value[:, column].argmax())]].append(int(masks[column]))
        found = []
        for thing, masks_of, others in zip(things, mine, spare, strict=True):
            masks = np.array(sorted(masks_of), np.int64)
            if len(masks) < LEAST_VIEWS:
                continue
            pieces = self._pieces(np.array(others, np.int64), masks)
            located = thing.located if np.array_equal(masks, thing.masks) else locate(evidence, masks, thing.located.xy)
            if located is not None and self._holds(new := Thing(located, masks, pieces)):
                found.append(new)
        return found

    def _united(self, things: list[Thing]) -> list[Thing]:
        """Unite what lies in one place, unless views show both side by side."""
        if not things:
            return things
        view = self._evidence.rays.view
        things = sorted(things, key=lambda item: -len(item.masks))
        xy = np.array([thing.located.xy for thing in things])
        around = cKDTree(xy).query_ball_point(xy, WIDEST + 2 * WORST_SIGMA)
        kept: dict[int, Thing] = {}
        for number, thing in enumerate(things):
            for place in sorted(set(around[number]) & kept.keys()):
                other = kept[place]
                distance = float(np.linalg.norm(thing.located.xy - other.located.xy))
                close = max(thing.located.width, other.located.width, 0.3) + 2 * max(thing.located.sigma, other.located.sigma)
                if thing.located.flat != other.located.flat or distance > close:
                    continue
                common = thing.masks[np.isin(view[thing.masks], view[other.masks])]
                pieces = self._pieces(common, other.masks)
                if len(common) - len(pieces) > BESIDE * len(thing.masks):
                    continue
                masks = np.sort(np.concatenate([other.masks, np.setdiff1d(thing.masks, common)]))
                located = locate(self._evidence, masks, other.located.xy)
                if located is not None:
                    kept[place] = Thing(located, masks, np.concatenate([other.pieces, thing.pieces, pieces]))
                    break
            else:
                kept[number] = thing
        return list(kept.values())


def alike(things: list[Thing], evidence: Evidence) -> list[Thing]:
    """Without things of a few masks whose ends are not where those of the others of their class are, where these are alike.

    What is left over when each thing has its masks (parts of them, false ones) crosses somewhere, too: mostly in mid-air.
    """
    if evidence.ground is None:
        return things
    ends = np.array([(t.located.bottom, t.located.top) - evidence.ground.at(t.located.xy) for t in things]).reshape(-1, 2)
    sure = np.array([len(thing.masks) >= MANY for thing in things], bool)
    if sure.sum() < FIRM:
        return things
    usual = np.median(ends[sure], axis=0)
    spread = 1.5 * np.median(np.abs(ends[sure] - usual), axis=0)
    telling = spread < UNLIKE
    fits = ((np.abs(ends - usual) < np.maximum(UNLIKE, 3 * spread)) | ~telling).all(axis=1)
    return [thing for thing, kept in zip(things, fits | sure, strict=True) if kept]


def find_things(evidence: Evidence) -> list[Thing]:
    """The thin and small things of one class, in one component."""
    return alike(Search(evidence).run(), evidence) if len(evidence.rays) else []
