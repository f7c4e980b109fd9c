"""What a live map says of each camera: how well its newest images fit, and what became of its focal length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.types import SparseModel

CAMERA_FITS_WORSE = Kind(
    "camera_fits_worse",
    "cameras whose newest images fit the map much worse than their first ones",
    cause="{detail}; the lens was touched or has refocused, or the camera shakes or rolls its shutter more than before",
    remedy="look at this camera's newest images and its mount; calibrate it again before the next drive",
)
FOCAL_DRIFTS = Kind(
    "focal_drifts",
    "cameras without calibration whose focal length goes on changing",
    cause="{detail}; a zoom or autofocus, or a street that hardly tells it (straight on, few images)",
    remedy="calibrate the camera and publish its camera_info; lock zoom and focus",
)
NEWEST = 10
"""Images of each camera that are judged, its newest; its first ones are what they are compared with."""
WORSE = 2.0
"""Times the error of the first images …"""
PIXELS = 1.0
"""… and more than this: below, it is sharpness and texture."""
SETTLED = 30
"""Images of a camera from which on its focal length should stay."""
DRIFT = 0.03


@dataclass
class _Camera:
    first: float | None = None
    newest: float = 0.0
    images: int = 0
    focal: float = 0.0
    settled: float | None = None


class CameraWatch:
    """Call ``look`` after each revision; a fixed number of images is looked at."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def look(self, models: Iterable[SparseModel], images: Mapping[str, Sequence[str]], calibrated: Mapping[str, bool]) -> None:
        """Take a revision.

        Args:
            models: its components.
            images: by camera, names of its keyframes in the order of arrival.
            calibrated: by camera, whether a calibration was given, which is not refined then.
        """
        places = {name: (model, row) for model in models for row, name in enumerate(model.names)}
        for name, keyframes in images.items():
            there = [keyframe for keyframe in keyframes if keyframe in places]
            if not there:
                continue
            camera = self._cameras.setdefault(name, _Camera())
            camera.images = len(there)
            model, row = places[there[-1]]
            camera.focal = float(np.mean(model.cameras[row].focal_lengths))
            newest = there[-NEWEST:]
            if len(newest) == NEWEST:
                camera.newest = _error([places[keyframe] for keyframe in newest])
                camera.first = camera.newest if camera.first is None else camera.first
            if camera.images >= SETTLED and not calibrated.get(name) and camera.settled is None:
                camera.settled = camera.focal

    def values(self) -> dict[str, str]:
        """For diagnostics, by camera."""
        found = {}
        for name, camera in sorted(self._cameras.items()):
            if camera.first is not None:
                found[f"reprojection error of {name} [px]"] = f"{camera.newest:.2f}"
            found[f"focal length of {name} [px]"] = f"{camera.focal:.1f}"
        return found

    def findings(self) -> list[Finding]:
        """Which cameras are doubtful at present; findings that count none tell that they are not, any more."""
        worse, drifting = {}, {}
        for name, camera in self._cameras.items():
            if camera.first is not None and camera.newest > max(WORSE * camera.first, PIXELS):
                worse[name] = f"{name}: {camera.newest:.2f} pixels of reprojection error, {camera.first:.2f} at first"
            if camera.settled and abs(camera.focal / camera.settled - 1) > DRIFT:
                drifting[name] = f"{name}: {camera.settled:.0f} to {camera.focal:.0f} pixels"
        of = len(self._cameras)
        return [
            Finding(kind, len(found), of, tuple(found)[:3], {"detail": "; ".join(found.values())})
            for kind, found in ((CAMERA_FITS_WORSE, worse), (FOCAL_DRIFTS, drifting))
        ]


def _error(places: Sequence[tuple[SparseModel, int]]) -> float:
    """The median reprojection error of images in pixels; 0 where they see no point."""
    errors = []
    for model, row in places:
        seen = model.obs_keyframe == row
        pose = model.camera_from_world[row]
        pixels = model.cameras[row].project(model.xyz[model.obs_point[seen]] @ pose[:, :3].T + pose[:, 3])
        errors.append(np.linalg.norm(pixels - model.obs_xy[seen], axis=1))
    found = np.concatenate(errors)
    found = found[np.isfinite(found)]
    return float(np.median(found)) if len(found) else 0.0
