"""Making blocks: what is finished is not made again, one that fails is told and the others go on, a killed worker costs one."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from seg2d3d_ros.city.blocks.block_job import BlockJob, block_jobs
from seg2d3d_ros.city.blocks.block_making import CITY_IMAGES_GONE, make_block
from seg2d3d_ros.city.blocks.block_run import run_blocks
from seg2d3d_ros.city.blocks.block_state import ATTEMPTS, BlockState, is_made, read_state, write_state
from seg2d3d_ros.city.blocks.ray_tasks import made_on_ray, ray_is_installed
from seg2d3d_ros.city.blocks.workers import Workers
from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.cutting.block_cut import BlockCut
from seg2d3d_ros.city.drives.stored_drive import CityKeyframe
from seg2d3d_ros.config import Config, make_config
from seg2d3d_ros.mapstore.directory.marker import WHOLE, mark
from seg2d3d_ros.mapstore.records import KeyframeRecord

HERE = Path(__file__).parent


def jobs_of(root: Path, count: int = 3, config: Config | None = None, digest: str = "d") -> list[BlockJob]:
    keyframes = {
        f"k{i}": CityKeyframe(KeyframeRecord(f"k{i}", "c", i, f"k{i}.jpg", f"keyframes/k{i}.jpg"), "drive", f"{digest}{i}")
        for i in range(2 * count)
    }
    cuts = [BlockCut((f"k{2 * i}", f"k{2 * i + 1}"), ()) for i in range(count)]
    CityFolder(root).block("x").parent.mkdir(parents=True, exist_ok=True)
    return block_jobs(CityFolder(root), cuts, keyframes, config or Config(), ready_masks=True, threads=1)


def fake(job: BlockJob) -> BlockState:
    """Makes a block of nothing, and notes that it did."""
    with (job.root / "made.txt").open("a") as file:
        file.write(f"{job.name}\n")
    folder = job.city.block(job.name)
    folder.mkdir(parents=True, exist_ok=True)
    mark(folder, WHOLE)
    state = BlockState(job.fingerprint, "made")
    write_state(job.city, job.name, state)
    return state


def fails_second(job: BlockJob) -> BlockState:
    """Makes all blocks but that of keyframe k2."""
    if job.keyframes[0].name != "k2":
        return fake(job)
    state = BlockState(job.fingerprint, "failed", reason="nothing matches")
    write_state(job.city, job.name, state)
    return state


def dies(job: BlockJob) -> BlockState:
    """Ends its process: always with keyframe k0, at the first attempt with k2, never else."""
    first = job.root / f"tried-{job.name}"
    if job.keyframes[0].name == "k0" or (job.keyframes[0].name == "k2" and not first.exists()):
        first.touch()
        os._exit(9)
    return fake(job)


def made(root: Path) -> list[str]:
    path = root / "made.txt"
    return path.read_text().split() if path.exists() else []


def quiet(*_: object) -> None:
    """Progress that nobody sees."""


def test_finished_blocks_are_not_made_again_and_progress_counts_keyframes(tmp_path):
    jobs, told = jobs_of(tmp_path), []
    run_blocks(jobs[:2], Workers(), quiet, fake)
    states = run_blocks(jobs, Workers(), lambda *step: told.append(step), fake)
    assert made(tmp_path) == [job.name for job in jobs]
    assert {state.state for state in states.values()} == {"made"}
    assert told == [("blocks", 4, 6), ("blocks", 6, 6)]


def test_a_block_whose_map_is_gone_or_not_whole_is_made_again(tmp_path):
    jobs = jobs_of(tmp_path)
    run_blocks(jobs, Workers(), quiet, fake)
    mark(jobs[0].city.block(jobs[0].name), "building")
    (jobs[1].city.block(jobs[1].name) / "map.json").unlink()
    jobs[2].city.block_state(jobs[2].name).write_text("{ damaged")
    assert not any(is_made(job) for job in jobs)
    run_blocks(jobs, Workers(), quiet, fake)
    assert made(tmp_path) == 2 * [job.name for job in jobs]


def test_the_fingerprint_is_of_inputs_and_configuration_but_not_of_who_makes_it(tmp_path):
    first = jobs_of(tmp_path)
    other = make_config({"reconstruction.max_features": 500})
    slower = make_config({"reconstruction.threads": 7})
    assert [job.fingerprint for job in jobs_of(tmp_path, config=slower)] == [job.fingerprint for job in first]
    assert not {job.fingerprint for job in jobs_of(tmp_path, config=other)} & {job.fingerprint for job in first}
    assert not {job.fingerprint for job in jobs_of(tmp_path, digest="e")} & {job.fingerprint for job in first}


def test_one_block_that_fails_does_not_stop_the_others_and_is_tried_again_next_time(tmp_path):
    jobs = jobs_of(tmp_path)
    states = run_blocks(jobs, Workers(), quiet, fails_second)
    assert [states[job.name].state for job in jobs] == ["made", "failed", "made"]
    again = run_blocks(jobs, Workers(), quiet, fake)
    assert again[jobs[1].name].state == "made"
    assert made(tmp_path) == [jobs[0].name, jobs[2].name, jobs[1].name]


def test_images_that_are_gone_fail_their_block_in_words(tmp_path):
    job = jobs_of(tmp_path, 1)[0]
    state = make_block(job)
    assert state.state == "failed"
    assert "cannot be read" in state.reason
    assert [finding["code"] for finding in state.findings] == [CITY_IMAGES_GONE.code]
    assert state.findings[0]["count"] == 2
    assert read_state(job) == state


def test_a_block_that_crashes_whoever_makes_it_is_left_out_in_the_end(tmp_path):
    job = jobs_of(tmp_path, 1)[0]
    write_state(job.city, job.name, BlockState(job.fingerprint, "begun", ATTEMPTS))
    state = make_block(job)
    assert state.state == "failed"
    assert f"{ATTEMPTS} times" in state.reason


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """The process dies in the second block; the next one makes that and the third, and not the first."""
    code = (
        f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
        "from pathlib import Path\n"
        "from test_city_blocks import Workers, dies, jobs_of, quiet, run_blocks\n"
        "run_blocks(jobs_of(Path(sys.argv[1]))[1:], Workers(), quiet, dies)\n"
    )
    jobs = jobs_of(tmp_path)
    run_blocks(jobs[:1], Workers(), quiet, fake)
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=False, env=os.environ).returncode == 9
    assert made(tmp_path) == [jobs[0].name]
    assert subprocess.run(command, check=False, env=os.environ).returncode == 0
    run_blocks(jobs, Workers(), quiet, fake)
    assert made(tmp_path) == [job.name for job in jobs]


def listeners(pids: set[int]) -> set[str]:
    """Addresses, in hexadecimal, at which these processes listen."""
    descriptors: list[Path] = []
    for pid in pids:
        with suppress(OSError):  # it has ended meanwhile
            descriptors += Path(f"/proc/{pid}/fd").iterdir()
    inodes = set()
    for fd in descriptors:
        with suppress(OSError):
            target = str(fd.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


def family(pid: int) -> set[int]:
    """A process and all that it started."""
    found = {pid}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found |= family(int(child))
    return found


def on_ray(root: Path) -> None:
    """What the next test runs in a process of its own: says how each block ended, and where Ray listens."""
    jobs = jobs_of(root)
    where: set[str] = set()
    for job, state in made_on_ray(jobs, Workers(2), dies):
        where |= listeners(family(os.getpid()))
        print(job.keyframes[0].name, state.state, flush=True)
    print("listens", *sorted(where), flush=True)


@pytest.mark.skipif(not ray_is_installed(), reason="needs Ray (extra city)")
def test_a_killed_worker_costs_one_block_and_nothing_listens_to_the_network(tmp_path):
    """On Ray: one worker dies at its first attempt, one always, one never."""
    code = (
        f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
        "from pathlib import Path\n"
        "from test_city_blocks import on_ray\n"
        "on_ray(Path(sys.argv[1]))\n"
    )
    paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", code, str(tmp_path)]
    run = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = [line.split() for line in run.stdout.splitlines()]
    ended = {words[0]: words[1] for words in lines if len(words) == 2 and words[0].startswith("k")}
    assert ended == {"k0": "failed", "k2": "made", "k4": "made"}
    where = next(words[1:] for words in lines if words[0] == "listens")
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert where, "Ray's processes were not found"
    assert set(where) <= loopback
    assert sorted(made(tmp_path)) == sorted(job.name for job in jobs_of(tmp_path)[1:])
    assert "its worker died" in read_state(jobs_of(tmp_path)[0]).reason
