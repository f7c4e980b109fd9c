"""Keyframes that wait for the reconstruction: who is next, and who steps aside so that the others come in time.

A vehicle may bring keyframes faster than the machine takes them in. Taken strictly in turn, each would wait longer than the
one before, and its labels would come minutes late. So who has waited for ``max_wait`` steps aside: the keyframes behind it go
first, and those aside follow when nobody else waits, in a pause or at the end. With a steady surplus this thins the
keyframes evenly, because one is taken in while a few grow too old; none is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from seg2d3d_ros.findings import Finding, Kind

PUT_ASIDE = Kind(
    "keyframes_put_aside",
    "keyframes that were put aside and are not in the map yet",
    cause="they come faster than the machine takes them in, and each had waited for {seconds:g} s (max_wait)",
    remedy="the next pause, or finalize, takes them in; a larger keyframes.min_motion or a faster machine avoids it",
)


class Backlog:
    """Names of keyframes in the order of their arrival.

    Args:
        names: of keyframes that an earlier run left; these wait without a limit.
        max_wait: seconds; 0 = as long as it takes.
        clock: gives seconds.
    """

    def __init__(self, names: Iterable[str], max_wait: float, clock: Callable[[], float]) -> None:
        self._max_wait, self._clock = max_wait, clock
        self._waiting: deque[tuple[str, float]] = deque()
        self._aside: deque[str] = deque(names)
        self._earlier = len(self._aside)

    def __len__(self) -> int:
        """How many wait, those aside included."""
        return len(self._waiting) + len(self._aside)

    @property
    def aside(self) -> int:
        """How many of this run were put aside and still wait."""
        return max(len(self._aside) - self._earlier, 0)

    @property
    def oldest_seconds(self) -> float:
        """How long the next of those in turn has waited."""
        return self._clock() - self._waiting[0][1] if self._waiting else 0.0

    @property
    def late(self) -> bool:
        """Whether one in turn has waited too long."""
        return self._max_wait > 0 and self.oldest_seconds > self._max_wait

    def add(self, name: str) -> None:
        """A keyframe has come."""
        self._waiting.append((name, self._clock()))

    def next(self) -> str | None:
        """Take the next keyframe off; None where none waits."""
        if self._waiting:
            return self._waiting.popleft()[0]
        if self._aside:
            self._earlier = max(self._earlier - 1, 0)
            return self._aside.popleft()
        return None

    def thin(self) -> int:
        """Put those aside that have waited too long; returns how many."""
        count = 0
        while self.late:
            self._aside.append(self._waiting.popleft()[0])
            count += 1
        return count

    def forget(self, names: Collection[str]) -> None:
        """These need not wait any more."""
        earlier = sum(name not in names for name in list(self._aside)[: self._earlier])
        self._aside = deque(name for name in self._aside if name not in names)
        self._waiting = deque(item for item in self._waiting if item[0] not in names)
        self._earlier = earlier

    def finding(self, received: int) -> Finding:
        """Who is aside at present, of so many that came."""
        return Finding(
            PUT_ASIDE, self.aside, received, tuple(list(self._aside)[self._earlier :][:3]), {"seconds": self._max_wait}
        )
