"""How sure the places of instances are: errors of the cameras that saw them, and of their keypoints.

The place of an instance is the middle of the lower face of the box around its points. To first order it moves with the points
that make the box's faces, and points move with the cameras that see them: each lies where the rays of its keypoints meet best.
So the covariance of the poses gives that of the place; the noise of the keypoints, which are independent of each other, comes
on top. Which places of a thing carry keypoints is taken as it is: the place is that of the points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from seg2d3d_ros.arrays import places
from seg2d3d_ros.geometry.oriented_boxes import TRIM, without_strays
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance, skew
from seg2d3d_ros.types import Incidence, Instances, SparseModel

LEAST = 5
"""Points from which on an instance has a covariance."""


def with_place_covariances(
    models: Sequence[SparseModel],
    covariances: Mapping[int, PoseCovariance],
    instances: Instances,
    incidence: Incidence | None = None,
) -> Instances:
    """The instances with the covariances of their places, and none where it is unknown.

    Args:
        models: components, whose points and keyframes are the instances' and the incidence's ones after the other.
        covariances: by component, where they are known.
        instances: boxes that rays placed have the covariance of their place among the cameras.
        incidence: tells which keyframes show what rays placed; None = nothing was.
    """
    boxes = instances.boxes[np.arange(len(instances.ids))]
    found = np.full_like(boxes.covariance, np.nan)
    total = np.bincount(instances.point_instance, minlength=int(instances.ids.max(initial=0)) + 1)
    by_rays = boxes.located
    point, keyframe = 0, 0
    for model in models:
        last_point, last_keyframe = point + len(model.point_ids), keyframe + len(model.names)
        known = covariances.get(model.component)
        if known is not None:
            sights = _Sights(model, known)
            owner = instances.point_instance[point:last_point]
            owned = places(np.where(owner > 0, np.searchsorted(instances.ids, owner), len(instances.ids)), len(instances.ids))
            for k in np.flatnonzero(boxes.known):
                if by_rays[k] and incidence is not None:
                    shown = incidence.segment_keyframe[instances.segment_instance == instances.ids[k]]
                    shown = np.unique(shown[(shown >= keyframe) & (shown < last_keyframe)]) - keyframe
                    if len(shown):
                        found[k] = boxes.covariance[k] + sights.of_place(boxes.center[k], shown)
                elif not by_rays[k] and 2 * len(owned[k]) > total[instances.ids[k]]:  # most of it is of this model
                    found[k] = _of_box(sights, owned[k], boxes.rotation[k])
        point, keyframe = last_point, last_keyframe
    boxes.covariance[:] = found
    return replace(instances, boxes=boxes)


class _Sights:
    """The observations of a model's points by images whose errors are known."""

    def __init__(self, model: SparseModel, covariance: PoseCovariance) -> None:
        self._xyz, self._covariance = model.xyz, covariance
        place = {name: k for k, name in enumerate(covariance.names)}
        self._image = np.array([place.get(name, -1) for name in model.names], np.int64)
        order = np.argsort(model.obs_point, kind="stable")
        self._order = order[self._image[model.obs_keyframe[order]] >= 0]
        self._bounds = np.searchsorted(model.obs_point[self._order], np.arange(len(model.point_ids) + 1))
        self._keyframe, self._centers = model.obs_keyframe, model.centers
        self._focal = np.array([camera.pixels_per_tangent for camera in model.cameras])

    def xyz(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) of these points."""
        return self._xyz[points]

    def of_points(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(3, 3) covariance of a sum of points (N,), each weighed by a matrix of (N, 3, 3)."""
        seen = [self._order[self._bounds[p] : self._bounds[p + 1]] for p in points.tolist()]
        row = np.repeat(np.arange(len(points)), [len(part) for part in seen])
        keyframe = self._keyframe[np.concatenate([np.empty(0, np.int64), *seen])]
        return self._moved(row, keyframe, self._xyz[points[row]], weights, noisy=True)

    def of_place(self, place: np.ndarray, keyframes: np.ndarray) -> np.ndarray:
        """(3, 3) covariance of a place (3,) where rays of these keyframes meet."""
        keyframes = keyframes[self._image[keyframes] >= 0]
        return self._moved(
            np.zeros(len(keyframes), int), keyframes, np.tile(place, (len(keyframes), 1)), np.eye(3)[None], noisy=False
        )

    def _moved(self, row: np.ndarray, keyframe: np.ndarray, xyz: np.ndarray, weights: np.ndarray, *, noisy: bool) -> np.ndarray:
        """(3, 3) covariance of a weighed sum of points by the errors of the cameras' poses; NaN where none of them is known.

        A point lies where the squares of its keypoints' errors are least: a ray from a camera that is off by a shift and a
        small turn misses it by what of these is across the ray, and counts with (focal length / distance)².

        Args:
            row: (n,) which point each ray is of, keyframe: (n,) and by which image; xyz: (n, 3) of the points.
            weights: (N, 3, 3) of the points.
            noisy: whether the keypoints' noise counts.
        """
        window = self._covariance.window_of(self._image[keyframe])
        inside = np.isin(self._image[keyframe], window.rows)
        if not inside.any():
            return np.full((3, 3), np.nan)
        row, keyframe = row[inside], keyframe[inside]
        offset = xyz[inside] - self._centers[keyframe]
        distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-12)
        ray = offset / distance[:, None]
        across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
        across *= np.square(self._focal[keyframe] / distance)[:, None, None]
        information = np.zeros((len(weights), 3, 3))
        np.add.at(information, row, across)
        level = np.trace(information, axis1=1, axis2=2)
        sure = level > 0  # points that only images outside the window see follow the others
        weights = np.where(sure[:, None, None], weights + weights[~sure].sum(axis=0) / sure.sum(), 0.0)
        information[~sure] = np.eye(3)
        pulled = weights @ np.linalg.inv(information + 1e-9 * np.where(sure, level, 1.0)[:, None, None] * np.eye(3))
        by_shift = pulled[row] @ across
        by_turn = -by_shift @ skew(offset)
        jacobian = np.zeros((len(window.rows), 3, 6))
        columns = np.searchsorted(window.rows, self._image[keyframe])
        np.add.at(jacobian, columns, np.concatenate([by_shift, by_turn], axis=2))
        whole = jacobian.transpose(1, 0, 2).reshape(3, -1)
        by_poses = whole @ window.matrix.astype(float) @ whole.T
        return np.asarray(by_poses + noisy * self._covariance.pixel_sigma**2 * np.einsum("nij,nkj->ik", pulled, weights))


def _of_box(sights: _Sights, points: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(3, 3) covariance of the middle of the lower face of a box around points; NaN where it is unknown."""
    if len(points) < LEAST:
        return np.full((3, 3), np.nan)
    xyz = sights.xyz(points)
    kept = without_strays(xyz)
    shares = _face_shares(xyz[kept] @ rotation)
    weights = np.einsum("ia,na,ja->nij", rotation, shares, rotation)
    return sights.of_points(points[kept], weights)


def _face_shares(local: np.ndarray) -> np.ndarray:
    """(N, 3) how much of each point's shift along the box's axes (N, 3) its place takes over; columns sum to one.

    A face lies between the two points around its percentile.
    """
    shares = np.zeros(local.shape)
    place = TRIM / 100 * (len(local) - 1)
    inner = place - int(place)
    for axis in range(3):
        order = np.argsort(local[:, axis], kind="stable")
        for outermost in (order,) if axis == 2 else (order, order[::-1]):
            face = 1.0 if axis == 2 else 0.5
            shares[outermost[int(place)], axis] += face * (1.0 - inner)
            shares[outermost[int(place) + 1], axis] += face * inner
    return shares
