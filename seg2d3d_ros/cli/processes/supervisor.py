"""Runs a command in a child process, so that whatever ends it, also inside native code, ends with one line and a right status.

The parent imports next to nothing, starts no thread, and waits. It passes Ctrl-C and SIGTERM on, ends the child and all that
the child started when they take too long, and says what a crash left unsaid. When the parent dies, the child dies too.
"""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing takes its time, in which nobody looks after Ctrl-C
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from seg2d3d_ros.cli.output.choice import OutputChoice

GRACE_S = 5.0
"""A command that was interrupted has this long to end by itself; a bundle adjustment, say, does not listen."""
ONE_PRESS_S = 0.5
"""Signals that follow each other as fast as this are one: a terminal and a program may both send it to the whole group."""
NATIVE_END = 4000
"""Bytes of what native libraries said last that are searched for a cause."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_DISK_FULL = ("no space left", "disk is full", "disk full", "disk quota exceeded")
_STACK = (
    "***",
    "@ ",
    "PC:",
    "Fatal Python error",
    "Current thread",
    "Thread 0x",
    "File ",
    "Extension modules",
    "terminate called",
)

_words = ""
_to_parent: int | None = None


def tell_if_interrupted(words: str) -> None:
    """What to say should the command be interrupted, or crash, from here on: what is kept, and how to go on. One sentence."""
    global _words
    _words = words
    if _to_parent is not None:
        os.write(_to_parent, f"{words[:1000]}\n".encode(errors="replace"))


def interruption_line(command: str, words: str | None = None) -> str:
    """The line that ends an interrupted command."""
    kept = _words if words is None else words
    return f"seg2d3d {command}: interrupted" + (f"; {kept}" if kept else "")


def can_supervise() -> bool:
    """Whether the system has what this needs; elsewhere a command runs in the first process."""
    return sys.platform == "linux" and hasattr(os, "memfd_create")


def supervise(choice: OutputChoice, work: Callable[[], int]) -> int:
    """Run ``work`` in a child of this process; returns twice, in the child with what ``work`` returned.

    Args:
        choice: the command's name, and how its last words are told; verbose: native libraries write to the terminal, else what
            they say is only searched for a crash's cause.
        work: the command. In the child SIGINT, SIGTERM and SIGHUP raise ``KeyboardInterrupt`` in it, once.

    Returns:
        the exit status: 128 + the signal after an interruption, 1 after a crash.
    """
    obeyed = {s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) != signal.SIG_IGN}
    former = signal.pthread_sigmask(signal.SIG_BLOCK, obeyed | {signal.SIGCHLD})
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    native = os.memfd_create("native messages")  # in memory: the disk may be full
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child:
        os.close(writing)
        return _Parent(choice, child, obeyed, native, reading).wait()
    end_with_parent()
    if os.getppid() != parent:  # it died before that
        os._exit(1)
    os.close(reading)
    _set_up_child(writing, None if choice.verbose else native)
    return _obey(work, obeyed, former)


def end_with_parent() -> None:
    """Let the kernel end this process when its parent is gone, however that ended; as ``preexec_fn``, too."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    import ctypes  # it takes its time

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _set_up_child(to_parent: int, native: int | None) -> None:
    """Keep the terminal for Python's own messages: native libraries write stacks to the same place."""
    global _to_parent
    _to_parent = to_parent
    if native is None or sys.stderr is None:
        return
    sys.stderr.flush()
    # Not closed: whatever is said last, while Python ends, goes there too.
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    os.dup2(native, 2)


def _obey(work: Callable[[], int], obeyed: set[signal.Signals], mask: Any) -> int:
    """Run ``work`` in the child; a signal interrupts it once."""
    received: list[int] = []
    over = False

    def interrupt(number: int, _frame: object) -> None:
        if not received and not over:
            received.append(number)
            # What the interruption breaks in destructors and threads is no news.
            sys.unraisablehook = lambda *_: None
            if threading := sys.modules.get("threading"):
                threading.excepthook = lambda *_: None  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    try:
        for number in obeyed:
            signal.signal(number, interrupt)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work()
        over = True
        return 128 + received[0] if received and code else code  # what was done by then is done
    except BaseException:
        over = True
        if not received:
            raise
        return 128 + received[0]
    finally:
        for number in obeyed:  # a handler would not outlive the interpreter's end
            signal.signal(number, signal.SIG_IGN)


class _Parent:
    """Waits for the child, and has the last word."""

    def __init__(self, choice: OutputChoice, child: int, obeyed: set[signal.Signals], native: int, reading: int) -> None:
        self._choice, self._child, self._obeyed = choice, child, obeyed
        self._native, self._reading = native, reading
        self._first: int | None = None
        self._cut_off = False

    def wait(self) -> int:
        """Until the child has ended; returns the exit status."""
        status = self._status()
        code = os.waitstatus_to_exitcode(status)
        if code in (0, 1, 2) or (code > 2 and code - 128 not in self._obeyed):
            return code
        self._cut_off |= code < 0
        _end_all_children()
        words = self._kept()
        interrupted = self._first or (code - 128 if code > 0 else None)
        if interrupted is not None:
            line = interruption_line(self._choice.command, words)
            self._choice.last_words(line, "interrupted", 128 + interrupted, below=self._cut_off)
            return 128 + interrupted
        line = f"seg2d3d {self._choice.command}: {crash_words(-code, self._said())}" + (f"; {words}" if words else "")
        self._choice.last_words(line, "crash", 1, below=self._cut_off)
        return 1

    def _status(self) -> int:
        """The child's wait status, with signals passed on to it meanwhile."""
        start = deadline = 0.0
        while True:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid:
                return status
            left = max(deadline - time.monotonic(), 0.0) if self._first else 3600.0
            found = signal.sigtimedwait(self._obeyed | {signal.SIGCHLD}, left)
            now = time.monotonic()
            if found is None and self._first:
                self._kill()
                deadline = now + GRACE_S
            elif found is not None and found.si_signo != signal.SIGCHLD:
                if self._first is None:
                    self._first, start, deadline = found.si_signo, now, now + GRACE_S
                    os.kill(self._child, found.si_signo)
                elif now - start > ONE_PRESS_S:
                    self._kill()

    def _kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)

    def _kept(self) -> str:
        os.set_blocking(self._reading, False)
        try:
            told = os.read(self._reading, 1 << 16).decode(errors="replace").splitlines()
        except BlockingIOError:
            told = []
        return told[-1] if told else ""

    def _said(self) -> str:
        size = os.fstat(self._native).st_size
        return os.pread(self._native, NATIVE_END, max(0, size - NATIVE_END)).decode(errors="replace")


def crash_words(number: int, said: str) -> str:
    """What ended a process, from its signal and what native libraries wrote last: cause and way out in one sentence."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    lines = [line.strip() for line in said.splitlines()]
    told = [line for line in lines if line and not line.startswith(_STACK)]
    last = (told[-1].removeprefix("what():").strip() if told else "")[:300]
    if full := next((line for line in reversed(told) if any(word in line.lower() for word in _DISK_FULL)), None):
        return f"a disk is full ({full.removeprefix('what():').strip()[:300]}); free space or choose another folder"
    if number == signal.SIGKILL:
        return f"ended by {name}: somebody killed it, or memory ran out; fewer or smaller images (--preset fast) need less"
    if number == signal.SIGBUS:
        return f"ended by {name}: a disk or the shared memory in /dev/shm is full, or failed; free space there"
    cause = f"{name}: {last}" if last else name
    return f"a library crashed ({cause}); the likely cause is a damaged file: -v shows what was read last"


def _end_all_children() -> None:
    """Kill what the child left behind: as a subreaper this process is the parent of its orphans."""
    for _ in range(100):
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as listed:  # noqa: PTH123  (pathlib takes its time)
                orphans = [int(pid) for pid in listed.read().split()]
        except OSError:
            return
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        for pid in orphans:
            os.waitpid(pid, 0)
        if not orphans:
            return
