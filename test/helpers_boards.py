"""A world of upright boards seen by cameras that walk past: a model, masks and truth whose answers are known exactly."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel

WIDTH, HEIGHT, FOCAL = 160, 120, 120.0
CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))


@dataclass(frozen=True)
class Board:
    """A rectangle at depth ``z``: x0 … x1 by y0 … y1 metres (y down), with so many points; ``masked`` False = no object."""

    x0: float
    x1: float
    z: float
    y0: float = -2.0
    y1: float = 2.0
    points: int = 60
    masked: bool = True


@dataclass(frozen=True)
class World:
    """Keyframe ``view<k>`` stands at x = places[k]; board b (from 1) is b in ``truth`` and segment 10 * b."""

    model: SparseModel
    segments: dict[str, Segments]
    truth: dict[str, np.ndarray]
    board_of_point: np.ndarray

    def solved(self, method: str = "consensus") -> tuple[Incidence, Instances]:
        """Incidence with projected points, and instances."""
        incidence = build_incidence([self.model], self.segments, project=True)
        found = associate(incidence, self.model.xyz, AssociationConfig(method=method, min_images=2, min_points=3))
        return incidence, found

    def instance_of(self, incidence: Incidence, instances: Instances, board: int) -> int:
        """The instance that most points of a board (from 1) belong to."""
        return int(np.bincount(instances.point_instance[self.board_of_point == board]).argmax())


def boards_world(
    boards: Sequence[Board],
    places: Sequence[float],
    missed: Set[tuple[int, int]] = frozenset(),
    unmatched: Set[tuple[int, int]] = frozenset(),
    seed: int = 1,
) -> World:
    """Photograph the boards.

    Args:
        places: x of each keyframe; all look along z.
        missed: (keyframe, board from 1) whose mask the detector misses.
        unmatched: (keyframe, board from 1) of which no keypoint was matched.
    """
    rng = np.random.default_rng(seed)
    xyz = [np.column_stack([rng.uniform(b.x0, b.x1, b.points), rng.uniform(b.y0, b.y1, b.points), np.full(b.points, b.z)])
           for b in boards]  # fmt: skip
    owner = np.repeat(np.arange(1, len(boards) + 1), [b.points for b in boards])
    points = np.concatenate(xyz)
    truth, segments = {}, {}
    observed: list[tuple[int, int, float, float]] = []
    for k, x in enumerate(places):
        name = f"view{k}"
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        for b in sorted(range(len(boards)), key=lambda i: -boards[i].z):
            board = boards[b]
            left, right = (FOCAL * (edge - x) / board.z + WIDTH / 2 for edge in (board.x0, board.x1))
            top, bottom = (FOCAL * edge / board.z + HEIGHT / 2 for edge in (board.y0, board.y1))
            v, u = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
            labels[(u >= left) & (u < right) & (v >= top) & (v < bottom)] = b + 1
        truth[name] = labels
        shown = [
            b + 1 for b, board in enumerate(boards) if board.masked and (k, b + 1) not in missed and (labels == b + 1).any()
        ]
        ids = np.array([10 * b for b in shown], np.uint16)
        mask = np.where(np.isin(labels, shown), labels * 10, 0).astype(np.uint16)
        segments[name] = Segments(name, mask, ids, np.ones(len(ids), np.int32), np.full(len(ids), 0.8, np.float32))
        u = FOCAL * (points[:, 0] - x) / points[:, 2] + WIDTH / 2
        v = FOCAL * points[:, 1] / points[:, 2] + HEIGHT / 2
        inside = (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
        observed += [
            (k, int(p), float(u[p]), float(v[p]))
            for p in np.flatnonzero(inside)
            if labels[int(v[p]), int(u[p])] == owner[p] and (k, owner[p]) not in unmatched
        ]
    table = np.array(observed)
    poses = np.tile(np.eye(4)[:3], (len(places), 1, 1))
    poses[:, 0, 3] = -np.asarray(places, float)
    model = SparseModel(
        names=tuple(truth),
        cameras=(CAMERA,) * len(places),
        camera_from_world=poses,
        xyz=points,
        rgb=np.zeros((len(points), 3), np.uint8),
        error=np.zeros(len(points), np.float32),
        point_ids=np.arange(len(points), dtype=np.int64),
        obs_keyframe=table[:, 0].astype(np.int32),
        obs_point=table[:, 1].astype(np.int32),
        obs_xy=table[:, 2:].astype(np.float32),
    )
    return World(model, segments, truth, owner)
