"""A cloud and what views show of it → a scene to learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.learning.learning_scene import UNKNOWN, LearningScene
from seg2d3d_ros.superpoints.completion import completed_labels
from seg2d3d_ros.superpoints.graph import neighbour_graph
from seg2d3d_ros.superpoints.partition import partition
from seg2d3d_ros.superpoints.shown_labels import ShownLabels

NORMAL_NEIGHBOURS = 12
MAX_EXTENT = 1e6
"""Metres from the cloud's middle beyond which a coordinate is an error, and single precision would not do."""

POINTS_NOT_FINITE = Kind(
    "cloud_points_not_finite",
    "points of clouds that are no places",
    cause="their coordinates are NaN, infinite, or beyond any street",
    remedy="they are left out; look at the program that wrote the cloud if they are many",
    level=NOTE,
)
VIEWS_WITHOUT_MASKS = Kind(
    "dataset_views_without_masks",
    "views that give a data set no label",
    cause="they have no mask, or their masks hold no point of the cloud",
    remedy="run the segmenter on all images; raise --range where the cloud is far from the cameras",
    level=NOTE,
)


@dataclass(frozen=True)
class Cloud:
    """N points as a file or a map gives them.

    Attributes:
        xyz: (N, 3) float64 metres.
        rgb: (N, 3) uint8, None = no colours.
        up: (3,) unit vector.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    up: np.ndarray


@dataclass(frozen=True)
class PreparedCloud:
    """What the network and a data set take of a cloud: n points, one for each voxel.

    Attributes:
        row: (n,) int64 the rows of the cloud that they are.
        xyz: (n, 3) float32 from ``origin``, z up.
        origin: (3,) float64 in the cloud's frame.
        rgb: (n, 3) uint8 or None.
        normal: (n, 3) float32.
    """

    row: np.ndarray
    xyz: np.ndarray
    origin: np.ndarray
    rgb: np.ndarray | None
    normal: np.ndarray


@dataclass(frozen=True)
class SceneView:
    """What a view shows of a cloud's rows.

    Attributes:
        name: of the view.
        masks: with its own masks as labels.
        instance: (n,) int32 the objects at the same points by all views together.
    """

    name: str
    masks: ShownLabels
    instance: np.ndarray


def prepare_cloud(cloud: Cloud, voxel: float, findings: Findings) -> PreparedCloud:
    """Thin a cloud, turn it upright and find its normals.

    Raises:
        DataError: no point of it is a place.
    """
    finite = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))
    origin = np.median(cloud.xyz[finite], axis=0) if len(finite) else np.zeros(3)
    kept = finite[(np.abs(cloud.xyz[finite] - origin) < MAX_EXTENT).all(axis=1)]
    findings.add(POINTS_NOT_FINITE, count=len(cloud.xyz) - len(kept), of=len(cloud.xyz))
    if len(kept) < 2:
        raise DataError(
            f"the cloud has {len(cloud.xyz)} points, {len(kept)} of them with finite coordinates; nothing to work on"
        )
    row = kept[one_per_voxel(cloud.xyz[kept] - origin, voxel)]
    xyz = ((cloud.xyz[row] - origin) @ upright(cloud.up).T).astype(np.float32)
    normal = neighbour_graph(xyz.astype(np.float64), NORMAL_NEIGHBOURS).normals
    return PreparedCloud(row, xyz, origin.astype(np.float64), None if cloud.rgb is None else cloud.rgb[row], normal)


def upright(up: np.ndarray) -> np.ndarray:
    """(3, 3) the shortest turn that brings ``up`` (3,) to the z axis."""
    axis, cosine = np.cross(up, Z), float(up @ Z)
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def build_scene(
    name: str,
    cloud: PreparedCloud,
    views: Iterable[SceneView],
    findings: Findings,
    *,
    boundary_aware: bool = True,
) -> LearningScene:
    """Gather the labels of all views over the superpoints of a cloud.

    Args:
        views: of the points of ``cloud``, by their place in it; those without any mask are counted and left out.
        boundary_aware: whether superpoints end where the views see a border between two objects.

    Raises:
        DataError: no view has a mask that holds a point.
    """
    kept: list[SceneView] = []
    without: list[str] = []
    for view in views:
        if (view.masks.label > 0).any() or (view.instance > 0).any():
            kept.append(view)
        else:
            without.append(view.name)
    findings.add(VIEWS_WITHOUT_MASKS, *without, count=len(without), of=len(kept) + len(without))
    if not kept:
        raise DataError(
            f"{name}: none of its {len(without)} views has a mask that holds a point of the cloud; there is nothing to learn "
            "from. Make the map with a segmenter, or with --segments"
        )
    shown = [replace(view.masks, label=view.instance) for view in kept]
    superpoint = partition(
        cloud.xyz.astype(np.float64), rgb=cloud.rgb, normals=cloud.normal, shown=shown if boundary_aware else ()
    )
    instance, share = completed_labels(shown, superpoint)
    rgb = np.zeros((len(cloud.xyz), 3), np.uint8) if cloud.rgb is None else cloud.rgb
    return LearningScene(
        name=name,
        xyz=cloud.xyz,
        origin=cloud.origin,
        rgb=rgb,
        normal=cloud.normal,
        superpoint=superpoint,
        instance=np.where(share > 0, instance, UNKNOWN).astype(np.int32),
        views=tuple(view.name for view in kept),
        view_start=_starts([len(view.masks.point) for view in kept]),
        view_point=np.concatenate([view.masks.point for view in kept]).astype(np.int32),
        view_mask=np.concatenate([view.masks.label for view in kept]).astype(np.int32),
        view_instance=np.concatenate([view.instance for view in kept]).astype(np.int32),
    )


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
