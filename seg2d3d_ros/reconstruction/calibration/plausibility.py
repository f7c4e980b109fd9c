"""Calibrations that no lens has, told before and beside what the images say of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seg2d3d_ros.findings import EXAMPLES, Findings, Kind
from seg2d3d_ros.geometry.camera import Camera

CALIBRATION_IMPLAUSIBLE = Kind(
    "calibration_implausible",
    "cameras with a calibration that hardly any lens has",
    cause="{what}",
    remedy="check that K is for the size of these images (binning, scaling and region of interest count once), that the lens "
    "model is right (a fisheye is `equidistant`, not `plumb_bob`), and that it is this camera's",
)
OFF_CENTRE = 0.15
"""Of width and height: lenses sit over their sensors' centres, and few crop beside them."""
NEAR = 0.05
SQUARE = 1.1
"""Pixels are square; pictures that were squeezed into another shape have focal lengths that differ by more."""
WIDEST = np.tan(np.deg2rad(70.0))
"""Of half the longer side to the focal length: beyond 140° a lens is a fisheye, and its model must be one, too."""
FOLDED = 1.0
"""Pixels between a pixel and the projection of its ray, where a lens model bends back on itself within the picture."""


def tell_implausible(cameras: Mapping[str, Camera], findings: Findings) -> None:
    """Name the cameras of which something is unlike any lens.

    Args:
        cameras: name -> calibration as it was given.
        findings: gets them.
    """
    odd = {name: words for name, camera in cameras.items() if (words := _oddity(camera))}
    if odd:
        what = "; ".join(f"{name}: {words}" for name, words in [*odd.items()][:EXAMPLES])
        findings.add(CALIBRATION_IMPLAUSIBLE, *[*odd][:EXAMPLES], count=len(odd), of=len(cameras), what=what)


def _oddity(camera: Camera) -> str:
    """What is unlike any lens, in words; empty where nothing is."""
    (fx, fy), (cx, cy) = camera.focal_lengths, camera.principal_point
    off = max(abs(cx / camera.width - 0.5), abs(cy / camera.height - 0.5))
    if off > OFF_CENTRE:
        size = f"{camera.width}×{camera.height}"
        words = f"the principal point {cx:.0f}, {cy:.0f} lies {100 * off:.0f} % of the image of {size} off its centre"
        place = np.array([cx / camera.width, cy / camera.height])
        fits = [word for share, word in ((0.25, "half"), (1.0, "twice")) if (abs(place - share) < NEAR).all()]
        return f"{words}, as if K were for images {fits[0]} the size" if fits else words
    if max(fx / fy, fy / fx) > SQUARE:
        return f"the focal lengths {fx:.0f} and {fy:.0f} differ, as if pixels were not square"
    if "FISHEYE" in camera.model or camera.model == "FOV":
        return ""
    if max(camera.width, camera.height) > 2 * WIDEST * min(fx, fy):
        angle = np.rad2deg(2 * np.arctan(max(camera.width, camera.height) / (2 * min(fx, fy))))
        return f"a view of {angle:.0f}° by a lens that is no fisheye"
    corners = np.array([[x, y] for x in (0.5, camera.width - 0.5) for y in (0.5, camera.height - 0.5)])
    error = np.linalg.norm(camera.project(camera.rays(corners)) - corners, axis=1)
    if not (error < FOLDED).all():
        return "its distortion bends the picture back on itself before the corners"
    return ""
