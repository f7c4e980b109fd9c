"""The kinds of photographs that are left out, and of what is doubtful about others and their calibrations."""

from __future__ import annotations

from typing import Any

from seg2d3d_ros.findings import NOTE, Kind
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.keyframes.camera_file import CameraFile, Fitting
from seg2d3d_ros.keyframes.photo_header import GeoProblem

UNREADABLE = Kind(
    "images_unreadable",
    "images that cannot be decoded",
    cause="cut off, empty, damaged or no image: {reason}",
    remedy="copy them from the camera again",
)
DAMAGED = Kind(
    "images_damaged",
    "JPEG images that are damaged inside",
    cause='bytes are missing or wrong ("{words}"); they are used, but a part of each picture may be grey, shifted or torn',
    remedy="copy them from the camera again, or take them out of the folder",
)
TOO_LARGE = Kind(
    "images_too_large",
    "images with more pixels than are decoded",
    cause="{reason}",
    remedy="scale them down, or set the environment variable SEG2D3D_MAX_PIXELS",
)
TOO_SMALL = Kind(
    "images_too_small",
    "images that are tiny or strips",
    cause="{reason}",
    remedy="give the originals, not their previews",
)
TURNED = Kind(
    "images_stored_turned",
    "photos whose pixels are stored turned (EXIF orientation)",
    cause="the stored pixels are used, as COLMAP does, while a viewer shows them turned; what is up in the map is as a viewer "
    "shows it",
    remedy="masks must fit the stored pixels: of equal size they may still stand on their head; or turn photos and masks "
    "for good: exiftran -a *.jpg, mogrify -auto-orient",
    level=NOTE,
)
MIRRORED = Kind(
    "images_stored_mirrored",
    "photos whose pixels are stored mirrored (EXIF orientation)",
    cause="the stored pixels are used, and mirrored pictures do not fit the others in 3D",
    remedy="turn them for good: exiftran -a *.jpg, mogrify -auto-orient",
)
SEVERAL_PAGES = Kind(
    "images_with_pages",
    "files with several pictures",
    cause="a TIFF with pages, or an animation; the first picture is used",
    remedy="store the pictures one by one if the others are photos too",
    level=NOTE,
)
CALIBRATION_SCALED = Kind(
    "calibration_scaled",
    "images smaller or larger than the calibration's",
    cause="it is for {calibrated}, the image has {size}; the same picture scaled, and so are the intrinsics",
    remedy="nothing need be done",
    level=NOTE,
)
CALIBRATION_TURNED = Kind(
    "calibration_turned",
    "images of the calibration's size turned by 90°",
    cause="it is for {calibrated}, the image has {size}; focal lengths change places, the principal point is put to the "
    "centre and refined where it was not there",
    remedy="turn the images back, or calibrate for this size too, as a camera of its own",
)
CALIBRATION_UNFIT = Kind(
    "calibration_does_not_fit",
    "images that the calibration does not fit",
    cause="it is for {calibrated}, the image has {size}: cropped, or of another camera; its intrinsics are estimated",
    remedy="calibrate for this size, or put them into a folder of their own, as another camera",
)
NO_CALIBRATION = Kind(
    "camera_not_in_file",
    "images whose camera is not in the calibration file",
    cause="the file has no camera {camera!r}; the intrinsics are estimated",
    remedy="add it under this name",
)
GEO_ZERO = Kind(
    "photo_positions_zero",
    "photos at latitude 0, longitude 0",
    cause="the receiver had no fix and wrote zeros; these positions are not used",
    remedy="nothing need be done where most photos have a position",
)
GEO_NO_LETTERS = Kind(
    "photo_positions_without_letters",
    "photo positions without the letters N or S, E or W",
    cause="a program lost the tags GPSLatitudeRef or GPSLongitudeRef, so the hemisphere is unknown; they are not used",
    remedy="write them: exiftool -GPSLatitudeRef=N -GPSLongitudeRef=E *.jpg, for north and east",
)
GEO_VOID = Kind(
    "photo_positions_void",
    "photo positions that the receiver itself calls void",
    cause="GPSStatus is V: no fix at that moment, the last known place; they are not used",
    remedy="nothing need be done where most photos have a position",
)
GEO_UNREADABLE = Kind(
    "photo_positions_unreadable",
    "photo positions that cannot be read",
    cause="latitude or longitude is missing, no number, or beyond the Earth",
    remedy="write them anew, or give a table with --gps",
)
OF_PROBLEM = {
    GeoProblem.ZERO: GEO_ZERO,
    GeoProblem.NO_LETTERS: GEO_NO_LETTERS,
    GeoProblem.VOID: GEO_VOID,
    GeoProblem.UNREADABLE: GEO_UNREADABLE,
}


def fit_calibration(
    cameras: CameraFile, camera_name: str, width: int, height: int
) -> tuple[Camera | None, Kind | None, dict[str, Any]]:
    """The calibration of an image of ``width`` × ``height``, and what is to be said of it, with its details.

    None as camera: the file does not know the camera, or what it has does not fit.
    """
    known = cameras.of(camera_name)
    if known is None:
        return None, NO_CALIBRATION, {"camera": camera_name}
    camera, fit = cameras.fitted(camera_name, width, height)
    kind = {
        Fitting.EXACT: None,
        Fitting.SCALED: CALIBRATION_SCALED,
        Fitting.TURNED: CALIBRATION_TURNED,
        Fitting.CROPPED: CALIBRATION_UNFIT,
    }[fit]
    return camera, kind, {"size": f"{width}×{height}", "calibrated": f"{known.width}×{known.height}"} if kind else {}
