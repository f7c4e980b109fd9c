"""Brings together what belongs to one image but arrives on several topics, in any order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass
class _Bundle:
    parts: dict[str, Any]
    since: float


class Matcher:
    """Bundles of one ``main`` part and the ``others``, by key.

    A bundle is handed out when all parts are there, or incomplete when its main part has waited for ``timeout`` seconds.
    Parts without a main part (segments of images that are no keyframes) are kept until ``capacity`` bundles wait, then the
    oldest of them go first.

    Attributes:
        late: parts that came after their bundle had been handed out.
        evicted: main parts lost because ``capacity`` was too small.
    """

    def __init__(self, main: str, others: tuple[str, ...], *, timeout: float, capacity: int = 200) -> None:
        self.late = self.evicted = 0
        self._main, self._all = main, {main, *others}
        self._timeout, self._capacity = timeout, capacity
        self._waiting: OrderedDict[Hashable, _Bundle] = OrderedDict()
        self._given: OrderedDict[Hashable, None] = OrderedDict()

    @property
    def pending(self) -> int:
        """Main parts that wait."""
        return sum(self._main in bundle.parts for bundle in self._waiting.values())

    def clear(self) -> None:
        """Forget everything, after a jump in time."""
        self._waiting.clear()
        self._given.clear()

    def add(self, part: str, key: Hashable, value: Any, now: float) -> dict[str, Any] | None:
        """Add one part at time ``now`` (s); the complete bundle if it was the last one."""
        if part != self._main and key in self._given:
            self.late += 1
            return None
        bundle = self._waiting.setdefault(key, _Bundle({}, now))
        if part == self._main:
            bundle.since = now
        bundle.parts[part] = value
        if bundle.parts.keys() == self._all:
            return self._give(key)
        if len(self._waiting) > self._capacity:
            oldest = next((k for k, b in self._waiting.items() if self._main not in b.parts), next(iter(self._waiting)))
            self.evicted += self._main in self._waiting.pop(oldest).parts
        return None

    def expired(self, now: float) -> list[dict[str, Any]]:
        """Incomplete bundles whose main part has waited long enough, the oldest first."""
        keys = [k for k, b in self._waiting.items() if self._main in b.parts and now - b.since >= self._timeout]
        return [self._give(key) for key in keys]

    def _give(self, key: Hashable) -> dict[str, Any]:
        self._given[key] = None
        while len(self._given) > 10 * self._capacity:
            self._given.popitem(last=False)
        return self._waiting.pop(key).parts
