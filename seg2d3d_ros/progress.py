"""Progress and time left, on a terminal or in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; total 0 = unknown."""


class ProgressBars:
    """One bar per stage on standard error, with the time left. A new stage closes the bar of the last one."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        from tqdm import tqdm

        if self._bar is None or self._stage != stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(total=total or None, desc=stage, unit="", dynamic_ncols=True, mininterval=0.5)
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the current bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class TimeLeft:
    """Estimates the rest of a stage from its pace so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._stage, self._begin, self._first = clock, "", 0.0, 0

    def __call__(self, stage: str, done: int, total: int) -> float | None:
        """Seconds until ``total`` are done; None while that cannot be known."""
        now = self._clock()
        if stage != self._stage or done < self._first:
            self._stage, self._begin, self._first = stage, now, done
        made = done - self._first
        return (now - self._begin) * (total - done) / made if made > 0 and total >= done else None


class Stopwatch:
    """Seconds per stage; ``with watch("segmentation"): …`` adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[tuple[str, float]] = []

    def __call__(self, stage: str) -> Stopwatch:
        """Name the stage that the next ``with`` block belongs to."""
        self._running.append((stage, time.perf_counter()))
        return self

    def take(self) -> dict[str, float]:
        """The seconds so far; from here on they begin anew."""
        taken, self.seconds = self.seconds, {}
        return taken

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        stage, start = self._running.pop()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
