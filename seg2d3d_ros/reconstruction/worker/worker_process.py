"""The worker's own side: a process that opens the map directory, takes commands, and sends events."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Event as CancelEvent
from pathlib import Path

from seg2d3d_ros.config import ReconstructionConfig
from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.reconstruction.online.online_mapper import Cancelled
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction, Reconstructor
from seg2d3d_ros.reconstruction.worker.worker_events import (
    Add,
    Added,
    Command,
    Done,
    Event,
    Failed,
    Opened,
    Progressed,
    Rejected,
    Revised,
    Stopped,
)

log = logging.getLogger(__name__)

WORK_FOLDER = ".work"
"""Temporary files lie in the map directory: what a killed process leaves behind, the next one clears away."""
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


def serve(root: Path, config: ReconstructionConfig, connection: Connection, cancel: CancelEvent) -> None:
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
        reconstructor = open_reconstructor(root, config, checkpoint, live=True)
        opened = _opened(reconstructor)
    except (Seg2d3dError, OSError) as error:
        connection.send(Failed(str(error)))
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pycolmap prints a stack trace on it; leaving is no crash
    try:
        connection.send(opened)
        while (command := connection.recv()) is not None:
            connection.send(_execute(reconstructor, command, connection))
            if isinstance(command, Add) and isinstance(reconstructor, OnlineReconstructor):
                for event in _grow(reconstructor, command):
                    connection.send(event)
            connection.send(Done())
    except (EOFError, OSError):
        pass
    finally:
        reconstructor.close()
        shutil.rmtree(work, ignore_errors=True)


def _use_for_temporary_files(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)


def _opened(reconstructor: Reconstructor) -> Opened:
    models = read_models(reconstructor.root)
    return Opened(reconstructor.names, Reconstruction(models) if models else None)


def _execute(reconstructor: Reconstructor, command: Command, connection: Connection) -> Event:
    try:
        if isinstance(command, Add):
            return Added(command.keyframe.name, reconstructor.add(command.keyframe, command.ignore))
        return Revised(reconstructor.solve(lambda stage, done, total: connection.send(Progressed(stage, done, total))))
    except Cancelled as error:
        return Stopped(str(error))
    except Seg2d3dError as error:
        return Rejected(command.keyframe.name, str(error)) if isinstance(command, Add) else Failed(str(error))
    except Exception as error:  # whatever it is, the user reads it and the worker lives on
        log.exception("while %s", command)
        return Failed(f"while {command}: {type(error).__name__}: {error}")


def _grow(reconstructor: OnlineReconstructor, command: Add) -> list[Event]:
    try:
        revision = reconstructor.grow()
        return [] if revision is None else [Revised(revision, final=False)]
    except Cancelled as error:
        return [Stopped(str(error))]
    except Seg2d3dError as error:
        return [Failed(str(error))]
    except Exception as error:  # whatever it is, the user reads it and the worker lives on
        log.exception("while %s was placed", command.keyframe.name)
        return [Failed(f"while {command.keyframe.name} was placed: {type(error).__name__}: {error}")]
