"""All keyframes at once into models: the state lives in the map folder and survives the process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.config import ReconstructionConfig
from seg2d3d_ros.progress import Progress, Stopwatch
from seg2d3d_ros.reconstruction.batch.components import solve_components
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.features.feature_intake import FeatureIntake
from seg2d3d_ros.reconstruction.features.matching import PairMatcher
from seg2d3d_ros.reconstruction.model_writer import ModelWriter
from seg2d3d_ros.reconstruction.point_ids import renumber
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import apply_rig
from seg2d3d_ros.reconstruction.rigs.rig_file import configured_mounts
from seg2d3d_ros.reconstruction.rigs.rig_frames import make_rig
from seg2d3d_ros.reconstruction.unregistered import unregistered_reasons
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.types import Keyframe

if TYPE_CHECKING:
    import pycolmap


class BatchReconstructor:
    """A ``Reconstructor`` that solves all keyframes together; with every ``solve`` anew.

    Attributes:
        database: of the map.
        matcher: chooses and matches pairs.

    Raises:
        DataError: the database cannot be opened.
        UsageError: pycolmap is not installed, or there is no file where ``config.masks`` or ``config.rig`` says.
    """

    def __init__(self, root: Path, config: ReconstructionConfig) -> None:
        self.root, self.config = Path(root), config
        self._mounts = configured_mounts(config.rig)
        self._watch = Stopwatch()
        self.database = FeatureDatabase(self.root / "database.db")
        self.matcher = PairMatcher(self.database, config, self._watch)
        self._intake = FeatureIntake(self.database, config, self._watch)
        self._writer = ModelWriter(self.root, self.database)

    def close(self) -> None:
        """See ``Reconstructor``."""
        self.database.close()

    @property
    def names(self) -> tuple[str, ...]:
        """See ``Reconstructor``."""
        return self._intake.names

    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> int:
        """See ``Reconstructor``."""
        return self._intake.add(keyframe, ignore)

    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """Match what is new, map, let the rig hold, georeference, and replace ``root/sparse``."""
        rows = self.database.images()
        warnings: list[str] = []
        locator = Locator(self.database, rows, self.config, self._mounts)
        for more in (False, True):  # first the likeliest pairs, then more of them for images that found too few
            self.matcher.match_all(rows, locator.places, more=more, progress=progress)
        task, pairs = MapperTask.of(self.database, rows, self.config), self.matcher.tried.rows()
        with self._watch("mapping"):
            featured = [row.image_id for row in rows if row.features]
            solved = solve_components(task, featured, pairs, self.config.mapper, progress)
        with self._watch("rig"):
            solved, scales = self._apply_rig(solved, task, rows, locator, warnings)
        with self._watch("georeference"):
            frames = [locator.georeference(model, scale, warnings) for model, scale in zip(solved, scales, strict=True)]
        with self._watch("writing"):
            renumber(solved, self.database.colors, self._writer.keypoint_ids())
            models = self._writer.write(solved, frames, rows)
        reasons = unregistered_reasons(rows, pairs, models, self.config.min_pair_inliers)
        return Reconstruction(models, reasons, self._watch.take(), warnings)

    def _apply_rig(
        self,
        models: list[pycolmap.Reconstruction],
        task: MapperTask,
        rows: Sequence[ImageRow],
        locator: Locator,
        warnings: list[str],
    ) -> tuple[list[pycolmap.Reconstruction], list[Scale | None]]:
        """Merge models by the rig and make its mounts hold; the models, and their scales by rig or odometry."""
        rig = make_rig(locator.mounts, rows, self.config.rig_tolerance, refine=self.config.refine_rig)
        if rig is None:
            return models, [locator.scale(model) for model in models]
        by_id = {row.image_id: row for row in rows}
        models, by_rig = apply_rig(
            models,
            rig,
            lambda image_id: self.database.colmap_image(by_id[image_id]),
            locator.best_scale,
            task.fixed_cameras,
            task.threads,
            warnings,
        )
        return models, [locator.scale(model, metres) for model, metres in zip(models, by_rig, strict=True)]
