"""The ROS nodes as a process whose log goes into a file, while the terminal shows how far they are."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from seg2d3d_ros.cli.processes.supervisor import end_with_parent
from seg2d3d_ros.progress import Progress

POLL_SECONDS = 0.3
_PLAYED = re.compile(r"played (?P<done>\d+) of (?P<total>\d+) s")
_FINALIZING = re.compile(r"finalizing the map")
_STEP = re.compile(r"(?P<stage>[a-z]+(?: [a-z]+)*) (?P<done>\d+) of (?P<total>\d+)")


def run_logged(command: Sequence[str], environment: Mapping[str, str], log: Path, progress: Progress) -> int:
    """Run the nodes until they end; returns their exit status.

    Args:
        log: file that gets all that they print.
        progress: told of the bag's seconds that were played, then of the steps of the map's last solution.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink, log.open("r", errors="replace") as lines:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=sink, stderr=subprocess.STDOUT, preexec_fn=end_with_parent
        )
        try:
            follower = LogFollower(progress)
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                follower.read(lines.read())
            follower.read(lines.read())
        finally:
            if process.poll() is None:  # an interrupt: the nodes keep what they have, and end
                process.terminate()
            process.wait()
    return process.returncode


class LogFollower:
    """Reads progress from the nodes' log lines, which may arrive in pieces."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._rest, self._finalizing = progress, "", False

    def read(self, text: str) -> None:
        """Take what was logged since the last call."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            if found := _PLAYED.search(line):
                self._progress("playing (s)", int(found["done"]), int(found["total"]))
            elif _FINALIZING.search(line):
                self._finalizing = True
                self._progress("finalizing", 0, 0)
            elif self._finalizing and (found := _STEP.search(line)):
                self._progress(found["stage"], int(found["done"]), int(found["total"]))


def last_lines(log: Path, count: int = 5) -> str:
    """The last warnings and errors of a log, else its last lines."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    grave = [line for line in lines if "[ERROR]" in line or "[WARN]" in line or "[FATAL]" in line]
    return "\n".join((grave or lines)[-count:])
