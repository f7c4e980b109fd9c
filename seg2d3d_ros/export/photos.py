"""Photographs that an export refers to: they stay where they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.findings import Kind

PHOTO_GONE = Kind(
    "export_photo_gone",
    "photographs that what is written refers to, and that are not there",
    cause="they were moved or deleted since the map was made: {detail}",
    remedy="put them back, or correct the paths in what is written",
)


def photo_path(contents: Contents, image: str) -> Path:
    """The absolute path of a photograph; one that is not there is told of.

    Args:
        image: as in ``KeyframeRecord.image``: absolute, or relative to the map directory.
    """
    path = (contents.store.root / image).absolute()
    if not path.is_file():
        contents.findings.add(PHOTO_GONE, path.name, detail=str(path.parent))
    return path


def link_photo(photo: Path, link: Path) -> None:
    """Make ``link`` lead to a photograph; a copy where the disk knows no links (USB sticks)."""
    try:
        link.symlink_to(photo)
    except OSError:
        if photo.is_file():
            shutil.copyfile(photo, link)
