"""Which files of a folder are its photographs, under which names, and what is left out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import NOTE, Kind
from seg2d3d_ros.image_files import IMAGE_SUFFIXES, OTHER_SUFFIXES, RAW_SUFFIXES
from seg2d3d_ros.recording.naming import natural_key

SAME_PHOTO = Kind(
    "same_photo_twice",
    "files that have the name of another image in their folder, but for the ending",
    cause="one photo in several formats, or its mask beside it; {kept} was taken",
    remedy="rename them if they are other photos; keep masks in a folder of their own and give it with --segments",
    level=NOTE,
)
SAME_NAME = Kind(
    "image_names_clash",
    "images whose folder and name, joined by _, are those of another image",
    cause="{kept} has the same joined name",
    remedy="rename the folder or the image",
)
MASKS_BESIDE = Kind(
    "masks_beside_photos",
    "files and folders between the photos that look like masks",
    cause="they are named after a photo, or the folder after masks",
    remedy="keep them in a folder of their own and give it with --segments",
)
FOLDERS_NOT_READ = Kind(
    "folders_not_read",
    "images in sub-folders that are not read",
    cause="the folder itself holds images, and then only these count",
    remedy="move them into a sub-folder of their own, as one camera",
)
FORMAT_NOT_READ = Kind(
    "image_format_not_read",
    "images of a format that is not read",
    cause="{reason}",
    remedy="convert them to JPEG, PNG or TIFF",
)
VIDEOS_BESIDE = Kind(
    "videos_not_read",
    "videos in the folder of photos",
    cause="a folder is read for its photos",
    remedy="give a video by itself: seg2d3d run {kept}",
    level=NOTE,
)
NAME_NOT_TEXT = Kind(
    "image_names_not_text",
    "images whose file names are no valid text (UTF-8)",
    cause="they were named on another system, or an archive was unpacked with another encoding",
    remedy="rename them: convmv -f latin1 -t utf8 --notest *",
)
FOLDER_UNREADABLE = Kind(
    "folders_unreadable",
    "folders that cannot be read",
    cause="{reason}",
    remedy="allow it: chmod -R u+rX",
)
DEEPEST = 8
"""Levels of sub-folders that are searched."""

_JUNK = {"__macosx", "@eadir", "thumbs.db", ".thumbnails"}
_MASK_FOLDERS = {"mask", "masks", "segments", "segmentation", "segmentations", "labels", "semantic", "truth", "depth"}
_MASK_ENDING = re.compile(r"(.+)[-_.](mask|masks|seg|segments|label|labels|depth)", re.IGNORECASE)
_DCF_FOLDER = re.compile(r"DCIM|\d{3}[A-Z0-9_]{5}", re.IGNORECASE)
"""Folders that cameras make themselves when the last one is full (JEITA CP-3461): no names of cameras."""
_ARCHIVES, _VIDEOS = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".insv", ".360")


@dataclass(frozen=True)
class PhotoFile:
    """A photograph in a folder.

    Attributes:
        name: key of the keyframe, in Unicode's composed form: its folders and its stem, joined by ``_``.
        camera_name: its folders, without those that cameras make themselves; empty where there are none.
        file_name: below the folder, as the file system spells it.
        path: where it is.
    """

    name: str
    camera_name: str
    file_name: str
    path: Path


class NotTried(NamedTuple):
    """A file that is not read: how that counts, why, and which file is taken in its place."""

    kind: Kind
    reason: str
    kept: str = ""


@dataclass
class FolderScan:
    """The photographs of a folder, and by name below it the files (or whole folders) that are not read."""

    root: Path
    photos: list[PhotoFile] = field(default_factory=list)
    left_out: dict[str, NotTried] = field(default_factory=dict)

    def leave_out(self, path: Path, kind: Kind, reason: str, kept: str = "") -> None:
        """Note a file or folder that is not read."""
        self.left_out[path.relative_to(self.root).as_posix()] = NotTried(kind, f"{path}: {reason}", kept)


def scan_folder(root: Path) -> FolderScan:
    """All photographs of a folder in the natural order of their names.

    Images directly in it count; if there are none, those of its sub-folders at any depth, each of them a camera.

    Raises:
        UsageError: no such folder, or its photos are in its folder ``images``.
        DataError: there is none.
    """
    _require_folder(root)
    found = FolderScan(root)
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise UsageError(f"{root}: the folder cannot be read ({error.strerror or error})") from error
    direct = _of_folder(root, found)
    if direct:
        for folder in _folders(root):
            for path in _walk(folder, set()):
                found.leave_out(path, FOLDERS_NOT_READ, "in a sub-folder")
        files = [PhotoFile(_composed(path.stem), "", path.name, path) for path in direct]
    else:
        _require_no_images_folder(root)
        files = [_in_folder(root, path) for folder in _folders(root) for path in _walk(folder, set(), found)]
    found.photos = _unique(files, found)
    if not found.photos:
        others = "; ".join(item.reason for item in list(found.left_out.values())[:3])
        raise DataError(
            f"{root}: no images ({', '.join(IMAGE_SUFFIXES)}) in this folder or its sub-folders"
            + (f"; not read are {len(found.left_out)} files: {others}" if others else "")
        )
    return found


def _require_folder(root: Path) -> None:
    if root.is_dir():
        return
    if not root.exists():
        raise UsageError(f"{root}: no such folder")
    suffix = root.suffix.lower()
    if suffix in _ARCHIVES:
        raise UsageError(f"{root}: is an archive; unpack it and give the folder")
    if suffix in _VIDEOS:
        raise UsageError(
            f"{root}: is a video of a kind that is not read; make an MP4 of it, e.g. with ffmpeg; of a 360° camera's raw file "
            "an equirectangular MP4, with the camera's program"
        )
    raise UsageError(f"{root}: is a file; for a recording use 'seg2d3d bag'")


def _require_no_images_folder(root: Path) -> None:
    for folder in _folders(root):
        if folder.name == "images" and any(True for _ in _walk(folder, set())):
            raise UsageError(f"{root}: the photos are in its folder 'images'; give {folder}")


def _in_folder(root: Path, path: Path) -> PhotoFile:
    folders = path.relative_to(root).parts[:-1]
    camera = "_".join(name for name in folders if not _DCF_FOLDER.fullmatch(name))
    return PhotoFile(_composed("_".join([*folders, path.stem])), camera, path.relative_to(root).as_posix(), path)


def _composed(name: str) -> str:
    """macOS hands out names decomposed (NFD); masks and tables from elsewhere have them composed."""
    return unicodedata.normalize("NFC", name)


def _folders(folder: Path) -> list[Path]:
    """The sub-folders that people made."""
    return _in_order(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "." and p.name.lower() not in _JUNK)


def _walk(folder: Path, seen: set[Path], found: FolderScan | None = None, depth: int = 1) -> Iterator[Path]:
    """The images of a folder and of those in it; ``seen`` holds links that lead back to a folder above."""
    place = folder.resolve()
    if place in seen or depth > DEEPEST:
        return
    if folder.name.lower() in _MASK_FOLDERS:
        if found is not None:
            found.leave_out(folder, MASKS_BESIDE, "by its name no photos")
        return
    try:
        photos, deeper = _of_folder(folder, found), _folders(folder)
    except OSError as error:
        if found is not None:
            found.leave_out(folder, FOLDER_UNREADABLE, error.strerror or str(error))
        return
    yield from photos
    for below in deeper:
        yield from _walk(below, seen | {place}, found, depth + 1)


def _of_folder(folder: Path, found: FolderScan | None) -> list[Path]:
    """The photographs directly in a folder; what else looks like images there goes to ``found``."""
    files = [p for p in folder.iterdir() if p.name[0] != "." and p.is_file()]
    images = _in_order(p for p in files if p.suffix.lower() in IMAGE_SUFFIXES)
    foreign = {path for path in images if not _is_text(path)}
    images = [path for path in images if path not in foreign]
    names, stems = {p.name for p in images}, {p.stem for p in images}
    masks = [p for p in images if p.stem in names - {p.name} or _named_as_mask(p, stems)]
    photos = [path for path in images if path not in set(masks)]
    if found is None:
        return photos
    for path in foreign:
        found.leave_out(path, NAME_NOT_TEXT, "its name is no valid text")
    for path in masks:
        found.leave_out(path, MASKS_BESIDE, "named as the mask of a photo beside it")
    taken = {p.stem: p.name for p in sorted(photos, key=_rank, reverse=True)}
    for path in _in_order(p for p in files if p.suffix.lower() in OTHER_SUFFIXES):
        if path.stem in taken:
            found.leave_out(path, SAME_PHOTO, f"the same photo as {taken[path.stem]}, which is read", taken[path.stem])
        else:
            what = "a camera's raw data" if path.suffix.lower() in RAW_SUFFIXES else path.suffix.lower()
            found.leave_out(path, FORMAT_NOT_READ, f"{what} is not read")
    for path in _in_order(p for p in files if p.suffix.lower() in _VIDEOS):
        found.leave_out(path, VIDEOS_BESIDE, "a video, which is given by itself", path.name)
    return photos


def _is_text(path: Path) -> bool:
    """Whether a path is UTF-8, so that databases and JSON can hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _named_as_mask(path: Path, stems: set[str]) -> bool:
    named = _MASK_ENDING.fullmatch(path.stem)
    return named is not None and named[1] in stems


def _rank(path: Path) -> int:
    """Of files that share a name the lowest is taken."""
    return IMAGE_SUFFIXES.index(path.suffix.lower())


def _in_order(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(path.name))


def _unique(files: list[PhotoFile], found: FolderScan) -> list[PhotoFile]:
    """One file per name, since names are the keys of everything that is written; the others go to ``found``."""
    best: dict[str, PhotoFile] = {}
    for file in files:
        rival = best.setdefault(file.name, file)
        if rival is file:
            continue
        winner, loser = (rival, file) if _rank(rival.path) <= _rank(file.path) else (file, rival)
        best[file.name] = winner
        kind = SAME_PHOTO if winner.path.parent == loser.path.parent else SAME_NAME
        words = f"has the same name without its ending as {winner.file_name}; rename it if both are wanted"
        found.leave_out(loser.path, kind, words, winner.file_name)
    return list(best.values())
