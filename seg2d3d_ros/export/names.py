"""Names of files and folders that other programs can take, and paths that stay inside the folder that is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.naming import camera_name

_SEPARATORS = re.compile(r"[\s,\x00-\x1f\x7f]")


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """A file name for each name, in plain letters and all different: ``/front left`` becomes ``front_left``."""
    return _different({name: camera_name(name) for name in names})


def without_separators(file_names: Iterable[str]) -> dict[str, str]:
    """The same file names, but for spaces and commas, at which readers of text files cut them: ``my street/1.jpg`` becomes
    ``my_street/1.jpg``; all different."""
    return _different({name: _SEPARATORS.sub("_", name) for name in file_names})


def _different(wanted: dict[str, str]) -> dict[str, str]:
    """The wanted names; of those that are alike, but for capitals, all but the first get a number before their suffix."""
    given: dict[str, str] = {}
    taken: set[str] = set()
    for name, plain in sorted(wanted.items(), key=lambda item: item[0] != item[1]):
        found, number, path = plain, 1, Path(plain)
        while found.lower() in taken:
            number += 1
            found = str(path.with_name(f"{path.stem}_{number}{path.suffix}"))
        taken.add(found.lower())
        given[name] = found
    return given


def inside(folder: Path, name: str) -> Path:
    """The path of a file below ``folder``, whose folder is made; names come from files and messages, so they are not trusted.

    Raises:
        DataError: the name leads out of the folder.
    """
    path = folder / name
    if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).parts:
        raise DataError(f"{name}: this name leads out of the folder that is written; rename the image")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
