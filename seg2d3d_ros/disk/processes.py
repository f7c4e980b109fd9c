"""Which process this is, and whether another one still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

SAME_START = 2.0
"""Seconds by which the start of one process may be computed differently: the clock is set while it runs."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told apart from later ones that get the same number.

    Attributes:
        pid: its number.
        host: the machine's name.
        start: when it began, ISO 8601 in UTC; empty where the system does not say.
    """

    pid: int
    host: str
    start: str

    @classmethod
    def own(cls) -> ProcessIdentity:
        """This process."""
        return cls(os.getpid(), socket.gethostname(), _iso(_start(os.getpid())))

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> ProcessIdentity:
        """Inverse of ``to_json``. Raises ``KeyError``, ``TypeError`` or ``ValueError``."""
        return cls(int(item["pid"]), str(item["host"]), str(item["start"]))

    def to_json(self) -> dict[str, Any]:
        """JSON-able dictionary."""
        return asdict(self)

    @property
    def here(self) -> bool:
        """Whether it ran on this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it still runs; False for another machine's."""
        if not self.here or not is_alive(self.pid):
            return False
        now = _start(self.pid)
        if now is None or not self.start:
            return True
        try:
            return abs(datetime.fromisoformat(self.start).timestamp() - now) <= SAME_START
        except ValueError:
            return False

    def __str__(self) -> str:
        place = "" if self.here else f" on {self.host}"
        return f"process {self.pid}{place}" + (f", which began at {self.start}" if self.start else "")


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number and has not ended."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # somebody else's
    fields = _status(pid)
    return not fields or fields[0] not in "ZX"


def _status(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` from the state on; empty where there is no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _start(pid: int) -> float | None:
    """When it began, seconds since the epoch; None where the system does not say."""
    fields = _status(pid)
    try:
        (boot,) = [line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")]
        return int(boot) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _iso(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
