"""What the commands say, in the form that the command line chose. Commands call the functions; ``Telling`` is one command's.

Each says its result by ``tell_result``, what was doubted by ``tell_findings``, and what else a person may want to read by
``tell``. Progress comes from ``ProgressBars``, and messages from Python's log.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from seg2d3d_ros import __version__, progress
from seg2d3d_ros.cli.output import events
from seg2d3d_ros.cli.output.choice import STREAM, TEXT, OutputChoice
from seg2d3d_ros.cli.output.log_file import OURS, LogFile, PrintableFormatter
from seg2d3d_ros.findings import Finding, printable

log = logging.getLogger(__name__)


def tell(*lines: str) -> None:
    """Lines that accompany the work: headings, what to open."""
    _current.tell(lines)


def tell_result(*lines: str, **facts: Any) -> None:
    """Lines of the result for a person, and its facts for a program: a program gets all of a command's in one event."""
    _current.tell_result(lines, facts)


def tell_failure(*lines: str) -> None:
    """Lines about what there is all the same, before an error ends the command; a person gets them on standard error."""
    _current.tell(lines, failure=True)


def tell_findings(findings: Sequence[Finding], *, aside: bool = False, told: bool = False) -> None:
    """What was dropped, not used or doubted.

    Args:
        aside: a person gets it on standard error.
        told: a person got it already, among the lines of the result.
    """
    _current.tell_findings(findings, aside=aside, told=told)


class Telling:
    """One command's output, from its beginning to its last event; a context manager.

    Args:
        choice: what the command line says.
        own_process: the process ends with the command, so that its standard output may be kept for events.
    """

    def __init__(self, choice: OutputChoice, *, own_process: bool = False) -> None:
        self._choice, self._own = choice, own_process
        self._lines: list[str] = []
        self._facts: dict[str, Any] = {}
        self._findings: dict[str, Finding] = {}
        self._stdout = sys.stdout
        self._write: events.EventWriter | None = None
        self._handlers: list[logging.Handler] = []

    def __enter__(self) -> Telling:
        global _current
        if self._choice.log:  # which may be refused
            self._handlers.append(LogFile(Path(self._choice.log)))
        self._former, _current = _current, self
        if self._choice.form != TEXT:
            self._write = events.EventWriter(self._output())
            sys.stdout = _Captured(self._event if self._choice.form == STREAM else None)
        self._set_up_log()
        bars = not (self._choice.quiet or self._choice.form != TEXT)
        watchers: list[progress.StageWatcher] = [_LoggedStages()] if self._choice.log else []
        if self._choice.form == STREAM:
            watchers.append(_StageEvents(self._event))
        progress.show(bars=bars, watchers=watchers)
        self._event("start", schema=events.VERSION, command=self._choice.command, version=__version__)
        log_quietly(f"seg2d3d {self._choice.command} of version {__version__} begins: {' '.join(sys.argv[1:])}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        global _current
        progress.show(bars=True, watchers=[])
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()
        sys.stdout = self._stdout
        _current = self._former

    @property
    def has_log(self) -> bool:
        """Whether there is a log file."""
        return bool(self._choice.log)

    def tell(self, lines: Sequence[str], *, failure: bool = False) -> None:
        """See ``tell`` and ``tell_failure``."""
        for line in lines:
            log_quietly(line)
            if self._choice.form == TEXT and (failure or not self._choice.quiet):
                print(line, file=sys.stderr if failure else sys.stdout, flush=True)
            self._event("message", level="info", text=line)

    def tell_result(self, lines: Sequence[str], facts: dict[str, Any]) -> None:
        """See the function."""
        self._lines += [part for line in lines for part in line.splitlines()]
        self._facts.update(facts)
        for line in lines:
            log_quietly(line)
            if self._choice.form == TEXT:
                print(line)

    def tell_findings(self, findings: Sequence[Finding], *, aside: bool, told: bool) -> None:
        """See the function."""
        for found in findings:
            if self._findings.get(found.kind.code) == found:
                continue
            self._findings[found.kind.code] = found
            log_quietly(f"note: {found.text}")
            if self._choice.form == TEXT and not told:
                print(f"note: {found.text}", file=sys.stderr if aside else sys.stdout)
            self._event("finding", **found.to_json())

    def finish(self, code: int) -> None:
        """The command ended by itself: its last event."""
        log_quietly(f"ended with status {code}")
        sys.stdout.flush()
        if self._write is not None:
            facts = {name: value for name, value in self._facts.items() if name not in ("event", "time")}
            said = {"command": self._choice.command, "exit": code, "text": self._lines}
            findings = [found.to_json() for found in self._findings.values()]
            self._write("result", **{**facts, **said, "findings": findings})

    def fail(self, text: str, reason: str, code: int) -> None:
        """The command ended without a result: one line for a person, and the last event."""
        line = printable(text) if "\n" not in text else "\n".join(map(printable, text.split("\n")))
        log_quietly(line, logging.ERROR)
        print(line, file=sys.stderr)
        sys.stdout.flush()
        if self._write is not None:
            self._write("error", command=self._choice.command, exit=code, reason=reason, text=line)

    def give_up(self) -> None:
        """Nobody reads any more: what is left unsaid stays so."""
        self._write = None

    def trace(self, error: BaseException) -> None:
        """Where an unexpected error arose: into the log file, and with ``-v`` on standard error."""
        text = "".join(traceback.format_exception(error))
        log_quietly(text, logging.DEBUG)
        if self._choice.verbose:
            print(text, file=sys.stderr)

    def _event(self, event: str, **fields: Any) -> None:
        if self._write is not None and self._choice.form == STREAM:
            self._write(event, **fields)

    def _output(self) -> Any:
        """What takes whole lines. What native libraries print goes to standard error: standard output is kept for events."""
        if not self._own:
            return self._into(self._stdout)
        self._stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        return lambda line: _write_all(kept, line.encode())

    @staticmethod
    def _into(stream: Any) -> Any:
        def write(line: str) -> None:
            stream.write(line)
            stream.flush()

        return write

    def _set_up_log(self) -> None:
        root = logging.getLogger()
        told: logging.Handler | None = None
        if self._choice.form == STREAM:
            told = _EventHandler(self._event)
        elif self._choice.form == TEXT and (self._own or not root.handlers):  # else the caller has its own
            told = logging.StreamHandler(sys.stderr)
            told.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
        if told is not None:
            level = logging.DEBUG if self._choice.verbose else logging.WARNING if self._choice.quiet else logging.INFO
            told.setLevel(level)
            told.addFilter(lambda record: not getattr(record, "file_only", False))
            self._handlers.append(told)
        root.setLevel(logging.DEBUG if self._choice.verbose else logging.INFO)
        logging.getLogger(OURS).setLevel(logging.DEBUG if self._choice.log else logging.NOTSET)
        for handler in self._handlers:
            root.addHandler(handler)


def log_quietly(text: str, level: int = logging.INFO) -> None:
    """Into the log file alone, where there is one."""
    if _current.has_log:
        log.log(level, "%s", text, extra={"file_only": True})


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class _Captured(io.TextIOBase):
    """Takes what somebody prints while standard output is for events: each line is a message."""

    def __init__(self, event: Any) -> None:
        self._event, self._rest = event, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def flush(self) -> None:
        rest, self._rest = self._rest, ""
        self._tell(rest)

    def _tell(self, line: str) -> None:
        if line.strip():
            log_quietly(line)
            if self._event is not None:
                self._event("message", level="info", text=printable(line))


class _EventHandler(logging.Handler):
    """Messages of the log as events."""

    def __init__(self, event: Any) -> None:
        super().__init__()
        self._event = event

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        self._event("message", level=level, text=printable(record.getMessage()))


class _StageEvents:
    """Progress as events."""

    def __init__(self, event: Any) -> None:
        self._event, self._often = event, progress.Seldom(0.2)

    def begun(self, stage: str, total: int) -> None:
        self._often.begin()
        self._event("stage", stage=stage, state="begin", of=total or None, seconds=None)

    def told(self, stage: str, done: int, total: int, left: float | None) -> None:
        if self._often(done == total):
            eta = None if left is None else round(left, 1)
            self._event("progress", stage=stage, done=done, of=total or None, eta=eta)

    def ended(self, stage: str, total: int, seconds: float) -> None:
        self._event("stage", stage=stage, state="end", of=total or None, seconds=round(seconds, 3))


class _LoggedStages:
    """Stages in the log file."""

    def begun(self, stage: str, total: int) -> None:
        log_quietly(f"{stage} begins" + (f" ({total})" if total else ""))

    def told(self, stage: str, done: int, total: int, left: float | None) -> None:
        pass

    def ended(self, stage: str, total: int, seconds: float) -> None:
        log_quietly(f"{stage} took {seconds:.1f} s")


_current = Telling(OutputChoice((), ()))
