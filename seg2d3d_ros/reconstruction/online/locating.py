"""Submaps brought into the world: by GPS, or to metres by a rig or odometry; positions and mounts then pull at them."""

from __future__ import annotations

from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper
from seg2d3d_ros.reconstruction.online.rig_merging import hold_rig, merge_submaps_by_rig, place_companions
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.rigs.rig_fit import scale_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions

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
            mapper.submaps, rig, lambda model: locator.metres(model, by_rig=scale_by_rig(model, rig))
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
    options = mapper.options(mapper.thresholds, len(submap))
    positions = locator.positions if frame.kind == "enu" else {}
    if rig is not None:
        place_companions(submap, rig, options)
        hold_rig(submap, rig, options, mapper.fixed_cameras, mapper.threads, positions, locator.sigmas, warnings)
    elif positions:
        adjusted = adjust_with_positions(model, positions, locator.sigmas, options.global_adjustment, mapper.fixed_cameras)
        if adjusted is not None:
            submap.take_solution(adjusted)
    if positions:  # positions alone leave the tilt about a street open
        scale = None if scale is None else Scale(1.0, scale.sigma)
        locator.georeference(submap.reconstruction, scale, [])
