"""Blocks as tasks of Ray: on this machine, or on a cluster.

On this machine Ray is started for the command and ended with it, without its dashboard, bound to the loopback interface, and
it reports nothing to anybody. A worker makes one block and ends, so that its memory is free again, and what crashed one
library does not reach the next block.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from seg2d3d_ros.city.blocks.block_job import BlockJob
from seg2d3d_ros.city.blocks.block_state import ATTEMPTS, BlockState, write_state
from seg2d3d_ros.city.blocks.workers import Workers
from seg2d3d_ros.errors import DataError, UsageError

HOW_TO_INSTALL = "pip install 'seg2d3d_ros[city]'"
LOOPBACK = "127.0.0.1"
STORE_BYTES = 80 << 20
"""Of shared memory, Ray's least: only orders and answers go through it, images and maps through files."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers see the GPU that the segmenter may want
    "RAY_enable_metrics_collection": "0",
}
_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch for machines where it is to be no cluster: all its processes listen on 127.0.0.1 alone. Without it they listen
on every interface, whatever address ``ray.init`` is given. It is read when Ray is imported."""


def ray_is_installed() -> bool:
    """Whether Ray is here, without importing it."""
    return importlib.util.find_spec("ray") is not None


def made_on_ray(
    jobs: Sequence[BlockJob], workers: Workers, make: Callable[[BlockJob], BlockState]
) -> Iterator[tuple[BlockJob, BlockState]]:
    """Each block with its state, in the order in which they are done.

    A block whose worker dies is begun again, ``ATTEMPTS`` times in all; then it has failed, and the others go on.

    Raises:
        UsageError: Ray is not installed, or the cluster does not answer.
    """
    with _started(workers) as ray:
        variables = {name: str(workers.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        task = ray.remote(num_cpus=workers.cpus, max_retries=ATTEMPTS - 1, max_calls=1, runtime_env={"env_vars": variables})(
            make
        )
        running = {task.options(name=f"block {job.name}").remote(job): job for job in jobs}
        while running:
            ready, _ = ray.wait(list(running), num_returns=1)
            job = running.pop(ready[0])
            yield job, _answer(ray, ready[0], job)


def _answer(ray: Any, reference: Any, job: BlockJob) -> BlockState:
    try:
        state: BlockState = ray.get(reference)
        return state
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        state = BlockState(job.fingerprint, "failed", ATTEMPTS, f"its worker died or broke ({type(error).__name__}: {reason})")
        write_state(job.city, job.name, state)
        return state


@contextmanager
def _started(workers: Workers) -> Iterator[Any]:
    """Ray, for as long as the block lasts."""
    if not ray_is_installed():
        raise UsageError(f"Ray is not installed: {HOW_TO_INSTALL}; or --workers 0 makes one block after the other")
    os.environ.update(_ENVIRONMENT if workers.address else {**_ENVIRONMENT, **_LOOPBACK_ONLY})
    import ray

    if ray.is_initialized():
        raise UsageError("this process is connected to Ray already; end that first")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if workers.address:
            ray.init(address=workers.address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=workers.count * workers.cpus,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                **quiet,
            )
            _require_loopback(ray)
    except (ConnectionError, ValueError) as error:
        raise UsageError(f"--address {workers.address}: no Ray cluster answers there ({error})") from error
    except RuntimeError as error:
        raise DataError(f"Ray cannot be started ({error}); --workers 0 does without it") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_loopback(ray: Any) -> None:
    """Raises ``DataError`` where Ray listens to the network, because it was imported before it was told not to."""
    if (where := ray.util.get_node_ip_address()) != LOOPBACK:
        ray.shutdown()
        raise DataError(
            f"Ray would listen on {where}, to everybody in the network: it was imported in this process before; start "
            "'seg2d3d city' by itself, or give --workers 0"
        )
