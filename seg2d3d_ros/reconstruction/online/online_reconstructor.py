"""Keyframes in any order into a living map: features, pairs, matches, growth, second opinion, revision, one by one.

Everything that cannot be computed again quickly is in the database and in ``sparse``: after a kill the same folder goes
on from the last revision, and what came after it is placed again from the matches in the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap
from seg2d3d_ros.config import ReconstructionConfig
from seg2d3d_ros.geometry.similarity import fit_points
from seg2d3d_ros.reconstruction import model_io, point_ids
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import Progress, Reconstruction, Reconstructor, timed
from seg2d3d_ros.reconstruction.batch.mappers import MIN_IMAGES, PLENTY
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.features.pairs import RICH_MATCHES, RICH_PARTNERS, partners_of
from seg2d3d_ros.reconstruction.online.global_check import CrossCheck, Standing, prefer_global
from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper, nothing
from seg2d3d_ros.reconstruction.online.rig_merging import hold_rig, merge_submaps_by_rig, place_companions
from seg2d3d_ros.reconstruction.online.submap import GrowingModel
from seg2d3d_ros.reconstruction.online.submap_merging import transform
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig
from seg2d3d_ros.reconstruction.unregistered import unregistered_reasons
from seg2d3d_ros.reconstruction.viewgraph import COMMON_POINTS, keep_images
from seg2d3d_ros.reconstruction.world.alignment import common_points
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.msac import agreement, explained
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions
from seg2d3d_ros.types import WorldFrame

log = logging.getLogger(__name__)

REVISION_GROWTH = 0.05
"""A revision is due when this share of the registered images is new (and at least one image)."""
DOUBTFUL_PAIRS = 2
"""Strong pairs that a model must contradict before an image is called a doubt."""
DOUBTFUL_IMAGES = 3
"""Doubts that call for a global solution before its time."""
FINAL_GROWTH = 1.25
"""A whole map is compared once more in the end when it has grown by this factor since the last comparison."""
RELOCATE_GROWTH = 1.25
"""The fit to GPS is computed again when a model has grown by this factor."""


class OnlineReconstructor(Reconstructor):
    """A ``Reconstructor`` whose models grow with every keyframe; ``solve`` finishes what is there.

    Args:
        cancelled: asked between the steps of the mapper; it may raise to stop what is going on, and all stays valid.
    """

    def __init__(self, root: Path, config: ReconstructionConfig, cancelled: Callable[[], None] = nothing) -> None:
        super().__init__(root, config)
        self._checkpoint = cancelled
        self._mapper = OnlineMapper(
            self._database.geometry, min_matches=config.min_pair_inliers, seed=config.seed, threads=config.threads
        )
        self._check = CrossCheck(config.threads)
        self._tried: dict[int, dict[int, int]] = {}
        self._doubts = 0
        self._published: set[int] = set()
        self._swapped = False
        self._timings: dict[str, float] = {}
        self._resume()

    @property
    def mapper(self) -> OnlineMapper:
        """The models while they grow, for tests and benchmarks."""
        return self._mapper

    def grow(self, progress: Progress | None = None) -> Reconstruction | None:
        """Take all new keyframes into the map; the new revision, or None where too little has changed for one."""
        rows = self._database.images()
        new = [row for row in rows if row.features > 0 and row.image_id not in self._mapper.graph]
        for done, row in enumerate(new):
            if progress is not None:
                progress("mapping", done, len(new))
            self._connect(row, rows)
            with timed(self._timings, "mapping"):
                self._mapper.grow(self._checkpoint)
                self._doubts += self._contradicted(row.image_id)
            self._cross_check(rows, final=False)
        changed = self._mapper.registered - self._published
        if self._swapped or len(changed) > REVISION_GROWTH * len(self._published):
            return self._revise(rows)
        return None

    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """Take what is new, place what waits by more matches and lenient thresholds, and compare with a global solution."""
        report = progress or (lambda stage, done, total: None)
        if (grown := self.grow(progress)) is not None:  # that revision goes to nobody; its time counts
            self._timings = dict(grown.timings)
            self._seconds_adding = self._timings.pop("features")
        rows = self._database.images()
        for more in (False, True):
            self._checkpoint()
            with timed(self._timings, "pairs"):
                new = self._new_pairs(rows, more=more)
            with timed(self._timings, "matching"):
                self._match(new, rows, report)
            for first, second in new:
                self._note(second, self._database.verified(second, [first]))
                self._mapper.add_pairs(second, self._strong(second, [first]))
        report("mapping", 0, 1)
        with timed(self._timings, "mapping"):
            self._mapper.grow(self._checkpoint, patient=False)
            self._mapper.relax(self._checkpoint)
        self._checkpoint()
        self._cross_check(rows, final=True)
        self._checkpoint()
        with timed(self._timings, "mapping"):
            self._mapper.adjust(self._checkpoint)
        report("mapping", 1, 1)
        return self._revise(rows, final=True)

    # Taking images in

    def _resume(self) -> None:
        """Fill the mapper from the database and the last revision."""
        for first, second, count in self._database.matched_pairs().tolist():
            self._note(first, {second: count})
        for row in self._database.images():
            if row.features > 0 and row.image_id in self._tried:
                self._feed(row)
        pycolmap = load_pycolmap()
        for folder in model_io.model_folders(self.root):
            reconstruction = pycolmap.Reconstruction(folder)
            if all(i in self._mapper.graph for i in reconstruction.reg_image_ids()):
                model = self._mapper.adopt(reconstruction)
                model.frame, _, _ = model_io.read_frame(folder)
                model.located, model.numbered = len(model), True
                self._mapper.models.append(model)
        used = list(self._former_ids().values())
        for model in self._mapper.models:
            first = point_ids.free_block(used)
            point_ids.reserve(model.reconstruction, first)
            used.append(np.array([first]))
        self._published = set(self._mapper.registered)
        self._check.checked = len(self._published)

    def _note(self, image_id: int, matches: dict[int, int]) -> None:
        for other, count in matches.items():
            self._tried.setdefault(image_id, {})[other] = count
            self._tried.setdefault(other, {})[image_id] = count

    def _strong(self, image_id: int, others: Sequence[int]) -> dict[int, int]:
        """The verified pairs of an image with ``others``."""
        tried = self._tried.get(image_id, {})
        return {o: tried[o] for o in others if tried.get(o, 0) >= self.config.min_pair_inliers}

    def _connect(self, row: ImageRow, rows: Sequence[ImageRow]) -> None:
        """Match a new image with likely partners, with more of them where too few are good, and take it in."""
        positions = self._places(rows)
        there = [r for r in rows if r.image_id in self._mapper.graph]
        for count in (max(1, self.config.max_pairs // 2), self.config.max_pairs):
            self._checkpoint()
            tried = self._tried.get(row.image_id, {})
            if sum(matches >= RICH_MATCHES for matches in tried.values()) >= RICH_PARTNERS:
                break
            with timed(self._timings, "pairs"):
                partners = [i for i in partners_of(row, there, positions, self._recognition, count) if i not in tried]
            with timed(self._timings, "matching"):
                pairs = sorted((min(row.image_id, i), max(row.image_id, i)) for i in partners)
                self._match(pairs, rows, lambda stage, done, total: None)
            self._note(row.image_id, self._database.verified(row.image_id, partners))
        self._feed(row)

    def _feed(self, row: ImageRow) -> None:
        calibrated = row.camera_id in self._database.calibrated_cameras()
        self._mapper.add_camera(*self._database.colmap_camera(row.camera_id), calibrated=calibrated)
        there = [i for i in self._tried.get(row.image_id, {}) if i in self._mapper.graph]
        self._mapper.add_image(*self._database.colmap_image(row), self._strong(row.image_id, there))

    # Second opinion

    def _contradicted(self, image_id: int) -> bool:
        """Whether the model that holds an image explains less than half of the matches of several strong pairs of it."""
        model = next((m for m in self._mapper.models if image_id in m.registered), None)
        if model is None:
            return False
        strong = {o: n for o, n in self._tried.get(image_id, {}).items() if n >= PLENTY and o in model.registered}
        pairs = [(min(image_id, o), max(image_id, o)) for o in strong]
        found = explained(model.reconstruction, pairs, self._database.inlier_matches, self._xy)
        return int((found < 0.5 * np.fromiter(strong.values(), float, len(strong))).sum()) >= DOUBTFUL_PAIRS

    def _xy(self, image_id: int) -> np.ndarray:
        return self._database.keypoints(image_id)[:, :2]

    def _cross_check(self, rows: Sequence[ImageRow], *, final: bool) -> None:
        registered = len(self._mapper.registered)
        with timed(self._timings, "global solution"):
            outgrown = final and self._outgrown()
            if outgrown and self._check.running:
                self._check.take(wait=self._checkpoint)  # of fewer images: the one to come knows more
            if self._check.due(registered, doubted=self._doubts >= DOUBTFUL_IMAGES) or outgrown:
                ids = [r.image_id for r in rows if r.image_id in self._mapper.graph]
                self._check.start(self._task(rows, ids), ids, self._database.matched_pairs(), registered)
                self._doubts = 0
            answer = self._check.take(wait=self._checkpoint if final else None)
        if answer:
            with timed(self._timings, "mapping"):
                self._consider(answer, rows)

    def _outgrown(self) -> bool:
        """Whether the last check knew too little for the last word: too few of the images, or not how parts hang together."""
        images, seen = len(self._mapper.graph), self._check.seen
        whole = len(self._mapper.models) == 1 and not self._mapper.waiting
        return images > (FINAL_GROWTH * seen if whole else seen)

    def _consider(self, answer: Sequence[Any], rows: Sequence[ImageRow]) -> None:
        """Let global solutions take the place of the models if they are better once they, too, hold what came meanwhile."""
        former, before = self._mapper.models, self._standing(rows)
        self._mapper.models = [self._mapper.adopt(reconstruction) for reconstruction in answer]
        try:
            self._mapper.grow(self._checkpoint)
            self._mapper.relax(self._checkpoint)
            after = self._standing(rows)
            swap = prefer_global(after, before)
        except BaseException:
            self._mapper.models = former
            raise
        log.info("global solution %s: %s, grown: %s", "taken" if swap else "left", after, before)
        if not swap:
            self._mapper.models = former
            return
        for model in self._mapper.models:
            self._carry_frame(model, former)
        self._swapped = True

    def _standing(self, rows: Sequence[ImageRow]) -> Standing:
        models = self._mapper.models
        if not models:
            return Standing(0, 0.0)
        pairs = [(a, b) for a, found in self._tried.items() for b, n in found.items() if a < b and n >= RICH_MATCHES // 2]
        explained = sum(agreement(m.reconstruction, pairs, self._database.inlier_matches, self._xy) for m in models)
        located = self._positions(rows)[1] is not None
        residual = self._fit(models[0].reconstruction, rows).residual if located else float("nan")
        return Standing(len(self._mapper.registered), explained, residual)

    @staticmethod
    def _carry_frame(model: GrowingModel, former: Sequence[GrowingModel]) -> None:
        """Put a new model into the world frame of the former one that it has most images in common with."""
        for old in sorted(former, key=lambda m: -len(m.registered & model.registered)):
            similarity = fit_points(*common_points(model.reconstruction, old.reconstruction))
            if similarity is not None:
                transform(model, similarity)
                model.frame = old.frame
                return

    # Revisions

    def _revise(self, rows: Sequence[ImageRow], *, final: bool = False) -> Reconstruction:
        """Name the points, write ``sparse``, and describe the map."""
        warnings: list[str] = []
        with timed(self._timings, "georeference"):
            rig = self._rig(rows)
            if rig is not None:
                self._mapper.models = merge_submaps_by_rig(self._mapper.models, rig, lambda m: self._metres(m, rows, rig))
            for model in self._mapper.models:
                self._locate(model, rows, rig, warnings, final=final)
        with timed(self._timings, "writing"):
            former = self._former_ids()
            known = np.unique(np.concatenate([np.zeros(0, np.int64), *former.values()]))
            solved: list[Any] = []
            frames: list[WorldFrame] = []
            taken: set[int] = set()
            inside: set[int] = set()
            for model in self._mapper.models:
                self._name_points(model, former, known, taken)
                own = model.registered - inside
                inside |= own
                if len(own) >= MIN_IMAGES:
                    part = model.reconstruction if len(own) == len(model) else keep_images(model.reconstruction, sorted(own))
                    if part.num_points3D() >= COMMON_POINTS:
                        solved.append(part)
                        frames.append(model.frame)
            models = self._write(solved, frames, rows)
        self._published, self._swapped = self._mapper.registered, False
        timings = {"features": self._seconds_adding, **self._timings}
        self._seconds_adding, self._timings = 0.0, {}
        reasons = unregistered_reasons(rows, self._database.matched_pairs(), models, self.config.min_pair_inliers)
        return Reconstruction(models, reasons, timings, warnings)

    def _name_points(self, model: GrowingModel, former: dict[int, np.ndarray], known: np.ndarray, taken: set[int]) -> None:
        reconstruction, colors = model.reconstruction, self._database.colors
        if model.numbered:
            point_ids.name_new_points(reconstruction, former, known, colors, taken)
        else:
            first = point_ids.free_block([known, np.array(sorted(taken), np.int64)])
            model_io.renumber([reconstruction], colors, former, first=first, reserved=taken)
            own = np.fromiter(reconstruction.points3D, np.int64, reconstruction.num_points3D())
            point_ids.reserve(reconstruction, max(first, int(own.max(initial=0)) + 2))
            taken.update(own.tolist())
            model.numbered = True
        model.rebuild()

    def _locate(
        self, model: GrowingModel, rows: Sequence[ImageRow], rig: Rig | None, warnings: list[str], *, final: bool
    ) -> None:
        """Fit a model to the world where that is possible and due, and let positions and mounts pull at it."""
        positions, datum = self._positions(rows)
        due = len(model) >= RELOCATE_GROWTH * model.located or (final and rig is not None and len(model) > model.located)
        if not due and (model.frame.kind == "enu" or (model.frame.kind == "metric" and datum is None)):
            return
        scale = self._scale(model.reconstruction, rows, rig)
        if not due and model.frame.kind == "metric" and self._fit(model.reconstruction, rows, scale).similarity is None:
            return
        frame = self._georeference(model.reconstruction, rows, warnings, scale)
        if frame.kind == "arbitrary":
            return
        model.frame, model.located = frame, len(model)
        options = self._mapper.options(self._mapper.thresholds, len(model))
        sigmas = {r.image_id: r.geo.sigma for r in rows if r.geo is not None}
        fixed = self._mapper.fixed_cameras
        if frame.kind != "enu":
            positions = {}
        if rig is not None:
            place_companions(model, rig, options)
            hold_rig(model, rig, options, fixed, self.config.threads, positions, sigmas, warnings)
        elif positions:
            adjusted = adjust_with_positions(model.reconstruction, positions, sigmas, options.global_adjustment, fixed)
            if adjusted is not None:
                model.take_solution(adjusted)
        if positions:
            scale = None if scale is None else Scale(1.0, scale.sigma)
            self._georeference(model.reconstruction, rows, [], scale)  # positions alone leave the tilt about a street open


def open_reconstructor(
    root: Path, config: ReconstructionConfig, cancelled: Callable[[], None] = nothing, *, live: bool = False
) -> Reconstructor:
    """The reconstructor that ``config.mode`` asks for; ``live`` where keyframes arrive one after the other."""
    return OnlineReconstructor(root, config, cancelled) if config.grows(live=live) else Reconstructor(root, config)
