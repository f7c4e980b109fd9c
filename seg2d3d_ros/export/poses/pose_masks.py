"""Masks beside poses, in COLMAP's naming: the mask of ``left/1.jpg`` is ``masks/left/1.jpg.png``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.names import inside
from seg2d3d_ros.images import encode_png, write_labels

FOREGROUND = 255


def write_masks(contents: Contents, folder: Path, files: Mapping[str, str]) -> dict[str, int]:
    """Write ``masks`` (uint8: 255 where a chosen instance is, 0 elsewhere) and ``labels`` (uint16: its id, 0 = none).

    Args:
        files: what the images are called that get some, below their folder, by the keyframe's name.

    Returns:
        Pixels that show an instance, by the keyframe's name.
    """
    shown = {}
    for record, labels in contents.labelled_images():
        if record.name in files:
            name = f"{files[record.name]}.png"
            write_bytes(inside(folder / "masks", name), encode_png(np.where(labels > 0, FOREGROUND, 0).astype(np.uint8)))
            write_labels(inside(folder / "labels", name), labels)
            shown[record.name] = int(np.count_nonzero(labels))
    return shown


def write_empty_mask(folder: Path, name: str, width: int, height: int) -> None:
    """Write the mask of an image that shows nothing, as far as is known."""
    write_bytes(inside(folder / "masks", f"{name}.png"), encode_png(np.zeros((height, width), np.uint8)))
