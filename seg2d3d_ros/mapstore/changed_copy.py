"""A copy of a map, to be changed and then put in the map's place, so that the map stays until the change is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.directory.inventory import DATABASE, delete_own, take_inventory
from seg2d3d_ros.mapstore.directory.marker import MARKER_FILE, is_copy, mark_copy
from seg2d3d_ros.mapstore.directory.swap import building_path
from seg2d3d_ros.mapstore.held_map import real
from seg2d3d_ros.mapstore.new_map import NewMap

_MADE_ANEW = ("labels", "overlays")
"""Folders that another granularity writes again."""


def copy_map(source: Path, target: Path, made_anew: Sequence[str] = _MADE_ANEW) -> None:
    """Bring a map's files, but for folders that are made anew, into an empty map directory. What lies in folders is only ever
    replaced whole, so that a hard link does, and no change of a copy touches the database; other files at the top may be
    written in place and are copied.

    Raises:
        DataError: the disk is full, or a file cannot be read.
    """
    try:
        for path in take_inventory(source).files:
            parts = PurePosixPath(path).parts
            if path == MARKER_FILE or parts[0] in made_anew or parts[-1].startswith(".seg2d3d"):
                continue
            to = target / path
            to.parent.mkdir(parents=True, exist_ok=True)
            if len(parts) == 1 and path != DATABASE:
                shutil.copy2(source / path, to)
                continue
            try:
                os.link(source / path, to)
            except OSError:  # a file system without hard links
                shutil.copy2(source / path, to)
    except OSError as error:
        raise DataError(f"{error.filename or source}: cannot be copied ({error.strerror}); free space and try again") from error


@contextmanager
def changed_copy(path: Path, made_anew: Sequence[str] = _MADE_ANEW) -> Iterator[NewMap]:
    """A copy of a map, to be changed and then published in the map's place; one that fails is deleted, and the map stays.

    Raises:
        UsageError: an unfinished map lies beside this one, or another process writes it.
        DataError: the disk is full, or a file cannot be read.
    """
    beside = building_path(real(path))
    if beside.exists() and not is_copy(beside):
        raise UsageError(
            f"{building_path(path)}: an unfinished map lies there; finish it (the command that began it, with --resume) or "
            "delete it first"
        )
    with NewMap(path, resume=False, way_out="move what is not the map's own out of the folder") as new:
        try:
            if new.beside:
                mark_copy(new.store.root)
            copy_map(real(path), new.store.root, made_anew)
            yield new
        except BaseException:
            if new.beside:
                delete_own(new.store.root)
            raise
