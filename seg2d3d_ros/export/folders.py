"""Formats of several files: a folder that appears whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seg2d3d_ros.disk.leftovers import temporary_path
from seg2d3d_ros.errors import DataError, UsageError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside ``path`` to write into; on success it takes the name ``path``, else it is deleted.

    Raises:
        UsageError: ``path`` is a file, or holds something.
        DataError: it cannot be written.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path}: is not empty; nothing is overwritten: choose a new folder for --out")
    building = temporary_path(path)
    try:
        building.mkdir(parents=True)
        yield building
        building.replace(path)
    except DataError as error:  # nobody knows the folder that is being built
        raise DataError(str(error).replace(str(building), str(path))) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
