"""From verified pairs to models: GLOMAP and COLMAP's incremental mapper, each component of the view graph on its own.

GLOMAP (Pan et al., Global Structure-from-Motion Revisited, ECCV 2024) uses all pairs at once and does not depend on an
order, but puts everything that it is given into one model: what holds together must be found before, and checked after.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap, thread_count
from seg2d3d_ros.reconstruction.focal import hold_cameras, strayed
from seg2d3d_ros.reconstruction.viewgraph import COMMON_POINTS, evidence, keep_images, rigid_parts

log = logging.getLogger(__name__)

MIN_IMAGES = 2
INCREMENTAL_SECONDS = 2
"""Time per image that the incremental mapper may take when it is only the second opinion."""
ALL_TRACKS = 2**31 - 1
PLENTY = 100
"""Verified matches that the median image shares with its best partner where evidence counts as plentiful."""


@dataclass(frozen=True)
class MapperTask:
    """What both mappers need.

    Attributes:
        database: path of the COLMAP database.
        names: image id -> name in the database.
        fixed_cameras: camera id -> parameters of calibrated cameras, which stay as they are.
        free_cameras: ids of cameras to refine.
        known_focals: camera id -> parameters, of cameras to refine whose focal length came with the images.
        min_matches: verified matches that make a pair.
        seed: of every random choice.
        threads: 0 = all cores.
        tracks_per_view: the global mapper finds poses from the longest tracks until each image has this many; it
            triangulates all the others afterwards.
    """

    database: Path
    names: dict[int, str]
    fixed_cameras: Mapping[int, Sequence[float]]
    free_cameras: frozenset[int]
    min_matches: int
    seed: int
    threads: int
    tracks_per_view: int = ALL_TRACKS
    known_focals: Mapping[int, Sequence[float]] = field(default_factory=dict)


def solve_global(task: MapperTask, members: Sequence[int]) -> list[Any]:
    """Models (``pycolmap.Reconstruction``) of the images ``members`` by GLOMAP."""
    pycolmap = load_pycolmap()
    options: Any = pycolmap.GlobalPipelineOptions()
    options.num_threads = thread_count(task.threads)
    options.random_seed = task.seed
    options.min_num_matches = task.min_matches
    options.min_model_size = MIN_IMAGES
    options.image_names = [task.names[i] for i in members]
    options.mapper.track_required_tracks_per_view = task.tracks_per_view
    refine = bool(task.free_cameras)
    options.mapper.bundle_adjustment.refine_focal_length = refine
    options.mapper.bundle_adjustment.refine_extra_params = refine
    with tempfile.TemporaryDirectory(prefix="seg2d3d_") as folder:
        models = list(pycolmap.global_mapping(task.database, folder, folder, options).values())
    if task.fixed_cameras and refine:
        for model in models:
            hold_cameras(model, task.fixed_cameras, task.threads)
    return models


def solve_incremental(task: MapperTask, members: Sequence[int], *, plenty: bool, limit_s: int = -1) -> list[Any]:
    """Models of the images ``members`` by COLMAP's incremental mapper.

    Args:
        task: see ``MapperTask``.
        members: image ids.
        plenty: strict thresholds (wrong poses are the danger) instead of lenient ones (no pose is the danger).
        limit_s: stop adding images after this time; -1 = never.
    """
    pycolmap = load_pycolmap()
    options: Any = pycolmap.IncrementalPipelineOptions()
    options.num_threads = thread_count(task.threads)
    options.random_seed = task.seed
    options.extract_colors = False
    options.image_names = [task.names[i] for i in members]
    options.min_model_size = MIN_IMAGES
    options.max_runtime_seconds = limit_s
    options.constant_cameras = set(task.fixed_cameras)
    options.ba_global_function_tolerance = 1e-5
    options.ba_global_max_num_iterations = 30
    options.triangulation.ignore_two_view_tracks = len(members) > 2
    if plenty:
        options.min_num_matches = 2 * task.min_matches
        options.mapper.abs_pose_min_num_inliers = 60
    else:
        options.min_num_matches = task.min_matches
        options.mapper.init_min_tri_angle = 4.0
        options.mapper.init_min_num_inliers = 50
        options.mapper.abs_pose_min_num_inliers = 15
    with tempfile.TemporaryDirectory(prefix="seg2d3d_") as folder:
        return list(pycolmap.incremental_mapping(task.database, folder, folder, options).values())


def score(models: Sequence[Any]) -> tuple[int, int]:
    """Of the largest model: registered images, and observations of points that three or more images see."""
    best = (0, 0)
    for model in models:
        lengths = np.fromiter((p.track.length() for p in model.points3D.values()), np.int64, len(model.points3D))
        best = max(best, (int(model.num_reg_images()), int(lengths[lengths >= 3].sum())))
    return best


def clearly_better(challenger: Sequence[Any], incumbent: Sequence[Any]) -> bool:
    """Whether ``challenger`` registers over 3 % more images, or at least as many with 15 % more observations.

    The margin is there because more observations alone do not mean a straighter model.
    """
    (images, observations), (images_now, observations_now) = score(challenger), score(incumbent)
    if images > 1.03 * images_now:
        return True
    return images >= images_now and observations > 1.15 * observations_now


def solve_component(task: MapperTask, members: Sequence[int], pairs: np.ndarray, mapper: str) -> list[Any]:
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
        if gone := strayed(model, task.known_focals):
            log.info("the motion does not determine the focal length of %d cameras: the known one is kept", len(gone))
            hold_cameras(model, {**task.fixed_cameras, **gone}, task.threads)
    return models


def _best(task: MapperTask, members: Sequence[int], pairs: np.ndarray, mapper: str) -> list[Any]:
    plenty = evidence(pairs, members) >= PLENTY
    if mapper == "incremental" or len(members) < 3:
        return _strict_then_lenient(task, members, plenty=plenty)
    models = _firm(solve_global(task, members))
    if mapper == "auto" and score(models)[0] < len(members):
        limit = INCREMENTAL_SECONDS * len(members)
        rival = _strict_then_lenient(task, members, plenty=plenty, limit_s=limit)
        if clearly_better(rival, models):
            return rival
    return models


def _strict_then_lenient(task: MapperTask, members: Sequence[int], *, plenty: bool, limit_s: int = -1) -> list[Any]:
    """Incremental models by strict thresholds where evidence is plentiful, by lenient ones where those leave images out."""
    models = _firm(solve_incremental(task, members, plenty=True, limit_s=limit_s)) if plenty else []
    if score(models)[0] < len(members):
        lenient = _firm(solve_incremental(task, members, plenty=False, limit_s=limit_s))
        if not models or clearly_better(lenient, models):
            return lenient
    return models


def _firm(models: Sequence[Any]) -> list[Any]:
    """The models cut where their parts hang together by too few points; what remains of an image alone is dropped."""
    firm = []
    for model in models:
        parts = [part for part in rigid_parts(model) if len(part) >= MIN_IMAGES]
        whole = len(parts) == 1 and len(parts[0]) == model.num_reg_images()
        firm.extend([model] if whole else [keep_images(model, part) for part in parts])
    firm = [model for model in firm if model.num_points3D() >= COMMON_POINTS]
    return disjoint(sorted(firm, key=lambda m: (-m.num_reg_images(), -m.num_points3D())))


def disjoint(models: Sequence[Any]) -> list[Any]:
    """Drop images from a smaller model that a larger one holds (the incremental mapper lets models overlap)."""
    taken: set[int] = set()
    kept = []
    for model in models:
        own = [i for i in model.reg_image_ids() if i not in taken]
        if len(own) < MIN_IMAGES:
            continue
        part = model if len(own) == model.num_reg_images() else keep_images(model, own)
        if part.num_points3D() >= COMMON_POINTS:
            kept.append(part)
            taken.update(own)
    return kept
