"""The lines of tables as people and programs write them, in any encoding and with any separator."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from seg2d3d_ros.errors import DataError, UsageError

LARGEST = 200_000_000
"""Bytes of a table that is read."""


def table_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells of each line that is not empty; separated by commas, semicolons, tabs, bars or blanks.

    Raises:
        UsageError: no such file.
        DataError: too large for a table, or empty.
    """
    rows = [(line, cells) for line, cells in _rows(_text(path)) if any(cell.strip() for cell in cells)]
    if not rows:
        raise DataError(f"{path}: the table is empty")
    return rows


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST // 1_000_000} MB, no table of images")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the table cannot be read ({error.strerror or error})") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace").replace("\0", "")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    if text.count("\0") > len(text) // 4:  # UTF-16 without a byte order mark
        text = content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", errors="replace")
    return text.replace("\0", "")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line."""
    sample = [line for line in text.splitlines()[:50] if line.strip() and not line.startswith("#")] or [text]
    second = sample[min(1, len(sample) - 1)]
    separator = next((s for s in ";\t|," if second.count(s) >= 2), None)
    if separator is None:
        for line, words in enumerate(text.splitlines(), start=1):
            yield line, words.split()
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = ["", str(error)]
        yield reader.line_num, cells
