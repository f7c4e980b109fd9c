"""Damage input files at random, give them to the readers and commands, and judge what comes of it.

    python benchmarks/fuzz.py [--cases 10000] [--start 0] [--seed 0] [--only NAME,…] [--keep DIR]

Every case has a number, which with the seed says what is damaged and how: a run that was ended goes on with --start, and one
case is done again with --start N --cases 1 --keep DIR, which keeps the damaged file. Each runs in a process of its own with
limits. Right is: a clear error (one line, exit status 1 or 2), or a result that is as without the damage, or a result with
findings or warnings. Wrong is: a crash, a traceback or an unexpected exception, more than 30 s of CPU, more than 2 GB of
memory, numbers (images, masks, positions, …) that changed without a word, and control characters in what is said. Values that
no checksum guards, a pixel say, may change silently. Prints a line per wrong case; the exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_mutations import mutate
from fuzz_targets import TARGETS, Target, make_inputs

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.findings import Findings

CPU_S = 30
WALL_S = 300
MEMORY = 2 << 30
CLEAR = ("as before", "refused", "told")
"""Outcomes that are right."""


def choose(base: Path, names: list[str], seed: int, number: int) -> tuple[str, Path, bytes]:
    """The target of a case, the file, and the damaged content."""
    rng = random.Random(f"{seed} {number}")
    name = names[number % len(names)]
    target = TARGETS[name]
    files = sorted(path for pattern in target.files for path in base.glob(pattern) if path.is_file())
    path = rng.choice(files)
    return name, path.relative_to(base), mutate(path.read_bytes(), rng, text=target.text)


def outcome(target: Target, root: Path) -> tuple[str, Any, str]:
    """In the child: what came of it, the numbers, and what was said."""
    findings = Findings()
    told = _Warnings()
    logging.getLogger().addHandler(told)
    try:
        numbers = target.read(root, findings)
    except Seg2d3dError as error:
        words = str(error)
        kind = "refused" if words.strip() and not target.loses_nothing else "all lost for one file"
        return kind, None, words
    except SystemExit as end:
        return ("refused" if end.code in (1, 2) else f"exit status {end.code}"), None, ""
    except MemoryError:
        return "out of memory", None, ""
    except BaseException as error:
        return f"unexpected {type(error).__name__}", None, "".join(traceback.format_exc())[-1500:]
    words = "\n".join([*(finding.text for finding in findings.list()), *told.lines])
    return ("told" if findings.list() or told.lines else "as before"), numbers, words


class _Warnings(logging.Handler):
    """What a person would read in the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def run(target: Target, root: Path) -> tuple[str, str, str]:
    """Read in a child with limits: the outcome, the numbers as text, and what was said."""
    said = root.parent / "said"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = os.fork()
    if child == 0:
        try:
            _child(target, root, said)
        except BaseException:
            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
        finally:  # never up to the parent's code, whose files it would clear away
            os._exit(99)
    end = time.monotonic() + WALL_S
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    lines = said.read_text(errors="replace").rsplit("\0", 3) if said.exists() else []
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and time.monotonic() > end):
        return f"hangs, {usage.ru_utime + usage.ru_stime:.0f} s of CPU", "", lines[0] if lines else ""
    if code == 99:
        return "a failure of the fuzzer", "", "".join(lines)[-1500:]
    if code < 0:
        return f"crash by {signal.Signals(-code).name}", "", "".join(lines)[-500:]
    if usage.ru_maxrss * 1024 - before * 1024 > MEMORY:
        return f"{usage.ru_maxrss >> 20} GB of memory", "", ""
    printed, kind, numbers, words = lines
    for line in printed.splitlines():
        if any(ord(c) < 32 and c not in "\t\r" for c in line) and "\x1b[A" not in line:
            return "control characters are printed", numbers, line
    if "Traceback" in printed or "unexpected " in printed:
        return "unexpected error", numbers, printed[-800:]
    if "exit status" in kind or (kind == "refused" and not (printed + words).strip()):
        return "no word about it", numbers, printed
    if kind == "as before" and printed and ("note: " in printed or "WARNING" in printed):
        kind = "told"
    return kind, numbers, words or printed


def _child(target: Target, root: Path, said: Path) -> None:
    """Read, and write what came of it."""
    said.unlink(missing_ok=True)
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = set(sys.modules)
    kind, numbers, words = outcome(target, root)
    (said.parent / "imported").write_text("\n".join(set(sys.modules) - before))
    sys.stdout.flush()
    sys.stderr.flush()
    parts = (str(part).replace("\0", "\\0") for part in (kind, numbers, words))
    os.write(1, "\0".join(["", *parts]).encode(errors="backslashreplace"))
    os._exit(0)


def judge(kind: str, numbers: str, good: str) -> str:
    """``kind``, or that numbers changed without a word."""
    return "a silent change" if kind == "as before" and numbers != good else kind


def import_as(child: Path) -> None:
    """Import what a child imported, so that the next need not."""
    for name in child.read_text().split():
        with contextlib.suppress(ImportError):  # some are made, not imported
            importlib.import_module(name)


@dataclass(frozen=True)
class Fuzzer:
    """Does cases by their numbers, in any process.

    Attributes:
        good: what each target makes of undamaged input, in its order of turns.
        keep: a folder for the damaged files of wrong cases.
    """

    base: Path
    seed: int
    good: dict[str, str]
    keep: Path | None

    def __call__(self, number: int) -> tuple[int, str, str]:
        """The number, what came of it, and a line if that is wrong."""
        root = self.base.parent / f"case{os.getpid()}" / "root"
        name, path, content = choose(self.base, list(self.good), self.seed, number)
        shutil.copytree(self.base, root, copy_function=os.link)
        (root / path).unlink()
        (root / path).write_bytes(content)
        kind, numbers, words = run(TARGETS[name], root)
        shutil.rmtree(root)
        kind = judge(kind, numbers, self.good[name])
        if kind in CLEAR:
            return number, kind, ""
        if self.keep:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / f"{number}_{path.name}").write_bytes(content)
        return number, kind, f"WRONG case {number}, {name}, {path}: {kind}: {words.strip()[-700:]}"


def prepare(base: Path, names: list[str]) -> dict[str, str]:
    """Make good input; what each target makes of it."""
    base.mkdir()
    make_inputs(base, names)
    good, root = {}, base.parent / "first" / "root"
    for name in names:
        shutil.copytree(base, root)
        kind, good[name], words = run(TARGETS[name], root)
        if kind not in ("as before", "told"):
            raise SystemExit(f"{name} does not read good input: {kind} {words}")
        import_as(root.parent / "imported")
        shutil.rmtree(root)
    return good


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases at a time")
    parser.add_argument("--only", default=",".join(TARGETS), metavar="NAME,…", help="targets, separated by commas")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the damaged files of wrong cases here")
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "good"
        fuzzer = Fuzzer(base, args.seed, prepare(base, args.only.split(",")), args.keep)
        numbers = range(args.start, args.start + args.cases)
        with multiprocessing.get_context("fork").Pool(args.jobs) as pool:
            for number, kind, line in pool.imap(fuzzer, numbers, chunksize=4):
                counts[kind] += 1
                if line:
                    print(line, flush=True)
                if (number + 1) % 500 == 0:
                    print(f"{number + 1}: {dict(counts)}", flush=True)
    print(f"{args.cases} cases: {dict(counts)}")
    sys.exit(any(kind not in CLEAR for kind in counts))


if __name__ == "__main__":
    main()
