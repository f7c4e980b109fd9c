"""``MAP/dense.ply``: a denser labelled cloud, from depth maps that are consistent between several views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from scipy import sparse

from seg2d3d_ros.dense.plane_sweep import UndistortedView, sweep
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.mapstore.point_cloud import PointWriter, cloud_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, StoredLabels
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.cloud_config import CloudConfig
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.completion import completed_labels, voted_labels
from seg2d3d_ros.superpoints.partition import partition
from seg2d3d_ros.superpoints.shown_labels import ShownLabels
from seg2d3d_ros.types import SparseModel

FILE = "dense.ply"
NEIGHBOURS = 4
"""Views that a view is compared with."""
BEST_ANGLE, MAX_ANGLE = np.radians(4.0), np.radians(20.0)
"""Between the rays to a point: below the first depth is uncertain, above the second façades look different."""
MAX_DIFFERENCE = 0.02
"""Depths of two views are consistent within this share."""
MIN_VIEWS = 2
"""Views beside its own that must be consistent with a point."""
CACHED = 48
"""Views whose pictures and depths are kept: neighbours of those to come. About 2.5 MB each at 480 × 320."""
TOGETHER = 8
"""Views whose points are thinned together."""


def densify(
    store: MapStore, config: CloudConfig, superpoints: SuperpointConfig | None = None, *, progress: Progress
) -> dict[str, int]:
    """Write ``MAP/dense.ply``; memory does not grow with the map. Returns ``views``, ``points``, ``points_labelled``.

    Points within a cube of ``config.voxel`` are thinned where the map is in metres.

    Args:
        superpoints: labels are completed over superpoints, if these parameters say so; None = they are not.

    Raises:
        DataError: there is no map, or no depth that several views agree on.
    """
    models = read_models(store.root)
    counts = {"views": 0, "points": 0, "points_labelled": 0}
    total = sum(len(model.names) for model in models)
    with PointWriter(store.root / FILE) as writer:
        for model in models:
            densifier = _Densifier(model, store, config.dense_width)
            order = densifier.order()
            for first in range(0, len(order), TOGETHER):
                pieces = []
                for k in order[first : first + TOGETHER]:
                    pieces.append(densifier.piece(k))
                    counts["views"] += 1
                    progress("dense", counts["views"], total)
                side = config.voxel if model.frame.kind != "arbitrary" else 0.0
                points = _labelled(_joined(pieces, side), superpoints if superpoints and superpoints.complete else None)
                writer.write(points)
                counts["points"] += len(points)
                counts["points_labelled"] += int(np.count_nonzero(points["instance"]))
        if counts["points"] == 0:
            raise DataError(
                f"{store.root}: no depth that {MIN_VIEWS + 1} views agree on; the images are too few or too far apart"
            )
    return counts


class _Densifier:
    """Depth maps and points of one component."""

    def __init__(self, model: SparseModel, store: MapStore, width: int) -> None:
        self._model, self._moments, self._width = model, store.moments(), width
        self._images, self._labels = StoredImages(store), StoredLabels(store)
        self._views = list(model.views())
        self._neighbours = neighbours(model)
        self._near, self._far = depth_ranges(model)
        self._undistorted = lru_cache(CACHED)(self._read)
        self._depth = lru_cache(CACHED)(self._sweep)

    def order(self) -> list[int]:
        """The views, neighbours in time after each other."""
        names, moments = self._model.names, self._moments
        return sorted(range(len(names)), key=lambda k: (*moments.get(names[k], ("", 0)), names[k]))

    def _read(self, k: int) -> tuple[UndistortedView, np.ndarray, np.ndarray] | None:
        """The undistorted view, its colours (h, w, 3) and labels (h, w); None without an image or a sparse point."""
        view, image = self._views[k], self._images.get(self._model.names[k])
        if view is None or image is None or not self._near[k] < self._far[k]:
            return None
        camera = view.camera
        scale = min(1.0, self._width / camera.width)
        width, height = round(camera.width * scale), round(camera.height * scale)
        focal = camera.params[0] * scale
        pinhole = Camera("PINHOLE", width, height, (focal, focal, width / 2, height / 2))
        column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        pixels = camera.project(pinhole.rays(np.stack([column, row], axis=-1).reshape(-1, 2)))
        place = pixels.reshape(height, width, 2) * (np.array(image.shape[1::-1]) / (camera.width, camera.height)) - 0.5
        place = np.nan_to_num(place, nan=-1.0).astype(np.float32)
        # Averaged over what falls into a pixel first: sampling a large image would alias.
        soft = cv2.GaussianBlur(image, (0, 0), 0.4 * image.shape[1] / width) if image.shape[1] > 1.3 * width else image
        color = cv2.remap(soft, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        labels = self._labels.get(self._model.names[k])
        if labels is None or labels.shape != image.shape[:2]:
            labels = np.zeros(image.shape[:2], np.uint16)
        label = cv2.remap(labels, place[..., 0], place[..., 1], cv2.INTER_NEAREST)
        gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY).astype(np.float32)
        undistorted = UndistortedView(gray, View(pinhole, view.camera_from_world), self._near[k], self._far[k])
        return undistorted, color, label

    def _sweep(self, k: int) -> np.ndarray | None:
        mine = self._undistorted(k)
        others = [other[0] for n in self._neighbours[k] if (other := self._undistorted(n)) is not None]
        return sweep(mine[0], others) if mine is not None and others else None

    def piece(self, k: int) -> _Piece:
        """The points of a view."""
        mine, depth = self._undistorted(k), self._depth(k)
        if mine is None or depth is None:
            return _Piece(np.empty((0, 3)), np.empty((0, 3), np.uint8), [])
        undistorted, color, label = mine
        row, column, xyz = undistorted.points(depth)
        looks = [(undistorted.view, row, column, depth[row, column], label, np.ones(len(xyz), bool))]
        for n in self._neighbours[k]:
            other, known = self._undistorted(n), self._depth(n)
            if other is None or known is None:
                continue
            y, x, seen = other[0].project(xyz)
            with np.errstate(invalid="ignore"):
                fits = (x >= 0) & (np.abs(known[y, x] - seen) < MAX_DIFFERENCE * seen)
            looks.append((other[0].view, y, x, seen, other[2], fits))
        kept = np.sum([fits for *_, fits in looks], axis=0) > MIN_VIEWS
        place = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        shown = []
        for view, y, x, seen, labels, fits in looks:
            point = np.flatnonzero(fits)
            y, x, seen = y[point], x[point], seen[point].astype(np.float32)
            pixels = np.stack([x, y], axis=1).astype(np.float32) + np.float32(0.5)
            item = ShownLabels(view, point.astype(np.int32), labels[y, x].astype(np.int32), pixels, seen)
            shown.append(item.moved(place))
        return _Piece(xyz[kept], color[row, column][kept], shown)


@dataclass(frozen=True)
class _Piece:
    """N points (N, 3), their colours (N, 3) uint8, and what the views that agree on their depth show there."""

    xyz: np.ndarray
    rgb: np.ndarray
    shown: list[ShownLabels]


def _joined(pieces: list[_Piece], voxel: float) -> _Piece:
    """The points of several views as one piece; of those in a cube of side ``voxel``, one."""
    xyz, rgb = np.concatenate([piece.xyz for piece in pieces]), np.concatenate([piece.rgb for piece in pieces])
    kept = one_per_voxel(xyz, voxel)
    place = np.full(len(xyz), -1, np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    shown, first = [], 0
    for piece in pieces:
        shown += [item.moved(place[first : first + len(piece.xyz)]) for item in piece.shown]
        first += len(piece.xyz)
    return _Piece(xyz[kept], rgb[kept], shown)


def _labelled(piece: _Piece, superpoints: SuperpointConfig | None) -> np.ndarray:
    """(N,) ``CLOUD_POINT``: each view has one vote for each point; those of a superpoint are counted together."""
    shown = [replace(item, depth=np.ones_like(item.depth)) for item in piece.shown]
    if superpoints is None:
        return cloud_points(piece.xyz, piece.rgb, *voted_labels(shown, len(piece.xyz)))
    superpoint = partition(piece.xyz, superpoints, rgb=piece.rgb, shown=shown)
    return cloud_points(piece.xyz, piece.rgb, *completed_labels(shown, superpoint))


def neighbours(model: SparseModel) -> list[list[int]]:
    """For each view the ``NEIGHBOURS`` that share most points seen at a good angle."""
    count = len(model.names)
    seen = sparse.csr_matrix(
        (np.ones(len(model.obs_point), np.int32), (model.obs_keyframe, model.obs_point)), (count, len(model.point_ids))
    )
    shared = (seen @ seen.T).tocsr()
    centers, found = model.centers, []
    for k in range(count):
        row = slice(shared.indptr[k], shared.indptr[k + 1])
        candidates = shared.indices[row][np.argsort(-shared.data[row], kind="stable")[: 4 * NEIGHBOURS]]
        rated = []
        for n in candidates[candidates != k].tolist():
            common = np.intersect1d(seen[k].indices, seen[n].indices)
            a, b = (model.xyz[common] - centers[i] for i in (k, n))
            cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
            angle = np.arccos(np.clip(cosine, -1, 1))
            rated.append((float(np.sum(np.minimum(angle / BEST_ANGLE, 1.0) ** 2 * (angle < MAX_ANGLE))), n))
        found.append([n for rating, n in sorted(rated, key=lambda item: (-item[0], item[1]))[:NEIGHBOURS] if rating > 0])
    return found


def depth_ranges(model: SparseModel) -> tuple[np.ndarray, np.ndarray]:
    """(K,) nearest and farthest depth that each view sees by its sparse points, with some room; NaN without points."""
    near, far = np.full(len(model.names), np.nan), np.full(len(model.names), np.nan)
    depth = model.observation_depths()
    for k in range(len(model.names)):
        mine = depth[(model.obs_keyframe == k) & (depth > 0)]
        if len(mine) >= 10:
            low, high = np.percentile(mine, [2, 95])
            near[k], far[k] = 0.7 * low, 1.4 * high
    return near, far
