"""The reconstruction in a process of its own, because the mapper holds Python's global lock for seconds.

One supervising thread hands the process one command at a time and turns its answers into events. A process that dies is
started again on the same map folder, and the command in flight is repeated once.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.config import ReconstructionConfig
from seg2d3d_ros.errors import Seg2d3dError, UsageError
from seg2d3d_ros.reconstruction.online import OnlineReconstructor, open_reconstructor
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction, Reconstructor
from seg2d3d_ros.reconstruction.streaming import Cancelled
from seg2d3d_ros.types import Keyframe

log = logging.getLogger(__name__)

ATTEMPTS = 2
POLL_S = 0.2
STOP_S = 3.0


@dataclass(frozen=True)
class Added:
    """A keyframe is in the database."""

    name: str
    features: int


@dataclass(frozen=True)
class Rejected:
    """A keyframe could not be used."""

    name: str
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far the running solve is."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Revision:
    """A new state of the map: ``final`` when it answers a solve, else the map has grown while keyframes came."""

    reconstruction: Reconstruction
    final: bool = True


@dataclass(frozen=True)
class Failed:
    """Something went wrong; the worker goes on with the next command."""

    message: str


Event = Added | Rejected | Progress | Revision | Failed


@dataclass(frozen=True)
class _Add:
    keyframe: Keyframe
    ignore: np.ndarray | None

    def __str__(self) -> str:
        return f"adding {self.keyframe.name}"


@dataclass(frozen=True)
class _Solve:
    def __str__(self) -> str:
        return "solving"


_DONE = "done"
_READY = "ready"


def _exit_with_parent() -> None:
    """End this process at once when its parent is gone, however the parent ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _serve(root: Path, config: ReconstructionConfig, connection: Connection, cancel: Any) -> None:
    """The worker process: commands in, events out, until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides when to end
    threading.Thread(target=_exit_with_parent, daemon=True).start()

    def checkpoint() -> None:
        if cancel.is_set():
            raise Cancelled("the reconstruction was cancelled; the map stays as it was in its last revision")

    try:
        reconstructor = open_reconstructor(root, config, checkpoint)
    except Seg2d3dError as error:
        connection.send(Failed(str(error)))
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pycolmap prints a stack trace on it; leaving is no crash
    try:
        connection.send(_READY)
        while (command := connection.recv()) is not None:
            cancel.clear()
            connection.send(_execute(reconstructor, command, connection))
            if isinstance(command, _Add) and isinstance(reconstructor, OnlineReconstructor):
                for event in _grow(reconstructor, command):
                    connection.send(event)
            connection.send(_DONE)
    except (EOFError, OSError):
        pass
    finally:
        reconstructor.close()


def _execute(reconstructor: Reconstructor, command: _Add | _Solve, connection: Connection) -> Event:
    try:
        if isinstance(command, _Add):
            return Added(command.keyframe.name, reconstructor.add(command.keyframe, command.ignore))
        return Revision(reconstructor.solve(lambda stage, done, total: connection.send(Progress(stage, done, total))))
    except Seg2d3dError as error:
        return Rejected(command.keyframe.name, str(error)) if isinstance(command, _Add) else Failed(str(error))
    except Exception as error:  # whatever it is, the user reads it and the worker lives on
        log.exception("while %s", command)
        return Failed(f"while {command}: {type(error).__name__}: {error}")


def _grow(reconstructor: OnlineReconstructor, command: _Add) -> list[Event]:
    try:
        revision = reconstructor.grow()
        return [] if revision is None else [Revision(revision, final=False)]
    except Seg2d3dError as error:
        return [Failed(str(error))]
    except Exception as error:  # whatever it is, the user reads it and the worker lives on
        log.exception("while growing by %s", command.keyframe.name)
        return [Failed(f"while growing by {command.keyframe.name}: {type(error).__name__}: {error}")]


class ReconstructionWorker:
    """A process that owns the ``Reconstructor`` of ``root``. All methods return at once.

    Use it as a context manager, or call ``close``.
    """

    def __init__(self, root: Path, config: ReconstructionConfig) -> None:
        self._root, self._config = Path(root), config
        self._commands: queue.Queue[_Add | _Solve] = queue.Queue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._solve_waits = False
        self._cancel: Any = None
        self._stopping = threading.Event()
        self._process: Any = None
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._supervise, name="reconstruction", daemon=True)
        self._thread.start()

    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> None:
        """Queue a keyframe; the answer is ``Added`` or ``Rejected``."""
        self._submit(_Add(keyframe, ignore))

    def solve(self) -> None:
        """Queue a solve; the answer is ``Revision`` or ``Failed``. One that waits as last in the queue serves both."""
        with self._lock:
            if self._solve_waits:
                return
        self._submit(_Solve())

    def cancel(self) -> None:
        """Stop the command that runs, at the mapper's next step; it answers ``Failed``. The others go on.

        Only ``reconstruction.mode: online`` can be stopped in the middle.
        """
        if self._cancel is not None:
            self._cancel.set()

    def _submit(self, command: _Add | _Solve) -> None:
        if self._stopping.is_set():
            raise UsageError("the reconstruction worker is closed")
        with self._lock:
            self._unfinished += 1
            self._solve_waits = isinstance(command, _Solve)
        self._commands.put(command)

    def events(self) -> list[Event]:
        """All events since the last call, oldest first; to be called from one thread."""
        return [self._events.get_nowait() for _ in range(self._events.qsize())]

    @property
    def busy(self) -> bool:
        """Whether a command waits or runs. False only after the events of the last command are in the queue."""
        with self._lock:
            return self._unfinished > 0

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        process = self._process
        return process is not None and process.is_alive()

    @property
    def pid(self) -> int | None:
        """The process id, None while there is no process."""
        process = self._process
        return None if process is None else process.pid

    def close(self) -> None:
        """End the process and drop what waits; returns within some seconds, harmless when called again."""
        self._stopping.set()
        self._thread.join(2 * STOP_S + 10.0)

    def __enter__(self) -> ReconstructionWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _supervise(self) -> None:
        try:
            while not self._stopping.is_set():
                if not self.alive and not self._start():
                    self._drop_one()
                    continue
                try:
                    command = self._commands.get(timeout=POLL_S)
                except queue.Empty:
                    if not self.alive and not self._stopping.is_set():
                        self._events.put(Failed(f"{self._end()}; it starts again from {self._root}"))
                    continue
                self._run(command)
        finally:
            self._stop()

    def _start(self) -> bool:
        """Start a process and wait until it has opened the database."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._cancel = context.Event()
        self._process = context.Process(
            target=_serve, args=(self._root, self._config, theirs, self._cancel), name="seg2d3d-reconstruction", daemon=True
        )
        self._process.start()
        theirs.close()
        answer = self._receive()
        if isinstance(answer, Failed):
            self._events.put(answer)
        elif answer is None and not self._stopping.is_set():
            self._events.put(Failed(f"{self._end()} while it started"))
        return answer == _READY

    def _drop_one(self) -> None:
        """The process cannot start: give up one command, or wait for one."""
        while not self._stopping.is_set():
            try:
                command = self._commands.get(timeout=POLL_S)
            except queue.Empty:
                continue
            self._give_up(command, "the reconstruction process cannot start")
            return

    def _give_up(self, command: _Add | _Solve, reason: str) -> None:
        self._events.put(Rejected(command.keyframe.name, reason) if isinstance(command, _Add) else Failed(reason))
        self._finish(command)

    def _finish(self, command: _Add | _Solve) -> None:
        with self._lock:
            self._unfinished -= 1

    def _run(self, command: _Add | _Solve) -> None:
        """Hand one command over and pass its events on; repeat it once when the process dies."""
        with self._lock:
            if self._commands.empty():
                self._solve_waits = False
        for attempt in range(ATTEMPTS):
            if self._send(command) and self._relay():
                self._finish(command)
                return
            if self._stopping.is_set():
                return
            end = self._end()
            if attempt + 1 < ATTEMPTS:
                self._events.put(Failed(f"{end} while {command}; it starts again from {self._root} and repeats this"))
            if attempt + 1 == ATTEMPTS or not self._start():
                self._give_up(command, f"{end} while {command}; given up after {attempt + 1} attempts")
                return

    def _send(self, command: _Add | _Solve) -> bool:
        try:
            if self._connection is not None:
                self._connection.send(command)
        except (OSError, ValueError):
            return False
        return self._connection is not None

    def _relay(self) -> bool:
        """Pass events on until the command is done; False when the process died or ``close`` was called."""
        while (answer := self._receive()) is not None:
            if answer == _DONE:
                return True
            self._events.put(answer)
        return False

    def _receive(self) -> Any:
        """The process's next message; None when it died or ``close`` was called."""
        connection = self._connection
        try:
            while connection is not None and not self._stopping.is_set():
                if connection.poll(POLL_S):
                    return connection.recv()
        except (EOFError, OSError):
            pass
        return None

    def _end(self) -> str:
        """How the process ended, in words."""
        self._process.join(STOP_S)
        code = self._process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"the reconstruction process ended unexpectedly ({how})"

    def _stop(self) -> None:
        process, connection = self._process, self._connection
        if process is None:
            return
        try:
            if connection is not None:
                connection.send(None)
                connection.close()
        except (OSError, ValueError):
            pass
        process.join(STOP_S if self._unfinished == 0 else 0.0)  # an idle process leaves by itself
        if process.is_alive():
            process.terminate()
            process.join(STOP_S)
        if process.is_alive():
            process.kill()
            process.join(STOP_S)
