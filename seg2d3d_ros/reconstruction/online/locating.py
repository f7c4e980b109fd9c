"""Submaps brought into the world: by GPS, or to metres by a rig or odometry; positions and mounts then pull at them.

Between two revisions the mapper moves single images, so that the mounts hold only about; every time a submap is fitted to
the world, and at the end, all images of one moment are made one frame and adjusted again.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions
from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.online.submap_merging import absorb, bring_together
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import hold_mounts
from seg2d3d_ros.reconstruction.rigs.rig_fit import merge_by_rig, rotation_offset, scale_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, to_rig_frames, to_single_frames
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions

log = logging.getLogger(__name__)

RELOCATE_GROWTH = 1.25
"""The fit to the world is computed again when a submap has grown by this factor."""
MIN_PLACED_POINTS = 15
"""Points that an image must see to be kept when only its mount gave it a pose."""


def locate_submaps(mapper: OnlineMapper, locator: Locator, rig: Rig | None, findings: Findings, *, final: bool) -> None:
    """Merge submaps by the rig, and bring each into the world where that is possible and due.

    Args:
        mapper: its submaps are changed.
        locator: where the images were.
        rig: the mounts, if they are known.
        findings: gets why a submap keeps an arbitrary scale, what is wrong with the mounts, and what is doubtful.
        final: nothing will follow: mounts must hold now.
    """
    if rig is not None:
        mapper.submaps = merge_submaps_by_rig(mapper.submaps, rig, locator)
    for submap in mapper.submaps:
        _locate(submap, mapper, locator, rig, findings, final=final)


def _locate(
    submap: Submap, mapper: OnlineMapper, locator: Locator, rig: Rig | None, findings: Findings, *, final: bool
) -> None:
    model, kind = submap.reconstruction, submap.frame.kind
    due = len(submap) >= RELOCATE_GROWTH * submap.located or (final and rig is not None and len(submap) > submap.located)
    placed = submap.frame == locator.world
    if not due and placed:
        locator.tell_doubts(model, findings)
        if final:
            submap.frame = locator.frame_of(model, _scale(model, locator, rig))
        return
    if not due and kind == "metric" and locator.world is None:
        return
    scale = _scale(model, locator, rig)
    if not due and kind == "metric" and locator.fit(model, scale).similarity is None:
        return
    frame = locator.georeference(model, scale, findings, level=due)  # else a map would turn a little with every revision
    if due or frame.kind != "arbitrary":
        submap.frame, submap.located = frame, len(submap)
    if frame.kind == "arbitrary" and frame != locator.world:
        return
    options, fixed_cameras = mapper.options(mapper.thresholds, len(submap)), mapper.fixed_cameras
    options.global_adjustment.refine_sensor_from_rig = rig is not None and rig.refine

    def pull(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction | None:
        """A copy of the model as positions pull at it; None where there are none, or where they do not fit."""
        if frame != locator.world:
            return None
        return adjust_with_positions(
            model, locator.at_cameras(model), locator.sigmas, options.global_adjustment, fixed_cameras, locator.heights
        )

    adjusted = None
    if rig is None:
        adjusted = pull(model)
    else:
        place_companions(submap, rig, options)
        if rotation_offset(submap.reconstruction, rig) is not None:
            adjusted = hold_mounts(submap.reconstruction, rig, fixed_cameras, mapper.threads, findings, pull)
    if adjusted is not None and adjusted is not submap.reconstruction:
        submap.take_solution(adjusted)
    if frame == locator.world:  # positions alone leave the tilt about a street open
        # The adjustment brought the model, mounts and all, to the scale of the positions: what the mounts say counts once more.
        scale = _scale(submap.reconstruction, locator, rig)
        submap.frame = locator.georeference(submap.reconstruction, scale, Findings())


def _scale(model: pycolmap.Reconstruction, locator: Locator, rig: Rig | None) -> Scale | None:
    return locator.scale(model, None if rig is None else scale_by_rig(model, rig))


def merge_submaps_by_rig(submaps: Sequence[Submap], rig: Rig, locator: Locator) -> list[Submap]:
    """The submaps after larger ones took in smaller ones by frames with an image in each, the largest first."""

    def take_in(target: Submap, source: Submap, target_from_source: Similarity) -> None:
        bring_together(source, target, target_from_source)
        absorb(source, target)

    def scale(submap: Submap) -> float | None:
        model = submap.reconstruction
        return 1.0 if submap.frame.kind != "arbitrary" else locator.best_scale(model, by_rig=scale_by_rig(model, rig))

    return merge_by_rig(submaps, rig, scale, take_in)


def place_companions(submap: Submap, rig: Rig, options: MapperOptions) -> None:
    """Register images that wait by their mounts beside an image of their frame; those that see enough points stay.

    The submap must be metric.
    """
    registered = submap.registered
    wait = {b.image_id for a, b in rig.pairs(registered, set(submap.reconstruction.images) - registered)}
    if not wait:
        return
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
