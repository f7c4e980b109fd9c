"""How strict the online mapper is: thresholds that follow the evidence at hand, robust losses, capped adjustments.

Where pairs share plenty of matches wrong poses are the danger (repeated façades), where they share few no pose is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from seg2d3d_ros.colmap import load_pycolmap, thread_count

CAUCHY_SCALE = 1.0
"""Pixels where the loss of a reprojection error turns from square to logarithmic."""
GLOBAL_ITERATIONS = 15
GLOBAL_TOLERANCE = 1e-5
REDUNDANT_FROM = 100
"""Images from which a global adjustment leaves out points that add little."""


@dataclass(frozen=True)
class Thresholds:
    """What counts as enough.

    Attributes:
        pair: verified matches of a pair that enters the graph.
        pose: inliers of an absolute pose.
        init_inliers: verified matches of a first pair.
        init_angle: degrees between the rays of a first pair.
        init_points: points that a first pair must leave after its adjustment.
        init_forward: largest share of a first pair's motion along the viewing direction.
        two_view_tracks: whether points that only two images match are triangulated.
        angle: degrees between the rays of a point.
    """

    pair: int
    pose: int
    init_inliers: int
    init_angle: float
    init_points: int
    init_forward: float = 0.95
    two_view_tracks: bool = False
    angle: float = 1.5


def strict(min_matches: int) -> Thresholds:
    """For plentiful evidence; ``min_matches`` is the smallest number of verified matches that makes a pair at all."""
    return Thresholds(2 * min_matches, 60, 100, 16.0, 50)


def lenient(min_matches: int) -> Thresholds:
    """For scarce evidence."""
    return Thresholds(min_matches, 15, 50, 4.0, 40, two_view_tracks=True, angle=0.75)


def beginnings(min_matches: int, *, rich: bool) -> tuple[Thresholds, ...]:
    """What to ask of a first pair, in this order: a car that looks where it drives never has a wide baseline."""
    scarce = lenient(min_matches)
    wide = (strict(min_matches),) if rich else (replace(scarce, init_angle=16.0), scarce)
    return (*wide, replace(scarce, init_angle=2.0, init_forward=1.0))


@dataclass(frozen=True)
class MapperOptions:
    """pycolmap's options for each kind of step."""

    mapper: Any
    triangulation: Any
    initial_triangulation: Any
    local_adjustment: Any
    global_adjustment: Any


def mapper_options(
    thresholds: Thresholds, fixed_cameras: Collection[int], *, refine: bool, images: int, seed: int, threads: int
) -> MapperOptions:
    """Options for a model of ``images`` images; cameras that are not in ``fixed_cameras`` are refined if ``refine``."""
    pycolmap = load_pycolmap()
    options: Any = pycolmap.IncrementalPipelineOptions()
    options.num_threads = thread_count(threads)
    options.random_seed = seed
    options.ba_refine_focal_length = options.ba_refine_extra_params = refine
    options.constant_cameras = set(fixed_cameras)
    mapper = options.get_mapper()
    mapper.abs_pose_min_num_inliers = thresholds.pose
    mapper.init_min_num_inliers = thresholds.init_inliers
    mapper.init_min_tri_angle = thresholds.init_angle
    mapper.init_max_forward_motion = thresholds.init_forward
    mapper.max_reg_trials = 10**6  # whether a try is worth it again is decided by what became visible
    mapper.ba_global_ignore_redundant_points3D = images >= REDUNDANT_FROM
    triangulation = options.get_triangulation()
    triangulation.min_angle = mapper.filter_min_tri_angle = thresholds.angle
    triangulation.ignore_two_view_tracks = not thresholds.two_view_tracks
    initial = options.get_triangulation()
    initial.min_angle = thresholds.init_angle
    initial.ignore_two_view_tracks = False
    local, full = options.get_local_bundle_adjustment(), options.get_global_bundle_adjustment()
    for adjustment in (local, full):
        adjustment.print_summary = False
        adjustment.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        adjustment.ceres.loss_function_scale = CAUCHY_SCALE
    full.ceres.solver_options.max_num_iterations = GLOBAL_ITERATIONS
    full.ceres.solver_options.function_tolerance = GLOBAL_TOLERANCE
    return MapperOptions(mapper, triangulation, initial, local, full)
