"""A drive with several mounted cameras, and the models of it that tests of rigs need."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import apply_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import make_rig

WIDTH, HEIGHT, FOCAL, STOPS = 640, 480, 400.0, 8
SIDES = {"left": 1.0, "right": -1.0}
SECOND = 10**9


def mount(name, baseline=0.5):
    """base_from_camera: looks to its side, half a metre to it."""
    side = SIDES[name]
    optical = np.array([[side, 0.0, 0.0], [0.0, 0.0, side], [0.0, -1.0, 0.0]])  # right, down, forward in base's x, y, z
    if side < 0:
        optical = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])
    return Pose(optical, np.array([0.3, side * baseline, 1.5]))


def turned(pose, axis, degrees):
    """The pose with its source frame turned about one of its axes."""
    return pose @ Pose(Rotation.from_euler(axis, degrees, degrees=True).as_matrix(), np.zeros(3))


MOUNTS = {name: mount(name) for name in SIDES}


def taken(image_id, camera, stamp, name=""):
    return ImageRow(image_id, list(SIDES).index(camera) + 1, name or f"{camera}_{stamp}", "", camera, stamp, 100, None)


def base_pose(k):
    """world_from_base at stop k: along x, with a wobble."""
    rotation = Rotation.from_euler("ZYX", [0.1 * np.sin(k), 0.03 * np.cos(2 * k), 0.02 * k]).as_matrix()
    return Pose(rotation, np.array([2.0 * k, 0.3 * np.sin(1.3 * k), 0.05 * k]))


class Drive:
    """Rows, and a maker of models of façades on both sides."""

    def __init__(self, noise=0.3, seed=0):
        self.rng, self.noise = np.random.default_rng(seed), noise
        self.rows = [taken(10 * k + i, name, (k + 1) * SECOND) for k in range(STOPS) for i, name in enumerate(SIDES, start=1)]
        self.keypoints = {}

    def truth(self, r, mounts=None):
        """camera_from_world."""
        return (base_pose(r.image_id // 10) @ (mounts or MOUNTS)[r.camera_name]).inverse()

    def load(self, image_id):
        r = next(r for r in self.rows if r.image_id == image_id)
        camera = pycolmap.Camera(
            camera_id=r.camera_id, model="PINHOLE", width=WIDTH, height=HEIGHT, params=[FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]
        )
        rig = pycolmap.Rig(rig_id=r.camera_id)
        rig.add_ref_sensor(camera.sensor_id)
        image = pycolmap.Image(name=r.name, keypoints=self.keypoints[image_id], camera_id=r.camera_id, image_id=image_id)
        frame = pycolmap.Frame(frame_id=image_id, rig_id=r.camera_id)
        frame.add_data_id(image.data_id)
        image.frame_id = image_id
        return camera, rig, image, frame

    def models(self, groups, mounts=None, move=None):
        """One model of each group of camera names; ``move`` turns its poses, (scale, rotation, shift)."""
        found = []
        for place, group in enumerate(groups):
            rows = [r for r in self.rows if r.camera_name in group]
            xyz = self.points(group)
            seen = {r.image_id: self.view(r, xyz, mounts) for r in rows}
            for image_id, (xy, _) in seen.items():
                self.keypoints[image_id] = xy
            model = pycolmap.Reconstruction()
            for r in rows:
                camera, rig, image, frame = self.load(r.image_id)
                if not model.exists_camera(camera.camera_id):
                    model.add_camera(camera)
                    model.add_rig(rig)
                frame.rig_from_world = self.truth(r, mounts).to_colmap()
                model.add_frame(frame)
                model.add_image(image)
                model.register_frame(frame.frame_id)
            for k, point in enumerate(xyz):
                track = pycolmap.Track()
                for r in rows:
                    where = np.flatnonzero(seen[r.image_id][1] == k)
                    if len(where):
                        track.add_element(r.image_id, int(where[0]))
                if track.length() >= 2:
                    model.add_point3D(point + 0.002 * self.rng.normal(size=3), track, np.zeros(3, np.uint8))
            if move is not None:
                scale, rotation, shift = move[place]
                model.transform(pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), np.array(shift, float)))
            model.update_point_3d_errors()
            found.append(model)
        return found

    def points(self, group):
        sides = self.rng.choice([SIDES[name] for name in group], 500 * len(group))
        y = sides * self.rng.uniform(6, 12, len(sides))
        return np.column_stack([self.rng.uniform(-6, 2 * STOPS + 4, len(y)), y, self.rng.uniform(-1, 4, len(y))])

    def view(self, r, xyz, mounts):
        local = self.truth(r, mounts).apply(xyz)
        xy = FOCAL * local[:, :2] / np.where(local[:, 2:] > 0.1, local[:, 2:], np.nan) + [WIDTH / 2, HEIGHT / 2]
        inside = np.flatnonzero(((xy > 0) & (xy < [WIDTH, HEIGHT])).all(1))
        return xy[inside] + self.noise * self.rng.normal(size=(len(inside), 2)), inside


def applied(models, rig, drive, scale_of):
    """The models after ``apply_rig``, their scales, and its warnings."""
    warnings = Findings()
    return *apply_rig(models, rig, drive.load, scale_of, fixed_cameras=(1, 2), threads=1, findings=warnings), warnings.list()


def rig_of(drive, mounts=None, refine=False):
    return make_rig(mounts or MOUNTS, drive.rows, 0.005, refine=refine)


def errors(model, drive, mounts=None):
    """Centres against the truth after the best similarity, in metres; and its scale."""
    rows = [r for r in drive.rows if r.image_id in set(model.reg_image_ids())]
    a = np.array([model.image(r.image_id).projection_center() for r in rows])
    b = np.array([drive.truth(r, mounts).origin for r in rows])
    a, b = a - a.mean(0), b - b.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = float(np.trace(np.diag(s) @ d) / (a**2).sum())
    return np.linalg.norm(scale * a @ (u @ d @ vt).T - b, axis=1), scale
