"""What a camera always sees of its own vehicle, as one image per camera: black is ignored, as in COLMAP's masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import EXAMPLES, Findings, Kind
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.types import Keyframe

SUFFIXES = (".png", ".PNG")
MASK_HIDES_MOST = Kind(
    "camera_mask_hides_most",
    "cameras whose mask hides most of the image",
    cause="black is ignored: {shares}; a mask drawn the other way round hides all but the vehicle",
    remedy="make black what the camera sees of its own vehicle, and white all the rest",
)
MOST = 0.6
"""Of the image: vehicles fill less of any camera that is worth mapping with."""


class CameraMasks:
    """``path`` is one mask for all cameras, or a folder with ``<camera name>.png`` (other cameras have none).

    Raises:
        UsageError: no such path, or a folder without masks.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            self._files = {p.stem: p for p in sorted(self.path.iterdir()) if p.suffix in SUFFIXES}
            if not self._files:
                raise UsageError(f"{path}: no masks in this folder; name them <camera>.png (black = ignored)")
        elif self.path.is_file():
            self._files = {}
        else:
            raise UsageError(f"{path}: no such mask; give an image (black = ignored) or a folder of <camera>.png")
        self._read: dict[Path, np.ndarray] = {}

    def of_keyframe(self, keyframe: Keyframe) -> np.ndarray | None:
        """(H, W) bool, True where keypoints of a keyframe are not wanted; None without mask. Of a view of a panorama it is the
        view of the panorama's mask, unless its own camera (``front_060``) has one.

        Raises:
            UsageError: see ``ignored``.
        """
        view = keyframe.view
        if view is None or keyframe.camera_name in self._files:
            return self.ignored(keyframe.camera_name, *keyframe.size)
        whole = self.ignored(view.camera_name, view.shape.width, view.shape.height)
        return None if whole is None else view.cut(whole.astype(np.uint16)) > 0

    def ignored(self, camera_name: str, width: int, height: int) -> np.ndarray | None:
        """(H, W) bool, True where keypoints are not wanted; None for a camera without mask.

        Raises:
            UsageError: the mask cannot be read, or has another size than the images.
        """
        ignored, path = self._mask(camera_name), self._path(camera_name)
        if ignored is None:
            return None
        if ignored.shape != (height, width):
            rows, columns = ignored.shape
            raise UsageError(
                f"{path}: the mask is {columns}×{rows}, the images of camera {camera_name!r} are {width}×{height}; "
                "draw it on one of the images"
            )
        return ignored

    def tell(self, camera_names: Iterable[str], findings: Findings) -> None:
        """Name the cameras whose mask hides most of the image."""
        masks = {name: ignored for name in sorted(set(camera_names)) if (ignored := self._mask(name)) is not None}
        hidden = {name: share for name, ignored in masks.items() if (share := float(ignored.mean())) > MOST}
        if hidden:
            shown = [*hidden][:EXAMPLES]
            shares = ", ".join(f"{100 * hidden[name]:.0f} % of {name}" for name in shown)
            findings.add(MASK_HIDES_MOST, *shown, count=len(hidden), of=len(masks), shares=shares)

    def _path(self, camera_name: str) -> Path | None:
        return self._files.get(camera_name) if self._files else self.path

    def _mask(self, camera_name: str) -> np.ndarray | None:
        """(H, W) bool, True where keypoints are not wanted; None for a camera without mask.

        Raises:
            UsageError: it cannot be read.
        """
        path = self._path(camera_name)
        if path is None:
            return None
        if path not in self._read:
            try:
                self._read[path] = read_labels(path) == 0
            except DataError as error:
                raise UsageError(f"{error}; a mask has one channel: black = ignored, white = used") from error
        return self._read[path]
