"""The online mapper: images in any order, one submap as soon as they hang together, several as long as they do not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.reconstruction.adjustment import hold_cameras, strayed
from seg2d3d_ros.reconstruction.online.correspondence_graph import CorrespondenceGraph
from seg2d3d_ros.reconstruction.online.initialisation import Starter
from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions, first_pair_trials, mapper_options
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.online.submap_merging import merge
from seg2d3d_ros.reconstruction.thresholds import PLENTY, Thresholds
from seg2d3d_ros.reconstruction.viewgraph import by_size

log = logging.getLogger(__name__)

SETTLED = 20
"""Images from which a submap's focal lengths are judged while it grows; in a smaller one they may still come back."""
SMALL = 5
"""A submap with fewer images may have begun badly: another beginning is tried now and then."""
PATIENCE = 5
"""Images that arrive before a waiting image begins a submap of its own, or a small submap is begun anew."""
PATIENT_SHARE = 0.3
"""The same as a share of all images: what begins apart in a large map is soon registered twice, when the gap is filled."""

MERGE_POINTS = 30
"""Common points by which two submaps are merged, at least."""


class Cancelled(Seg2d3dError):
    """Somebody asked to stop; raised by checkpoints."""


def nothing() -> None:
    """The checkpoint of a caller who never cancels."""


class OnlineMapper:
    """Grows submaps from images and verified pairs. Not thread-safe; every method leaves it valid, even when cancelled.

    Args:
        geometry: gives the ``pycolmap.TwoViewGeometry`` of a pair of image ids, smaller first.
        min_matches: verified matches that make a pair.
        seed: of every random choice.
        threads: 0 = all cores; 1 = bit-identical results.

    Attributes:
        submaps: the largest first; an image may be in several while one takes over from another, the first counts.
        fixed_cameras: ids of the calibrated cameras.
        threads: as above.
    """

    def __init__(
        self, geometry: Callable[[int, int], pycolmap.TwoViewGeometry], *, min_matches: int, seed: int, threads: int
    ) -> None:
        self.graph = CorrespondenceGraph(geometry)
        self.submaps: list[Submap] = []
        self._min_matches, self._seed, self.threads = min_matches, seed, threads
        self._starter = Starter(self.graph)
        self.fixed_cameras: set[int] = set()
        self._free_cameras: set[int] = set()
        self._known_focals: dict[int, tuple[float, ...]] = {}
        self._arrival: dict[int, int] = {}
        self._had_plenty = True

    # What arrives

    def add_camera(self, camera: pycolmap.Camera, rig: pycolmap.Rig, *, calibrated: bool) -> None:
        """Make a camera known; one that is not ``calibrated`` is refined. Harmless when called again."""
        if not self.graph.cache.exists_camera(camera.camera_id):
            self.graph.add_camera(camera, rig)
            (self.fixed_cameras if calibrated else self._free_cameras).add(camera.camera_id)
            if camera.has_prior_focal_length:
                self._known_focals[camera.camera_id] = tuple(camera.params)

    def add_image(self, image: pycolmap.Image, frame: pycolmap.Frame, matches: Mapping[int, int]) -> None:
        """Add a ``pycolmap.Image`` with keypoints, its frame, and its verified matches with images added before."""
        self.graph.add_image(image, frame, matches, self.thresholds.pair)
        self._arrival[image.image_id] = len(self.graph)
        for submap in self.submaps:
            submap.take_image(image.image_id)

    def add_pairs(self, image_id: int, matches: Mapping[int, int]) -> None:
        """Add further verified pairs of an image that was added before."""
        self.graph.add_pairs(image_id, matches, self.thresholds.pair)
        for submap in self.submaps:
            submap.touched.add(image_id)

    # What is known

    @property
    def plenty(self) -> bool:
        """Whether the images share plenty of matches."""
        return self.graph.evidence() >= PLENTY

    @property
    def thresholds(self) -> Thresholds:
        """What counts as enough with the present evidence."""
        return (Thresholds.strict if self.plenty else Thresholds.lenient)(self._min_matches)

    @property
    def registered(self) -> set[int]:
        """Ids of the images in any submap."""
        return set().union(*(submap.registered for submap in self.submaps))

    @property
    def waiting(self) -> set[int]:
        """Ids of the images in no submap."""
        return set(self.graph.image_ids) - self.registered

    @property
    def _patience(self) -> float:
        return max(PATIENCE, PATIENT_SHARE * len(self.graph))

    def options(self, thresholds: Thresholds, images: int) -> MapperOptions:
        """Options of the mapper's steps for a submap of this many images."""
        return mapper_options(
            thresholds,
            self.fixed_cameras,
            refine=bool(self._free_cameras),
            images=images,
            seed=self._seed,
            threads=self.threads,
        )

    # What is done

    def grow(self, checkpoint: Callable[[], None] = nothing, *, patient: bool = True) -> int:
        """Register what can be registered, begin submaps where images wait, and return how many images are registered.

        Args:
            checkpoint: called between steps; it may raise to cancel.
            patient: leave images that arrived lately waiting rather than begin submaps from them.
        """
        thresholds = self.thresholds
        if self._had_plenty and not self.plenty:  # now the pairs count that were too weak before
            self.graph.admit(thresholds.pair, self.graph.image_ids)
            self._look_again()
        self._had_plenty = self.plenty
        self._grow_submaps(thresholds, checkpoint)
        self._begin_anew(thresholds, checkpoint, patient=patient)
        while self._begin(thresholds, checkpoint, patient=patient):
            pass
        self._hold_strays(SETTLED)
        return len(self.registered)

    def relax(self, checkpoint: Callable[[], None] = nothing) -> int:
        """Register images that wait by lenient thresholds, weak pairs included; how many images are registered in all."""
        thresholds = Thresholds.lenient(self._min_matches)
        if waiting := self.waiting:
            self.graph.admit(thresholds.pair, sorted(waiting))
            self._look_again()
            self._grow_submaps(thresholds, checkpoint)
            while self._begin(thresholds, checkpoint, patient=False):
                pass
        return len(self.registered)

    def adjust(self, checkpoint: Callable[[], None] = nothing) -> None:
        """Global adjustment of every submap that has grown since its last one."""
        for submap in self.submaps:
            if len(submap) > submap.adjusted:
                submap.adjust(self.options(self.thresholds, len(submap)))
                checkpoint()
        self._hold_strays(0)
        self._tidy()

    def _hold_strays(self, settled: int) -> None:
        """Fix, for good, cameras whose focal length leaves what is plausible in a submap of ``settled`` images or more."""
        known = {i: self._known_focals[i] for i in self._free_cameras & self._known_focals.keys()}
        gone = {k: v for m in self.submaps if len(m) >= settled for k, v in strayed(m.reconstruction, known).items()}
        if not gone:
            return
        log.info("the motion does not determine the focal length of %d cameras: the known one is kept", len(gone))
        for submap in self.submaps:
            constant = {
                i: tuple(submap.reconstruction.camera(i).params)
                for i in self.fixed_cameras & set(submap.reconstruction.cameras)
            }
            hold_cameras(submap.reconstruction, {**constant, **gone}, self.threads)
            submap.rebuild()
            submap.located = 0
        self.fixed_cameras |= gone.keys()
        self._free_cameras -= gone.keys()

    def adopt(self, reconstruction: pycolmap.Reconstruction) -> Submap:
        """Go on with a model of images of the graph; ``submaps`` is left to the caller."""
        for image_id in list(reconstruction.images):
            reconstruction.image(image_id).name = self.graph.cache.image(image_id).name
        return Submap(self.graph, reconstruction)

    # Inside

    def _look_again(self) -> None:
        """Pairs have been added here and there."""
        for submap in self.submaps:
            submap.forget_failures()
            submap.touched |= submap.registered

    def _grow_submaps(self, thresholds: Thresholds, checkpoint: Callable[[], None]) -> None:
        """Register what waits; merge submaps that meet, or else let the larger take over image by image until they fit."""
        while True:
            for submap in self.submaps:
                others = set().union(*(m.registered for m in self.submaps if m is not submap))
                submap.grow(self.options(thresholds, len(submap)), others, checkpoint)
            if len(self.submaps) < 2:
                break
            if not self._merge_submaps(thresholds, checkpoint) and not self._take_over(thresholds, checkpoint):
                break
        self._tidy()

    def _take_over(self, thresholds: Thresholds, checkpoint: Callable[[], None]) -> bool:
        """Let one submap register one image of a smaller one; whether there was any."""
        taken: set[int] = set()
        for submap in self.submaps:
            if submap.registered - taken and submap.grow(self.options(thresholds, len(submap)), taken, checkpoint, most=1):
                return True
            taken |= submap.registered
        return False

    def _merge_submaps(self, thresholds: Thresholds, checkpoint: Callable[[], None]) -> bool:
        """Merge submaps that border on each other where that has changed; whether any were."""
        owner: dict[int, list[Submap]] = {}
        for submap in self.submaps:
            for image_id in submap.registered:
                owner.setdefault(image_id, []).append(submap)
        bordering: set[tuple[int, int]] = set()
        for submap in self.submaps:
            for image_id in submap.touched:
                for other in (image_id, *self.graph.matches(image_id)):
                    for neighbour in owner.get(other, ()):
                        if neighbour is not submap:
                            bordering.add((min(submap.number, neighbour.number), max(submap.number, neighbour.number)))
        merged: list[Submap] = []
        by_number = {submap.number: submap for submap in self.submaps}
        for pair in sorted(bordering):
            if all(number in by_number for number in pair):
                target, source = sorted((by_number[n] for n in pair), key=lambda m: (-len(m), m.number))
                options = self.options(thresholds, len(target))
                if merge(source, target, options, max(MERGE_POINTS, thresholds.pose), self._seed):
                    self.submaps.remove(by_number.pop(source.number))
                    merged.append(target)
                checkpoint()
        for submap in self.submaps:
            if submap not in merged:  # those border on more now
                submap.touched.clear()
        return bool(merged)

    def _tidy(self) -> None:
        """Sort by size and drop submaps whose images are all in larger ones."""
        taken: set[int] = set()
        kept = []
        for submap in sorted(self.submaps, key=lambda m: by_size(m.reconstruction)):
            if submap.registered - taken:
                kept.append(submap)
            taken |= submap.registered
        self.submaps = kept

    def _begin(self, thresholds: Thresholds, checkpoint: Callable[[], None], *, patient: bool) -> bool:
        """Begin one more submap from images that wait; whether there is one."""
        waiting = self.waiting
        if patient and self.submaps:
            waiting = {i for i in waiting if len(self.graph) - self._arrival[i] >= self._patience}
        if len(waiting) < 2 or (begun := self._start(waiting)) is None:
            return False
        checkpoint()
        begun.grow(self.options(thresholds, len(begun)), self.registered, checkpoint)
        self.submaps.append(begun)
        self._grow_submaps(thresholds, checkpoint)
        return True

    def _start(self, free: set[int]) -> Submap | None:
        trials = first_pair_trials(self._min_matches, plenty=self.plenty)
        for trial in trials if len(free) >= SMALL else trials[:1]:  # many wait in vain: whatever begins is better
            submap = self._starter.start(free, trial, self.options(trial, 2))
            if submap is not None:
                return submap
        return None

    def _begin_anew(self, thresholds: Thresholds, checkpoint: Callable[[], None], *, patient: bool) -> None:
        """Where a small submap does not grow although images wait, try another beginning and keep the larger."""
        for submap in list(self.submaps):
            patience = PATIENCE if submap is self.submaps[0] else self._patience  # a map that has only this one is stuck
            stalled = len(self.graph) >= submap.born + patience or not patient
            if len(submap) >= SMALL or not stalled or len(self.waiting) < 2:
                continue
            submap.born = len(self.graph)
            rival = self._start(self.waiting | submap.registered)
            checkpoint()
            if rival is None:
                continue
            others = set().union(*(m.registered for m in self.submaps if m is not submap))
            rival.grow(self.options(thresholds, len(rival)), others, checkpoint)
            if len(rival) > len(submap):
                self.submaps[self.submaps.index(submap)] = rival
                log.info("a submap of %d images gives way to another beginning with %d", len(submap), len(rival))
        self._tidy()
