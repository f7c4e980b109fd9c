"""Keyframes that wait for what belongs to them: a position, odometry, a calibration, a label image.

A keyframe goes on when all of it is there, or without what did not come in time. The time of ``WaitingKeyframes`` is the
caller's: that of a recording or of the clock, in any unit; that of ``Synchronizer`` is real.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

CAPACITY = 256
"""Keyframes that may wait; encoded they take about 100 MB."""


@dataclass(frozen=True)
class Companion(Generic[Item]):
    """Something that belongs to a keyframe: whether it is there, and how long the keyframe waits for it."""

    there: Callable[[Item], bool]
    patience: float


class WaitingKeyframes(Generic[Item]):
    """Keyframes until their companions are there.

    Args:
        companions: of each keyframe.
        capacity: beyond it the oldest go on as they are.
        in_order: keep the order in which they came: none overtakes one that waits.
    """

    def __init__(self, companions: Sequence[Companion[Item]], *, capacity: int = CAPACITY, in_order: bool = False) -> None:
        self._companions, self._capacity, self._in_order = companions, capacity, in_order
        self._waiting: list[tuple[Item, float]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item, since: float) -> None:
        """A keyframe that waits from ``since`` on."""
        self._waiting.append((item, since))

    def release(self, now: float, everything: bool = False) -> list[Item]:
        """The keyframes that need not wait any longer, the oldest first; with ``everything`` all of them."""
        released, left = [], []
        excess = len(self._waiting) - self._capacity
        for place, (item, since) in enumerate(self._waiting):
            if everything or place < excess or all(now - since >= one.patience or one.there(item) for one in self._companions):
                released.append(item)
            elif self._in_order:
                left = self._waiting[place:]
                break
            else:
                left.append((item, since))
        self._waiting = left
        return released


class Synchronizer:
    """Bundles of one ``main`` part, a keyframe, and the ``others``, which arrive one by one in any order and share its key.

    A bundle goes on when all parts are there, or incomplete when its keyframe has waited for ``timeout`` or more than
    ``capacity`` wait. Parts without a keyframe (segments of images that are none) are kept until there are ``capacity`` of
    them; then the oldest are dropped.

    Args:
        deliver: gets the bundles that go on, each by the names of its parts.
        timeout: seconds of real time.

    Attributes:
        late: parts that came after their bundle had gone on.
    """

    def __init__(
        self, main: str, others: Collection[str], deliver: Callable[[dict[str, Any]], None], timeout: float, capacity: int = 200
    ) -> None:
        self.late = 0
        self._releasing = 0
        self._main, self._deliver, self._capacity = main, deliver, capacity
        self._bundles: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()
        self._gone: OrderedDict[Hashable, None] = OrderedDict()
        companions = [Companion(partial(self._has, part), timeout) for part in others]
        self._waiting: WaitingKeyframes[Hashable] = WaitingKeyframes(companions, capacity=capacity)

    @property
    def pending(self) -> int:
        """Keyframes that wait, or are on their way to ``deliver``: who reads this in another thread must not miss those."""
        return len(self._waiting) + self._releasing

    def add(self, part: str, key: Hashable, value: Any) -> None:
        """Add one part; delivers the bundles that go on now."""
        if part != self._main and key in self._gone:
            self.late += 1
            return
        bundle = self._bundles.setdefault(key, {})
        if part == self._main and part not in bundle:
            self._waiting.add(key, time.monotonic())
        bundle[part] = value
        if len(self._bundles) - len(self._waiting) > self._capacity:
            del self._bundles[next(key for key, parts in self._bundles.items() if self._main not in parts)]
        self.release()

    def release(self) -> None:
        """Deliver the bundles whose time is over, the oldest first; call it now and then."""
        self._releasing += 1
        try:
            keys = self._waiting.release(time.monotonic())
            released = [self._bundles.pop(key) for key in keys]
            self._gone.update(dict.fromkeys(keys))
            while len(self._gone) > 10 * self._capacity:
                self._gone.popitem(last=False)
            for bundle in released:
                self._deliver(bundle)
        finally:
            self._releasing -= 1

    def forget(self) -> None:
        """Begin anew: nothing waits, and what has gone on may come once more."""
        self._bundles.clear()
        self._gone.clear()
        self._waiting.release(0.0, everything=True)

    def _has(self, part: str, key: Hashable) -> bool:
        return part in self._bundles[key]
