"""Simulated drives as scenes to learn from: masks associated by ``consensus`` over the points of the cloud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from learning_streets import SimulatedDrive
from scipy import sparse

from seg2d3d_ros.association.consensus import consensus_tracks
from seg2d3d_ros.association.solve import assign
from seg2d3d_ros.association.votes import vote_points
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.learning.learning_scene import LearningScene
from seg2d3d_ros.learning.scene_building import Cloud, SceneView, build_scene, prepare_cloud
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.superpoints.shown_labels import LabelledView, ShownLabels, sampled, shown_labels
from seg2d3d_ros.types import Incidence

RANGE = 30.0


@dataclass(frozen=True)
class BenchmarkScene:
    """A scene and what is true of its points: (N,) owner as ``evaluation.points`` has it."""

    scene: LearningScene
    owner: np.ndarray
    consensus: np.ndarray
    confidence: np.ndarray


def make_scene(name: str, drive: SimulatedDrive, detector: str, voxel: float, *, boundary_aware: bool = True) -> BenchmarkScene:
    """The scene of a drive with one detector's masks."""
    rgb = np.full((len(drive.xyz), 3), 128, np.uint8)
    cloud = Cloud(drive.xyz, rgb, np.array([0.0, 0.0, 1.0]))
    prepared = prepare_cloud(cloud, voxel, Findings())
    place = drive.xyz[prepared.row]
    shown, nearest = [], np.full(len(place), np.inf, np.float32)
    for k, view in enumerate(drive.views):
        labelled = LabelledView(view, lambda k=k: drive.masks[detector][k])
        for _, item in shown_labels(place, [labelled], RANGE):
            shown.append((k, item))
            closer = item.depth < nearest[item.point]
            colour = sampled(drive.pictures[k], view, item.pixels[closer])
            prepared.rgb[item.point[closer]] = colour
            nearest[item.point[closer]] = item.depth[closer]
    entries, instance, confidence = _associated(shown, len(place), place)
    views = [SceneView(f"{k:03d}", item, label) for (k, item), label in zip(shown, entries, strict=True)]
    scene = build_scene(name, prepared, views, Findings(), boundary_aware=boundary_aware)
    owner = drive.owner[prepared.row]
    return BenchmarkScene(scene, owner, instance, confidence)


def incidence_of_views(views: list[tuple[np.ndarray, np.ndarray]], xyz: np.ndarray) -> Incidence:
    """Masks against points.

    Args:
        views: of each the points that it sees, (n,), and the numbers of their masks in that view, (n,), 0 or less = none.
        xyz: (P, 3) all points.
    """
    row, point = _entries(views)
    facts = [(k, mask) for k, (_, label) in enumerate(views) for mask in np.unique(label[label > 0]).tolist()]
    view = np.repeat(np.arange(len(views)), [len(seen) for seen, _ in views])
    seen = np.concatenate([points for points, _ in views])
    return Incidence(
        matrix=sparse.csr_matrix((np.ones(len(row), np.float32), (row, point)), (len(facts), len(xyz))),
        visibility=sparse.csr_matrix((np.ones(len(seen), bool), (view, seen)), (len(views), len(xyz))),
        names=tuple(str(k) for k in range(len(views))),
        segment_keyframe=np.array([k for k, _ in facts], np.int32),
        segment_ids=np.array([mask for _, mask in facts], np.uint16),
        classes=np.ones(len(facts), np.int32),
        scores=np.ones(len(facts), np.float32),
        point_ids=np.arange(len(xyz), dtype=np.int64),
        xyz=xyz,
    )


def _entries(views: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) row of a mask and (n,) point in it, view by view; masks are numbered through all views, ascending in each."""
    rows, points, last = [], [], 0
    for seen, label in views:
        masks, place = np.unique(label[label > 0], return_inverse=True)
        rows.append(last + place)
        points.append(seen[label > 0].astype(np.int64))
        last += len(masks)
    return np.concatenate(rows), np.concatenate(points)


def _associated(
    shown: list[tuple[int, ShownLabels]], count: int, xyz: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Of each view the objects at its points (n,); of all points their objects and how sure these are, (count,) each."""
    views = [(item.point, item.label) for _, item in shown]
    incidence = incidence_of_views(views, xyz)
    config = AssociationConfig()
    found = assign(incidence, lambda part, _: consensus_tracks(part, config))
    held = [item.label > 0 for _, item in shown]
    row, point = _entries(views)
    # The matrix sorts its entries by row and point; here they are wanted view by view again.
    entry = np.empty(len(row), np.int32)
    entry[np.lexsort((point, row))] = found.entry
    labels = [np.zeros(len(mine), np.int32) for mine in held]
    for label, mine, part in zip(labels, held, np.split(entry, np.cumsum([mine.sum() for mine in held])[:-1]), strict=True):
        label[mine] = part
    return labels, *vote_points(incidence.matrix, found.segment, found.entry)
