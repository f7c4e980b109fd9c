"""A street of textured houses that two drives photograph, and blocks of a world whose truth is known; without a simulator."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from helpers_scene import FOCAL, GROUND, HEIGHT, WIDTH, textures
from scipy.spatial.transform import Rotation

from seg2d3d_ros.city.joining.block_content import BlockContent
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.geometry.wgs84 import from_enu
from seg2d3d_ros.mapstore.point_cloud import POINT
from seg2d3d_ros.types import SparseModel, WorldFrame

DATUM = (48.1, 11.5, 500.0)
HOUSE = 7.0
"""Metres of a façade."""
DEPTHS = (8.0, 10.5)
"""Of the façades, in turn."""


def render(paint: list[np.ndarray], x: float, yaw: float, houses: int) -> tuple[np.ndarray, np.ndarray]:
    """Photo (H, W, 3) uint8 RGB and truth (H, W) uint16 (1 … ``houses``) from (x, 0, 0) at a yaw in radians."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    ray = np.stack([(u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL, np.ones_like(u)], axis=-1)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    ray = ray @ turn.T
    photo = np.full((HEIGHT, WIDTH, 3), (180, 205, 230), np.uint8)
    truth, depth = np.zeros((HEIGHT, WIDTH), np.uint16), np.full((HEIGHT, WIDTH), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for surface in range(houses + 1):
            ground = surface == houses
            t = GROUND / ray[..., 1] if ground else DEPTHS[surface % 2] / ray[..., 2]
            hit = np.array([x, 0, 0]) + t[..., None] * ray
            inside = (t > 0) & (t < depth)
            if not ground:
                inside &= (hit[..., 0] >= surface * HOUSE) & (hit[..., 0] < (surface + 1) * HOUSE)
                inside &= (hit[..., 1] > -5) & (hit[..., 1] < GROUND)
            across = hit[..., 2] if ground else hit[..., 1]
            spots = [np.nan_to_num((c + 20) * 24).astype(np.float32) for c in (hit[..., 0], across)]
            texture = paint[2] if ground else paint[surface % 2]
            colour = cv2.remap(texture, spots[0] % 2047, spots[1] % 1023, cv2.INTER_LINEAR)
            photo[inside], depth[inside] = colour[inside], t[inside]
            truth[inside] = 0 if ground else surface + 1
    return photo, truth


def write_drive(folder: Path, xs: np.ndarray, yaw: float, houses: int, seed: int) -> None:
    """images/, segments/ (the truth), gps.csv and camera.json of a drive along x = east, looking north."""
    paint, rng = textures(3), np.random.default_rng(seed)
    for name in ("images", "segments"):
        (folder / name).mkdir(parents=True)
    rows = ["image,latitude,longitude,altitude,sigma"]
    enu = np.stack([xs, np.zeros(len(xs)), np.zeros(len(xs))], axis=1)
    for k, (x, place) in enumerate(zip(xs, from_enu(enu + rng.normal(0, 0.05, enu.shape), DATUM), strict=True)):
        photo, truth = render(paint, float(x), yaw + 0.03 * (k % 3), houses)
        cv2.imwrite(str(folder / f"images/{k:04d}.jpg"), photo[..., ::-1])
        cv2.imwrite(str(folder / f"segments/{k:04d}.png"), truth)
        rows.append(f"{k:04d}.jpg,{place.latitude:.10f},{place.longitude:.10f},{place.altitude:.4f},0.1")
    (folder / "gps.csv").write_text("\n".join(rows) + "\n")
    camera = {"model": "PINHOLE", "width": WIDTH, "height": HEIGHT, "params": [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]}
    (folder / "camera.json").write_text(json.dumps(camera))


class World:
    """Points before a row of cameras, from which blocks are taken, each in a frame of its own.

    Args:
        seed: of everything.
        images: cameras, a metre apart along x, that look along y.
    """

    def __init__(self, seed: int = 0, images: int = 30) -> None:
        self._rng = np.random.default_rng(seed)
        count = 40 * images
        low, high = np.array([-6.0, 6.0, -2.0]), np.array([images + 6.0, 14.0, 5.0])
        self.xyz = self._rng.uniform(low, high, (count, 3))
        self.names = [f"{k:03d}" for k in range(images)]
        self.camera = Camera("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0))
        turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # x right, y down, z ahead, of a camera that looks along y
        centers = np.stack([np.arange(images, dtype=float), np.zeros(images), np.zeros(images)], axis=1)
        turns = Rotation.from_euler("y", 3.0 * (np.arange(images)[:, None] % 5), degrees=True).as_matrix()
        self.rotation = turns @ turn
        centers[:, 2] = 0.03 * np.cos(2.0 * np.arange(images))  # no way is quite straight
        self.translation = -np.einsum("kij,kj->ki", self.rotation, centers)

    def block(
        self,
        name: str,
        rows: range,
        block_from_world: Similarity,
        *,
        bad: float = 0.0,
        noise: float = 0.0,
        frame: WorldFrame | None = None,
        instances: dict[int, dict] | None = None,
        of_point: np.ndarray | None = None,
    ) -> BlockContent:
        """A block of some images, in its own frame, the reconstruction of a share ``bad`` of its points wrong."""
        keyframe, point, xy = [], [], []
        for k, row in enumerate(rows):
            local = self.xyz @ self.rotation[row].T + self.translation[row]
            pixels = self.camera.project(local)
            seen = np.flatnonzero(self.camera.inside(np.nan_to_num(pixels, nan=-1.0)) & (local[:, 2] < 20))
            keyframe.append(np.full(len(seen), k, np.int32))
            point.append(seen.astype(np.int32))
            xy.append(pixels[seen].astype(np.float32))
        used, place = np.unique(np.concatenate(point), return_inverse=True)
        xyz = block_from_world.apply(self.xyz[used]) + self._rng.normal(0, noise, (len(used), 3))
        wrong = self._rng.random(len(used)) < bad
        xyz[wrong] += block_from_world.scale * self._rng.normal(0, 5.0, (int(wrong.sum()), 3))
        rotation = self.rotation[list(rows)] @ block_from_world.rotation.T
        centers = block_from_world.apply(-np.einsum("kji,kj->ki", self.rotation[list(rows)], self.translation[list(rows)]))
        poses = np.concatenate([rotation, -np.einsum("kij,kj->ki", rotation, centers)[:, :, None]], axis=2)
        model = SparseModel(
            tuple(self.names[row] for row in rows),
            (self.camera,) * len(rows),
            poses,
            xyz,
            np.zeros((len(used), 3), np.uint8),
            np.zeros(len(used), np.float32),
            self._rng.permutation(10 * len(used))[: len(used)].astype(np.int64),
            np.concatenate(keyframe),
            place.ravel().astype(np.int32),
            np.concatenate(xy),
            frame or WorldFrame(),
        )
        order = np.argsort(model.point_ids)
        model = SparseModel(
            **{**model.__dict__, "point_ids": model.point_ids[order], "xyz": xyz[order]}
            | {"obs_point": np.argsort(order)[model.obs_point].astype(np.int32)}
        )
        points = np.zeros(len(used), POINT)
        points["x"], points["y"], points["z"] = model.xyz.T
        points["point_id"] = model.point_ids
        if of_point is not None:
            points["instance"] = of_point[used][order]
        return BlockContent(name, model, points, instances or {}, (0, 0))


def similarity(seed: int, scale: float = 1.0, turn: float = 1.0, shift: float = 10.0) -> Similarity:
    """A similarity by chance: turned by up to ``turn`` radians, moved by about ``shift``."""
    rng = np.random.default_rng(seed)
    rotation = Rotation.from_rotvec(turn * rng.normal(size=3) / np.sqrt(3)).as_matrix()
    return Similarity(scale, rotation, shift * rng.normal(size=3))
