"""What a rig adds to an online map: submaps that share one are merged, and images beside registered ones are registered."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.online.submap_merging import absorb, bring_together
from seg2d3d_ros.reconstruction.rigs.rig_fit import merge_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, to_rig_frames, to_single_frames

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
