"""A street that grows with the number of keyframes, as keypoints and matches only: what mapping costs, without images."""

from __future__ import annotations

from typing import Any

import numpy as np

from seg2d3d_ros.reconstruction.streaming import OnlineMapper

WIDTH, HEIGHT, FOCAL = 1000, 700, 800.0
SPACING, DEPTH, HALF_VIEW = 1.0, 10.0, 5.5
NOISE = 0.5
MIN_MATCHES = 30


class Street:
    """Keyframes 1 m apart that look at façades 8 to 12 m away; half a pixel of noise.

    Every image sees its points with 70 % probability; images match where they see common points, up to ``reach`` apart.
    """

    def __init__(self, images: int, seed: int, points_per_metre: int = 150, reach: int = 7) -> None:
        import pycolmap

        self._pycolmap = pycolmap
        rng = np.random.default_rng(seed)
        count = int(points_per_metre * (images * SPACING + 2 * HALF_VIEW))
        points = np.column_stack(
            [
                rng.uniform(-HALF_VIEW, images * SPACING + HALF_VIEW, count),
                rng.uniform(-3, 3, count),
                rng.uniform(DEPTH - 2, DEPTH + 2, count),
            ]
        )
        self.centers = {i: np.array([i * SPACING, 0.3 * np.sin(i), 0.2 * np.cos(0.7 * i)]) for i in range(1, images + 1)}
        self.seen: dict[int, np.ndarray] = {}
        self.keypoints: dict[int, np.ndarray] = {}
        for i, center in self.centers.items():
            local = points - center
            xy = FOCAL * local[:, :2] / local[:, 2:] + [WIDTH / 2, HEIGHT / 2]
            inside = ((xy > 0) & (xy < [WIDTH, HEIGHT])).all(1) & (rng.random(count) < 0.7)
            self.seen[i] = np.flatnonzero(inside)
            self.keypoints[i] = xy[inside] + NOISE * rng.normal(size=(int(inside.sum()), 2))
        self._reach = reach

    def geometry(self, first: int, second: int) -> Any:
        """All common points, as verified matches."""
        _, here, there = np.intersect1d(self.seen[first], self.seen[second], assume_unique=True, return_indices=True)
        geometry = self._pycolmap.TwoViewGeometry()
        geometry.config = self._pycolmap.TwoViewGeometryConfiguration.CALIBRATED.value
        geometry.inlier_matches = np.column_stack([here, there]).astype(np.uint32)
        return geometry

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
        near = [j for j in range(i - self._reach, i + self._reach + 1) if j != i and j in mapper.graph]
        matches = {j: len(np.intersect1d(self.seen[i], self.seen[j], assume_unique=True)) for j in near}
        mapper.add_image(image, frame, {j: n for j, n in matches.items() if n >= MIN_MATCHES})

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
