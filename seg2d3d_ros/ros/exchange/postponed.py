"""Keyframes that a slow segmenter puts aside, so that the newest get their masks in time and none is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from seg2d3d_ros.findings import EXAMPLES, Finding, Findings, Kind

SEGMENTATION_BEHIND = Kind(
    "segmentation_behind",
    "keyframes that were put aside and are not segmented yet",
    cause="the segmenter does not keep up with the keyframes: they waited for longer than segments_delay ({delay:g} s)",
    remedy="they follow when it has time, or with segmentation_node/flush; drive slower, raise keyframes.min_motion, "
    "or take a faster model",
)
SEGMENTATION_LOST = Kind(
    "segmentation_lost",
    "keyframes that were put aside and cannot be segmented any more",
    cause="resegment_history keeps too few of them",
    remedy="raise resegment_history",
)


class Postponed:
    """Safe to use from any thread.

    A keyframe that waited for longer than ``delay`` when its turn comes is put aside. So the segmenter always works on
    keyframes that are at most that old, every so many that it can, and the others follow, the newest first, when it is idle.

    Args:
        delay: seconds; 0 = nothing is put aside.
        now: the time in seconds.
    """

    def __init__(self, delay: float, findings: Findings, now: Callable[[], float] = time.monotonic) -> None:
        self._delay, self._findings, self._now = delay, findings, now
        self._since: dict[str, float] = {}
        self._aside: dict[str, None] = {}
        self._lock = threading.Lock()
        self.total = 0

    def __len__(self) -> int:
        """Keyframes that are aside."""
        return len(self._aside)

    def came(self, name: str) -> None:
        """A keyframe begins to wait."""
        with self._lock:
            self._since[name] = self._now()

    def due(self, name: str) -> bool:
        """Whether to segment a keyframe whose turn has come; False = it is put aside. True for those that did not ``came``."""
        with self._lock:
            since = self._since.pop(name, None)
        if since is None or not self._delay or self._now() - since <= self._delay:
            return True
        self.put_aside(name)
        return False

    def put_aside(self, name: str) -> None:
        """Its turn will come later."""
        with self._lock:
            self._since.pop(name, None)
            self._aside[name] = None
            self.total += 1
        self._tell()

    def next(self) -> str | None:
        """Take out the newest keyframe that is aside."""
        with self._lock:
            name = self._aside.popitem()[0] if self._aside else None
        if name is not None:
            self._tell()
        return name

    def lost(self, name: str) -> None:
        """One that was taken out is not kept any more."""
        self._findings.add(SEGMENTATION_LOST, name)

    def _tell(self) -> None:
        with self._lock:
            shown = tuple(self._aside)[-EXAMPLES:]
            found = Finding(SEGMENTATION_BEHIND, len(self._aside), self.total, shown, {"delay": self._delay})
        self._findings.put(found)
