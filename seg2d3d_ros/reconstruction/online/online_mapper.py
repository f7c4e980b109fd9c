"""The online mapper: images in any order, one model as soon as they hang together, sub-maps as long as they do not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.reconstruction.batch.mappers import PLENTY
from seg2d3d_ros.reconstruction.focal import hold_cameras, strayed
from seg2d3d_ros.reconstruction.online.correspondence_graph import GrowingGraph
from seg2d3d_ros.reconstruction.online.initialisation import Starter
from seg2d3d_ros.reconstruction.online.mapper_options import (
    MapperOptions,
    Thresholds,
    beginnings,
    lenient,
    mapper_options,
    strict,
)
from seg2d3d_ros.reconstruction.online.submap import GrowingModel
from seg2d3d_ros.reconstruction.online.submap_merging import join

log = logging.getLogger(__name__)

SETTLED = 20
"""Images from which a model's focal lengths are judged while it grows; in a smaller one they may still come back."""
SMALL = 5
"""A model with fewer images may have begun badly: another beginning is tried now and then."""
PATIENCE = 5
"""Images that arrive before a waiting image begins a sub-map of its own, or a small model is begun anew."""
PATIENT_SHARE = 0.3
"""The same as a share of all images: what begins apart in a large map is soon placed twice, when the gap is filled."""

JOIN_POINTS = 30
"""Common points by which two models are joined, at least."""


class Cancelled(Seg2d3dError):
    """Somebody asked to stop; raised by checkpoints."""


def nothing() -> None:
    """The checkpoint of a caller who never cancels."""


class OnlineMapper:
    """Grows models from images and verified pairs. Not thread-safe; every method leaves it valid, even when cancelled.

    Args:
        geometry: gives the ``pycolmap.TwoViewGeometry`` of a pair of image ids, smaller first.
        min_matches: verified matches that make a pair.
        seed: of every random choice.
        threads: 0 = all cores; 1 = bit-identical results.

    Attributes:
        models: the largest first; an image may be in several while one takes over from another, the first counts.
        fixed_cameras: ids of the calibrated cameras.
    """

    def __init__(self, geometry: Callable[[int, int], Any], *, min_matches: int, seed: int, threads: int) -> None:
        self.graph = GrowingGraph(geometry)
        self.models: list[GrowingModel] = []
        self._min_matches, self._seed, self._threads = min_matches, seed, threads
        self._starter = Starter(self.graph)
        self.fixed_cameras: set[int] = set()
        self._free_cameras: set[int] = set()
        self._known_focals: dict[int, tuple[float, ...]] = {}
        self._arrival: dict[int, int] = {}
        self._was_rich = True

    # What arrives

    def add_camera(self, camera: Any, rig: Any, *, calibrated: bool) -> None:
        """Make a camera known; one that is not ``calibrated`` is refined. Harmless when called again."""
        if not self.graph.cache.exists_camera(camera.camera_id):
            self.graph.add_camera(camera, rig)
            (self.fixed_cameras if calibrated else self._free_cameras).add(int(camera.camera_id))
            if camera.has_prior_focal_length:
                self._known_focals[int(camera.camera_id)] = tuple(camera.params)

    def add_image(self, image: Any, frame: Any, matches: Mapping[int, int]) -> None:
        """Add a ``pycolmap.Image`` with keypoints, its frame, and its verified matches with images added before."""
        self.graph.add_image(image, frame, matches, self.thresholds.pair)
        self._arrival[int(image.image_id)] = len(self.graph)
        for model in self.models:
            model.take_image(int(image.image_id))

    def add_pairs(self, image_id: int, matches: Mapping[int, int]) -> None:
        """Add further verified pairs of an image that was added before."""
        self.graph.add_pairs(image_id, matches, self.thresholds.pair)
        for model in self.models:
            model.touched.add(image_id)

    # What is known

    @property
    def rich(self) -> bool:
        """Whether the images share plenty of matches."""
        return self.graph.evidence() >= PLENTY

    @property
    def thresholds(self) -> Thresholds:
        """What counts as enough with the present evidence."""
        return (strict if self.rich else lenient)(self._min_matches)

    @property
    def registered(self) -> set[int]:
        """Ids of the images in any model."""
        return set().union(*(model.registered for model in self.models))

    @property
    def waiting(self) -> set[int]:
        """Ids of the images in no model."""
        return set(self.graph.image_ids) - self.registered

    @property
    def _patience(self) -> float:
        return max(PATIENCE, PATIENT_SHARE * len(self.graph))

    def options(self, thresholds: Thresholds, images: int) -> MapperOptions:
        """Options of the mapper's steps for a model of this many images."""
        return mapper_options(
            thresholds,
            self.fixed_cameras,
            refine=bool(self._free_cameras),
            images=images,
            seed=self._seed,
            threads=self._threads,
        )

    # What is done

    def grow(self, checkpoint: Callable[[], None] = nothing, *, patient: bool = True) -> int:
        """Place what can be placed, begin models where images wait, and return how many images are placed.

        Args:
            checkpoint: called between steps; it may raise to cancel.
            patient: leave images that arrived lately waiting rather than begin sub-maps from them.
        """
        thresholds = self.thresholds
        if self._was_rich and not self.rich:  # now the pairs count that were too weak before
            self.graph.admit(thresholds.pair, self.graph.image_ids)
            self._look_again()
        self._was_rich = self.rich
        self._grow_models(thresholds, checkpoint)
        self._begin_anew(thresholds, checkpoint, patient=patient)
        while self._begin(thresholds, checkpoint, patient=patient):
            pass
        self._hold_strays(SETTLED)
        return len(self.registered)

    def relax(self, checkpoint: Callable[[], None] = nothing) -> int:
        """Place the images that wait by lenient thresholds, weak pairs included; how many images are placed in all."""
        thresholds = lenient(self._min_matches)
        if waiting := self.waiting:
            self.graph.admit(thresholds.pair, sorted(waiting))
            self._look_again()
            self._grow_models(thresholds, checkpoint)
            while self._begin(thresholds, checkpoint, patient=False):
                pass
        return len(self.registered)

    def adjust(self, checkpoint: Callable[[], None] = nothing) -> None:
        """Global adjustment of every model that has grown since its last one."""
        for model in self.models:
            if len(model) > model.adjusted:
                model.adjust(self.options(self.thresholds, len(model)))
                checkpoint()
        self._hold_strays(0)
        self._tidy()

    def _hold_strays(self, settled: int) -> None:
        """Fix, for good, cameras whose focal length leaves what is plausible in a model of ``settled`` images or more."""
        known = {i: self._known_focals[i] for i in self._free_cameras & self._known_focals.keys()}
        gone = {k: v for m in self.models if len(m) >= settled for k, v in strayed(m.reconstruction, known).items()}
        if not gone:
            return
        log.info("the motion does not determine the focal length of %d cameras: the known one is kept", len(gone))
        for model in self.models:
            constant = {
                i: tuple(model.reconstruction.camera(i).params) for i in self.fixed_cameras & set(model.reconstruction.cameras)
            }
            hold_cameras(model.reconstruction, {**constant, **gone}, self._threads)
            model.rebuild()
            model.located = 0
        self.fixed_cameras |= gone.keys()
        self._free_cameras -= gone.keys()

    def adopt(self, reconstruction: Any) -> GrowingModel:
        """Go on with a ``pycolmap.Reconstruction`` of images of the graph; ``models`` is left to the caller."""
        for image_id in list(reconstruction.images):
            reconstruction.image(image_id).name = self.graph.cache.image(image_id).name
        return GrowingModel(self.graph, reconstruction)

    # Inside

    def _look_again(self) -> None:
        """Pairs have been added here and there."""
        for model in self.models:
            model.forget_failures()
            model.touched |= model.registered

    def _grow_models(self, thresholds: Thresholds, checkpoint: Callable[[], None]) -> None:
        """Place what waits; where models meet join them, or else let the larger take over image by image until they fit."""
        while True:
            for model in self.models:
                others = set().union(*(m.registered for m in self.models if m is not model))
                model.grow(self.options(thresholds, len(model)), others, checkpoint)
            if len(self.models) < 2:
                break
            if not self._join_models(thresholds, checkpoint) and not self._take_over(thresholds, checkpoint):
                break
        self._tidy()

    def _take_over(self, thresholds: Thresholds, checkpoint: Callable[[], None]) -> bool:
        """Let one model place one image of a smaller one; whether there was any to place."""
        taken: set[int] = set()
        for model in self.models:
            if model.registered - taken and model.grow(self.options(thresholds, len(model)), taken, checkpoint, most=1):
                return True
            taken |= model.registered
        return False

    def _join_models(self, thresholds: Thresholds, checkpoint: Callable[[], None]) -> bool:
        """Join models that border on each other where that has changed; whether any were."""
        owner: dict[int, list[GrowingModel]] = {}
        for model in self.models:
            for image_id in model.registered:
                owner.setdefault(image_id, []).append(model)
        bordering: set[tuple[int, int]] = set()
        for model in self.models:
            for image_id in model.touched:
                for other in (image_id, *self.graph.matches(image_id)):
                    for neighbour in owner.get(other, ()):
                        if neighbour is not model:
                            bordering.add((min(model.number, neighbour.number), max(model.number, neighbour.number)))
        joined: list[GrowingModel] = []
        by_number = {model.number: model for model in self.models}
        for pair in sorted(bordering):
            if all(number in by_number for number in pair):
                target, source = sorted((by_number[n] for n in pair), key=lambda m: (-len(m), m.number))
                options = self.options(thresholds, len(target))
                if join(source, target, options, max(JOIN_POINTS, thresholds.pose), self._seed):
                    self.models.remove(by_number.pop(source.number))
                    joined.append(target)
                checkpoint()
        for model in self.models:
            if model not in joined:  # those border on more now
                model.touched.clear()
        return bool(joined)

    def _tidy(self) -> None:
        """Sort by size and drop models whose images are all in larger ones."""
        taken: set[int] = set()
        kept = []
        for model in sorted(self.models, key=lambda m: (-len(m), -m.reconstruction.num_points3D())):
            if model.registered - taken:
                kept.append(model)
            taken |= model.registered
        self.models = kept

    def _begin(self, thresholds: Thresholds, checkpoint: Callable[[], None], *, patient: bool) -> bool:
        """Begin one more model from images that wait; whether there is one."""
        waiting = self.waiting
        if patient and self.models:
            waiting = {i for i in waiting if len(self.graph) - self._arrival[i] >= self._patience}
        if len(waiting) < 2 or (begun := self._start(waiting)) is None:
            return False
        checkpoint()
        begun.grow(self.options(thresholds, len(begun)), self.registered, checkpoint)
        self.models.append(begun)
        self._grow_models(thresholds, checkpoint)
        return True

    def _start(self, free: set[int]) -> GrowingModel | None:
        trials = beginnings(self._min_matches, rich=self.rich)
        for trial in trials if len(free) >= SMALL else trials[:1]:  # many wait in vain: whatever begins is better
            found = self._starter.start(free, trial, self.options(trial, 2))
            if found is not None:
                model, pair = found
                log.info("a model begins with images %d and %d", *pair)
                return model
        return None

    def _begin_anew(self, thresholds: Thresholds, checkpoint: Callable[[], None], *, patient: bool) -> None:
        """Where a small model does not grow although images wait, try another beginning and keep the larger."""
        for model in list(self.models):
            patience = PATIENCE if model is self.models[0] else self._patience  # a map that has only this one is stuck
            stalled = len(self.graph) >= model.born + patience or not patient
            if len(model) >= SMALL or not stalled or len(self.waiting) < 2:
                continue
            model.born = len(self.graph)
            rival = self._start(self.waiting | model.registered)
            checkpoint()
            if rival is None:
                continue
            others = set().union(*(m.registered for m in self.models if m is not model))
            rival.grow(self.options(thresholds, len(rival)), others, checkpoint)
            if len(rival) > len(model):
                self.models[self.models.index(model)] = rival
                log.info("a model of %d images gives way to another beginning with %d", len(model), len(rival))
        self._tidy()
