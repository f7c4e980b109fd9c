"""COLMAP's options for the steps of the online mapper: robust losses, and adjustments that are cut short."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from seg2d3d_ros.colmap import pycolmap, thread_count
from seg2d3d_ros.reconstruction.thresholds import Thresholds

CAUCHY_SCALE = 1.0
"""Pixels where the loss of a reprojection error turns from square to logarithmic."""
GLOBAL_ITERATIONS = 15
GLOBAL_TOLERANCE = 1e-5
REDUNDANT_FROM = 100
"""Images from which a global adjustment leaves out points that add little."""


def first_pair_trials(min_matches: int, *, plenty: bool) -> tuple[Thresholds, ...]:
    """What to ask of a first pair, in this order: a car that looks where it drives never has a wide baseline."""
    lenient = Thresholds.lenient(min_matches)
    wide = (Thresholds.strict(min_matches),) if plenty else (replace(lenient, init_angle=16.0), lenient)
    return (*wide, replace(lenient, init_angle=2.0, init_forward=1.0))


@dataclass(frozen=True)
class MapperOptions:
    """pycolmap's options for each kind of step."""

    mapper: pycolmap.IncrementalMapperOptions
    triangulation: pycolmap.IncrementalTriangulatorOptions
    initial_triangulation: pycolmap.IncrementalTriangulatorOptions
    local_adjustment: pycolmap.BundleAdjustmentOptions
    global_adjustment: pycolmap.BundleAdjustmentOptions


def mapper_options(
    thresholds: Thresholds, fixed_cameras: Collection[int], *, refine: bool, images: int, seed: int, threads: int
) -> MapperOptions:
    """Options for a model of ``images`` images; cameras that are not in ``fixed_cameras`` are refined if ``refine``."""
    options = pycolmap.IncrementalPipelineOptions()
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
