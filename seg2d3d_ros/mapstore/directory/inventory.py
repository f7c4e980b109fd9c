"""Which files below a map directory are the map's, by name: nothing else is ever overwritten or deleted.

A file of a keyframe is the map's if its keyframe's name is known: from ``keyframes.json``, or from ``names.jsonl``, where
every name is noted before the first file is called by it (masks may come for keyframes that the map never kept, and a process
may be killed at any moment). Maps from before there was a marker have no ``names.jsonl``; theirs are, beside those in
``keyframes.json``, the names that their cameras give.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from seg2d3d_ros.disk.leftovers import WORK_FOLDER, abandoned, is_temporary
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.directory.marker import MARKER_FILE

NAMES_FILE = "names.jsonl"
JOURNAL = ".identity.jsonl"
DATABASE = "database.db"
EDITS_FILE = "edits.jsonl"
UNEDITED_FILE = "unedited.npz"
OWN_FILES = (
    *(DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal"),
    *("tracks.json", JOURNAL, "points.ply", "points_rgb.ply", "cloud.ply", "dense.ply", "embeddings.npz", "found.png"),
    *("config.yaml", "metrics.json", "report.html", "granularity.json", "prompts.json", UNEDITED_FILE, EDITS_FILE),
    *("keyframes.json", NAMES_FILE),
)
"""All files of a map directory but the marker and those in folders; what the others are known by comes last."""
NAMED = {
    "keyframes": (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"),
    "masks": (".png", ".json"),
    "segments": (".png", ".json"),
    "labels": (".png",),
    "prompts": (".png",),
    "unedited": (".png",),
    "overlays": (".jpg", ".png"),
}
"""Folders with files that are called by keyframes, and the files' suffixes."""
OWN_FOLDERS = ("sparse", "scans", *NAMED)
_MODEL = re.compile(r"\d+/((cameras|images|points3D|rigs|frames)\.(bin|txt)|frame\.json|covariance\.npz|project\.ini)")
_SCAN = re.compile(r"-?\d{1,20}\.npz")
_FORMER_MODELS = re.compile(r"\.sparse\.([0-9a-f]{12}|former)")
_FORMER_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{12}(\.\w+)?")
_FORMER_WORK = ".work"


@dataclass(frozen=True)
class Inventory:
    """What lies below a directory, as paths relative to it, files and folders apart.

    Attributes:
        files: the map's.
        folders: those that hold files of the map and are deleted with them, inner ones first.
        foreign: everything else: other files, symbolic links, other folders.
        litter: of ``files``, temporary ones whose process has ended.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing at all."""
        return not (self.files or self.folders or self.foreign)


def take_inventory(root: Path) -> Inventory:
    """Look at everything below ``root``, which other processes may write meanwhile; symbolic links are not followed."""
    entries = sorted(_walk(root))  # before the names are read: a name is noted before its file is there
    marked = any(path == MARKER_FILE for path, _ in entries)
    ours = _judge(known_names(root), old=not marked, cameras=() if marked else _cameras(root))
    found = Inventory()
    for path, kind in entries:
        if kind == "folder":
            (found.folders if _is_folder_of_a_map(path, ours) else found.foreign).append(path)
        elif kind == "file" and ours(path):
            found.files.append(path)
            name = PurePosixPath(path).name
            if abandoned(name) or _FORMER_TEMPORARY.fullmatch(name):
                found.litter.append(path)
        else:
            found.foreign.append(path)
    # A folder counts only where it is none of ours and empty; else what lies in it is named.
    filled = {str(parent) for path, _ in entries for parent in PurePosixPath(path).parents}
    found.foreign[:] = [path for path in found.foreign if path not in filled]
    found.folders.sort(key=lambda path: -path.count("/"))
    return found


def symbolic_links(root: Path) -> list[str]:
    """The symbolic links below ``root``, which a map never has."""
    return sorted(path for path, kind in _walk(root) if kind == "link")


def delete_own(root: Path, *, keep: Collection[str] = (), only: Collection[str] | None = None) -> list[str]:
    """Delete a map's files below ``root``, and folders that are empty then, ``root`` itself too if all of it went.

    What the others are known by goes last, so that an interrupted deletion can be taken up again.

    Args:
        keep: files and top folders that stay.
        only: if given, nothing but these files and top folders is deleted.

    Returns:
        what is none of the map's and stays.

    Raises:
        DataError: a file cannot be deleted.
    """

    def chosen(path: str) -> bool:
        top = PurePosixPath(path).parts[0]
        return top not in keep and (only is None or top in only)

    found = take_inventory(root)
    order = {name: place for place, name in enumerate((*OWN_FILES, MARKER_FILE))}
    try:
        for path in sorted(filter(chosen, found.files), key=lambda path: order.get(path, -1)):
            (root / path).unlink(missing_ok=True)
        for folder in filter(chosen, found.folders):
            with suppress(FileNotFoundError):
                _remove_if_empty(root / folder)
        if not keep and only is None:
            _remove_if_empty(root)
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be deleted ({error.strerror}); delete {root} by hand") from error
    return found.foreign


def _remove_if_empty(folder: Path) -> None:
    if not any(os.scandir(folder)):
        folder.rmdir()


def clear_litter(root: Path) -> None:
    """Delete temporary files of processes that have ended; what cannot be deleted stays."""
    for path in take_inventory(root).litter:
        with suppress(OSError):
            (root / path).unlink()


# Names


def known_names(root: Path) -> frozenset[str]:
    """The names that files of keyframes may have, without suffix. A damaged list gives those that can be read."""
    return frozenset((*_kept(root), *noted_names(root)))


def noted_names(root: Path) -> Iterator[str]:
    """Those that were noted."""
    for line in _text(root / NAMES_FILE).splitlines():
        with suppress(ValueError, RecursionError):  # the last line was cut off, and nothing was called by it
            if isinstance(name := json.loads(line), str):
                yield name


def note_name(root: Path, name: str) -> None:
    """Note a name before the first file is called by it; it is on the disk afterwards.

    Raises:
        DataError: it cannot be written.
    """
    path = root / NAMES_FILE
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            end = os.lseek(fd, 0, os.SEEK_END)
            torn = end > 0 and os.pread(fd, 1, end - 1) != b"\n"
            os.write(fd, b"\n" * torn + json.dumps(name).encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); free space or choose another folder") from error


def stem(path: str) -> str:
    """A file's name below its folder, without the suffix."""
    return str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).suffix else path


def _kept(root: Path) -> Iterator[str]:
    for record in _records(root):
        yield str(record.get("name"))
        image = str(record.get("image"))
        if image.startswith("keyframes/"):
            yield stem(image.removeprefix("keyframes/"))


def _cameras(root: Path) -> frozenset[str]:
    """What the names of a stream's keyframes begin with."""
    parts = (str(record.get("name")).rpartition("_") for record in _records(root))
    return frozenset(camera for camera, line, stamp in parts if line and stamp.isdecimal())


def _records(root: Path) -> Iterator[dict[str, object]]:
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        records = json.loads(_text(root / "keyframes.json") or "{}")["keyframes"]
        yield from (record for record in records if isinstance(record, dict))


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


# Rules


def _judge(names: frozenset[str], *, old: bool, cameras: Collection[str]) -> Callable[[str], bool]:
    """Whether a file belongs to the map, by its path."""

    def known(name: str) -> bool:
        camera, _, stamp = name.rpartition("_")
        return name in names or (camera in cameras and stamp.isdecimal())

    def ours(path: str) -> bool:
        top, _, rest = path.partition("/")
        if not rest:
            return path == MARKER_FILE or path in OWN_FILES or is_temporary(path) or _former(path, OWN_FILES.__contains__)
        if top in NAMED:
            folder, slash, name = rest.rpartition("/")

            def called(file: str) -> bool:
                return PurePosixPath(file).suffix.lower() in NAMED[top] and known(folder + slash + stem(file))

            return called(name) or is_temporary(name) or _former(name, called)
        if top == "sparse" or _FORMER_MODELS.fullmatch(top):
            return bool(_MODEL.fullmatch(rest)) or is_temporary(PurePosixPath(rest).name)
        if top == "scans":
            return bool(_SCAN.fullmatch(rest)) or is_temporary(rest) or _former(rest, lambda file: bool(_SCAN.fullmatch(file)))
        return top == WORK_FOLDER or (old and top == _FORMER_WORK and rest.startswith("seg2d3d_"))

    return ours


def _former(name: str, known: Callable[[str], object]) -> bool:
    """Whether this is a temporary file as they were called once, beside a file that the map has."""
    found = _FORMER_TEMPORARY.fullmatch(name)
    return found is not None and bool(known(found[1] + (found[2] or "")))


def _is_folder_of_a_map(path: str, ours: Callable[[str], bool]) -> bool:
    top, _, rest = path.partition("/")
    if top == WORK_FOLDER or (not rest and top in OWN_FOLDERS):
        return True
    if top == _FORMER_WORK:
        return ours(f"{top}/{rest or 'seg2d3d_'}")
    if top == "sparse" or _FORMER_MODELS.fullmatch(top):
        return not rest or rest.isdecimal()
    return False


def _walk(root: Path) -> Iterator[tuple[str, str]]:
    """Path and kind (``file``, ``folder``, ``link`` or ``other``) of everything below ``root``."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(root / folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_symlink():
                    yield path, "link"
                elif entry.is_dir(follow_symlinks=False):
                    yield path, "folder"
                    folders.append(path)
                else:
                    yield path, "file" if entry.is_file(follow_symlinks=False) else "other"
