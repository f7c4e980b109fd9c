"""How a command is to tell what it does, as the command line chose it: ``--json``, ``--quiet``, ``--log FILE``, ``-v``.

The process that looks after a command needs to know it before anything else is imported, so it is read off the words here.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes its time, in which nobody looks after Ctrl-C
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

TEXT, STREAM, ONE_LINE = "text", "stream", "one line"
"""Text for a person; an event per line; the last event alone."""
ANSWERS = ("find", "classify", "prompt", "compare", "edit")
"""Commands whose own ``--json`` asks for their answer in one line; before the command it asks for all events."""
WITH_JSON_FILE = ("evaluate",)
"""Commands whose own ``--json FILE`` names a file."""


class OutputChoice:
    """What the command line says about output.

    Attributes:
        form: ``TEXT``, ``STREAM`` or ``ONE_LINE``.
        quiet: neither progress nor log on the terminal; results, what is doubted and errors remain.
        log: path of the log file; empty = none.
        verbose: debug messages, and what native libraries say.
        command: the command's name; empty where the line has none.
    """

    def __init__(self, words: Sequence[str], commands: Collection[str]) -> None:
        self.form, self.log, self.command = TEXT, "", ""
        self.quiet = self.verbose = False
        expected = False
        for word in words:
            if expected and not word.startswith("-"):
                self.log, expected = word, False
            elif word == "--":
                break
            elif word == "--log":
                expected = True
            elif word.startswith("--log="):
                self.log = word.partition("=")[2]
            elif word == "--json":
                self.form = self._json()
            elif word in ("-q", "--quiet"):
                self.quiet = True
            elif word in ("-v", "--verbose"):
                self.verbose = True
            elif not self.command and word in commands:
                self.command = word

    def _json(self) -> str:
        if self.command in WITH_JSON_FILE or self.form == STREAM:
            return self.form
        return ONE_LINE if self.command in ANSWERS else STREAM

    def last_words(self, text: str, reason: str, code: int, *, below: bool = False) -> None:
        """Say in the place of a command why it ended: on standard error, as the last event, and in the log file.

        Args:
            text: one line for a person.
            reason: one of ``events.REASONS``.
            code: exit status.
            below: standard error may hold half a line.
        """
        import sys

        from seg2d3d_ros.findings import printable

        line = printable(text)
        if sys.stderr is not None:
            print("\n" * below + line, file=sys.stderr, flush=True)
        if self.form != TEXT and sys.stdout is not None:
            from contextlib import suppress

            from seg2d3d_ros.cli.output.events import as_line

            with suppress(OSError):  # nobody reads any more
                event = {"event": "error", "command": self.command, "exit": code, "reason": reason, "text": line}
                print(as_line(event), end="", flush=True)
        if self.log:
            from contextlib import suppress
            from pathlib import Path

            from seg2d3d_ros.cli.output.log_file import log_line

            with suppress(OSError), Path(self.log).open("a", encoding="utf-8") as file:
                file.write(log_line("ERROR", line))
