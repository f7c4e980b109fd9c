"""Submaps brought into the world: by GPS, or to metres by a rig or odometry; positions and mounts then pull at them.

Between two revisions the mapper moves single images, so that the mounts hold only about; every time a submap is fitted to
the world, and at the end, all images of one moment are made one frame and adjusted again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper
from seg2d3d_ros.reconstruction.online.rig_merging import merge_submaps_by_rig, place_companions
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import hold_mounts
from seg2d3d_ros.reconstruction.rigs.rig_fit import rotation_offset, scale_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions

if TYPE_CHECKING:
    import pycolmap

RELOCATE_GROWTH = 1.25
"""The fit to the world is computed again when a submap has grown by this factor."""


def locate_submaps(mapper: OnlineMapper, locator: Locator, rig: Rig | None, warnings: list[str], *, final: bool) -> None:
    """Merge submaps by the rig, and bring each into the world where that is possible and due.

    Args:
        mapper: its submaps are changed.
        locator: where the images were.
        rig: the mounts, if they are known.
        warnings: gets why a submap keeps an arbitrary scale, and what is wrong with the mounts.
        final: nothing will follow: mounts must hold now.
    """
    if rig is not None:
        mapper.submaps = merge_submaps_by_rig(
            mapper.submaps, rig, lambda model: locator.best_scale(model, by_rig=scale_by_rig(model, rig))
        )
    for submap in mapper.submaps:
        _locate(submap, mapper, locator, rig, warnings, final=final)


def _locate(
    submap: Submap, mapper: OnlineMapper, locator: Locator, rig: Rig | None, warnings: list[str], *, final: bool
) -> None:
    model, kind = submap.reconstruction, submap.frame.kind
    due = len(submap) >= RELOCATE_GROWTH * submap.located or (final and rig is not None and len(submap) > submap.located)
    if not due and (kind == "enu" or (kind == "metric" and locator.datum is None)):
        return
    scale = locator.scale(model, by_rig=None if rig is None else scale_by_rig(model, rig))
    if not due and kind == "metric" and locator.fit(model, scale).similarity is None:
        return
    frame = locator.georeference(model, scale, warnings)
    if frame.kind == "arbitrary":
        return
    submap.frame, submap.located = frame, len(submap)
    options, fixed_cameras = mapper.options(mapper.thresholds, len(submap)), mapper.fixed_cameras
    options.global_adjustment.refine_sensor_from_rig = rig is not None and rig.refine

    def pull(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction | None:
        """A copy of the model as positions pull at it; None where there are none, or where they do not fit."""
        if frame.kind != "enu":
            return None
        return adjust_with_positions(model, locator.positions, locator.sigmas, options.global_adjustment, fixed_cameras)

    adjusted = None
    if rig is None:
        adjusted = pull(model)
    else:
        place_companions(submap, rig, options)
        if rotation_offset(submap.reconstruction, rig) is not None:
            adjusted = hold_mounts(submap.reconstruction, rig, fixed_cameras, mapper.threads, warnings, pull)
    if adjusted is not None and adjusted is not submap.reconstruction:
        submap.take_solution(adjusted)
    if frame.kind == "enu":  # positions alone leave the tilt about a street open
        scale = None if scale is None else Scale(1.0, scale.sigma)
        locator.georeference(submap.reconstruction, scale, [])
