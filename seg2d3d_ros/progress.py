"""Progress and time left, on a terminal or in a log."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; total 0 = unknown."""


class StageWatcher(Protocol):
    """Follows the stages of the work."""

    def begun(self, stage: str, total: int) -> None:
        """A stage begins; total 0 = unknown."""

    def told(self, stage: str, done: int, total: int, left: float | None) -> None:
        """``done`` of ``total`` are done, and the rest takes ``left`` seconds; None = unknown."""

    def ended(self, stage: str, total: int, seconds: float) -> None:
        """It took ``seconds``."""


_watchers: Sequence[StageWatcher] = ()
_bars = True


def show(*, bars: bool, watchers: Sequence[StageWatcher]) -> None:
    """How progress is shown in this process: by bars or not, and who else follows it."""
    global _bars, _watchers
    _bars, _watchers = bars, tuple(watchers)


class ProgressBars:
    """One bar per stage on standard error, with the time left. A new stage closes the bar of the last one.

    Where ``show`` says so, there is none, and others are told of the stages.

    Args:
        shown: False = no bar in any case.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self._shown = shown
        self._bar: Any = None
        self._stage: str | None = None
        self._total, self._begin, self._left = 0, 0.0, TimeLeft()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        if self._stage != stage:
            self.close()
            self._stage, self._begin = stage, time.monotonic()
            self._start(stage, total)
        self._total = total
        if self._bar is not None:
            self._bar.total = total or None
            self._bar.update(done - self._bar.n)
        left = self._left(stage, done, total)
        for watcher in _watchers:
            watcher.told(stage, done, total, left)

    def close(self) -> None:
        """End the current stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        stage, self._stage = self._stage, None
        if stage is not None:
            for watcher in _watchers:
                watcher.ended(stage, self._total, time.monotonic() - self._begin)

    def _start(self, stage: str, total: int) -> None:
        self._left = TimeLeft()
        if _bars and self._shown:
            from tqdm import tqdm

            self._bar = tqdm(total=total or None, desc=stage, unit="", dynamic_ncols=True, mininterval=0.5)
        for watcher in _watchers:
            watcher.begun(stage, total)


class Seldom:
    """Says whether it is time again, at most once in ``seconds``."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._last = seconds, clock, -math.inf

    def begin(self) -> None:
        """The next call is in time."""
        self._last = -math.inf

    def __call__(self, anyway: bool = False) -> bool:
        """Whether it is time; ``anyway``: it is."""
        now = self._clock()
        due = anyway or now - self._last >= self._seconds
        if due:
            self._last = now
        return due


@contextmanager
def one_stage(name: str) -> Iterator[None]:
    """Work whose steps nobody counts, as a stage of its own; a bar of one step is for a terminal, not for files."""
    progress = ProgressBars(shown=sys.stderr is not None and sys.stderr.isatty())
    progress(name, 0, 1)
    try:
        yield
        progress(name, 1, 1)
    finally:
        progress.close()


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
