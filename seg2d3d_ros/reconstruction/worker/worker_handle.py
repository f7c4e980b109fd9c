"""The reconstruction in a process of its own, because the mapper holds Python's global lock for seconds.

One supervising thread hands the process one command at a time and turns its answers into events. A process that dies is
started again on the same map folder, and the command in flight is repeated once.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import sys
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event as CancelEvent
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.reconstruction.worker.worker_events import (
    Add,
    Added,
    Command,
    Done,
    Event,
    Failed,
    Opened,
    Rejected,
    Solve,
    Stopped,
)
from seg2d3d_ros.reconstruction.worker.worker_process import serve
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

ATTEMPTS = 2
POLL_S = 0.1
STOP_S = 3.0
CANCEL_S = 1.0
"""A cancelled command has this long to come to the mapper's next step; then its process is ended. A global solution, or a
bundle adjustment of a large map, cannot be interrupted in any other way."""
SHARED_MEMORY = Path("/dev/shm")


def shared_memory_words() -> str:
    """What is wrong with the system's shared memory, which locks between processes need; empty where nothing is."""
    if sys.platform != "linux":
        return ""
    if not SHARED_MEMORY.is_dir():
        return f": there is no {SHARED_MEMORY}; mount it, or start the container with --ipc=host"
    if shutil.disk_usage(SHARED_MEMORY).free < 4096:
        return f": {SHARED_MEMORY} is full; free it, or start the container with --ipc=host or a larger --shm-size"
    return "" if os.access(SHARED_MEMORY, os.W_OK) else f": {SHARED_MEMORY} is not writable; correct its rights (mode 1777)"


class ReconstructionWorker:
    """A process that owns the ``Reconstructor`` of ``root``. All methods return at once.

    Use it as a context manager, or call ``close``.
    """

    def __init__(self, root: Path, config: ReconstructionConfig, networks: NetworkSettings | None = None) -> None:
        self._root, self._config, self._networks = Path(root), config, networks or NetworkSettings()
        self._commands: queue.Queue[Command] = queue.Queue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._solve_waits = False
        self._running: Command | None = None
        self._answered = False
        self._cancelled_at: float | None = None
        self._context = multiprocessing.get_context("spawn")
        self._cancel: CancelEvent | None = None
        self._stopping = threading.Event()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._supervise, name="reconstruction", daemon=True)
        self._thread.start()

    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None, image_scale: float = 1.0) -> None:
        """Queue a keyframe; the answer is ``Added`` or ``Rejected``. ``image_scale`` as in ``Reconstructor``."""
        self._submit(Add(keyframe, ignore, image_scale))

    def solve(self) -> None:
        """Queue a solve; the answer is ``Revised``, ``Failed`` or ``Stopped``. One that waits as last serves both."""
        with self._lock:
            if self._solve_waits:
                return
        self._submit(Solve())

    def cancel(self) -> bool:
        """Stop the command that runs; it answers ``Stopped`` within ``CANCEL_S`` and some time to start anew at most.

        A keyframe whose features are not in the database yet is added again, all other commands go on. What is on disk
        stays valid, whether the mapper stopped by itself or its process had to be ended.

        Returns:
            whether anything ran.
        """
        with self._lock:
            if self._running is None:
                return False
            if self._cancelled_at is None:
                self._cancelled_at = time.monotonic()
            if self._cancel is not None:
                self._cancel.set()
            return True

    def _submit(self, command: Command) -> None:
        if self._stopping.is_set():
            raise UsageError("the reconstruction worker is closed")
        with self._lock:
            self._unfinished += 1
            self._solve_waits = isinstance(command, Solve)
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
        """End the process at once, whatever it does, and drop what waits; harmless when called again."""
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
        try:
            self._connection, theirs = self._context.Pipe()
            self._cancel = self._context.Event()  # a semaphore in /dev/shm
            self._process = self._context.Process(
                target=serve,
                args=(self._root, self._config, self._networks, theirs, self._cancel),
                name="seg2d3d-reconstruction",
                daemon=True,
            )
            self._process.start()
        except OSError as error:
            self._process = None
            reason = error.strerror or str(error)
            self._events.put(Failed(f"the reconstruction process cannot start ({reason}){shared_memory_words()}"))
            return False
        theirs.close()
        answer = self._receive()
        if isinstance(answer, Opened | Failed):
            self._events.put(answer)
        elif not self._stopping.is_set():
            self._events.put(Failed(f"{self._end()} while it started"))
        return isinstance(answer, Opened)

    def _drop_one(self) -> None:
        """The process cannot start: give up one command, or wait for one."""
        while not self._stopping.is_set():
            try:
                command = self._commands.get(timeout=POLL_S)
            except queue.Empty:
                continue
            self._give_up(command, "the reconstruction process cannot start")
            return

    def _give_up(self, command: Command, reason: str) -> None:
        self._events.put(Rejected(command.keyframe.name, reason) if isinstance(command, Add) else Failed(reason))
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            self._unfinished -= 1

    def _run(self, command: Command) -> None:
        """Hand one command over and pass its events on; repeat it once when the process dies."""
        with self._lock:
            if self._commands.empty():
                self._solve_waits = False
        attempts = 0
        while not self._stopping.is_set():
            attempts += 1
            if self._hand_over(command):
                self._finish()
                return
            if self._stopping.is_set():
                return
            end, stopped = self._end(), self._cancelled_at is not None
            self._cancelled_at = None
            if stopped and (isinstance(command, Solve) or self._answered):
                self._events.put(Stopped("cancelled; the map stays as it was in its last revision"))
                self._finish()
                return
            if stopped:
                attempts -= 1  # that was no accident
            elif attempts < ATTEMPTS:
                self._events.put(Failed(f"{end} while {command}; it starts again from {self._root} and repeats this"))
            if attempts >= ATTEMPTS or not self._start():
                self._give_up(command, f"{end} while {command}; given up after {attempts} attempts")
                return

    def _hand_over(self, command: Command) -> bool:
        """Have one command executed and pass its events on; False when the process died over it, or ``close`` was called."""
        with self._lock:
            if self._cancel is not None:
                self._cancel.clear()
            self._running, self._answered, self._cancelled_at = command, False, None
        try:
            if self._connection is None:
                return False
            self._connection.send(command)
            while not isinstance(answer := self._receive(), Done):
                if answer is None:
                    return False
                self._answered |= isinstance(answer, Added)
                self._events.put(answer)
            return True
        except (OSError, ValueError):
            return False
        finally:
            with self._lock:
                self._running = None

    def _receive(self) -> Event | Done | None:
        """The process's next message; None when it died or ``close`` was called."""
        connection = self._connection
        try:
            while connection is not None and not self._stopping.is_set():
                if connection.poll(POLL_S):
                    return connection.recv()
                late = self._cancelled_at is not None and time.monotonic() > self._cancelled_at + CANCEL_S
                if late and self._process is not None:
                    self._process.kill()
        except (EOFError, OSError):
            pass
        return None

    def _end(self) -> str:
        """How the process ended, in words."""
        code = None
        if self._process is not None:
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
            process.kill()  # what is on disk outlives that at any moment
            process.join(STOP_S)
