"""A vehicle with four cameras that look outwards, its drive, and the verified matches of its images in a database."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import held_as
from seg2d3d_ros.geometry.vertical.verticals import verticals
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.anchored_mapper import solve_anchored
from seg2d3d_ros.reconstruction.anchored.held_poses import solve_held
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.rigs.moments import find_moments
from seg2d3d_ros.reconstruction.rigs.rig_frames import make_rig

SIZE, FOCAL = 800, 400.0
CAMERAS = {"front": 0.0, "left": 90.0, "rear": 180.0, "right": -90.0}
SECOND = 10**9
OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""base_from_camera of one that looks ahead."""


def mount(degrees, wrong=0.0):
    """base_from_camera of a camera that looks this way, 0.15 m from the middle; ``wrong`` degrees off about the vertical."""
    yaw = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    off = Rotation.from_euler("z", degrees + wrong, degrees=True).as_matrix()
    return Pose(off @ OPTICAL, yaw @ [0.15, 0.0, 0.0] + [0.0, 0.0, 2.0])


class OutwardDrive:
    """A drive along a bending street.

    Attributes:
        rows: the images, each camera at every moment.
        truth: image id -> ``camera_from_world`` in metres east, north, up.
        path: of the database.
    """

    def __init__(
        self, path, *, moments=12, step=3.5, seed=0, noise=0.3, stamps=True, gap=None, alone=(), doppelgangers=0, focals=None
    ):
        self.rng, self.path, self.gap, self.focals = np.random.default_rng(seed), path, gap, focals or {}
        self.alone = alone  # ids of images that match no other
        self.rows, self.truth, self._seen = [], {}, {}
        xyz = self._street(moments * step)
        for k in range(moments):
            base = self._base(k * step)
            for number, (name, degrees) in enumerate(CAMERAS.items(), start=1):
                image_id = 10 * (k + 1) + number
                stamp = (k + 1) * SECOND if stamps else 0
                row = ImageRow(image_id, number, f"{name}_{k:04d}", f"{name}/{k:04d}.jpg", name, stamp, 100, None)
                self.rows.append(row)
                self.truth[image_id] = (base @ mount(degrees)).inverse()
                self._seen[image_id] = self._view(self.truth[image_id], xyz, noise)
        for number in range(doppelgangers):
            self._double(number)
        self.pairs = self._write()

    def _base(self, way):
        heading = 0.004 * way
        rotation = Rotation.from_euler("ZYX", [heading, 0.01 * np.sin(way), 0.01 * np.cos(way)]).as_matrix()
        return Pose(rotation, np.array([way, 0.002 * way**2, 0.1 * np.sin(0.3 * way)]))

    def _street(self, length):
        """Façades on both sides that step back and forth, and the road."""
        count = int(45 * (length + 60))
        x = self.rng.uniform(-30, length + 30, count)
        side = self.rng.choice([-1.0, 1.0], count)
        depth = 7.0 + 3.0 * (np.floor(x / 9.0) % 2) + self.rng.normal(0, 0.2, count)
        y = 0.002 * x**2 + side * depth
        z = self.rng.uniform(0.0, 10.0, count)
        road = self.rng.random(count) < 0.2
        y, z = np.where(road, 0.002 * x**2 + side * self.rng.uniform(2.5, 6.0, count), y), np.where(road, 0.0, z)
        return np.column_stack([x, y, z])

    def _view(self, camera_from_world, xyz, noise):
        """Keypoints, and the number of the point of each; points nearer than 25 m only."""
        local = camera_from_world.apply(xyz)
        ahead = (local[:, 2] > 1.0) & (np.linalg.norm(local, axis=1) < 25.0)
        xy = FOCAL * local[:, :2] / np.where(ahead, local[:, 2], np.nan)[:, None] + SIZE / 2
        inside = np.flatnonzero(ahead & ((xy > 0) & (xy < SIZE)).all(1))
        return xy[inside] + noise * self.rng.normal(size=(len(inside), 2)), inside

    def _write(self):
        """The database, and (M, 3) its verified pairs; every fiftieth match is wrong."""
        database = pycolmap.Database.open(self.path)
        for number in range(1, len(CAMERAS) + 1):
            camera = self.camera(number)
            database.write_camera(camera, use_camera_id=True)
            rig = pycolmap.Rig(rig_id=number)
            rig.add_ref_sensor(camera.sensor_id)
            database.write_rig(rig, use_rig_id=True)
        for row in self.rows:
            image = pycolmap.Image(name=row.file_name, camera_id=row.camera_id, image_id=row.image_id)
            frame = pycolmap.Frame(frame_id=row.image_id, rig_id=row.camera_id)
            frame.add_data_id(image.data_id)
            database.write_image(image, use_image_id=True)
            database.write_frame(frame, use_frame_id=True)
            database.write_keypoints(row.image_id, self._seen[row.image_id][0].astype(np.float32))
        pairs = []
        for k, a in enumerate(self.rows):
            for b in self.rows[k + 1 :]:
                if self.gap is not None and (a.image_id < 10 * self.gap) != (b.image_id < 10 * self.gap):
                    continue
                if {a.image_id, b.image_id} & set(self.alone):
                    continue
                _, here, there = np.intersect1d(self._seen[a.image_id][1], self._seen[b.image_id][1], return_indices=True)
                if len(here) >= 30:
                    pairs.append((a.image_id, b.image_id, self._match(database, a.image_id, b.image_id, here, there)))
        database.close()
        return np.array([pair for pair in pairs if pair[2] >= 15], np.int64)

    def _match(self, database, a, b, here, there):
        there = there.copy()
        wrong = np.arange(0, len(there), 50)
        there[wrong] = np.roll(there[wrong], 1)
        return self._verify(database, a, b, np.column_stack([here, there]))

    def _verify(self, database, a, b, matches):
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed = 0
        cameras = [self.camera(i % 10) for i in (a, b)]
        points = [self._seen[i][0].astype(np.float64) for i in (a, b)]
        geometry = pycolmap.estimate_calibrated_two_view_geometry(
            cameras[0], points[0], cameras[1], points[1], matches.astype(np.uint32), options
        )
        database.write_two_view_geometry(a, b, geometry)
        return len(geometry.inlier_matches)

    def _double(self, number):
        """Two places that look alike, far from each other: keypoints in both images whose matches verify."""
        third = len(self.rows) // 3
        first, second = (self.rows[int(self.rng.integers(*ends))].image_id for ends in ((0, third), (2 * third, 3 * third)))
        turn = Rotation.from_rotvec(self.rng.normal(0, 0.2, 3)).as_matrix()
        here = np.column_stack([self.rng.uniform(-4, 4, (60, 2)), self.rng.uniform(5, 15, 60)])
        there = here @ turn.T + self.rng.normal(0, 0.5, 3)
        for image_id, xyz in ((first, here), (second, there)):
            xy, points = self._seen[image_id]
            added = np.clip(FOCAL * xyz[:, :2] / np.maximum(xyz[:, 2:], 1.0) + SIZE / 2, 0, SIZE)
            self._seen[image_id] = np.vstack([xy, added]), np.concatenate([points, -1 - number * 60 - np.arange(60)])

    def camera(self, number):
        """As it is calibrated, rightly or (``focals``: number -> pixels) not."""
        params = [self.focals.get(number, FOCAL)] * 2 + [SIZE / 2, SIZE / 2]
        return pycolmap.Camera(camera_id=number, model="PINHOLE", width=SIZE, height=SIZE, params=params)

    def positions(self, noise=0.05, outliers=0.0, seed=1):
        """Image id -> measured position, and the ids of those that are 30 m off."""
        rng = np.random.default_rng(seed)
        found = {i: pose.origin + rng.normal(0, noise, 3) for i, pose in self.truth.items()}
        wrong = rng.permutation(sorted(found))[: int(outliers * len(found))].tolist()
        for i in wrong:
            away = rng.normal(size=3)
            found[i] = found[i] + 30.0 * away / np.linalg.norm(away)
        return found, set(wrong)

    def anchor(self, positions, *, claimed=0.05, mounts=None, attitudes=None, levers=None, fixed=False):
        """What is known; arguments as of ``solve``."""
        rig = None if mounts is None else make_rig(mounts, self.rows, 0.005, refine=False)
        names = {row.image_id: row.camera_name for row in self.rows}

        def up(image_ids, poses):
            return verticals(poses, [held_as(None, (mounts or {}).get(names[i])) for i in image_ids])

        sigmas, moments = dict.fromkeys(positions, claimed), find_moments(self.rows, 0.005)
        return Anchor(
            positions, sigmas, set(positions), rig, moments, up, attitudes or {}, np.radians(0.1), levers or {}, fixed
        )

    def solve(self, positions, *, fixed=False, **known):
        """The answer of ``solve_anchored``, or of ``solve_held`` where the given poses are ``fixed``.

        Further arguments: ``claimed``: metres that positions claim to be good to; ``mounts``: camera name -> base_from_camera,
        None = unknown; ``attitudes``: image id -> meaning -> (3, 3) world_from_camera; ``levers``: see ``Anchor``.
        """
        anchor, ids = self.anchor(positions, fixed=fixed, **known), [row.image_id for row in self.rows]
        options = {"min_matches": 15, "fixed_cameras": {1, 2, 3, 4}, "threads": 1}
        if fixed:
            return solve_held(self.path, anchor, self.pairs, ids, **options)
        return solve_anchored(self.path, anchor, self.pairs, ids, seed=0, **options)

    def attitudes(self, noise=0.1, seed=2, **turned):
        """Image id -> (3, 3) measured ``world_from_camera``; by camera name, degrees by which its are turned."""
        rng = np.random.default_rng(seed)
        found = {}
        for row in self.rows:
            error = Rotation.from_rotvec(np.radians(rng.normal(0, noise, 3)))
            off = Rotation.from_euler("y", turned.get(row.camera_name, 0.0), degrees=True)
            found[row.image_id] = error.as_matrix() @ self.truth[row.image_id].rotation.T @ off.as_matrix()
        return found

    def turns(self, model):
        """Image id -> degrees between a registered camera's rotation and the true one."""
        found = {i: model.image(i).cam_from_world().rotation.matrix() for i in model.reg_image_ids()}
        return {
            i: float(np.degrees(Rotation.from_matrix(turn @ self.truth[i].rotation.T).magnitude())) for i, turn in found.items()
        }

    def offsets(self, model, *, scaled=False):
        """(K,) metres between the registered cameras and the truth after the best rigid motion, or similarity."""
        ids = sorted(model.reg_image_ids())
        here = np.array([model.image(i).projection_center() for i in ids])
        there = np.array([self.truth[i].origin for i in ids])
        here, there = here - here.mean(0), there - there.mean(0)
        rotation = Rotation.align_vectors(there, here)[0]
        turned = rotation.apply(here)
        scale = float((turned * there).sum() / (turned**2).sum()) if scaled else 1.0
        return np.linalg.norm(scale * turned - there, axis=1)


def given_mounts(**wrong):
    """Camera name -> base_from_camera; by camera name, degrees by which it is wrong."""
    return {name: mount(degrees, wrong.get(name, 0.0)) for name, degrees in CAMERAS.items()}
