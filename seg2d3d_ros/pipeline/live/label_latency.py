"""How long keyframes wait for their labels, so that nobody has to find out that they come minutes late."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

from seg2d3d_ros.findings import Findings, Kind

LATE_SECONDS = 60.0
RECENT = 50
"""Keyframes whose latency is reported."""

LABELS_LATE = Kind(
    "labels_late",
    "keyframes whose labels came late",
    cause="more than {limit:g} s after their masks, at last {seconds:.0f} s: the machine does not keep up",
    remedy="a larger keyframes.min_motion, smaller reconstruction.max_image_size, or another machine for association_node; "
    "finalize labels everything",
)


class LabelLatency:
    """From the arrival of a keyframe's masks to the first label image of it as a part of the map. Safe to use from any thread.

    Args:
        findings: gets those that took longer than ``LATE_SECONDS``.
        clock: gives seconds.
    """

    def __init__(self, findings: Findings, clock: Callable[[], float] = time.monotonic) -> None:
        self._findings, self._clock = findings, clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._seconds: deque[float] = deque(maxlen=RECENT)

    def arrived(self, name: str) -> None:
        """A keyframe's masks came; when they come again, the first time counts."""
        with self._lock:
            self._since.setdefault(name, self._clock())

    def labelled(self, names: Iterable[str]) -> None:
        """Labels of keyframes in the map were sent."""
        now = self._clock()
        with self._lock:
            took = {name: now - self._since.pop(name) for name in names if name in self._since}
            self._seconds += took.values()
        if late := {name: seconds for name, seconds in took.items() if seconds > LATE_SECONDS}:
            self._findings.add(LABELS_LATE, *late, seconds=max(late.values()), limit=LATE_SECONDS)

    def forget(self) -> None:
        """The map begins anew."""
        with self._lock:
            self._since.clear()
            self._seconds.clear()

    def values(self) -> dict[str, str]:
        """For diagnostics: the latency of the last ``RECENT`` keyframes."""
        with self._lock:
            recent = list(self._seconds)
        if not recent:
            return {}
        return {"label latency, median [s]": f"{np.median(recent):.1f}", "label latency, longest [s]": f"{max(recent):.1f}"}
