"""Keyframes in any order into a live map: features, pairs, matches, registration, second opinion, revision, one by one.

Everything that cannot be computed again quickly is in the database and in ``sparse``: after a kill the same folder goes
on from the last revision, and what came after it is registered again from the matches in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.calibration.self_calibration import CALIBRATION_DOUBTED
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.online.global_check import GlobalCheck
from seg2d3d_ros.reconstruction.online.locating import locate_submaps
from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper, nothing
from seg2d3d_ros.reconstruction.online.revisions import Revisions
from seg2d3d_ros.reconstruction.reconstructor import FeatureReconstructor, Reconstruction
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig


class OnlineReconstructor(FeatureReconstructor):
    """Takes keyframes one by one with ``grow``; ``solve`` finishes what is there.

    Args:
        cancelled: asked between the steps of the mapper; it may raise to stop what is going on, and all stays valid.

    Attributes:
        mapper: holds the submaps.
        check: compares them with global solutions.
    """

    def __init__(
        self,
        root: Path,
        config: ReconstructionConfig,
        cancelled: Callable[[], None] = nothing,
        networks: NetworkSettings | None = None,
    ) -> None:
        super().__init__(root, config, networks)
        self._checkpoint = cancelled
        self.mapper = OnlineMapper(
            self.database.geometry, min_matches=config.min_pair_inliers, seed=config.seed, threads=config.threads
        )
        self.check = GlobalCheck(self.mapper, self.matcher.tried, self.database, config, self._anchor, self._watch)
        self._revisions = Revisions(self._writer, self.database, self.mapper)
        self._swapped = False
        self._resume()

    def grow(self, progress: Progress | None = None) -> Reconstruction | None:
        """Take all new keyframes into the map; the new revision, or None where too little has changed for one."""
        rows = self.database.images()
        locator = self._locator(rows)
        new = [row for row in rows if row.features > 0 and row.image_id not in self.mapper.graph]
        for done, row in enumerate(new):
            if progress is not None:
                progress("mapping", done, len(new))
            there = [r for r in rows if r.image_id in self.mapper.graph]
            self.matcher.match_image(row, there, locator.places, self._checkpoint)
            self._feed(row)
            with self._watch("mapping"):
                self.mapper.grow(self._checkpoint)
                self.check.doubt(row.image_id)
            self._swapped |= self.check.update(rows, locator, self._checkpoint)
        return self._revise(rows, locator) if self._swapped or self._revisions.due else None

    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """Take what is new, register what waits by more matches and lenient thresholds, compare with a global solution."""
        report = progress or (lambda stage, done, total: None)
        if (grown := self.grow(progress)) is not None:
            self._watch.seconds.update(grown.timings)  # that revision goes to nobody; its time counts
        rows = self.database.images()
        locator = self._locator(rows)
        for more in (False, True):
            self._checkpoint()
            for first, second in self.matcher.match_all(rows, locator.places, more=more, progress=progress):
                self.mapper.add_pairs(second, self.matcher.tried.verified(second, [first]))
        report("mapping", 0, 1)
        with self._watch("mapping"):
            self.mapper.grow(self._checkpoint, patient=False)
            self.mapper.relax(self._checkpoint)
        self._checkpoint()
        self._swapped |= self.check.update(rows, locator, self._checkpoint, final=True)
        self._checkpoint()
        with self._watch("mapping"):
            self.mapper.adjust(self._checkpoint)
        report("mapping", 1, 1)
        return self._revise(rows, locator, final=True)

    def _resume(self) -> None:
        """Fill the mapper from the database and the last revision."""
        for row in self.database.images():
            if row.features > 0 and self.matcher.tried.of(row.image_id):
                self._feed(row)
        self._revisions.resume()
        self.check.checked = len(self.mapper.registered)

    def _feed(self, row: ImageRow) -> None:
        """Give the mapper an image with its verified pairs."""
        camera, rig, image, frame = self.database.colmap_image(row)
        self.mapper.add_camera(camera, rig, calibrated=row.camera_id in self.database.calibrated_cameras())
        there = [i for i in self.matcher.tried.of(row.image_id) if i in self.mapper.graph]
        self.mapper.add_image(image, frame, self.matcher.tried.verified(row.image_id, there))

    def _revise(self, rows: Sequence[ImageRow], locator: Locator, *, final: bool = False) -> Reconstruction:
        """Bring the submaps into the world, write them, and describe the map."""
        findings = Findings()
        for finding in self.check.findings:
            findings.put(finding)
        if final and not any(finding.kind == CALIBRATION_DOUBTED for finding in findings.list()):
            self._doubt_calibrations([submap.reconstruction for submap in self.mapper.submaps], rows, findings)
        with self._watch("georeference"):
            locate_submaps(self.mapper, locator, self._rig(rows, locator), findings, final=final)
        with self._watch("writing"):
            models = self._revisions.write(rows)
        if final:
            placed = [model.frame == locator.world for model in models]
            self._write_covariances(models, rows, locator, findings, pulled=placed, scales=[None] * len(models), upright=True)
        self._swapped = False
        return self._answer(models, rows, locator, findings)
