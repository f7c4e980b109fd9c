"""``edits.jsonl``: the corrections of a map, one a line. Lines are only ever added; an undo is a further line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.documents import parse_json
from seg2d3d_ros.editing.edit_entry import UNDO, Edit
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.directory.inventory import EDITS_FILE

MAX_BYTES = 1 << 30

EDITS_DAMAGED = Kind(
    "edits_damaged",
    "lines of edits.jsonl that cannot be read",
    cause="{reason}; a line is cut off where a process was killed or the disk was full while it was written",
    remedy="look whether that correction is missing in the map, and make it again; the line stays where it is",
)


class EditLog:
    """The log of a map directory, as it was when it was read; ``append`` keeps both up to date.

    Attributes:
        entries: all that can be read, in order.
        damaged: number and fault of each line that cannot.

    Raises:
        DataError: it cannot be read, is a link, or is larger than 1 GB.
    """

    def __init__(self, root: Path) -> None:
        self._path = Path(root) / EDITS_FILE
        self.entries: list[Edit] = []
        self.damaged: list[tuple[int, str]] = []
        self._lines = 0
        for number, line in enumerate(self._read(), 1):
            self._lines = number
            if not line.strip():
                continue
            try:
                edit = Edit.from_json(parse_json(line, f"line {number}", error=DataError))
                if any(edit.id <= other.id for other in self.entries[-1:]):
                    raise ValueError(f"number {edit.id} again")
            except (DataError, ValueError, KeyError, TypeError) as error:
                self.damaged.append((number, " ".join(str(error).split())[:160]))
                continue
            self.entries.append(edit)

    def _read(self) -> Sequence[bytes]:
        try:
            if self._path.is_symlink() or self._path.stat().st_size > MAX_BYTES:
                raise DataError(f"{self._path}: is a link or larger than 1 GB, which no log of corrections is; move it away")
            return self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read ({error.strerror}); make it readable") from error

    @property
    def undone(self) -> set[int]:
        """Numbers of the corrections and undos that a later undo takes back."""
        found: set[int] = set()
        for edit in reversed(self.entries):
            if edit.operation == UNDO and edit.id not in found:
                found.add(int(edit.content["of"]))
        return found

    @property
    def active(self) -> list[Edit]:
        """Those that are not undone, in order. An undo that is undone itself lets its correction come back."""
        undone = self.undone
        return [edit for edit in self.entries if edit.operation != UNDO and edit.id not in undone]

    @property
    def next_id(self) -> int:
        """The lowest instance number that no correction knows."""
        return 1 + max((edit.highest_id for edit in self.entries), default=0)

    def append(self, operation: str, content: Mapping[str, Any], author: str = "") -> Edit:
        """Add a correction, which is on the disk when this returns.

        Raises:
            DataError: the disk is full, or the folder cannot be written; the log is as it was.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        edit = Edit(1 + max((e.id for e in self.entries), default=0), operation, now, author, content)
        line = edit.to_line().encode() + b"\n"
        new = not self._path.exists()
        try:
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                end = os.fstat(file).st_size
                torn = end > 0 and os.pread(file, 1, end - 1) != b"\n"  # behind a line that was cut off, a new one
                try:
                    _write_all(file, (b"\n" if torn else b"") + line)
                    os.fsync(file)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(file, end)
                    raise
            finally:
                os.close(file)
            if new:
                folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise DataError(
                f"{self._path}: cannot be written ({error.strerror}); free space, or make the folder writable"
            ) from error
        self.entries.append(edit)
        return edit

    def tell(self, findings: Findings) -> None:
        """Add the lines that cannot be read."""
        if self.damaged:
            lines = [f"line {number}" for number, _ in self.damaged]
            count = len(self.entries) + len(self.damaged)
            findings.add(EDITS_DAMAGED, *lines, of=count, reason=self.damaged[-1][1])


def _write_all(file: int, data: bytes) -> None:
    """Without a buffer, which would be written after all when a file is closed whose writing failed."""
    while data:
        data = data[os.write(file, data) :]
