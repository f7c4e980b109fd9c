"""A thread for work that a node's callbacks hand over: bounded, counted, and never silently dead."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class WorkerThread:
    """Handles items one after the other in its own thread.

    The queue keeps the newest ``depth`` items: beyond it the oldest is dropped and counted. An exception in ``handle``
    is counted and given to ``on_error``, or logged with its traceback where there is none, and the next item is handled.

    Args:
        on_drop: gets what is dropped; whoever gives it tells of it.
        batch: where given, ``handle`` gets a list: what waits, in order, at most as many as this says at the time.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Any], None],
        *,
        depth: int = 50,
        on_error: Callable[[str, Exception], object] | None = None,
        on_drop: Callable[[Any], None] | None = None,
        batch: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self.dropped = self.done = self.failed = 0
        self.last_error = ""
        self.last_seconds = 0.0
        self._handle, self._depth, self._on_error, self._on_drop = handle, depth, on_error, on_drop
        self._batch = batch
        self.owner_counts = on_drop is not None
        self._items: deque[Any] = deque()
        self._busy = 0
        self._closed = self._left_behind = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Items waiting, those at work included."""
        with self._changed:
            return len(self._items) + self._busy

    def put(self, item: Any) -> bool:
        """Hand over an item; False when an older one had to go for it. After ``close`` the item itself is dropped."""
        lost: list[Any] = []
        with self._changed:
            if self._closed:
                lost.append(item)
            else:
                self._items.append(item)
                while len(self._items) > self._depth:
                    lost.append(self._items.popleft())
            self.dropped += len(lost)
            self._changed.notify_all()
        for old in lost:
            if self._on_drop:
                self._on_drop(old)
        return not lost

    def clear(self) -> None:
        """Forget the waiting items, uncounted."""
        with self._changed:
            self._items.clear()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending; False when that took longer than ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._items and not self._busy, timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Let the item at work finish and stop; waiting items are forgotten. May be called again.

        Returns:
            False on time-out: the item is left behind. What it uses may be gone then, so its errors are not reported.
        """
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        self._left_behind = self._thread.is_alive()
        return not self._left_behind

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed)
                if self._closed:
                    return
                items = [self._items.popleft() for _ in range(self._at_once())]
                self._busy = len(items)
            started = time.monotonic()
            try:
                self._handle(items if self._batch else items[0])
                self.done += len(items)
            except Exception as error:
                # Reaches the log and, through on_error, the diagnostics; one bad item must not end the node's work.
                self.failed += len(items)
                self.last_error = f"{type(error).__name__}: {error}"
                self._report(error)
            finally:
                self.last_seconds = time.monotonic() - started
                with self._changed:
                    self._busy = 0
                    self._changed.notify_all()

    def _at_once(self) -> int:
        return min(max(self._batch(), 1), len(self._items)) if self._batch else 1

    def _report(self, error: Exception) -> None:
        if self._left_behind:
            logger.debug("%s, left behind: %s", self.name, self.last_error)
            return
        if self._on_error:
            self._on_error(self.name, error)
        else:
            logger.error("%s: %s", self.name, self.last_error, exc_info=error)
