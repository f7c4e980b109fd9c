"""Images that stand on their side or head in an upright map, and whether somebody said that they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import EXAMPLES, NOTE, Findings, Kind
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.geometry.vertical.camera_up import held_as, quarter_turns
from seg2d3d_ros.reconstruction.database import ImageRow

UP_CONTRADICTED = Kind(
    "up_contradicted",
    "images whose mount, orientation tag or sensor contradicts the map's vertical",
    cause="by what these say the images would lie on their side or head in the map; positions, or most of the other images, "
    "say otherwise, and they were followed",
    remedy="look at the report's map: is it upright? then mend what is wrong: the mount's roll (TF, --rig), the tag "
    "(exiftool -Orientation= *.jpg removes it); if the map is not upright, check the positions",
)
IMAGES_ROLLED = Kind(
    "images_rolled",
    "images that stand on their side or head, although nothing says so",
    cause="a camera that is mounted so, or a photograph without its orientation tag: positions, the other images, or the "
    "way the camera moved show it",
    remedy="nothing need be done where the report's map is upright; the mount (TF, --rig) would make sure of it",
    level=NOTE,
)
UPSIDE_DOWN_DOUBTED = Kind(
    "upside_down_doubted",
    "models that may stand on their head",
    cause="nothing tells which way their cameras were held, and what these saw lies farther below them than above, while "
    "streets rise above the cameras",
    remedy="look at the report's map; if the cameras are mounted upside down, say so (TF, --rig, or the EXIF orientation); "
    "nothing need be done where they look down from above",
)
SINKS = 2.0
"""By how much what is seen reaches farther below the cameras than above, in a map that stands on its head: 4, upright 0.1 to
0.5."""
LEVEL = np.sin(np.deg2rad(20.0))
"""Cameras that look farther up or down than this on the average see what is there."""


def tell_rolled(
    model: pycolmap.Reconstruction, rows: Sequence[ImageRow], mounts: Mapping[str, Pose], findings: Findings
) -> None:
    """Say which images of a model whose vertical is the z axis are held otherwise than is told.

    Args:
        model: upright.
        rows: of the map's images.
        mounts: camera name -> ``base_from_camera``.
        findings: gets them; those of several models are counted together.
    """
    there = [row for row in rows if model.exists_image(row.image_id) and model.image(row.image_id).has_pose]
    if not there:
        return
    camera_from_world = np.array([model.image(row.image_id).cam_from_world().rotation.matrix() for row in there])
    wrong: dict[str, str] = {}
    untold: list[str] = []
    for by_mount in (True, False):
        held = [held_as(None, mounts.get(row.camera_name)) if by_mount else held_as(row.up, None) for row in there]
        turns = quarter_turns(np.array([h.rotation for h in held]) @ camera_from_world, Z)
        for row, by, turn in zip(there, held, turns, strict=True):
            if by.source and turn:
                wrong.setdefault(row.name, f"{row.file_name} by its {by.source}")
    for row, turn in zip(there, quarter_turns(camera_from_world, Z), strict=True):
        if turn and not held_as(row.up, mounts.get(row.camera_name)).source:
            untold.append(row.file_name)
    if wrong:
        findings.add(UP_CONTRADICTED, *list(wrong.values())[:EXAMPLES], count=len(wrong), of=len(rows))
    if untold:
        findings.add(IMAGES_ROLLED, *untold[:EXAMPLES], count=len(untold), of=len(rows))


def tell_upside_down(
    model: pycolmap.Reconstruction, rows: Sequence[ImageRow], mounts: Mapping[str, Pose], findings: Findings, shown: str
) -> None:
    """Doubt a model, whose vertical is the z axis, that nobody told how it was taken and whose scene hangs down.

    Args:
        model: upright, or on its head.
        rows: of the map's images.
        mounts: camera name -> ``base_from_camera``.
        findings: gets the model.
        shown: the model in words.
    """
    told = {row.image_id for row in rows if held_as(row.up, mounts.get(row.camera_name)).source}
    ids = sorted(model.reg_image_ids())
    if not model.points3D or not ids or told & set(ids):
        return
    poses = Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids])
    if abs(float(poses.rotation[:, 2, 2].mean())) > LEVEL:
        return
    points = np.array([point.xyz for point in model.points3D.values()])
    distance, nearest = cKDTree(poses.origin).query(points)
    near = distance <= np.percentile(distance, 80)
    below, above = np.percentile((points - poses.origin[nearest])[near, 2], [5, 95])
    if -below > SINKS * max(above, 0.0):
        findings.add(UPSIDE_DOWN_DOUBTED, shown)
