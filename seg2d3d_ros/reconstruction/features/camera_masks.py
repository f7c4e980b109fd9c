"""What a camera always sees of its own vehicle, as one image per camera: black is ignored, as in COLMAP's masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.types import Keyframe

SUFFIXES = (".png", ".PNG")


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
        path = self._files.get(camera_name) if self._files else self.path
        if path is None:
            return None
        if path not in self._read:
            try:
                self._read[path] = read_labels(path) == 0
            except DataError as error:
                raise UsageError(f"{error}; a mask has one channel: black = ignored, white = used") from error
        ignored = self._read[path]
        if ignored.shape != (height, width):
            rows, columns = ignored.shape
            raise UsageError(
                f"{path}: the mask is {columns}×{rows}, the images of camera {camera_name!r} are {width}×{height}; "
                "draw it on one of the images"
            )
        return ignored
