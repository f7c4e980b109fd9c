"""Panoramas (equirectangular) among photographs: known by a note or by their borders, and what of 360° × 180° they show.

The note is Google's Photo Sphere XMP (GPano), which 360° cameras, stitchers and street-level services write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular

_PROJECTION = re.compile(rb"GPano:ProjectionType\W{1,4}\s*([A-Za-z]{1,40})")
_NUMBERS = {
    "full_width": "FullPanoWidthPixels",
    "full_height": "FullPanoHeightPixels",
    "width": "CroppedAreaImageWidthPixels",
    "height": "CroppedAreaImageHeightPixels",
    "top": "CroppedAreaTopPixels",
}
_ASPECT_TOLERANCE = 0.005
_ROUNDED = 0.01
"""Sizes in a note may differ so much from those of the picture, in proportion: programs scale and round."""
_HORIZON = np.deg2rad(10.0)
"""A crop that shows less above or below the horizon shows no street."""
_SEAM, _ACROSS = 2.0, 2.0
"""The seam differs at most so many times more than neighbouring columns do, there or on average, and at least so many times
less than far ones."""
_FLAT, _FLAT_SHARE = 1.5, 0.1
"""A pole varies along its row by at most so many grey values, or by this share of what the middle varies by."""


@dataclass(frozen=True)
class PanoramaNote:
    """What a file's XMP says of its projection, in pixels of the picture when the note was written; 0 = not said.

    Attributes:
        projection: ``equirectangular``, ``cylindrical``, …
        full_width, full_height: of the whole 360° × 180°.
        width, height, top: of the part of it that the picture shows.
    """

    projection: str
    full_width: int = 0
    full_height: int = 0
    width: int = 0
    height: int = 0
    top: int = 0


def read_note(xmp: bytes) -> PanoramaNote | None:
    """The note in a file's XMP, written as attributes or as elements; None where there is none."""
    projection = _PROJECTION.search(xmp)
    if projection is None:
        return None
    found = {key: re.search(rb"GPano:%s\W{1,4}(\d{1,7})" % name.encode(), xmp) for key, name in _NUMBERS.items()}
    numbers = {key: int(match[1]) for key, match in found.items() if match is not None}
    return PanoramaNote(projection[1].decode().lower(), **numbers)


def shape_of(note: PanoramaNote | None, width: int, height: int) -> Equirectangular:
    """What a panorama of ``width`` × ``height`` pixels shows.

    Raises:
        DataError: not a full turn, not equirectangular, or sizes that contradict each other.
    """
    note = note or PanoramaNote("equirectangular")
    if note.projection != "equirectangular":
        raise DataError(f"its projection is {note.projection}, not equirectangular")
    if not note.full_width or not note.width:
        if not is_two_to_one(width, height):
            raise DataError(f"{width}×{height} is not 2:1, and nothing says which part of the 360° × 180° it shows")
        return Equirectangular(width, height)
    if note.width < (1 - _ROUNDED) * note.full_width:
        raise DataError(f"it shows {360 * note.width / note.full_width:.0f}° of the 360°")
    scale = width / note.width
    said = note.height or note.full_height
    if abs(said * scale / height - 1) > _ROUNDED or (
        note.full_height and abs(note.full_width / (2 * note.full_height) - 1) > _ROUNDED
    ):
        raise DataError(
            f"the picture is {width}×{height}, its note says {note.width}×{said} of {note.full_width}×{note.full_height}: "
            "it was cut afterwards"
        )
    shape = Equirectangular(width, height, note.top * scale)
    lower, upper = shape.elevations
    if not (lower <= -_HORIZON and _HORIZON <= upper <= np.pi / 2 + 1e-9 and lower >= -np.pi / 2 * (1 + 2 * _ROUNDED)):
        raise DataError(f"it reaches from {np.degrees(lower):.0f}° to {np.degrees(upper):.0f}° above the horizon")
    return shape


def is_two_to_one(width: int, height: int) -> bool:
    """Whether a picture has the shape of a full panorama."""
    return abs(width / (2 * height) - 1) <= _ASPECT_TOLERANCE


def looks_like_panorama(gray: np.ndarray, width: int, height: int) -> bool:
    """Whether a picture without such a note is a full panorama: 2:1, left and right border continue each other, a pole is one
    point. (At the other the vehicle or a tripod may have been cut out.)

    Args:
        gray: (h, w) uint8, the picture made small.
        width, height: of the picture itself.
    """
    if not is_two_to_one(width, height) or min(gray.shape) < 16:
        return False
    values = gray.astype(np.float32)
    steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
    beside = float(max(steps.mean(), steps[0], steps[-1]))
    seam = float(np.abs(values[:, 0] - values[:, -1]).mean())
    across = float(np.abs(values[:, 0] - values[:, values.shape[1] // 2]).mean())
    varied = float(values[len(values) // 2 - 2 : len(values) // 2 + 2].std(axis=1).mean())
    pole = float(values[[0, -1]].std(axis=1).min())
    flat = pole <= max(_FLAT, _FLAT_SHARE * varied)
    return flat and seam <= _SEAM * max(beside, 0.5) and across >= _ACROSS * max(seam, 1.0)
