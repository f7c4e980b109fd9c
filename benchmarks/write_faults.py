"""Let every call that changes a file fail once, and from there on, in each command that writes; look at what is left.

    python benchmarks/write_faults.py [--jobs run,export ply,…] [--ways once-full,…] [--each N] [--json FILE]

SQLite's own method: the first call that opens a file to write, writes, flushes, renames, deletes or makes a folder below the
command's output fails, then in another run the second, and so on until a run passes. Ways: ``once-full`` and ``once-failing``
are one ENOSPC or EIO; ``full`` and ``failing`` all calls from that one on (a full disk still lets files be deleted). A small
library that is loaded before the C library does that (``write_faults.c``; a C compiler is needed), so that the calls of Python,
SQLite, COLMAP and OpenCV are met alike, in all processes. A write that fails has written half of its bytes.

After each: the map that was there before is whole, to the byte, or replaced as a whole; the command ends with exit status 1
or 2 and one line that names the file and the way out, or with 0 and all results, or says which are missing; the same command,
called again without a fault (with --resume where something was kept), gives byte for byte what an undisturbed run gives. Prints
a line per failure and a table, and exits with 1 if there is any. ``--each N`` tries, of each kind of call, N evenly spread.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import hashlib
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what it imports must see the library that is loaded first
    from write_faults_commands import Job

VARIABLE = "SEG2D3D_WRITE_FAULTS"
LIMIT_S = 300.0
WAYS = {
    "once-full": (errno.ENOSPC, False),
    "once-failing": (errno.EIO, False),
    "full": (errno.ENOSPC, True),
    "failing": (errno.EIO, True),
}
UNLIKE = re.compile(r"\d+|[0-9a-f]{12}|_[a-z0-9_]{8}\b")
LOGS = ("map.json", "names.jsonl", "database.db", "frame.json")
"""Of a map: they hold times, what was tried, rows in the order of their writing, and how often a model was tried."""
TOLD = ("note: ", "WARNING ")


class Control(ctypes.Structure):
    """What the library reads, shared with all processes; as in ``write_faults.c``."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("armed", "count", "fail_at", "error", "persistent", "failed")),
        *((name, ctypes.c_char * 1024) for name in ("folder", "first", "list")),
    ]


@dataclass
class End:
    """How a run ended.

    Attributes:
        failed: calls that failed.
        first: the first of them, with its path.
    """

    code: int
    text: str
    failed: int
    first: str


@dataclass
class Row:
    """Of the table: a job under one way of failing."""

    job: str
    way: str
    calls: int
    kinds: int
    tried: int = 0
    refused: int = 0
    done: int = 0
    told: int = 0
    problems: list[str] = field(default_factory=list)


def start_again_with_library(folder: Path) -> None:
    """Compile the library, and become a process that has it loaded; returns there."""
    if VARIABLE in os.environ:
        return
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        raise SystemExit("no C compiler (cc, gcc or clang) is here, which the library that lets calls fail is made with")
    source, library, control = Path(__file__).with_suffix(".c"), folder / "faults.so", folder / "control"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    control.write_bytes(bytes(ctypes.sizeof(Control)))
    environment = {**os.environ, VARIABLE: str(control), "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


class Harness:
    """Runs jobs in children of this process, which has all libraries imported.

    Args:
        folder: for inputs and outputs.
    """

    def __init__(self, folder: Path, names: list[str]) -> None:
        import write_faults_commands as commands

        self.jobs, self.base, self.work, self._said = commands.JOBS, folder / "base", folder / "work/place", folder / "said"
        with Path(os.environ[VARIABLE]).open("r+b") as file:
            self.control = Control.from_buffer(mmap.mmap(file.fileno(), 0))
        self._list = folder / "calls"
        self.base.mkdir()
        commands.prepare(self.base, names)
        self._half: dict[str, Path] = {}

    def run(self, name: str, number: int, way: str, *, again: bool = False) -> End:
        """Run a job; its ``number``-th call fails, 0 = none."""
        job, control = self.jobs[name], self.control
        control.count = control.failed = 0
        control.fail_at, (control.error, control.persistent) = number, WAYS[way]
        control.folder, control.first = os.fsencode(f"{self.work}/"), b""
        arguments = job.arguments(self.base, self.work)
        arguments += [word for word in job.more if again and any(map(os.path.lexists, self._outs(job)))]
        self._said.unlink(missing_ok=True)
        control.armed = 1
        child = os.fork()
        if child == 0:
            self._child(job, arguments)
        status = self._wait(child)
        control.armed = 0
        text = self._said.read_text(errors="replace")
        return End(os.waitstatus_to_exitcode(status), text, control.failed, control.first.decode(errors="replace"))

    def _outs(self, job: Job) -> list[Path]:
        """Where an interrupted command keeps what --resume goes on with."""
        return [self.work / name for name in ("map.building", "model", *(() if job.former else ("map",)))]

    def _child(self, job: Job, arguments: list[str]) -> None:
        code = 99
        try:
            os.setsid()
            descriptor = os.open(self._said, os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.environ["TMPDIR"], tempfile.tempdir = f"{self.work}/tmp", None
            from seg2d3d_ros.cli.main import main

            if job.python:
                from seg2d3d_ros.errors import Seg2d3dError

                try:
                    job.python(self.work)
                    code = 0
                except Seg2d3dError as error:
                    print(f"seg2d3d live: {error}", file=sys.stderr)
                    code = 1
            else:
                sys.argv = ["seg2d3d", *arguments]
                code = main()
            sys.stdout.flush()
            sys.stderr.flush()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 98
        except BaseException:
            os.write(1, traceback.format_exc().encode(errors="backslashreplace"))
        finally:
            os._exit(code)

    def _wait(self, child: int) -> int:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status
            time.sleep(0.005)
        os.killpg(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    def lay_out(self, name: str) -> None:
        """The place as the command finds it."""
        job = self.jobs[name]
        shutil.rmtree(self.work.parent, ignore_errors=True)
        if job.half_made and name in self._half:
            shutil.copytree(self._half[name], self.work)
            return
        (self.work / "tmp").mkdir(parents=True)
        if job.former:
            shutil.copytree(self.base / job.former, self.work / "map")
        if job.half_made:  # by a disk that ran full in the middle
            self.run(name, 0, "full")
            calls = self.control.count
            shutil.rmtree(self.work)
            (self.work / "tmp").mkdir(parents=True)
            self.run(name, 2 * calls // 3, "full")
            self._half[name] = self.base / f"half {name}"
            shutil.copytree(self.work, self._half[name])

    def kinds(self, name: str, way: str) -> tuple[list[str], dict[str, str], str]:
        """Undisturbed, twice: all calls, the digest of each file that is the same both times, and what was said."""
        ends, files, calls = [], [], []
        for _ in range(2):
            self.lay_out(name)
            self._list.unlink(missing_ok=True)
            self.control.list = os.fsencode(self._list)
            ends.append(self.run(name, 0, way))
            self.control.list = b""
            if ends[-1].code:
                raise SystemExit(f"{name} ended with {ends[-1].code}, undisturbed: {ends[-1].text}")
            files.append(digests(self.work))
            calls = self._list.read_text(errors="replace").splitlines() if self._list.exists() else []
        same = {path: value if files[1].get(path) == value else "" for path, value in files[0].items()}
        same.update({path: "" for path in same if path.endswith(LOGS)})
        return calls, same, ends[0].text

    def try_all(self, name: str, way: str, each: int) -> Row:
        """Each call fails, or ``each`` of a kind."""
        calls, good, words = self.kinds(name, way)
        places: dict[str, list[int]] = {}
        for number, line in enumerate(calls, 1):
            places.setdefault(UNLIKE.sub("#", line.removeprefix(str(self.work))), []).append(number)
        chosen = range(1, len(calls) + 1)
        if each:
            chosen = sorted({p[k * (len(p) - 1) // max(each - 1, 1)] for p in places.values() for k in range(each)})
        row = Row(name, way, len(calls), len(places))
        for number in chosen:
            self._try(row, number, good, words)
        return row

    def _try(self, row: Row, number: int, good: dict[str, str], words: str) -> None:
        self.lay_out(row.job)
        before = digests(self.work)
        end = self.run(row.job, number, row.way)
        if not end.failed:
            return  # fewer calls than in the undisturbed run: it has passed
        after = digests(self.work)
        complete = lacks(after, good) == []
        problems = judge(end, complete=complete, words=words)
        problems += self._former(row.job, before, after, good)
        row.tried += 1
        row.refused, row.done = row.refused + (end.code != 0), row.done + (end.code == 0)
        row.told += end.code == 0 and not complete
        if end.code != 0:
            again = self.run(row.job, 0, row.way, again=True)
            wrong = lacks(digests(self.work), good)
            if again.code or wrong:
                problems.append(f"called again: status {again.code}, {wrong[:4]} differ: {again.text.strip()[-400:]}")
            problems += [f"litter: {path}" for path in litter(self.work) if row.way != "failing"]
        for problem in problems:
            line = f"FAILED {row.job}, {row.way}, call {number} ({end.first}): {problem}"
            print(line, flush=True)
            row.problems.append(line)

    def _former(self, name: str, before: dict[str, str], after: dict[str, str], good: dict[str, str]) -> list[str]:
        """What is wrong with the map that was there."""
        job = self.jobs[name]
        if not job.former:
            return []
        own = [path for path in before if path.startswith("map/") and path != "map/map.json"]
        changed = [path for path in own if after.get(path) != before[path]]
        odd = [path for path in changed if good.get(path, "?") and after.get(path) != good.get(path)]
        if odd:
            return [f"of the former map neither kept nor replaced: {odd[:4]}"]
        fixed = [path for path in own if good.get(path) not in (before[path], "")]  # what a new map surely has otherwise
        mixed = job.replaces and changed and not all(path in changed for path in fixed)
        return [f"the former map is replaced in part: {changed[:4]}"] if mixed else []


def digests(root: Path) -> dict[str, str]:
    """A hash of each file of results below a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith("tmp/") and not re.search(r"(^|/)\.(seg2d3d-\d+-|identity)", name):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def lacks(found: dict[str, str], good: dict[str, str]) -> list[str]:
    """Files of an undisturbed run that are missing, or differ where they are the same each time."""
    return [path for path, value in good.items() if path not in found or (value and found[path] != value)]


def litter(root: Path) -> list[str]:
    """Temporary files that are left below a folder."""
    return [str(path) for path in root.rglob(".seg2d3d-*") if path.name != ".seg2d3d-work"]


def judge(end: End, *, complete: bool, words: str) -> list[str]:
    """What is wrong with the exit status and the words."""
    lines = [line for line in end.text.replace("\r", "\n").splitlines() if line.strip()]
    if "Traceback" in end.text or "unexpected " in end.text or end.code not in (0, 1, 2):
        return [f"status {end.code}: {end.text.strip()[-900:]}"]
    if end.code == 0:
        news = [line for line in lines if line.startswith(TOLD) and line not in words]
        return [] if complete or news else [f"done, but results are missing without a word: {end.text.strip()[-300:]}"]
    last = lines[-1] if lines else ""
    if not last.startswith("seg2d3d ") or sum(line.startswith("seg2d3d ") for line in lines) != 1:
        return [f"not one last line: {end.text.strip()[-500:]}"]
    if "/" not in last or ";" not in last:
        return [f"no file or no way out: {last}"]
    return []


HEAD = f"{'job':24}{'way':14}{'calls':>6}{'kinds':>6}{'tried':>6}{'refused':>8}{'done':>6}{'with loss told':>15}{'wrong':>6}"


def shown(row: Row) -> str:
    """A line of the table."""
    counts = f"{row.calls:6}{row.kinds:6}{row.tried:6}{row.refused:8}{row.done:6}{row.told:15}{len(row.problems):6}"
    return f"{row.job:24}{row.way:14}{counts}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", metavar="NAME,…", help="which, separated by commas (default: all)")
    parser.add_argument("--ways", default=",".join(WAYS), metavar="WAY,…")
    parser.add_argument("--each", type=int, default=0, metavar="N", help="calls of each kind, 0 = all (default)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    folder = Path(os.environ[VARIABLE]).parent if VARIABLE in os.environ else Path(tempfile.mkdtemp(prefix="write_faults_"))
    start_again_with_library(folder)
    try:
        from write_faults_commands import JOBS

        names = args.jobs.split(",") if args.jobs else list(JOBS)
        harness = Harness(folder, names)
        rows = []
        print(HEAD, flush=True)
        for name in names:
            for way in args.ways.split(","):
                rows.append(harness.try_all(name, way, args.each))
                print(shown(rows[-1]), flush=True)
        print(f"{sum(row.tried for row in rows)} faults, {sum(len(row.problems) for row in rows)} wrong")
        if args.json:
            args.json.write_text(json.dumps([vars(row) for row in rows], indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(any(row.problems for row in rows))


if __name__ == "__main__":
    main()
