"""Kill and interrupt every command at random moments, and look at what is left.

    python benchmarks/kills.py [--commands run,bag,…] [--kills 100] [--interrupts 50] [--seed 0] [--work DIR] [--json FILE]

``--kills`` are SIGKILLs over all commands together; ``--interrupts`` are Ctrl-C and SIGTERM for each command: once or twice, to
the process or to its group, half of them within the first second. After each the map must open, or never have been there; an
earlier map must be as it was, or be replaced as a whole; other results must be whole or not there; files of others must be
untouched; no process may be left; the exit status and the last line must be right; a training goes on with --resume. Prints a
line per failure, and exits with 1 if there is any. A street of six small images is simulated first (that needs open3d), and
what ``write_faults.py`` takes is made; everything happens in a temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from write_faults_commands import JOBS
from write_faults_commands import prepare as prepare_jobs

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.mapstore.directory.swap import inode
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models

SEG2D3D = [sys.executable, "-m", "seg2d3d_ros"]
LIMIT_S = 600.0
GONE_S = 20.0
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
PARTS = ("tracks.json", "points.ply", "keyframes.json", "labels", "sparse")
"""What makes a map; a report, metrics or a lock may change beside."""


@dataclass(frozen=True)
class Command:
    """A command with a small input.

    Attributes:
        arguments: for a folder that is ready.
        makes_map: whether it makes a new map in ``map``; else there is a whole one, which it reads.
        own_files: whether a file of somebody else may lie in the map.
        former: the map that is there, below the folder of inputs; "" = none.
        changes: files and folders of the map that it writes: each file is as before or as without the disturbance.
        resumes: whether --resume goes on with what is left in ``model``.
    """

    arguments: Callable[[Path, Path], list[str]]
    makes_map: bool = False
    own_files: bool = True
    former: str = "map"
    changes: tuple[str, ...] = ()
    resumes: bool = False


def job(name: str, **options: Any) -> Command:
    """One of those that ``write_faults.py`` disturbs, too."""
    found = JOBS[name]
    former = f"jobs/{found.former}" if found.former else ""
    return Command(lambda base, work: found.arguments(base / "jobs", work), former=former, **options)


def photographs(base: Path, out: Path) -> list[str]:
    """Options of ``run`` and ``demo``."""
    street = base / "street"
    return ["--segments", f"{street}/segments", "--camera", f"{street}/camera.json", "--label", "building", "--out", str(out)]


COMMANDS = {
    "run": Command(lambda base, work: ["run", f"{base}/street/images", *photographs(base, work / "map")], True, False),
    "bag": Command(
        lambda base, work: ["bag", f"{base}/street/street.mcap", "--label", "building", "--out", f"{work}/map"], True, False
    ),
    "simulate": Command(
        lambda base, work: (
            ["simulate", f"{work}/new", "--seed", "1", "--keyframes", "4", "--buildings", "4", "--cameras", "1"]
            + ["--width", "320", "--height", "214"]
        )
    ),
    "demo": Command(
        lambda base, work: ["demo", "--images", f"{base}/street/images", *photographs(base, work / "demo")], own_files=False
    ),
    "evaluate": Command(lambda base, work: ["evaluate", f"{work}/map", "--truth", f"{base}/street/truth"]),
    "report": Command(lambda base, work: ["report", f"{work}/map"]),
    "export": Command(lambda base, work: ["export", f"{work}/map", "--format", "ply", "--out", f"{work}/out.ply"]),
    "export laz": job("export laz"),
    "export gpkg": job("export gpkg"),
    "export yolo": job("export yolo"),
    "regroup": job("regroup", own_files=False, changes=PARTS),
    "prompt": job("prompt", own_files=False, changes=(*PARTS, "prompts", "prompts.json")),
    "superpoints": job("superpoints"),
    "dataset": job("dataset"),
    "train": job("train", resumes=True),
    "compare": job("compare"),
    "models": Command(lambda base, work: ["models"]),
    "doctor": Command(lambda base, work: ["doctor"]),
}


@dataclass
class Trial:
    """One run of a command that was disturbed.

    Attributes:
        delay: seconds from its start to the first signal.
        pause: seconds to a second one, 0 = none.
        group: to its whole group, as a terminal does.
    """

    command: str
    number: signal.Signals
    delay: float
    pause: float
    group: bool
    fresh: bool
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        to = "group" if self.group else "process"
        again = f" and again after {self.pause:.2f} s" if self.pause else ""
        place = " without a former map" if self.fresh else ""
        return f"{self.command}{place}: {self.number.name} to its {to} after {self.delay:.2f} s{again}"


def prepare(base: Path, names: list[str]) -> dict[str, float]:
    """Make the inputs and a whole map; how long each command takes undisturbed."""
    small = ["--keyframes", "6", "--buildings", "4", "--cameras", "1", "--width", "480", "--height", "320"]
    run_whole(["simulate", f"{base}/street", "--seed", "3", "--detector", "clean", *small])
    run_whole(["run", f"{base}/street/images", *photographs(base, base / "map")])
    (base / "jobs").mkdir()
    prepare_jobs(
        base / "jobs", [name for name in COMMANDS if name in JOBS and name not in ("run", "bag", "evaluate", "report")]
    )
    seconds = {}
    for name, command in ((name, COMMANDS[name]) for name in names):
        work = base / "measure" / name
        lay_out(base, work, command, fresh=command.makes_map)
        start = time.monotonic()
        run_whole(command.arguments(base, work))
        seconds[name] = time.monotonic() - start
        print(f"{name}: {seconds[name]:.1f} s undisturbed", flush=True)
    return seconds


def run_whole(arguments: list[str]) -> None:
    """Run a command that nobody disturbs."""
    done = subprocess.run([*SEG2D3D, *arguments], capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        raise SystemExit(f"seg2d3d {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}")


def lay_out(base: Path, work: Path, command: Command, *, fresh: bool) -> None:
    """A folder with what the command finds, and files of somebody else."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "beside").mkdir(parents=True)
    (work / "beside/notes.txt").write_text("mine")
    (work / ".hidden").write_text("mine")
    if not fresh and command.former:
        shutil.copytree(base / command.former, work / "map")
        if command.own_files:
            (work / "map/notes.txt").write_text("mine")


def disturb(trial: Trial, base: Path, work: Path) -> None:
    """Run the command, send the signals, and note what is wrong afterwards."""
    command = COMMANDS[trial.command]
    lay_out(base, work, command, fresh=trial.fresh)
    before, former = digest(work / "map"), inode(work / "map")
    mark = uuid.uuid4().hex
    scratch = work.parent / f"{work.name}-tmp"
    scratch.mkdir(exist_ok=True)
    with (work.parent / f"{work.name}.err").open("w+") as said:
        process = subprocess.Popen(
            [*SEG2D3D, *command.arguments(base, work)],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "SEG2D3D_TRIAL": mark, "TMPDIR": str(scratch)},
            start_new_session=True,
        )
        send(process, trial, trial.delay)
        if trial.pause:
            send(process, trial, trial.pause)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            trial.problems.append("did not end within a minute")
            process.kill()
            code = process.wait()
        said.seek(0)
        text = said.read()
    check_end(trial, code, text)
    check_processes(trial, mark)
    replaced = command.makes_map and inode(work / "map") != former  # at once, and as a whole
    check_files(trial, base, work, before, finished=code == 0, replaced=replaced)


def send(process: subprocess.Popen[bytes], trial: Trial, wait: float) -> None:
    """A signal after a while, unless the command has ended."""
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        (os.killpg if trial.group else os.kill)(process.pid, trial.number)


def check_end(trial: Trial, code: int, text: str) -> None:
    """The exit status and what was printed."""
    if code == 1 and trial.delay < 1.0 and "/seg2d3d_ros/" not in text and text.endswith("KeyboardInterrupt\n"):
        return  # the interpreter was starting, and had not come to this package
    if "Traceback" in text or "*** Aborted" in text:
        trial.problems.append(f"a traceback: {text.strip()[-600:]}")
    if trial.number == signal.SIGKILL or code == 0:
        if code not in (0, -signal.SIGKILL):
            trial.problems.append(f"status {code}: {text.strip()[-300:]}")
        return
    if code in (-trial.number, STATUS[trial.number]) and not text and trial.delay < 1.0:
        return  # Python had not come to this package, or to its first lines
    lines = text.replace("\r", "\n").strip().splitlines() or [""]
    word = trial.command.split()[0]
    if code != STATUS[trial.number] or not lines[-1].startswith(f"seg2d3d {word}: interrupted"):
        trial.problems.append(f"status {code}, last line {lines[-1]!r}")


def check_processes(trial: Trial, mark: str) -> None:
    """No process that the command started may live on."""
    end = time.monotonic() + GONE_S
    while left := [pid for pid in Path("/proc").glob("[0-9]*") if mark.encode() in environment(pid)]:
        if time.monotonic() > end:
            trial.problems.append(f"left behind: {[(p / 'cmdline').read_bytes()[:200] for p in left]}")
            for pid in left:
                os.kill(int(pid.name), signal.SIGKILL)
            return
        time.sleep(0.05)


def environment(process: Path) -> bytes:
    """A process's environment; empty for one that has ended."""
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def check_files(trial: Trial, base: Path, work: Path, before: dict[str, str], *, finished: bool, replaced: bool) -> None:
    """Files of others, the former map, the new one, and that the same command finishes the job."""
    mine = [work / "beside/notes.txt", work / ".hidden"]
    command = COMMANDS[trial.command]
    mine += [work / "map/notes.txt"] if command.own_files and command.former and not trial.fresh else []
    trial.problems.extend(f"{path} is touched" for path in mine if not path.is_file() or path.read_text() != "mine")
    after = digest(work / "map")
    whole = before and all(after.get(name) == value for name, value in before.items())
    if before and not whole and not replaced:
        new = digest(base / "measure" / trial.command / "map")
        changed = sorted(name for name in before if after.get(name) != before[name])
        if odd := [name for name in changed if not name.startswith(command.changes) or after.get(name) != new.get(name)]:
            trial.problems.append(f"the former map is changed: {odd[:5]}")
        if trial.command == "regroup" and (left := [n for n in before if n not in changed and new.get(n) != before[n]]):
            trial.problems.append(f"the former map is replaced in part: {left[:5]} are as before")
    for root, former in ((work / "map", bool(before)), (work / "demo/map", False)):
        if root.exists():
            trial.problems.extend(open_problems(root, complete=former or finished))
    whole_results(trial, base, work)
    if command.resumes and not finished:
        resume = ["--resume"] if (work / "model").exists() else []
        done = subprocess.run(
            [*SEG2D3D, *command.arguments(base, work), *resume], capture_output=True, text=True, timeout=LIMIT_S
        )
        if done.returncode != 0:
            trial.problems.append(f"--resume ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    if command.makes_map and trial.fresh and not finished:
        resume = ["--resume"] if (work / "map").exists() else []
        done = subprocess.run(
            [*SEG2D3D, *COMMANDS[trial.command].arguments(base, work), *resume], capture_output=True, text=True, timeout=LIMIT_S
        )
        if done.returncode != 0:
            trial.problems.append(f"--resume ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        trial.problems.extend(open_problems(work / "map", complete=True))
        trial.problems.extend(f"litter: {path}" for path in (work / "map").rglob(".*tmp*"))


def whole_results(trial: Trial, base: Path, work: Path) -> None:
    """Results outside the map that are there must be as without the disturbance, where that is the same each time."""
    good = base / "measure" / trial.command
    for pattern in ("*.ply", "*.laz", "data/**/*.npz", "data/**/*.npy", "out/**/*.txt"):
        for path in work.glob(pattern):
            expected = good / path.relative_to(work)
            if not expected.exists() or path.read_bytes() != expected.read_bytes():
                hidden = path.name.startswith(".seg2d3d-")  # a temporary file of a killed process
                trial.problems.extend([] if hidden else [f"{path} is half a result"])
    for name in ("data", "out"):
        if (work / name).is_dir() and (good / name).is_dir():
            there = {path.relative_to(work) for path in (work / name).rglob("*")}
            lost = {path.relative_to(good) for path in (good / name).rglob("*")} - there
            trial.problems.extend([f"{work / name} lacks {sorted(lost)[:3]}"] if lost else [])


def open_problems(root: Path, *, complete: bool) -> list[str]:
    """What is wrong with a map; one that is not complete may lack results."""
    try:
        store = MapStore(root)
        keyframes, models = store.read_keyframes(), read_models(root)
        if complete and not (keyframes and models and store.read_tracks()["instances"] and len(store.read_points())):
            return [f"{root} is not a whole map"]
        for record in keyframes if complete else ():
            store.read_labels(record.name)
    except (Seg2d3dError, KeyError) as error:
        return [f"{root} does not open: {error}"]
    return []


def digest(root: Path) -> dict[str, str]:
    """A hash of each file that makes the map."""
    files = [path for part in PARTS for path in [root / part, *(root / part).rglob("*")] if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def trials(names: list[str], seconds: dict[str, float], kills: int, interrupts: int, seed: int) -> list[Trial]:
    """What will be done, in random order."""
    rng = random.Random(seed)
    plan = [(rng.choice(names), signal.SIGKILL) for _ in range(kills)]
    plan += [(name, rng.choice([signal.SIGINT, signal.SIGTERM])) for name in names for _ in range(interrupts)]
    found = []
    for name, number in plan:
        delay = rng.uniform(0.0, min(1.0, seconds[name])) if rng.random() < 0.5 else rng.uniform(0.0, 1.05 * seconds[name])
        pause = rng.choice([0.0, 0.0, rng.uniform(0.01, 1.0)]) if number != signal.SIGKILL else 0.0
        fresh = COMMANDS[name].makes_map and rng.random() < 0.5
        found.append(Trial(name, number, delay, pause, rng.random() < 0.5, fresh))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", default=",".join(COMMANDS), help="which, separated by commas")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--interrupts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep the prepared inputs here, and take them from there the next time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else a shell's background job hands on that it is ignored
    with tempfile.TemporaryDirectory() as folder:
        base = args.work or Path(folder)
        if not (base / "seconds.json").exists():
            base.mkdir(parents=True, exist_ok=True)
            (base / "seconds.json").write_text(json.dumps(prepare(base, args.commands.split(","))))
        seconds = json.loads((base / "seconds.json").read_text())
        plan = trials(args.commands.split(","), seconds, args.kills, args.interrupts, args.seed)
        for done, trial in enumerate(plan, 1):
            disturb(trial, base, base / "trial")
            for problem in trial.problems:
                print(f"FAILED {trial}: {problem}", flush=True)
            if done % 20 == 0:
                print(f"{done} of {len(plan)}, {sum(bool(t.problems) for t in plan)} failed", flush=True)
    failed = [trial for trial in plan if trial.problems]
    if args.json:
        args.json.write_text(json.dumps([{"trial": str(t), "problems": t.problems} for t in plan], indent=1))
    print(f"{len(plan)} trials, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
