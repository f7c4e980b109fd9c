"""How long keyframes wait for their labels, so that nobody has to find out that they come minutes late."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

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
    """From the arrival of a keyframe's masks, and from its image, to the first labels of it as a part of the map. Safe to use
    from any thread.

    Args:
        findings: gets those that took longer than ``LATE_SECONDS``.
        clock: gives seconds.
    """

    def __init__(self, findings: Findings, clock: Callable[[], float] = time.monotonic) -> None:
        self._findings, self._clock = findings, clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._ages: deque[tuple[float, float]] = deque(maxlen=RECENT)

    def arrived(self, name: str) -> None:
        """A keyframe's masks came; when they come again, the first time counts."""
        with self._lock:
            self._since.setdefault(name, self._clock())

    def labelled(self, names: Iterable[str], ages: Mapping[str, tuple[float, float]] | None = None) -> None:
        """Labels of keyframes in the map were sent.

        Args:
            ages: by name, seconds from the image's stamp until the labelled cloud with it was sent, and until its labels
                were; of those whose clock can be compared.
        """
        now = self._clock()
        with self._lock:
            took = {name: now - self._since.pop(name) for name in names if name in self._since}
            self._seconds += took.values()
            self._ages += [ages[name] for name in took if ages and name in ages]
        if late := {name: seconds for name, seconds in took.items() if seconds > LATE_SECONDS}:
            self._findings.add(LABELS_LATE, *late, seconds=max(late.values()), limit=LATE_SECONDS)

    def forget(self) -> None:
        """The map begins anew."""
        with self._lock:
            self._since.clear()
            self._seconds.clear()
            self._ages.clear()

    def values(self) -> dict[str, str]:
        """For diagnostics: the latency of the last ``RECENT`` keyframes."""
        with self._lock:
            masks, ages = list(self._seconds), list(self._ages)
        cloud, labels = [age for age, _ in ages], [age for _, age in ages]
        named = {"label latency": masks, "image to labelled cloud": cloud, "image to labels": labels}
        found = {}
        for name, seconds in named.items():
            if seconds:
                found[f"{name}, median [s]"], found[f"{name}, longest [s]"] = f"{np.median(seconds):.1f}", f"{max(seconds):.1f}"
        return found
