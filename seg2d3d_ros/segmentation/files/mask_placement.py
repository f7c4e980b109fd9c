"""A mask → the photo's pixels as they are stored: turned back where a viewer had turned it, and resized."""

from __future__ import annotations

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.image_files import stored_orientation
from seg2d3d_ros.types import Keyframe

UPRIGHT, SWAPPED = 1, (5, 6, 7, 8)
"""EXIF orientations (2.32, section 4.6.4): as stored; width and height change places."""

TURNED = Kind(
    "masks_turned",
    "masks that were turned to how their photos are stored",
    cause="they were made in a viewer that obeys the EXIF orientation",
    remedy="nothing need be done; segmentation.segments_orientation=stored leaves masks as they are",
    level=NOTE,
)
ORIENTATION_DOUBTED = Kind(
    "masks_orientation_doubted",
    "photos whose EXIF orientation turns or mirrors them, and whose masks were taken as stored",
    cause="a mask drawn in a viewer that obeys the orientation would lie upside down",
    remedy="compare a mask with its photo in the report; if so: --set segmentation.segments_orientation=shown",
)
RESIZED = Kind(
    "masks_resized",
    "masks of another size than their photos, which were resized",
    cause="e.g. {mask} for {photo}",
    remedy="nothing, if they show the same picture; masks of full size have sharper borders",
    level=NOTE,
)


class MaskPlacement:
    """Brings label images to their photos.

    Args:
        orientation: ``stored``, ``shown`` (in a viewer that obeys EXIF) or ``auto``: shown where width and height tell.
    """

    def __init__(self, orientation: str, findings: Findings) -> None:
        self._orientation, self._findings = orientation, findings

    def __call__(self, labels: np.ndarray, keyframe: Keyframe, where: str) -> np.ndarray:
        """(H, W) labels in the size of the keyframe's image.

        Raises:
            DataError: another aspect than the photo's; ``where`` names the mask.
        """
        labels = self._turned(labels, keyframe)
        width, height = keyframe.size
        rows, columns = labels.shape
        if (columns, rows) == (width, height):
            return labels
        if not same_aspect((columns, rows), (width, height)):
            raise DataError(
                f"{where}: the mask is {columns}×{rows}, its photo {width}×{height}: they do not show the same picture; "
                "make the masks from the photos as they are stored, without borders, cuts or turns"
            )
        self._findings.add(RESIZED, keyframe.name, mask=f"{columns}×{rows}", photo=f"{width}×{height}")
        return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    def _turned(self, labels: np.ndarray, keyframe: Keyframe) -> np.ndarray:
        orientation = UPRIGHT if self._orientation == "stored" else orientation_of(keyframe)
        if orientation == UPRIGHT:
            return labels
        rows, columns = labels.shape
        if self._orientation == "auto" and orientation in SWAPPED:
            turn = not same_aspect((columns, rows), keyframe.size) and same_aspect((rows, columns), keyframe.size)
        else:
            turn = self._orientation == "shown"
        if turn:
            self._findings.add(TURNED, keyframe.name)
            return stored_from_shown(labels, orientation)
        if orientation not in SWAPPED or same_aspect((columns, rows), (rows, columns)):
            self._findings.add(ORIENTATION_DOUBTED, keyframe.name)
        return labels


def same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) may be of one picture; half a pixel of rounding in either is no fault."""
    (columns, rows), (width, height) = first, second
    return abs(columns * height - rows * width) <= max(width, height, columns, rows)


def orientation_of(keyframe: Keyframe) -> int:
    """The EXIF orientation, 1 … 8; 1 where there is none, or a damaged one."""
    return stored_orientation(keyframe.encoded, keyframe.source)


def stored_from_shown(image: np.ndarray, orientation: int) -> np.ndarray:
    """An (H, W) image as a viewer shows it → as it is stored."""
    turned = {
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.T,
        6: np.rot90(image),
        7: image[::-1, ::-1].T,
        8: np.rot90(image, -1),
    }
    return np.ascontiguousarray(turned.get(orientation, image))
