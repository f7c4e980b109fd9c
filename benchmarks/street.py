"""A street that grows with the number of keyframes, as keypoints and matches only: what mapping costs, without images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.reconstruction.database import FeatureDatabase, Features
from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper
from seg2d3d_ros.types import Keyframe

WIDTH, HEIGHT, FOCAL = 1000, 700, 800.0
SPACING, DEPTH, HALF_VIEW = 1.0, 10.0, 5.5
NOISE = 0.5
MIN_MATCHES = 30


class Street:
    """Keyframes 1 m apart that look at façades 8 to 12 m away; half a pixel of noise.

    Every image sees its points with 70 % probability; images match where they see common points, up to ``reach`` apart.
    ``distortion`` is a radial one that the camera model does not know: it bends a long model, as a poor calibration does.
    """

    def __init__(
        self,
        images: int,
        seed: int,
        points_per_metre: int = 150,
        reach: int = 7,
        distortion: float = 0.0,
        closing: float = 0.0,
    ) -> None:
        import pycolmap

        self._pycolmap = pycolmap
        rng = np.random.default_rng(seed)
        self.centers = dict(enumerate(self.path(images), 1))
        low, high = (f([c[0] for c in self.centers.values()]) for f in (min, max))
        count = int(points_per_metre * (high - low + 2 * HALF_VIEW))
        points = np.column_stack(
            [
                rng.uniform(low - HALF_VIEW, high + HALF_VIEW, count),
                rng.uniform(-3, 3, count),
                rng.uniform(DEPTH - 2, DEPTH + 2, count),
            ]
        )
        self.seen: dict[int, np.ndarray] = {}
        self.keypoints: dict[int, np.ndarray] = {}
        for i, center in self.centers.items():
            local = points - center
            ray = local[:, :2] / local[:, 2:]
            ray = ray * (1 + distortion * (ray**2).sum(1, keepdims=True))
            xy = FOCAL * ray + [WIDTH / 2, HEIGHT / 2]
            inside = ((xy > 0) & (xy < [WIDTH, HEIGHT])).all(1) & (rng.random(count) < 0.7)
            self.seen[i] = np.flatnonzero(inside)
            self.keypoints[i] = xy[inside] + NOISE * rng.normal(size=(int(inside.sum()), 2))
        self._reach, self._closing = reach, closing

    @staticmethod
    def path(images: int) -> np.ndarray:
        """(images, 3) centres in metres: along x, looking along z, y down."""
        i = np.arange(1, images + 1)
        return np.column_stack([i * SPACING, 0.3 * np.sin(i), 0.2 * np.cos(0.7 * i)])

    def partners(self, i: int) -> list[int]:
        """The keyframes that are matched with one."""
        return [j for j in self.centers if j != i and abs(i - j) <= self._reach]

    def matches(self, i: int) -> dict[int, int]:
        """Partner -> common points, where these are enough for a pair."""
        found = {j: len(np.intersect1d(self.seen[i], self.seen[j], assume_unique=True)) for j in self.partners(i)}
        return {j: n for j, n in found.items() if n >= MIN_MATCHES}

    def geometry(self, first: int, second: int) -> Any:
        """All common points, as verified matches."""
        _, here, there = np.intersect1d(self.seen[first], self.seen[second], assume_unique=True, return_indices=True)
        geometry = self._pycolmap.TwoViewGeometry()
        geometry.config = self._pycolmap.TwoViewGeometryConfiguration.CALIBRATED.value
        geometry.inlier_matches = np.column_stack([here, there]).astype(np.uint32)
        return geometry

    def write(self, root: Path) -> None:
        """A database of all keyframes and pairs in ``root``, as the reconstruction keeps it."""
        database = FeatureDatabase(root / "database.db")
        params = (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
        for i, xy in self.keypoints.items():
            camera = Camera("PINHOLE", WIDTH, HEIGHT, params)
            camera_id = database.camera_id("street", camera)
            keypoints = np.column_stack([xy, np.ones(len(xy)), np.zeros(len(xy))]).astype(np.float32)
            grey = np.full((len(xy), 3), 128, np.uint8)
            features = Features(WIDTH, HEIGHT, keypoints, np.zeros((len(xy), 128), np.uint8), grey)
            keyframe = Keyframe(f"{i:05d}", "street", 0, b"", camera, file_name=f"{i:05d}.jpg")
            assert database.add_image(keyframe, camera_id, features) == i
        database.close()
        with self._pycolmap.Database.open(root / "database.db") as colmap:
            for i in self.centers:
                for j in self.matches(i):
                    if i < j:
                        colmap.write_two_view_geometry(i, j, self.geometry(i, j))

    def mapper(self) -> OnlineMapper:
        """An empty mapper over this street, one thread."""
        return OnlineMapper(self.geometry, min_matches=15, seed=0, threads=1)

    def feed(self, mapper: OnlineMapper, i: int) -> None:
        """Add keyframe ``i`` with its matches."""
        pycolmap = self._pycolmap
        camera = pycolmap.Camera(
            camera_id=1, model="PINHOLE", width=WIDTH, height=HEIGHT, params=[FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]
        )
        rig = pycolmap.Rig(rig_id=1)
        rig.add_ref_sensor(camera.sensor_id)
        mapper.add_camera(camera, rig, calibrated=True)
        image = pycolmap.Image(name=f"{i:05d}.jpg", keypoints=self.keypoints[i], camera_id=1, image_id=i)
        frame = pycolmap.Frame(frame_id=i, rig_id=1)
        frame.add_data_id(image.data_id)
        image.frame_id = i
        mapper.add_image(image, frame, {j: n for j, n in self.matches(i).items() if j in mapper.graph})

    def error(self, reconstruction: Any) -> float:
        """Root mean square distance of camera centres in metres after a similarity fit."""
        ids = sorted(reconstruction.reg_image_ids())
        a = np.array([reconstruction.image(i).projection_center() for i in ids])
        b = np.array([self.centers[i] for i in ids])
        a, b = a - a.mean(0), b - b.mean(0)
        u, s, vt = np.linalg.svd(b.T @ a)
        d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        scale = np.trace(np.diag(s) @ d) / (a**2).sum()
        return float(np.sqrt(np.mean(np.sum((scale * a @ (u @ d @ vt).T - b) ** 2, axis=1))))

    def copies(self, reconstruction: Any) -> np.ndarray:
        """(K,) metres between the points that a model has of the same façade point, where it has several.

        The model is scaled by its cameras. A street that is there twice shows as distances of the order of the drift.
        """
        ids = sorted(reconstruction.reg_image_ids())
        a = np.array([reconstruction.image(i).projection_center() for i in ids])
        b = np.array([self.centers[i] for i in ids])
        scale = np.linalg.norm(b - b.mean(0)) / np.linalg.norm(a - a.mean(0))
        found: dict[int, list[np.ndarray]] = {}
        for point in reconstruction.points3D.values():
            element = point.track.elements[0]
            found.setdefault(int(self.seen[element.image_id][element.point2D_idx]), []).append(point.xyz)
        several = [np.array(xyz) for xyz in found.values() if len(xyz) > 1]
        return scale * np.array([np.linalg.norm(xyz - xyz[0], axis=1).max() for xyz in several])


class ThereAndBack(Street):
    """Along the street, and back in the opposite direction on the other side of the road.

    On the way there the camera on the left looks across the road at the façades, on the way back the camera on the right
    does from 4 m nearer. Matches between the two rides are found at the turn, and within ``closing`` metres of the start
    only: so the loop closes after the whole drift has gathered.
    """

    @staticmethod
    def path(images: int) -> np.ndarray:
        half = images // 2
        there = Street.path(half)
        back = there[::-1] + [0.0, 0.1, 4.0]
        steps = np.linspace(0, 1, images - 2 * half + 4)[1:-1, None]
        turn = there[-1] + steps[: images - 2 * half] * (back[0] - there[-1])
        return np.vstack([there, turn, back])

    def partners(self, i: int) -> list[int]:
        x = self.centers[i][0]
        near = self._closing + self.centers[1][0]
        closed = [j for j in self.centers if abs(i - j) > self._reach and x < near and self.centers[j][0] < near]
        return super().partners(i) + closed
