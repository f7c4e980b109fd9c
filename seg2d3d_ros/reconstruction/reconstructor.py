"""What a reconstructor does and gives, whether it solves all keyframes at once or takes them one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from seg2d3d_ros.progress import Progress
from seg2d3d_ros.types import Keyframe, SparseModel


@dataclass(frozen=True)
class Reconstruction:
    """The answer of one ``solve``.

    Attributes:
        models: connected components, the largest first; empty when nothing could be reconstructed.
        unregistered: keyframe name -> why it is in no model, in words.
        timings: seconds per stage of this solve.
        warnings: sentences for the user.
    """

    models: list[SparseModel]
    unregistered: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Reconstructor(Protocol):
    """Owns ``root/database.db`` and ``root/sparse``; one process at a time."""

    root: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Keyframes added so far, in this process or a former one."""

    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> int:
        """Find the features of one keyframe; one that was added before is left as it is.

        Args:
            keyframe: with ``file_name``, the image's name in the COLMAP model; without a camera a guess is made, which
                all images of the camera's name and size share and refine together.
            ignore: (H, W) bool, True where keypoints are not wanted, beside what the camera's mask (``config.masks``) says.

        Returns:
            The number of features.

        Raises:
            DataError: the image cannot be decoded, or the calibration is for another aspect ratio.
            UsageError: the camera's mask has another size than the image.
        """

    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """Map all keyframes added so far, georeference, and replace ``root/sparse``.

        Args:
            progress: called with (stage, done, total).
        """

    def close(self) -> None:
        """Release the database."""
