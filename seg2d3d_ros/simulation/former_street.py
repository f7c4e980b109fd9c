"""Make room for a new street where a former one lies: only files that a simulation writes are deleted."""

from __future__ import annotations

import os
import re
from pathlib import Path

from seg2d3d_ros.disk.leftovers import is_temporary
from seg2d3d_ros.errors import DataError, UsageError

_OWN = re.compile(
    r"camera\.json|levels\.json|rig\.json|truth_poses\.txt|gps\.csv|street\.mcap|segments/segments\.json|truth/objects\.json|"
    r"images/\w+_\d+\.jpg|"
    r"(truth|truth_storeys|truth_parts|segments)/\w+_\d+\.png|masks/\w+_\d+\.json|\.street\.writing/[^/]+"
)
_FOLDERS = ("images", "truth", "truth_storeys", "truth_parts", "segments", "masks", ".street.writing")


def remove_street(folder: Path) -> None:
    """Delete a simulated street; nothing where there is none.

    Raises:
        UsageError: the folder holds something else; nothing was deleted.
        DataError: a file cannot be deleted.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder}: is in the way, and no simulated street; give another --out")
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    folders = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    names = {path: path.relative_to(folder).as_posix() for path in (*files, *folders)}
    foreign = [names[path] for path in files if not _is_own(names[path]) or not path.is_file() or path.is_symlink()]
    foreign += [names[path] for path in folders if names[path] not in _FOLDERS]
    if foreign:
        raise UsageError(
            f"{folder}: holds {sorted(foreign)[0]!r}, which no simulation wrote; move it away or give another --out"
        )
    try:
        for path in files:
            path.unlink()
        for path in (*folders, folder):
            path.rmdir()
    except OSError as error:
        raise DataError(f"{folder}: cannot be deleted ({error.strerror}); delete it by hand") from error


def _is_own(name: str) -> bool:
    return _OWN.fullmatch(name) is not None or is_temporary(Path(name).name)
