"""The rig in an online map: submaps that share a rig become one, and its mounts are made to hold.

Between two revisions the mapper moves single images, so that the mounts hold only about; every time a submap is fitted to
the world, and at the end, all images of one moment are made one frame and adjusted again.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.online.submap_merging import absorb, bring_together
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import hold_mounts
from seg2d3d_ros.reconstruction.rigs.rig_fit import merge_by_rig, rotation_offset
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, to_rig_frames, to_single_frames
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions

if TYPE_CHECKING:
    import pycolmap

log = logging.getLogger(__name__)

MIN_PLACED_POINTS = 15
"""Points that an image must see to be kept when only its mount gave it a pose."""


def merge_submaps_by_rig(
    submaps: Sequence[Submap], rig: Rig, scale_of: Callable[[pycolmap.Reconstruction], float | None]
) -> list[Submap]:
    """The submaps after larger ones took in smaller ones by frames with an image in each, the largest first.

    Args:
        submaps: the largest first; changed.
        rig: the mounts.
        scale_of: metres per model unit, or None.
    """

    def take_in(target: Submap, source: Submap, target_from_source: Similarity) -> None:
        bring_together(source, target, target_from_source)
        absorb(source, target)

    def scale(submap: Submap) -> float | None:
        return 1.0 if submap.frame.kind != "arbitrary" else scale_of(submap.reconstruction)

    return merge_by_rig(submaps, rig, scale, take_in)


def hold_rig(
    submap: Submap,
    rig: Rig,
    options: MapperOptions,
    fixed_cameras: Collection[int],
    threads: int,
    positions: Mapping[int, np.ndarray],
    sigmas: Mapping[int, float],
    warnings: list[str],
) -> None:
    """Make the mounts hold in a metric submap, and let positions pull at it where there are any.

    Args:
        submap: changed.
        rig: the mounts.
        options: of the mapper's steps.
        fixed_cameras: ids of cameras whose intrinsics stay.
        threads: 0 = all cores.
        positions: image id -> (3,) metres in the submap's frame; empty = none.
        sigmas: image id -> standard deviation in metres.
        warnings: gets what is wrong with the mounts.
    """
    if rotation_offset(submap.reconstruction, rig) is None:
        return
    adjustment = copy.deepcopy(options.global_adjustment)
    adjustment.refine_sensor_from_rig = rig.refine

    def pull(held: pycolmap.Reconstruction) -> pycolmap.Reconstruction | None:
        return adjust_with_positions(held, positions, sigmas, adjustment, fixed_cameras) if positions else None

    held = hold_mounts(submap.reconstruction, rig, fixed_cameras, threads, warnings, pull)
    if held is not submap.reconstruction:
        submap.take_solution(held)


def place_companions(submap: Submap, rig: Rig, options: MapperOptions) -> int:
    """Register images that wait by their mounts beside an image of their frame; how many see enough points to stay.

    The submap must be metric.
    """
    registered = submap.registered
    wait = {b.image_id for a, b in rig.pairs(registered, set(submap.reconstruction.images) - registered)}
    if not wait:
        return 0
    placed = copy.deepcopy(submap.reconstruction)
    to_single_frames(placed, to_rig_frames(placed, rig), keep=registered | wait)
    submap.take_solution(placed)
    for image_id in sorted(wait):
        submap.mapper.triangulate_image(options.triangulation, image_id)
    submap.rebuild()
    bare = [i for i in sorted(wait) if submap.reconstruction.image(i).num_points3D < MIN_PLACED_POINTS]
    for image_id in bare:
        submap.mapper.observation_manager.deregister_frame(submap.reconstruction.image(image_id).frame_id)
    submap.rebuild()
    if len(bare) < len(wait):
        log.info("%d images are registered by their mounts", len(wait) - len(bare))
    return len(wait) - len(bare)
