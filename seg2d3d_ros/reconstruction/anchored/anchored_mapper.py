"""A global solution that positions hold in place: it does not depend on an order, and knows scale and direction everywhere.

GLOMAP's steps (Pan et al., Global Structure-from-Motion Revisited, ECCV 2024) with the positions as evidence in each of them:
rotations are averaged over the pairs and turned to the positions, places are found from rays and positions together, and the
adjustment takes in both. Parts of the view graph that share no points become one model, because their positions tell how they
lie to each other; and no part can have a scale of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.anchored.adjusting import adjust_anchored
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.anchored_solution import AnchoredSolution
from seg2d3d_ros.reconstruction.anchored.attitudes import believed_attitudes
from seg2d3d_ros.reconstruction.anchored.loading import image_rays, load_images
from seg2d3d_ros.reconstruction.anchored.loose_places import loose_images
from seg2d3d_ros.reconstruction.anchored.placing import place_images
from seg2d3d_ros.reconstruction.anchored.relative_poses import Pair, RelativePose
from seg2d3d_ros.reconstruction.anchored.rotations import average_rotations, consistent_pairs, turn_to_positions
from seg2d3d_ros.reconstruction.anchored.settling import settle
from seg2d3d_ros.reconstruction.anchored.tracks import find_tracks
from seg2d3d_ros.reconstruction.calibration.self_calibration import doubt_calibrations
from seg2d3d_ros.reconstruction.rigs.found_mounts import find_mounts, largest_difference
from seg2d3d_ros.reconstruction.rigs.mount_change import mount_change
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import MOUNTS_NOT_USED, WRONG_DEGREES
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, to_rig_frames, to_single_frames
from seg2d3d_ros.reconstruction.viewgraph import components
from seg2d3d_ros.reconstruction.world.position_priors import make_priors

log = logging.getLogger(__name__)

MIN_IMAGES = 3
"""Of a part of the view graph."""
MIN_POINTS = 15
"""An image that sees fewer is not registered."""
OUTLIER = 4.0
"""Positions further off than this many standard deviations, when places are found, are left out of the adjustment."""
CONTRADICTED = 8.0
"""An image whose keypoints pull it so many standard deviations away from its position has wrong matches: it is refused."""


def solve_anchored(
    database: Path,
    anchor: Anchor,
    pairs: np.ndarray,
    image_ids: Collection[int],
    *,
    min_matches: int,
    fixed_cameras: Collection[int],
    seed: int,
    threads: int,
) -> AnchoredSolution | None:
    """One model, in the positions' frame, of the images whose place can be told; None where there is none.

    Args:
        database: COLMAP's.
        anchor: positions and mounts.
        pairs: (M, 3) image id, image id (the smaller one first), verified matches.
        image_ids: the images.
        min_matches: verified matches that make a pair.
        fixed_cameras: ids of cameras whose intrinsics stay.
        seed: of random choices.
        threads: 0 = all cores.
    """
    posed = set(image_ids) & anchor.attitudes.keys() & anchor.positions.keys()
    model, relative = load_images(database, pairs, image_ids, min_matches, posed)
    findings = Findings()
    rotations, given = _rotations(model, relative, anchor, None, seed, findings)
    rig, single = _believed_rig(model, anchor, rotations, findings), None
    if rig is not None:
        single = to_rig_frames(model, rig)
        rotations, given = _rotations(model, relative, anchor, rig, seed, Findings())
    if not rotations:
        return None
    anchor = anchor.at_cameras(rotations)
    tracks = find_tracks(consistent_pairs(rotations, relative), {i: image_rays(model, i) for i in rotations})
    if len(tracks) < MIN_POINTS:
        return None
    seen = set(tracks.images.tolist())
    placed = place_images({i: turn for i, turn in rotations.items() if i in seen or i in anchor.positions}, tracks, anchor, rig)
    poses, scatter = placed.poses, placed.scatter
    if single is not None and placed.rig is not None and placed.rig is not rig:
        to_single_frames(model, single, keep=())
        rig, single = placed.rig, to_rig_frames(model, placed.rig)
    _set_poses(model, poses)
    sigmas = {i: scatter * anchor.sigmas[i] for i in poses if i in anchor.positions}
    right = {i: anchor.positions[i] for i in sigmas if anchor.off(i, poses[i].origin) <= OUTLIER * sigmas[i]}
    if not anchor.holds(right):
        return None
    priors, sigma = make_priors(model, right, sigmas, anchor.heights), float(np.median(list(sigmas.values())))
    refine = rig is not None and rig.refine
    exact = rig is not None and rig.exact
    model, refined = adjust_anchored(model, tracks, priors, sigma, fixed_cameras, threads, refine=refine, exact=exact)
    names = {row.camera_id: row.camera_name for moment in anchor.moments for row in moment if not row.panorama}
    doubt_calibrations([model], fixed_cameras, names, threads, findings, priors, sigma)
    if refined and rig is not None and rig is anchor.rig:
        mount_change(model, rig).tell(findings)
    if given:
        settle(model, right, sigmas, anchor.heights, given, anchor.rotation_sigma)
    refused = {i for i in right if anchor.off(i, model.image(i).projection_center()) > CONTRADICTED * sigmas[i]}
    bare = {i for i in poses if model.image(i).num_points3D < MIN_POINTS}
    moments = [[row.image_id for row in frame] for frame in rig.frames] if rig is not None else []
    loose = loose_images(model, right, moments) - given.keys()
    if loose:
        log.info("%d images without a position share too few points with two other places to be placed", len(loose))
    kept = (poses.keys() - bare - refused - loose) | (bare & given.keys())
    if single is not None:
        to_single_frames(model, single, keep=rig.companions(kept) if rig is not None else kept)
    else:
        for image_id in set(model.reg_image_ids()) - kept:
            model.deregister_frame(model.image(image_id).frame_id)
    for image_id in bare & kept:  # too few points to know better than what was given
        image = model.image(image_id)
        model.frame(image.frame_id).set_cam_from_world(image.camera_id, poses[image_id].to_colmap())
    located = [i for i in model.images if i in anchor.positions]
    agreement = [i in kept and anchor.off(i, model.image(i).projection_center()) <= OUTLIER * anchor.sigmas[i] for i in located]
    share = float(np.mean(agreement))
    solution = AnchoredSolution(model, relative, share, findings.list(), frozenset(refused - kept), bool(given))
    log.info(
        "held by positions: %d of %d images, %.3f of the matches confirmed", len(kept), len(model.images), solution.support
    )
    return solution


def _set_poses(model: pycolmap.Reconstruction, poses: Mapping[int, Pose]) -> None:
    """Register these images and no others; in rig frames one image of each decides, because the others agree with it."""
    for frame_id in list(model.reg_frame_ids()):
        model.deregister_frame(frame_id)
    for image_id, pose in poses.items():
        image = model.image(image_id)
        if not image.has_pose:
            model.frame(image.frame_id).set_cam_from_world(image.camera_id, pose.to_colmap())
            model.register_frame(image.frame_id)


def _rotations(
    model: pycolmap.Reconstruction,
    relative: Mapping[Pair, RelativePose],
    anchor: Anchor,
    rig: Rig | None,
    seed: int,
    findings: Findings,
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Image id -> (3, 3) ``camera_from_world`` in the positions' frame: of every part that positions can turn there, and of
    the images whose rotation was given, the better of both where an image has both; then those that were given, alone."""
    averaged: dict[int, np.ndarray] = {}
    for part in _parts(model, relative, rig):
        inside = {pair: pose for pair, pose in relative.items() if set(pair) <= part}
        found = average_rotations(model, inside, seed)
        if len(found) >= MIN_IMAGES and anchor.holds(found):
            averaged.update(turn_to_positions(found, consistent_pairs(found, inside), anchor))
    given, better = believed_attitudes(anchor, relative, averaged, anchor.camera_names, findings)
    return ({**averaged, **given} if better else {**given, **averaged}), given


def _believed_rig(
    model: pycolmap.Reconstruction, anchor: Anchor, rotations: Mapping[int, np.ndarray], findings: Findings
) -> Rig | None:
    """The rig as given, unless the images contradict it; else the mounts that these show, or None where they show none."""
    if anchor.rig is not None and anchor.rig.exact:
        return anchor.rig
    found = find_mounts(rotations, anchor.moments, anchor.positions, anchor.sigmas)
    given = anchor.rig
    if given is not None and any(sum(model.exists_image(r.image_id) for r in frame) > 1 for frame in given.frames):
        if found is None:
            return given
        off = largest_difference(given, found)
        if off <= WRONG_DEGREES:
            return given
        findings.add(MOUNTS_NOT_USED, degrees=f"{off:.1f}")
    if found is not None:
        log.info("the cameras %s turn together: they are taken for mounted together", ", ".join(found.mounts))
    return found


def _parts(model: pycolmap.Reconstruction, relative: Mapping[Pair, RelativePose], rig: Rig | None) -> list[set[int]]:
    """Image ids of the parts that hang together by pairs, and by the mounts."""
    edges = [(a, b, 1) for a, b in relative]
    for frame in rig.frames if rig else ():
        there = sorted(r.image_id for r in frame if model.exists_image(r.image_id))
        edges += [(there[0], other, 1) for other in there[1:]]
    return [set(part) for part in components(np.array(edges, np.int64).reshape(-1, 3), sorted(model.images), 1)]
