"""What a reconstructor does and gives, whether it solves all keyframes at once or takes them one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Finding, Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.progress import Progress, Stopwatch
from seg2d3d_ros.reconstruction import model_io
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.loose_places import tell_loose
from seg2d3d_ros.reconstruction.calibration.plausibility import tell_implausible
from seg2d3d_ros.reconstruction.calibration.self_calibration import doubt_calibrations
from seg2d3d_ros.reconstruction.certainty.solved_covariance import COVARIANCE_UNKNOWN, TRUSTED, ModelEvidence, solved_covariance
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.features.camera_masks import CameraMasks
from seg2d3d_ros.reconstruction.features.extraction import extract
from seg2d3d_ros.reconstruction.features.feature_choice import open_features
from seg2d3d_ros.reconstruction.features.matching import PairMatcher
from seg2d3d_ros.reconstruction.model_writer import ModelWriter
from seg2d3d_ros.reconstruction.rigs.moments import find_moments
from seg2d3d_ros.reconstruction.rigs.rig_file import RIG_UNUSED, configured_mounting
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, make_rig
from seg2d3d_ros.reconstruction.unregistered import unregistered_reasons
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.reconstruction.world.position_residuals import PositionResiduals
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe, SparseModel


@dataclass(frozen=True)
class Reconstruction:
    """The answer of one ``solve``.

    Attributes:
        models: connected components, the largest first; empty when nothing could be reconstructed.
        unregistered: keyframe name -> why it is in no model, in words.
        timings: seconds per stage of this solve.
        findings: what is doubtful in it.
        residuals: how far its images lie from their positions; None where no model is in the positions' frame.
    """

    models: list[SparseModel]
    unregistered: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    residuals: PositionResiduals | None = None


class Reconstructor(ABC):
    """Keyframes in, models of them out.

    Attributes:
        image_scale: of ``config.max_image_size``, for the keyframes that come next: below 1 keypoints are fewer and sooner
            found.
    """

    image_scale: float = 1.0

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Keyframes added so far, in this process or a former one."""

    @abstractmethod
    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> int:
        """Take one keyframe; one that was added before only gets what is newly known of where it was taken.

        Args:
            keyframe: with ``file_name``, the image's name in the COLMAP model; without a camera a guess is made, which
                all images of the camera's name and size share and refine together.
            ignore: (H, W) bool, True where keypoints are not wanted, beside what the camera's mask (``config.masks``) says.

        Returns:
            The number of features that were found, 0 where none are looked for.

        Raises:
            DataError: the image cannot be decoded, or the calibration is for another aspect ratio.
            UsageError: the camera's mask has another size than the image.
        """

    @abstractmethod
    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """Models of all keyframes added so far; ``root/sparse`` is replaced by them.

        Args:
            progress: called with (stage, done, total).
        """

    @abstractmethod
    def close(self) -> None:
        """Release what it holds."""


class FeatureReconstructor(Reconstructor):
    """Finds and matches features. Owns ``root/database.db`` and ``root/sparse``, where its state survives the process; one
    process at a time.

    Args:
        networks: where models for the features come from and run.

    Attributes:
        database: of the map.
        matcher: chooses and matches pairs.

    Raises:
        DataError: the database cannot be opened.
        UsageError: pycolmap or what the features need is not installed, there is no file where ``config.masks`` or
            ``config.rig`` says, or the map's keypoints are of another kind.
    """

    def __init__(self, root: Path, config: ReconstructionConfig, networks: NetworkSettings | None = None) -> None:
        self.root, self.config = Path(root), config
        self._mounting = configured_mounting(config.rig)
        self._masks = CameraMasks(Path(config.masks)) if config.masks else None
        self._watch, self._doubts = Stopwatch(), Findings()
        self._local = open_features(config, networks or NetworkSettings(), self._doubts)
        self.database = FeatureDatabase(self.root / "database.db")
        self.database.use_features(config.features)
        self.matcher = PairMatcher(self.database, self._local, config, self._watch)
        self._writer = ModelWriter(self.root, self.database)
        self._features = {row.name: row.features for row in self.database.images()}

    def close(self) -> None:
        """See ``Reconstructor``."""
        self.database.close()

    @property
    def names(self) -> tuple[str, ...]:
        """See ``Reconstructor``."""
        return tuple(self._features)

    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> int:
        """See ``Reconstructor``."""
        if keyframe.name in self._features:
            self.database.note_again(keyframe)
        else:
            with self._watch("features"):
                self._features[keyframe.name] = self._extract(keyframe, ignore)
        return self._features[keyframe.name]

    def _extract(self, keyframe: Keyframe, ignore: np.ndarray | None) -> int:
        source, config = keyframe.source or keyframe.name, self.config
        if self._masks is not None:
            own = self._masks.of_keyframe(keyframe)
            ignore = own if ignore is None else ignore if own is None else ignore | own
        size = round(config.max_image_size * self.image_scale)
        features = extract(keyframe.encoded, self._local.find, source=source, max_image_size=size, ignore=ignore)
        if self.image_scale < 1.0:  # a third of the pixels may hold as many
            features = features.largest(round(config.max_features * self.image_scale**2))
        camera = keyframe.camera or Camera.guess(features.width, features.height)
        camera_id = self.database.camera_id(keyframe.camera_name, camera.scaled(features.width, features.height, source))
        self.database.add_image(keyframe, camera_id, features)
        return len(features)

    def _locator(self, rows: Sequence[ImageRow]) -> Locator:
        known = self._mounting
        return Locator(self.database, rows, self.config, known.mounts if known else None, known.antenna if known else None)

    def _rig(self, rows: Sequence[ImageRow], locator: Locator) -> Rig | None:
        pairing = self._mounting.pairing if self._mounting else "auto"
        refine, loose = self.config.refine_rig, locator.loose
        return make_rig(locator.mounts, rows, self.config.rig_tolerance, pairing, refine=refine, loose=loose)

    def _anchor(self, rows: Sequence[ImageRow], locator: Locator) -> Anchor:
        """What is known of where these images were taken."""
        pairing = self._mounting.pairing if self._mounting else "auto"
        moments = find_moments(rows, self.config.rig_tolerance, pairing)
        return Anchor(
            locator.positions,
            locator.sigmas,
            locator.heights,
            self._rig(rows, locator),
            moments,
            locator.verticals,
            locator.attitudes,
            locator.rotation_sigma,
            locator.levers,
            self.config.trust == "fixed",
        )

    def _doubt_calibrations(
        self, models: Sequence[pycolmap.Reconstruction], rows: Sequence[ImageRow], findings: Findings
    ) -> None:
        """Tell of calibrations that the images of these models contradict; the views of panoramas are right by construction."""
        names = {row.camera_id: row.camera_name for row in rows if not row.panorama}
        with self._watch("calibration"):
            doubt_calibrations(models, self.database.calibrated_cameras(), names, self.config.threads, findings)

    def _calibrated(self, rows: Sequence[ImageRow]) -> dict[str, Camera]:
        """Camera name -> calibration, of the lenses that have one: views of panoramas are cut as they are."""
        given = self.database.calibrated()
        return {row.camera_name: given[row.camera_id] for row in rows if row.camera_id in given and not row.panorama}

    def _tell_loose(
        self, models: Sequence[SparseModel], rows: Sequence[ImageRow], locator: Locator, findings: Findings
    ) -> None:
        """Which images without a position hang loosely on the others: a position of one image of a moment holds all of them."""
        pairing = self._mounting.pairing if self._mounting else "auto"
        names = {row.image_id: row.name for row in rows}
        positioned = [names[i] for i in locator.positions if i in names]
        moments = [[row.name for row in moment] for moment in find_moments(rows, self.config.rig_tolerance, pairing)]
        tell_loose(models, positioned, moments, findings)

    def _write_covariances(
        self,
        models: Sequence[SparseModel],
        rows: Sequence[ImageRow],
        locator: Locator,
        findings: Findings,
        *,
        pulled: Sequence[bool],
        scales: Sequence[Scale | None],
        upright: bool,
    ) -> None:
        """Say beside each written model how well its images are placed.

        Args:
            pulled, upright: see ``certainty.solved_covariance.ModelEvidence``; of each model.
            scales: of each model, by mounts or odometry.
        """
        if self.config.trust == "fixed" and locator.given:
            findings.add(COVARIANCE_UNKNOWN, count=len(models), reason=TRUSTED)
            return
        by_id, fixed = {row.image_id: row for row in rows}, self.database.calibrated_cameras().keys()
        with self._watch("covariance"):
            for model, pull, scale in zip(models, pulled, scales, strict=True):
                written = model_io.open_model(self.root / "sparse" / str(model.component))
                sigma = None if scale is None else scale.sigma
                evidence = ModelEvidence(locator, by_id, model.frame, fixed, pull, upright, sigma)
                covariance = solved_covariance(written, evidence, self.config.threads, findings)
                if covariance is not None:
                    self._writer.write_covariance(model, covariance)

    def _answer(
        self,
        models: list[SparseModel],
        rows: Sequence[ImageRow],
        locator: Locator,
        findings: Findings,
        refused: Collection[int] = (),
    ) -> Reconstruction:
        if self._mounting and self._mounting.path and self._rig(rows, locator) is None:
            findings.add(RIG_UNUSED, self._mounting.path, reason=self._mounting.why_unused(rows, self.config.rig_tolerance))
        if self._masks is not None:
            self._masks.tell([row.camera_name for row in rows], findings)
        tell_implausible(self._calibrated(rows), findings)
        for finding in self._doubts.list():
            findings.put(finding)
        locator.tell_scales(models, findings)
        self._tell_loose(models, rows, locator, findings)
        residuals = locator.residuals(models)
        if residuals is not None:
            residuals.tell(findings)
        reasons = unregistered_reasons(rows, self.matcher.tried.rows(), models, self.config.min_pair_inliers, refused)
        return Reconstruction(models, reasons, self._watch.take(), findings.list(), residuals)
