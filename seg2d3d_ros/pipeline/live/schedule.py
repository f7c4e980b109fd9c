"""When a live map is solved again."""

from __future__ import annotations

from dataclasses import dataclass

NEVER = 10**9
MIN_KEYFRAMES = 2
"""A solution needs two views."""


@dataclass(frozen=True)
class Schedule:
    """How much new there has to be, and how long a pause.

    Attributes:
        every: at least this many new keyframes, …
        growth: … and at least this share of those that were in the last solution; the sum of all solutions then costs
            no more than ``1 + 1 / growth`` times the last one (where the cost is linear).
        idle: or when there is anything new and no keyframe came for this long, in seconds.
        idle_growth: and then only for at least this share of those that were in the last solution.
        interruptible: the map also grows without solutions, so that one may be given up where keyframes wait for its end.
    """

    every: int = 10
    growth: float = 0.3
    idle: float = 3.0
    idle_growth: float = 0.0
    interruptible: bool = False

    @classmethod
    def online(cls, growth: float, idle: float) -> Schedule:
        """For an online map, which takes keyframes in by itself: it is solved as a whole only in a pause, and after growth."""
        return cls(every=NEVER, growth=growth, idle=idle, idle_growth=growth, interruptible=True)

    def due(self, new: int, solved: int, quiet: float) -> bool:
        """Whether to solve now: ``new`` keyframes since a solution of ``solved``, the last one ``quiet`` seconds ago."""
        if new == 0 or new + solved < MIN_KEYFRAMES:
            return False
        pause = quiet >= self.idle and new >= self.idle_growth * solved
        return pause or new >= max(self.every, self.growth * solved)
