"""From verified pairs to models: each component of the view graph on its own, by the mapper that does better on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.adjustment import hold_cameras, strayed
from seg2d3d_ros.reconstruction.anchored.anchored_mapper import solve_anchored
from seg2d3d_ros.reconstruction.anchored.anchored_solution import SURE_POSITIONS, AnchoredSolution
from seg2d3d_ros.reconstruction.anchored.attitudes import POSES_UNUSED
from seg2d3d_ros.reconstruction.anchored.held_poses import solve_held
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask, solve_global, solve_incremental
from seg2d3d_ros.reconstruction.thresholds import PLENTY, Thresholds, evidence
from seg2d3d_ros.reconstruction.viewgraph import (
    COMMON_POINTS,
    MIN_IMAGES,
    by_size,
    components,
    keep_images,
    partners,
    rigid_parts,
)

log = logging.getLogger(__name__)

TOO_FEW = "too few images have a place and a rotation, or these lie too near to each other"
FIT_BETTER = "the matches of the images fit clearly better without them"
INCREMENTAL_SECONDS = 2
"""Time per image that the incremental mapper may take when it is only the second opinion."""


@dataclass(frozen=True)
class MappedModel:
    """A model.

    Attributes:
        model: images are frames of their own.
        anchored: whether positions hold it in place: then it is in their frame, and the mounts hold in it already.
        settled: whether the poses that its images were given say where it lies: nothing may move it.
        findings: what is doubtful in it.
        refused: ids of images that it refused because their keypoints contradict their positions.
    """

    model: pycolmap.Reconstruction
    anchored: bool = False
    settled: bool = False
    findings: Sequence[Finding] = ()
    refused: Collection[int] = ()


def solve_images(
    task: MapperTask, image_ids: Sequence[int], pairs: np.ndarray, mapper: str, progress: Progress | None = None
) -> list[MappedModel]:
    """Models of the images: one that positions hold in place, where they can, and those of the components of all others.

    Args:
        task: see ``MapperTask``.
        image_ids: the images.
        pairs: (M, 3) image id, image id, verified matches.
        mapper: see ``solve_component``.
        progress: called with ("mapping", images done, images).
    """
    anchor, held = task.anchor, None
    if anchor is not None and anchor.fixed:
        held = _held(lambda: solve_held(task.database, anchor, pairs, image_ids, **_options(task)))
    elif anchor is not None and anchor.holds(image_ids):
        held = _held(lambda: solve_anchored(task.database, anchor, pairs, image_ids, seed=task.seed, **_options(task)))
        exact = anchor.rig is not None and anchor.rig.exact
        if held is not None and not (held.sure or (exact and held.agreement >= SURE_POSITIONS)):
            rivals = solve_components(task, image_ids, pairs, mapper, progress)
            if not held.beats(rivals):
                return _free(rivals, task, image_ids, FIT_BETTER)
    if anchor is None or held is None:
        return _free(solve_components(task, image_ids, pairs, mapper, progress), task, image_ids, TOO_FEW)
    left = sorted(set(image_ids) - set(held.model.reg_image_ids()) - held.refused)
    others = solve_components(task, left, pairs, mapper, progress)
    if not anchor.fixed:
        _keep_known_focals(held.model, task)
    whole = MappedModel(held.model, True, anchor.fixed or held.settled, held.findings, held.refused)
    return [whole, *(MappedModel(model) for model in others)]


def _options(task: MapperTask) -> dict[str, Any]:
    return {"min_matches": task.min_matches, "fixed_cameras": task.fixed_cameras.keys(), "threads": task.threads}


def _held(solve: Callable[[], AnchoredSolution | None]) -> AnchoredSolution | None:
    try:
        return solve()
    except (RuntimeError, ValueError) as error:
        # COLMAP's and NumPy's, for geometry that has no solution; the ordinary mappers do without positions.
        log.warning("positions cannot hold the map in place (%s): it is solved without them", error)
        return None


def _free(
    models: Sequence[pycolmap.Reconstruction], task: MapperTask, image_ids: Sequence[int], reason: str
) -> list[MappedModel]:
    """Models that nothing holds in place; that poses were given and do not, is said with the first."""
    given = len(set(image_ids) & task.anchor.attitudes.keys()) if task.anchor is not None else 0
    told = [Finding(POSES_UNUSED, given, len(image_ids), details={"reason": reason})] if given else []
    return [MappedModel(model, findings=told if k == 0 else ()) for k, model in enumerate(models)]


def solve_components(
    task: MapperTask, image_ids: Sequence[int], pairs: np.ndarray, mapper: str, progress: Progress | None = None
) -> list[pycolmap.Reconstruction]:
    """Models of every component of the view graph, the largest first.

    Args:
        task: see ``MapperTask``.
        image_ids: the images.
        pairs: (M, 3) image id, image id, verified matches.
        mapper: see ``solve_component``.
        progress: called with ("mapping", images done, images); the global mapper takes all of a component at once.
    """
    parts = [part for part in components(pairs, image_ids, task.min_matches) if len(part) >= MIN_IMAGES]
    counted = _CountedImages(progress, sum(map(len, parts)))
    models: list[pycolmap.Reconstruction] = []
    for part in parts:
        counted.begin(len(part))
        models.extend(solve_component(replace(task, on_image=counted.add), part, pairs, mapper))
    counted.end()
    return sorted(models, key=by_size)


class _CountedImages:
    """Tells how many images are mapped, over all components. A mapper may begin again with other thresholds: it never falls."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total = progress, total
        self._before = self._size = self._added = self._told = 0

    def begin(self, size: int) -> None:
        """The next component has ``size`` images."""
        self._before, self._size, self._added = self._before + self._size, size, 0
        self._tell(self._before)

    def add(self) -> None:
        """An image was added to the component's model."""
        self._added += 1
        self._tell(self._before + min(self._added, self._size - 1))

    def end(self) -> None:
        """All are done."""
        self._tell(self._total)

    def _tell(self, done: int) -> None:
        self._told = max(self._told, done)
        if self._progress is not None:
            self._progress("mapping", self._told, self._total)


def solve_component(task: MapperTask, members: Sequence[int], pairs: np.ndarray, mapper: str) -> list[pycolmap.Reconstruction]:
    """Models of one connected component of the view graph, the largest first; focal lengths that strayed are set back.

    Args:
        task: see ``MapperTask``.
        members: image ids of the component.
        pairs: (M, 3) image id, image id, verified matches.
        mapper: ``global``, ``incremental`` or ``auto``: the global one, and where that leaves images out or falls apart,
            also the incremental one; the better is taken.
    """
    models = _best(task, members, pairs, mapper)
    for model in models:
        _keep_known_focals(model, task)
    return models


def _keep_known_focals(model: pycolmap.Reconstruction, task: MapperTask) -> None:
    if gone := strayed(model, task.known_focals):
        log.info("the motion does not determine the focal length of %d cameras: the known one is kept", len(gone))
        hold_cameras(model, {**task.fixed_cameras, **gone}, task.threads)


def _best(task: MapperTask, members: Sequence[int], pairs: np.ndarray, mapper: str) -> list[pycolmap.Reconstruction]:
    plenty = evidence(partners(pairs, members)) >= PLENTY
    if mapper == "incremental" or len(members) < 3:
        return _strict_then_lenient(task, members, plenty=plenty)
    models = _rigid(solve_global(task, members))
    if mapper == "auto" and score(models)[0] < len(members):
        limit = INCREMENTAL_SECONDS * len(members)
        rival = _strict_then_lenient(task, members, plenty=plenty, limit_s=limit)
        if clearly_better(rival, models):
            return rival
    return models


def _strict_then_lenient(
    task: MapperTask, members: Sequence[int], *, plenty: bool, limit_s: int = -1
) -> list[pycolmap.Reconstruction]:
    """Incremental models by strict thresholds where evidence is plentiful, by lenient ones where those leave images out."""
    strict, lenient = Thresholds.strict(task.min_matches), Thresholds.lenient(task.min_matches)
    models = _rigid(solve_incremental(task, members, strict, limit_s=limit_s)) if plenty else []
    if score(models)[0] < len(members):
        more = _rigid(solve_incremental(task, members, lenient, limit_s=limit_s))
        if not models or clearly_better(more, models):
            return more
    return models


def score(models: Iterable[pycolmap.Reconstruction]) -> tuple[int, int]:
    """Of the largest model: registered images, and observations of points that three or more images see."""
    best = (0, 0)
    for model in models:
        lengths = np.fromiter((p.track.length() for p in model.points3D.values()), np.int64, len(model.points3D))
        best = max(best, (model.num_reg_images(), int(lengths[lengths >= 3].sum())))
    return best


def clearly_better(challenger: Sequence[pycolmap.Reconstruction], incumbent: Sequence[pycolmap.Reconstruction]) -> bool:
    """Whether ``challenger`` registers over 3 % more images, or at least as many with 15 % more observations.

    The margin is there because more observations alone do not mean a straighter model.
    """
    (images, observations), (images_now, observations_now) = score(challenger), score(incumbent)
    if images > 1.03 * images_now:
        return True
    return images >= images_now and observations > 1.15 * observations_now


def _rigid(models: Iterable[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    """The models cut where their parts hang together by too few points; what remains of an image alone is dropped."""
    rigid = []
    for model in models:
        parts = [part for part in rigid_parts(model) if len(part) >= MIN_IMAGES]
        whole = len(parts) == 1 and len(parts[0]) == model.num_reg_images()
        rigid.extend([model] if whole else [keep_images(model, part) for part in parts])
    rigid = sorted((model for model in rigid if model.num_points3D() >= COMMON_POINTS), key=by_size)
    return [part for _, part in disjoint(rigid)]  # the incremental mapper lets models overlap


def disjoint(models: Sequence[pycolmap.Reconstruction]) -> Iterator[tuple[int, pycolmap.Reconstruction]]:
    """The models without the images that a former one holds, each with its place in ``models``; tiny rests are dropped."""
    taken: set[int] = set()
    for place, model in enumerate(models):
        own = [i for i in model.reg_image_ids() if i not in taken]
        if len(own) >= MIN_IMAGES:
            part = model if len(own) == model.num_reg_images() else keep_images(model, own)
            if part.num_points3D() >= COMMON_POINTS:
                yield place, part
                taken.update(own)
