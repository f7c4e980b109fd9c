"""Whether a map's database is whole and of the form that is expected, before COLMAP opens it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from seg2d3d_ros.errors import DataError

log = logging.getLogger(__name__)

REMEDY = "end the program that writes it, or take the file away and make the map again without --resume"
PAIR_BASE = 2147483647
"""COLMAP's kMaxNumImages: pair_id = smaller image id * base + larger image id."""
SIFT, SIFT_BYTES = 0, 128
"""COLMAP's number of the kind, and the bytes of a descriptor. Descriptors of other kinds are numbers of two bytes."""
_HEADER = b"SQLite format 3\0"
_QUICK_CHECK_BYTES = 1 << 30
"""Larger databases are not searched page by page: it would delay a vehicle's restart for minutes."""
_COLUMNS = {
    "cameras": {"camera_id", "model", "width", "height", "params", "prior_focal_length"},
    "images": {"image_id", "name", "camera_id"},
    "keypoints": {"image_id", "rows", "cols", "data"},
    "descriptors": {"image_id", "type", "rows", "cols", "data"},
    "two_view_geometries": {"pair_id", "rows", "cols", "data", "config"},
    "rigs": {"rig_id", "ref_sensor_id", "ref_sensor_type"},
    "frames": {"frame_id", "rig_id"},
    "frame_data": {"frame_id", "data_id", "sensor_id", "sensor_type"},
}
"""COLMAP's tables that are used here; a database of another version has others."""


def check_file(path: Path) -> None:
    """Check that an existing file is a COLMAP database that SQLite can read.

    Raises:
        DataError: it is something else, cut off, or damaged.
    """
    try:
        with path.open("rb") as opened:
            start, size = opened.read(len(_HEADER)), path.stat().st_size
        if size == 0:
            log.warning("%s: is empty; features are computed anew", path)  # a process was killed before it wrote the first page
            return
        if start != _HEADER:
            raise DataError(f"{path}: is no SQLite database; {REMEDY}")
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=30.0)) as file:
            if size < _QUICK_CHECK_BYTES and (found := file.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise DataError(f"{path}: the database is damaged ({' '.join(str(found).split())}); {REMEDY}")
            tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table, columns in _COLUMNS.items() if tables else ():
                there = {row[1] for row in file.execute(f"PRAGMA table_info({table})")}
                if not columns <= there:
                    lacks = f"column {min(columns - there)} of table {table}" if there else f"table {table}"
                    raise DataError(f"{path}: is no database of this COLMAP version (it lacks {lacks}); {REMEDY}")
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be opened as a COLMAP database ({error}); {REMEDY}") from error


def check_rows(path: Path, connection: sqlite3.Connection) -> None:
    """Check that the arrays have the sizes that their rows state, and that matches name keypoints that there are.

    Raises:
        DataError: something else.
    """
    try:
        for problem in _problems(connection):
            raise DataError(f"{path}: the database is damaged: {problem}; {REMEDY}")
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: the database is damaged ({error}); {REMEDY}") from error


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    counts: dict[int, int] = {}
    sizes = "typeof(rows) || typeof(cols) || typeof({0}.data), rows, cols, length({0}.data)"
    for image, kinds, rows, cols, size, features, colors in connection.execute(
        f"SELECT image_id, {sizes.format('keypoints')}, features, length(colors) FROM keypoints "
        "JOIN seg2d3d_images USING (image_id)"
    ):
        counts[image] = rows
        if not _fits(kinds, rows, cols, size, 4) or cols not in (2, 4, 6) or rows != features or colors != 3 * features:
            yield f"keypoints of image {image}"
    for image, kinds, rows, cols, size, kind in connection.execute(
        f"SELECT image_id, {sizes.format('descriptors')}, type FROM descriptors JOIN seg2d3d_images USING (image_id)"
    ):
        if not _fits(kinds, rows, cols, size, 1) or rows != counts.get(image) or (rows and not _are_descriptors(kind, cols)):
            yield f"descriptors of image {image}"
    if without := set(_column(connection, "SELECT image_id FROM seg2d3d_images")) - counts.keys():
        yield f"image {min(without)} has no keypoints"
    cameras = set(_column(connection, "SELECT camera_id FROM cameras"))
    for image, camera in connection.execute("SELECT image_id, camera_id FROM images JOIN seg2d3d_images USING (image_id)"):
        if camera not in cameras:
            yield f"image {image} belongs to camera {camera}, which there is not"
    for table in ("matches", "two_view_geometries"):
        for pair, kinds, rows, cols, size, data in connection.execute(
            f"SELECT pair_id, {sizes.format(table)}, data FROM {table}"
        ):
            first, second = divmod(pair, PAIR_BASE)
            if not _fits(kinds, rows, cols, size, 4) or (rows and cols != 2):
                yield f"{table} of images {first} and {second}"
            elif rows and first in counts and second in counts:
                largest = np.frombuffer(data, "<u4").reshape(-1, 2).max(0)
                if largest[0] >= counts[first] or largest[1] >= counts[second]:
                    yield f"{table} of images {first} and {second} name keypoints that there are not"


def _are_descriptors(kind: object, cols: int) -> bool:
    return cols == SIFT_BYTES if kind == SIFT else cols > 0 and cols % 2 == 0


def _column(connection: sqlite3.Connection, query: str) -> list[Any]:
    return [value for (value,) in connection.execute(query)]


def _fits(kinds: str, rows: int, cols: int, size: int | None, itemsize: int) -> bool:
    """Whether an array's size is what its row states."""
    return kinds.startswith("integerinteger") and rows >= 0 and cols >= 0 and rows * cols * itemsize == (size or 0)
