"""The events of ``--json``: what each line on standard output may be. The table in docs/events.md is drawn from here."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

VERSION = 1
"""Of the events. Fields may be added without a new version; none changes its meaning or goes."""

EVENTS: dict[str, tuple[str, dict[str, str]]] = {
    "start": (
        "the command begins; always the first line of a command that began",
        {"schema": "version of these events", "command": "its name", "version": "of seg2d3d_ros"},
    ),
    "stage": (
        "a stage of the work begins or ends",
        {
            "stage": "its name",
            "state": "`begin` or `end`",
            "of": "how many things are to be done in it; null = unknown",
            "seconds": "how long it took; null at its beginning",
        },
    ),
    "progress": (
        "how far a stage is, at most five times a second, and at its end",
        {
            "stage": "its name",
            "done": "how many are done",
            "of": "of how many; null = unknown",
            "eta": "seconds until the stage ends; null = unknown yet",
        },
    ),
    "finding": (
        "something was dropped, not used or doubted (docs/troubleshooting.md lists all codes)",
        {
            "code": "stable name",
            "level": "`note`, `warning` or `error`",
            "count": "how often",
            "of": "out of how many; 0 = unknown",
            "examples": "names of the first cases",
            "text": "the whole sentence, with the likely cause and the way out",
        },
    ),
    "message": ("a line for a person", {"level": "`debug`, `info`, `warning` or `error`", "text": "the line"}),
    "result": (
        "the command ended by itself; always the last line then. Further fields are the command's own",
        {
            "command": "its name",
            "exit": "exit status: 0 = done, 1 = nothing of what was asked for was found",
            "text": "the result in lines, as a person gets it",
            "findings": "all findings of the command, as in their events",
        },
    ),
    "error": (
        "the command ended without a result; always the last line then",
        {
            "command": "its name; empty where the command line has none",
            "exit": "exit status",
            "reason": "`data`, `usage`, `interrupted`, `crash` or `unexpected`",
            "text": "one line: what is wrong, with which file, and the way out",
        },
    ),
}
"""By name, what it says and its fields beside ``event`` and ``time`` (UTC, ISO 8601)."""
DATA, USAGE, INTERRUPTED, CRASH, UNEXPECTED = REASONS = ("data", "usage", "interrupted", "crash", "unexpected")


def as_line(event: Mapping[str, Any]) -> str:
    """An event with its time as one line of JSON, ending with a newline.

    Raises:
        ValueError: an event that is not declared, or without one of its fields.
    """
    if event["event"] not in EVENTS or (missing := EVENTS[event["event"]][1].keys() - event.keys()):
        raise ValueError(f"no declared event: {event['event']} lacks {sorted(missing) if event['event'] in EVENTS else 'all'}")
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    whole = {"event": event["event"], "time": time, **{name: value for name, value in event.items() if name != "event"}}
    return json.dumps(_plain(whole), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """``value`` as JSON can say it: arrays as lists, paths as text, what is no number as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class EventWriter:
    """Writes events, each as a whole line, whatever interrupts the program.

    Args:
        write: takes a line; called in a thread of its own, where no signal cuts it short.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._one_at_a_time = write, threading.Lock()

    def __call__(self, event: str, **fields: Any) -> None:
        """Write one event.

        Raises:
            OSError: it cannot be written; a ``BrokenPipeError`` where nobody reads any more.
        """
        failures: list[Exception] = []
        line = as_line({"event": event, **fields})

        def whole() -> None:
            try:
                with self._one_at_a_time:
                    self._write(line)
            except Exception as failure:
                failures.append(failure)

        thread = threading.Thread(target=whole)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
