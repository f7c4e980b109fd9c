"""Makes all blocks of a city that are not there yet, and says how far it is. One block that fails does not stop others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from seg2d3d_ros.city.blocks.block_job import BlockJob
from seg2d3d_ros.city.blocks.block_making import make_block
from seg2d3d_ros.city.blocks.block_state import BlockState, is_made, read_state
from seg2d3d_ros.city.blocks.workers import Workers
from seg2d3d_ros.progress import Progress

Make = Callable[[BlockJob], BlockState]
"""Makes a block; a function at the top of a module, so that another process can find it."""


def run_blocks(
    jobs: Sequence[BlockJob], workers: Workers, progress: Progress, make: Make = make_block
) -> dict[str, BlockState]:
    """Make blocks; the state of each, by name.

    Args:
        jobs: of all blocks.
        progress: called with ("blocks", keyframes of the blocks that are done, keyframes of all).
        make: makes one.
    """
    states: dict[str, BlockState] = {}
    waiting: list[BlockJob] = []
    for job in jobs:
        state = read_state(job) if is_made(job) else None
        if state is None:
            waiting.append(job)
        else:
            states[job.name] = state
    done = sum(len(job.keyframes) for job in jobs if job.name in states)
    total = sum(len(job.keyframes) for job in jobs)
    progress("blocks", done, total)
    for job, state in _made(waiting, workers, make):
        states[job.name] = state
        done += len(job.keyframes)
        progress("blocks", done, total)
    return states


def _made(jobs: Sequence[BlockJob], workers: Workers, make: Make) -> Iterable[tuple[BlockJob, BlockState]]:
    if not jobs:
        return ()
    if workers.on_ray:
        from seg2d3d_ros.city.blocks.ray_tasks import made_on_ray

        return made_on_ray(jobs, workers, make)
    return _made_here(jobs, make)


def _made_here(jobs: Sequence[BlockJob], make: Make) -> Iterator[tuple[BlockJob, BlockState]]:
    for job in jobs:
        yield job, make(job)
