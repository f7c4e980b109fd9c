"""The worker's own side: a process that opens the map directory, takes commands, and sends events."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Event as CancelEvent
from pathlib import Path

from seg2d3d_ros.disk.leftovers import WORK_FOLDER, remove
from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.reconstruction.online.online_mapper import Cancelled
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction, Reconstructor
from seg2d3d_ros.reconstruction.worker.worker_events import (
    Added,
    Command,
    Done,
    Event,
    Failed,
    Opened,
    Progressed,
    Rejected,
    Revised,
    Solve,
    Stopped,
)
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

log = logging.getLogger(__name__)

NICENESS = 5
"""The solver takes every core for minutes; what answers to others comes first."""
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """End this process when its parent is gone, however the parent ended.

    On Linux the kernel does it at once, even while the solver holds Python's global lock; elsewhere a thread does.
    """
    parent = multiprocessing.parent_process()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def serve(
    root: Path, config: ReconstructionConfig, networks: NetworkSettings, connection: Connection, cancel: CancelEvent
) -> None:
    """Commands in, events out, until the connection closes.

    Args:
        cancel: set when the command that runs is to stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides when to end
    _end_with_parent()
    os.nice(NICENESS)
    work = Path(root) / WORK_FOLDER

    def checkpoint() -> None:
        if cancel.is_set():
            raise Cancelled("cancelled; the map stays as it was in its last revision")

    try:
        _use_for_temporary_files(work)
        reconstructor = open_reconstructor(root, config, networks, checkpoint, live=True)
        models = read_models(root)
    except (Seg2d3dError, OSError) as error:
        connection.send(Failed(str(error)))
        return
    try:
        connection.send(Opened(reconstructor.names, Reconstruction(models) if models else None))
        while (command := connection.recv()) is not None:
            for event in _execute(reconstructor, command, connection):
                if event is not None:
                    connection.send(event)
            connection.send(Done())
    except (EOFError, OSError):
        pass
    finally:
        reconstructor.close()
        remove(work)


def _use_for_temporary_files(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)


def _execute(reconstructor: Reconstructor, command: Command, connection: Connection) -> Iterator[Event | None]:
    """What a command comes to; None where an online map has no new revision."""
    if isinstance(command, Solve):
        yield _attempt(
            lambda: Revised(reconstructor.solve(lambda stage, done, total: connection.send(Progressed(stage, done, total)))),
            command,
        )
        return
    keyframe, ignore = command.keyframe, command.ignore
    reconstructor.image_scale = command.image_scale
    refused = partial(Rejected, keyframe.name)
    yield _attempt(lambda: Added(keyframe.name, reconstructor.add(keyframe, ignore)), command, refused)
    if isinstance(reconstructor, OnlineReconstructor):
        yield _attempt(partial(_grow, reconstructor), f"{keyframe.name} was placed")


def _grow(reconstructor: OnlineReconstructor) -> Revised | None:
    revision = reconstructor.grow()
    return None if revision is None else Revised(revision, final=False)


def _attempt(work: Callable[[], Event | None], what: object, refused: Callable[[str], Event] = Failed) -> Event | None:
    """What some work comes to, or why it comes to nothing: ``refused`` says so of what the user can mend."""
    try:
        return work()
    except Cancelled as error:
        return Stopped(str(error))
    except Seg2d3dError as error:
        return refused(str(error))
    except Exception as error:  # whatever it is, the user reads it and the worker lives on
        log.exception("while %s", what)
        return Failed(f"while {what}: {type(error).__name__}: {error}")
