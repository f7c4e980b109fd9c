"""The rig in an online map: submaps that share a rig become one, and its mounts are made to hold.

Between two revisions the mapper moves single images, so that the mounts hold only about; every time a submap is fitted to
the world, and at the end, all images of one moment become one rig frame and are adjusted again.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions
from seg2d3d_ros.reconstruction.online.submap import Submap, largest_submap_first
from seg2d3d_ros.reconstruction.online.submap_merging import absorb, bring_together
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import RigReport, hold_mounts
from seg2d3d_ros.reconstruction.rigs.rig_fit import MIN_PAIRS, fit_by_rig, mounting
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, to_rig_frames, to_single_frames
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions

if TYPE_CHECKING:
    import pycolmap

log = logging.getLogger(__name__)

MIN_PLACED_POINTS = 15
"""Points that an image must see to be kept when only its mount gave it a pose."""


def merge_by_rig(
    submaps: Iterable[Submap], rig: Rig, metres_of: Callable[[pycolmap.Reconstruction], float | None]
) -> list[Submap]:
    """The submaps after larger ones took in smaller ones by frames with an image in each, the largest first.

    Args:
        submaps: the largest first; changed.
        rig: the mounts.
        metres_of: the scale of a model, or None.
    """
    rest, done = list(submaps), []
    while rest:
        target = rest.pop(0)
        for source in list(rest):
            pairs = list(rig.pairs(target.registered, source.registered))
            if len(pairs) < MIN_PAIRS:
                continue
            metres = 1.0 if target.frame.kind != "arbitrary" else metres_of(target.reconstruction)
            similarity = fit_by_rig(source.reconstruction, target.reconstruction, rig, metres)
            if similarity is None:
                continue
            log.info("submaps of %d and %d images are one by the cameras' mounts", len(target), len(source))
            bring_together(source, target, similarity)
            absorb(source, target)
            rest.remove(source)
        done.append(target)
    return largest_submap_first(done)


def hold_in_metres(
    submap: Submap,
    rig: Rig,
    options: MapperOptions,
    fixed_cameras: Collection[int],
    threads: int,
    positions: Mapping[int, np.ndarray],
    sigmas: Mapping[int, float],
    warnings: list[str],
) -> None:
    """Make the mounts hold in a submap whose unit is a metre, with the pull of positions where there are any.

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
    if mounting(submap.reconstruction, rig).pairs < MIN_PAIRS:
        return
    report = RigReport()
    held = hold_mounts(submap.reconstruction, rig, 1.0, fixed_cameras, threads, report)
    warnings.extend(report.warnings)
    if held is submap.reconstruction:
        return
    if positions:
        registered = set(held.reg_image_ids())
        free = to_rig_frames(held, rig, 1.0)
        adjustment = copy.deepcopy(options.global_adjustment)
        adjustment.refine_sensor_from_rig = rig.refine
        pulled = adjust_with_positions(held, positions, sigmas, adjustment, fixed_cameras)
        held = held if pulled is None else pulled
        to_single_frames(held, free, keep=registered)
    submap.take_solution(held)


def place_companions(submap: Submap, rig: Rig, options: MapperOptions) -> int:
    """Register images that wait by their mounts beside an image of their frame; how many see enough points to stay.

    The submap's unit must be a metre.
    """
    registered = submap.registered
    wait = {b.image_id for a, b in rig.pairs(registered, set(submap.reconstruction.images) - registered)}
    if not wait:
        return 0
    placed = copy.deepcopy(submap.reconstruction)
    to_single_frames(placed, to_rig_frames(placed, rig, 1.0), keep=registered | wait)
    submap.take_solution(placed)
    for image_id in sorted(wait):
        submap.mapper.triangulate_image(options.triangulation, image_id)
    submap.rebuild()
    bare = [i for i in sorted(wait) if submap.reconstruction.image(i).num_points3D < MIN_PLACED_POINTS]
    for image_id in bare:
        submap.mapper.observation_manager.deregister_frame(submap.reconstruction.image(image_id).frame_id)
    submap.rebuild()
    if len(bare) < len(wait):
        log.info("%d images are placed by their mounts", len(wait) - len(bare))
    return len(wait) - len(bare)
