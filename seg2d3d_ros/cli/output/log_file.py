"""``--log FILE``: all that a command tells, with the time of each line; what is there already stays above it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from seg2d3d_ros.disk.documents import shown
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import printable

LINE = "%(asctime)s %(levelname)s %(message)s"
OURS = "seg2d3d_ros"


class PrintableFormatter(logging.Formatter):
    """Escapes control characters: names in messages come from files, and a terminal obeys what it is sent."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback keeps its lines."""
        return "\n".join(printable(line) for line in super().format(record).split("\n"))


class LogFile(logging.FileHandler):
    """The file as a handler of Python's log: debug messages of this package, of libraries what is worth knowing.

    Raises:
        UsageError: it cannot be written, or lies in a map directory.
    """

    def __init__(self, path: Path) -> None:
        if any((folder / "map.json").exists() for folder in path.absolute().parents):
            raise UsageError(f"--log {path}: lies in the map directory, which holds the map's own files alone; choose another")
        try:
            super().__init__(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(f"--log {shown(str(path))}: cannot be written ({error.strerror}); choose another file") from error
        self.setFormatter(PrintableFormatter(LINE))
        self.addFilter(lambda record: record.levelno >= logging.INFO or record.name.startswith(OURS))
        self.failed = ""

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk ends the log, not the work."""
        import sys

        error = sys.exc_info()[1]
        if not self.failed:
            self.failed = f"the log {self.baseFilename} cannot be written any more ({error})"
            logging.getLogger().removeHandler(self)
            logging.getLogger(OURS).warning(self.failed)


def log_line(level: str, text: str) -> str:
    """A line as the file has it."""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 {level} {text}\n"
