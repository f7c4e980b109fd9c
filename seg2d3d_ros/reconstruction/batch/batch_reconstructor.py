"""Images in, sparse models out: the state lives in the map folder and survives the process."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap
from seg2d3d_ros.config import ReconstructionConfig
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import up_of_cameras
from seg2d3d_ros.geometry.wgs84 import DATUM_POSITIONS, choose_datum, to_enu
from seg2d3d_ros.images import image_size
from seg2d3d_ros.reconstruction import model_io
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask, solve_component
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow, database_name
from seg2d3d_ros.reconstruction.features.camera_masks import CameraMasks
from seg2d3d_ros.reconstruction.features.matching import match_pairs
from seg2d3d_ros.reconstruction.features.pairs import PlaceRecognition, candidate_pairs, poor_images
from seg2d3d_ros.reconstruction.features.sift import extract
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import apply_rig
from seg2d3d_ros.reconstruction.rigs.rig_file import read_rig_file
from seg2d3d_ros.reconstruction.rigs.rig_fit import scale_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, make_rig
from seg2d3d_ros.reconstruction.unregistered import unregistered_reasons
from seg2d3d_ros.reconstruction.viewgraph import components
from seg2d3d_ros.reconstruction.world import odometry_scale as odometry
from seg2d3d_ros.reconstruction.world.georeference import Fit, Scale, fit_similarity
from seg2d3d_ros.types import Keyframe, SparseModel, WorldFrame

Progress = Callable[[str, int, int], None]

RIG_SIGMA, ODOMETRY_SIGMA = 0.003, 0.03
"""Relative standard deviations of a model's scale by the distances between cameras, and by wheels."""


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


class Reconstructor:
    """Owns ``root/database.db`` and ``root/sparse``; one process at a time.

    Raises:
        DataError: the database cannot be opened.
        UsageError: pycolmap is not installed, or there is no file where ``config.masks`` or ``config.rig`` says.
    """

    def __init__(self, root: Path, config: ReconstructionConfig) -> None:
        self.root = Path(root)
        self.config = config
        self._mounts = None if config.rig == "auto" else {} if config.rig == "none" else read_rig_file(Path(config.rig))
        self._masks = CameraMasks(Path(config.masks)) if config.masks else None
        model_io.recover_folder(self.root / "sparse")
        self._database = FeatureDatabase(self.root / "database.db")
        self._recognition = PlaceRecognition(self._database.descriptors, config.seed)
        self._added = {row.name: row.features for row in self._database.images()}
        self._seconds_adding = 0.0

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Keyframes added so far, in this process or a former one."""
        return tuple(self._added)

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
        if keyframe.name in self._added:
            return self._added[keyframe.name]
        begin = time.perf_counter()
        source = keyframe.source or keyframe.name
        if self._masks is not None:
            own = self._masks.ignored(keyframe.camera_name, *image_size(keyframe.encoded, source))
            ignore = own if ignore is None else ignore if own is None else ignore | own
        features = extract(
            keyframe.encoded,
            source=source,
            max_image_size=self.config.max_image_size,
            max_features=self.config.max_features,
            ignore=ignore,
        )
        camera = keyframe.camera or Camera.guess(features.width, features.height)
        camera = camera.scaled(features.width, features.height, source)
        camera_id = self._database.camera_id(keyframe.camera_name, camera, focal_known=camera.focal_known)
        self._database.add_image(keyframe, camera_id, features)
        self._added[keyframe.name] = len(features)
        self._seconds_adding += time.perf_counter() - begin
        return len(features)

    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """Match what is new, map, georeference, and replace ``root/sparse``.

        Args:
            progress: called with (stage, done, total).
        """
        timings: dict[str, float] = {"features": self._seconds_adding}
        self._seconds_adding = 0.0
        report = progress or (lambda stage, done, total: None)
        rows = self._database.images()
        for final in (False, True):  # first the likeliest pairs, then more of them for images that found too few
            with timed(timings, "pairs"):
                new = self._new_pairs(rows, more=final)
            with timed(timings, "matching"):
                self._match(new, rows, report)
        warnings: list[str] = []
        with timed(timings, "mapping"):
            solved = self._map(rows, report)
        with timed(timings, "rig"):
            solved, scales = self._apply_rig(solved, rows, warnings)
        with timed(timings, "georeference"):
            frames = [self._georeference(m, rows, warnings, scale) for m, scale in zip(solved, scales, strict=True)]
        with timed(timings, "writing"):
            models = self._publish(solved, frames, rows)
        reasons = unregistered_reasons(rows, self._database.matched_pairs(), models, self.config.min_pair_inliers)
        return Reconstruction(models, reasons, timings, warnings)

    def _positions(self, rows: Sequence[ImageRow]) -> tuple[dict[int, np.ndarray], tuple[float, float, float] | None]:
        """Image id -> metres east, north, up, and the datum, which stays once it is chosen."""
        known = [r for r in rows if r.geo is not None and r.geo.sigma <= self.config.max_gps_sigma]
        positions = [r.geo for r in known if r.geo is not None]
        datum = self._database.datum()
        if datum is None and len(known) >= DATUM_POSITIONS:
            datum = choose_datum(positions)
            self._database.set_datum(datum)
        if datum is None:
            return {}, None
        metres = to_enu(positions, datum)
        return {r.image_id: xyz for r, xyz in zip(known, metres, strict=True)}, datum

    def _places(self, rows: Sequence[ImageRow]) -> dict[int, np.ndarray]:
        """Image id -> metres for the search of neighbours: by GPS, or by odometry where there is no GPS."""
        return self._positions(rows)[0] or self._odometry(rows)

    def _odometry(self, rows: Sequence[ImageRow]) -> dict[int, np.ndarray]:
        return odometry.positions(self._database.odometry(), self._known_mounts(), rows)

    def _known_mounts(self) -> Mapping[str, Pose]:
        """Camera name -> ``base_from_camera``: by the rig file, or as the keyframes say."""
        return self._database.mounts() if self._mounts is None else self._mounts

    def _rig(self, rows: Sequence[ImageRow]) -> Rig | None:
        """The rig of all images so far, or None where no two cameras with known mounts have an image of one moment."""
        return make_rig(self._known_mounts(), rows, self.config.rig_tolerance, refine=self.config.refine_rig)

    def _apply_rig(
        self, models: list[Any], rows: Sequence[ImageRow], warnings: list[str]
    ) -> tuple[list[Any], list[Scale | None]]:
        """Join models by the rig and make its mounts hold; the models, and their scales by rig or odometry."""
        rig = self._rig(rows)
        if rig is None:
            return models, [self._scale(model, rows, None) for model in models]
        fixed, metres = self._database.calibrated_cameras(), lambda model: self._metres(model, rows, None)
        models, by_rig = apply_rig(models, rig, self._loader(rows), metres, fixed, self.config.threads, warnings)
        known = zip(models, by_rig, strict=True)
        return models, [self._scale(model, rows, None) if m is None else Scale(m, RIG_SIGMA) for model, m in known]

    def _scale(self, model: Any, rows: Sequence[ImageRow], rig: Rig | None) -> Scale | None:
        """A model's scale by the rig or by odometry."""
        metres = scale_by_rig(model, rig) if rig is not None else None
        if metres is not None:
            return Scale(metres, RIG_SIGMA)
        known = self._odometry(rows)
        centers = {i: model.image(i).projection_center() for i in model.reg_image_ids()} if known else {}
        metres = odometry.scale_by_odometry(centers, known, rows)
        return None if metres is None else Scale(metres, ODOMETRY_SIGMA)

    def _metres(self, model: Any, rows: Sequence[ImageRow], rig: Rig | None) -> float | None:
        """Metres of a model's scale by the rig, GPS or odometry."""
        scale = self._scale(model, rows, rig)
        if self._positions(rows)[1] is not None and (scale is None or scale.sigma > RIG_SIGMA):
            found = self._fit(model, rows, scale).similarity
            return found.scale if found is not None else None if scale is None else scale.factor
        return None if scale is None else scale.factor

    def _loader(self, rows: Sequence[ImageRow]) -> Callable[[int], tuple[Any, Any, Any, Any]]:
        by_id = {row.image_id: row for row in rows}

        def load(image_id: int) -> tuple[Any, Any, Any, Any]:
            row = by_id[image_id]
            return *self._database.colmap_camera(row.camera_id), *self._database.colmap_image(row)

        return load

    def _new_pairs(self, rows: Sequence[ImageRow], *, more: bool) -> list[tuple[int, int]]:
        positions = self._places(rows)
        tried = self._database.matched_pairs()
        poor = poor_images(rows, tried) if more else set()
        wanted = candidate_pairs(rows, positions, self._recognition, self.config.max_pairs, poor)
        return sorted(wanted - {(int(a), int(b)) for a, b, _ in tried})

    def _match(self, pairs: Sequence[tuple[int, int]], rows: Sequence[ImageRow], report: Progress) -> None:
        match_pairs(
            self._database.path,
            pairs,
            {row.image_id: database_name(row.file_name) for row in rows},
            min_inliers=self.config.min_pair_inliers,
            seed=self.config.seed,
            threads=self.config.threads,
            progress=lambda done, total: report("matching", done, total),
        )

    def _map(self, rows: Sequence[ImageRow], report: Progress) -> list[Any]:
        pairs = self._database.matched_pairs()
        parts = components(pairs, [r.image_id for r in rows if r.features], self.config.min_pair_inliers)
        parts = [part for part in parts if len(part) >= 2]
        models: list[Any] = []
        for done, part in enumerate(parts):
            report("mapping", done, len(parts))
            models.extend(solve_component(self._task(rows, part), part, pairs, self.config.mapper))
        report("mapping", len(parts), len(parts))
        return sorted(models, key=lambda m: (-m.num_reg_images(), -m.num_points3D()))

    def _task(self, rows: Sequence[ImageRow], members: Sequence[int]) -> MapperTask:
        fixed = self._database.calibrated_cameras()
        inside = set(members)
        used = {r.camera_id for r in rows if r.image_id in inside}
        return MapperTask(
            database=self._database.path,
            names={r.image_id: database_name(r.file_name) for r in rows},
            fixed_cameras={i: fixed[i] for i in used & fixed.keys()},
            free_cameras=frozenset(used - fixed.keys()),
            known_focals=self._database.known_focals(),
            min_matches=self.config.min_pair_inliers,
            seed=self.config.seed,
            threads=self.config.threads,
        )

    def _fit(self, model: Any, rows: Sequence[ImageRow], scale: Scale | None = None) -> Fit:
        """The similarity that takes a model to its images' GPS positions, or why there is none."""
        positions, _ = self._positions(rows)
        sigmas = {r.image_id: r.geo.sigma for r in rows if r.geo is not None}
        ids = [i for i in sorted(model.reg_image_ids()) if i in positions]
        poses = Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids])
        up = up_of_cameras(Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in model.reg_image_ids()]))
        metres = np.array([positions[i] for i in ids]).reshape(-1, 3)
        return fit_similarity(poses, metres, np.array([sigmas[i] for i in ids]), self.config.seed, scale, up)

    def _georeference(
        self, model: Any, rows: Sequence[ImageRow], warnings: list[str], scale: Scale | None = None
    ) -> WorldFrame:
        """Move a model to metres east, north, up by GPS; without GPS to metres where the length of its scale is known."""
        _, datum = self._positions(rows)
        fit = Fit(None, problem="there is no GPS") if datum is None else self._fit(model, rows, scale)
        pycolmap, s = load_pycolmap(), fit.similarity
        if s is not None:
            model.transform(pycolmap.Sim3d(s.scale, pycolmap.Rotation3d(s.rotation), s.translation))
            return WorldFrame("enu", datum)
        if scale is not None:
            model.transform(pycolmap.Sim3d(scale.factor, pycolmap.Rotation3d(), np.zeros(3)))
            return WorldFrame("metric")
        if datum is not None or self._known_mounts():
            warnings.append(
                f"the model of {len(model.reg_image_ids())} images keeps an arbitrary scale and orientation: {fit.problem}"
                + (", and the mounted cameras share no points that tell the scale" if self._known_mounts() else "")
            )
        return WorldFrame()

    def _former_ids(self) -> dict[int, np.ndarray]:
        """Image id -> (N,) int64 point id of each keypoint in the last revision, -1 = none."""
        former: dict[int, np.ndarray] = {}
        for folder in sorted((self.root / "sparse").glob("[0-9]*")):
            former.update(model_io.keypoint_ids(folder))
        return former

    def _publish(self, solved: Sequence[Any], frames: Sequence[WorldFrame], rows: Sequence[ImageRow]) -> list[SparseModel]:
        """Name the points by the last revision and write all models."""
        model_io.renumber(solved, self._database.colors, self._former_ids())
        return self._write(solved, frames, rows)

    def _write(self, solved: Sequence[Any], frames: Sequence[WorldFrame], rows: Sequence[ImageRow]) -> list[SparseModel]:
        """Write all models to a new folder and put it in the place of ``sparse``."""
        sparse = self.root / "sparse"
        names = {r.file_name: r.name for r in rows}
        files = {r.image_id: r.file_name for r in rows}
        revision = self._database.next_revision()
        fresh = self.root / f".sparse.{uuid.uuid4().hex[:12]}"
        models = []
        try:
            fresh.mkdir(parents=True)
            for k, (model, frame) in enumerate(zip(solved, frames, strict=True)):
                for image_id in list(model.images):
                    model.image(image_id).name = files[image_id]
                folder = fresh / str(k)
                folder.mkdir(parents=True)
                model.write_binary(folder)
                model_io.write_frame(folder, frame, revision, {n: names[n] for n in names})
                models.append(model_io.sparse_model(model, names, frame=frame, component=k, revision=revision, folder=folder))
            model_io.swap_folder(fresh, sparse)
        except OSError as error:
            raise DataError(
                f"{sparse}: cannot be written ({error.strerror or error}); free space or choose another folder"
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return models


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Add the seconds spent inside to ``timings[stage]``."""
    begin = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - begin
