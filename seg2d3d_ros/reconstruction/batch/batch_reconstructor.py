"""All keyframes at once into models."""

from __future__ import annotations

from collections.abc import Sequence

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.batch.components import solve_images
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.database import ColmapImage, ImageRow
from seg2d3d_ros.reconstruction.point_ids import renumber
from seg2d3d_ros.reconstruction.reconstructor import FeatureReconstructor, Reconstruction
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import MOUNTS_NOT_USED, apply_rig
from seg2d3d_ros.reconstruction.rigs.rig_fit import scale_by_rig
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.locator import Locator


class BatchReconstructor(FeatureReconstructor):
    """Solves all keyframes together, with every ``solve`` anew."""

    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """See ``Reconstructor``."""
        rows = self.database.images()
        locator = self._locator(rows)
        findings = Findings()
        for more in (False, True):  # first the likeliest pairs, then more of them for images that found too few
            self.matcher.match_all(rows, locator.places, more=more, progress=progress)
        task = MapperTask.of(self.database, rows, self.config, self._anchor(rows, locator))
        pairs = self.matcher.tried.rows()
        with self._watch("mapping"):
            featured = [row.image_id for row in rows if row.features or row.image_id in locator.given]
            solved = solve_images(task, featured, pairs, self.config.mapper, progress)
        for finding in (finding for one in solved for finding in one.findings):
            findings.put(finding)
        loose = [s.model for s in solved if not s.anchored]
        self._doubt_calibrations(loose, rows, findings)  # those that positions hold were asked together with these
        with self._watch("rig"):
            models, scales = self._apply_rig(loose, task, rows, locator, findings)
            held = [s.model for s in solved if s.anchored]
            models, scales = held + models, [self._scale(model, rows, locator, findings) for model in held] + scales
        with self._watch("georeference"):
            settled = [s.model for s in solved if s.settled]
            frames = [
                locator.frame_of(model, scale)
                if model in settled and locator.world
                else locator.georeference(model, scale, findings)
                for model, scale in zip(models, scales, strict=True)
            ]
        with self._watch("writing"):
            renumber(models, self.database.colors, self._writer.keypoint_ids(findings=findings))
            written = self._writer.write(models, frames, rows)
        pulled = [model in held for model in models]
        self._write_covariances(written, rows, locator, findings, pulled=pulled, scales=scales, upright=False)
        return self._answer(written, rows, locator, findings, {i for one in solved for i in one.refused})

    def _scale(
        self, model: pycolmap.Reconstruction, rows: Sequence[ImageRow], locator: Locator, findings: Findings
    ) -> Scale | None:
        """Of a model that positions hold in place, by mounts that it does not contradict, or by odometry."""
        rig = self._rig(rows, locator)
        believed = rig is not None and not any(finding.kind == MOUNTS_NOT_USED for finding in findings.list())
        return locator.scale(model, scale_by_rig(model, rig) if rig is not None and believed else None)

    def _apply_rig(
        self,
        models: list[pycolmap.Reconstruction],
        task: MapperTask,
        rows: Sequence[ImageRow],
        locator: Locator,
        findings: Findings,
    ) -> tuple[list[pycolmap.Reconstruction], list[Scale | None]]:
        """Merge models by the rig and make its mounts hold; the models, and their scales by rig or odometry."""
        rig = self._rig(rows, locator)
        if rig is None:
            return models, [locator.scale(model) for model in models]
        by_id = {row.image_id: row for row in rows}

        def load(image_id: int) -> ColmapImage:
            return self.database.colmap_image(by_id[image_id])

        models, by_rig = apply_rig(models, rig, load, locator.best_scale, task.fixed_cameras, task.threads, findings)
        return models, [locator.scale(model, scale) for model, scale in zip(models, by_rig, strict=True)]
