"""Superpoints of a cloud of a map directory, with the labels of its points completed over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.projection import project_unobserved
from seg2d3d_ros.association.votes import vote_labels
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, POINT, read_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredLabels, recent
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.clouds import CLOUDS
from seg2d3d_ros.superpoints.partition import partition
from seg2d3d_ros.superpoints.shown_labels import LabelledView, ShownLabels, sampled, shown_labels, votes
from seg2d3d_ros.types import SparseModel

GREY = 128
TILE_POINTS = 1_000_000
"""Clouds of more points are divided in tiles of so many at most, where no superpoint goes on. About 1 GB."""
USUAL_SPACING = 0.05
"""Metres between the points of a dense cloud: one whose unit is unknown is scaled so that its points are so far apart."""

POINTS_UNSEEN = Kind(
    "superpoint_points_unseen",
    "points of a cloud that no keyframe with labels sees",
    cause="they are hidden, or lie where no image with masks looks; geometry and colour alone decided on their superpoints",
    remedy="more images with masks of these places",
)
POINTS_NOT_FINITE = Kind(
    "superpoint_points_not_finite",
    "points of a cloud whose place is not finite",
    cause="the program that wrote the cloud marks points without a return so; each is a superpoint of its own",
    remedy="leave them out of the cloud",
)


@dataclass(frozen=True)
class MapSuperpoints:
    """A map's cloud in pieces.

    Attributes:
        points: (N,) ``CLOUD_POINT`` or ``POINT``: as in the file, but for completed ``instance`` and ``confidence``.
        superpoint: (N,) int32 of each point.
        before: how many points had an instance in the file.
    """

    points: np.ndarray
    superpoint: np.ndarray
    before: int

    @property
    def words(self) -> str:
        """What came of it."""
        count = int(self.superpoint.max(initial=-1)) + 1
        after = int(np.count_nonzero(self.points["instance"]))
        return f"{len(self.points)} points in {count} superpoints; {after} of them labelled, {self.before} before"


def map_superpoints(
    store: MapStore,
    cloud: str,
    config: SuperpointConfig,
    *,
    max_range: float,
    by_views: bool,
    findings: Findings,
    progress: Progress,
) -> MapSuperpoints:
    """Divide a cloud of a map, and complete its labels.

    Args:
        cloud: one of ``CLOUDS``.
        max_range: metres between a camera and the points of a dense cloud that it sees.
        by_views: cut superpoints at the borders of objects; else by geometry and colour alone.
        findings: gets what no view sees.

    Raises:
        DataError: the map has no such cloud, it is damaged, or it has no point.
    """
    file, remedy = CLOUDS[cloud]
    path = store.root / file
    if not path.exists():
        raise DataError(f"{path}: is missing; {remedy}")
    points = read_points(path, POINT if cloud == "points" else CLOUD_POINT)
    if len(points) == 0:
        raise DataError(f"{path}: has no point; {remedy}")
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64)
    finite = np.asarray(np.isfinite(xyz).all(axis=1))
    findings.add(POINTS_NOT_FINITE, count=int(np.count_nonzero(~finite)), of=len(points))
    models, labels = read_models(store.root), StoredLabels(store)
    if cloud == "points":
        shown = _shown_at_keypoints(models, labels, points["point_id"])
    else:
        shown = _shown_of_dense(models, labels, xyz, finite, max_range, progress)
    seen = np.zeros(len(points), bool)
    for item in shown:
        seen[item.point] = True
    findings.add(POINTS_UNSEEN, count=int(np.count_nonzero(~seen)), of=len(points))
    superpoint = _partitioned(xyz, _colors(store, cloud, points), config, shown if by_views else ())
    return MapSuperpoints(_completed(points, superpoint, shown, seen), superpoint, int(np.count_nonzero(points["instance"])))


def _colors(store: MapStore, cloud: str, points: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 colours of the photographs, grey where nobody kept them: ``points.ply`` has those of the instances."""
    columns = ("red", "green", "blue")
    if cloud != "points":
        return np.stack([points[column] for column in columns], axis=1)
    rgb = np.full((len(points), 3), GREY, np.uint8)
    path = store.root / "points_rgb.ply"
    if path.exists():
        photo = read_points(path)
        _, mine, there = np.intersect1d(points["point_id"], photo["point_id"], return_indices=True)
        rgb[mine] = np.stack([photo[column][there] for column in columns], axis=1)
    return rgb


def _completed(points: np.ndarray, superpoint: np.ndarray, shown: Sequence[ShownLabels], seen: np.ndarray) -> np.ndarray:
    """The points with the labels of their superpoints; those that no view here sees vote with the label that they have."""
    label, point, weight = votes(shown)
    known = np.flatnonzero(~seen & (points["confidence"] > 0))
    # As much as a view from the middle of those that there are.
    usual = np.median(weight) if len(weight) else 1.0
    winner, share = vote_labels(
        np.concatenate([label, points["instance"][known]]),
        superpoint[np.concatenate([point, known])],
        np.concatenate([weight, usual * points["confidence"][known]]),
        int(superpoint.max()) + 1,
    )
    completed = points.copy()
    completed["instance"], completed["confidence"] = winner[superpoint], share[superpoint]
    return completed


def _partitioned(xyz: np.ndarray, rgb: np.ndarray, config: SuperpointConfig, shown: Sequence[ShownLabels]) -> np.ndarray:
    """(N,) int32 superpoints, tile by tile."""
    superpoint, count = np.empty(len(xyz), np.int32), 0
    for tile in tiles(xyz, TILE_POINTS):
        place = np.full(len(xyz), -1, np.int32)
        place[tile] = np.arange(len(tile), dtype=np.int32)
        superpoint[tile] = count + partition(xyz[tile], config, rgb=rgb[tile], shown=[item.moved(place) for item in shown])
        count = int(superpoint[tile].max()) + 1
    return superpoint


def tiles(xyz: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Indices of points (N, 3) in boxes of ``most`` points at most: a box with more is halved across its longest side."""
    waiting = [np.arange(len(xyz))]
    while waiting:
        tile = waiting.pop()
        if len(tile) <= most:
            yield tile
            continue
        axis = int(np.ptp(np.nan_to_num(xyz[tile]), axis=0).argmax())
        order = np.argsort(xyz[tile, axis], kind="stable")
        waiting += [np.sort(tile[order[len(tile) // 2 :]]), np.sort(tile[order[: len(tile) // 2]])]


def _shown_at_keypoints(models: Sequence[SparseModel], labels: StoredLabels, point_ids: np.ndarray) -> list[ShownLabels]:
    """What the keyframes show of the points that they observe, or should see by their poses."""
    ids = np.concatenate([np.empty(0, np.int64), *(model.point_ids for model in models)])
    order = np.argsort(point_ids)
    at = order[np.minimum(np.searchsorted(point_ids[order], ids), len(order) - 1)]
    place = np.where(point_ids[at] == ids, at, -1)
    names = [name for model in models for name in model.names]
    xyz = np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)])
    projected = project_unobserved(models, {name for name in names if name in labels})
    keyframe, point, pixels = [projected.keyframe], [projected.point], [projected.xy]
    first_keyframe = first_point = 0
    for model in models:
        keyframe.append(model.obs_keyframe + first_keyframe)
        point.append(model.obs_point + first_point)
        pixels.append(model.obs_xy)
        first_keyframe, first_point = first_keyframe + len(model.names), first_point + len(model.point_ids)
    points, xy = np.concatenate(point), np.concatenate(pixels)
    views = [view for model in models for view in model.views()]
    found = []
    for name, view, mine in zip(names, views, places(np.concatenate(keyframe), len(names)), strict=True):
        image = labels.get(name)
        if view is None or image is None:
            continue
        mine = mine[np.unique(points[mine], return_index=True)[1]]
        mine = mine[view.camera.inside(xy[mine])]
        depth = view.depth(xyz[points[mine]]).astype(np.float32)
        label = sampled(image, view, xy[mine]).astype(np.int32)
        item = ShownLabels(view, points[mine].astype(np.int32), label, xy[mine].astype(np.float32), depth)
        found.append(item.moved(place.astype(np.int32)))
    return found


def _scaled(view: View, scale: float) -> View:
    """The view of a world that is ``scale`` times as large."""
    pose = view.camera_from_world
    return View(view.camera, Pose(pose.rotation, scale * pose.translation), view.component)


def _scale(xyz: np.ndarray) -> float:
    """What makes a dense cloud (N, 3) in an unknown unit one in metres, roughly: its points lie ``USUAL_SPACING`` apart."""
    if len(xyz) < 2:
        return 1.0
    some = xyz[:: max(1, len(xyz) // 10_000)]
    spacing = float(np.median(cKDTree(xyz).query(some, k=[2])[0]))
    return USUAL_SPACING / spacing if spacing > 0 else 1.0


def _shown_of_dense(
    models: Sequence[SparseModel],
    labels: StoredLabels,
    xyz: np.ndarray,
    finite: np.ndarray,
    max_range: float,
    progress: Progress,
) -> list[ShownLabels]:
    """What the keyframes show of a dense cloud."""
    rows = np.flatnonzero(finite)
    found: list[ShownLabels] = []
    read = recent(labels)
    for model in models:
        scale = 1.0 if model.frame.kind != "arbitrary" else _scale(xyz[rows])
        views = [
            LabelledView(_scaled(view, scale), lambda name=name: read(name))  # type: ignore[misc]
            for name, view in zip(model.names, model.views(), strict=True)
            if view is not None
        ]
        for _, item in shown_labels(scale * xyz[rows], views, max_range):
            found.append(ShownLabels(item.view, rows[item.point].astype(np.int32), item.label, item.pixels, item.depth))
            progress("views", len(found), sum(len(model.names) for model in models))
    return found
