"""A small drive along a wall whose every error is known: keypoints of a given noise, and its model adjusted to them."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.adjustment import robust_options, whole_model

WIDTH, HEIGHT, FOCAL = 640, 480, 500.0
IMAGES, POINTS, NOISE = 8, 60, 0.5
TURN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""camera_from_world: looks north, z up."""
CENTERS = np.column_stack([1.5 * np.arange(IMAGES), 0.3 * np.sin(np.arange(IMAGES)), 0.2 * np.cos(2.0 * np.arange(IMAGES))])


def wall() -> np.ndarray:
    """(POINTS, 3) uneven wall, north of the cameras."""
    rng = np.random.default_rng(5)
    return np.column_stack(
        [rng.uniform(-2, 1.5 * IMAGES + 1, POINTS), 8 + rng.uniform(0, 3, POINTS), rng.uniform(-2.5, 3, POINTS)]
    )


def wall_model(noise: float, rng: np.random.Generator, *, adjusted: bool = True) -> pycolmap.Reconstruction:
    """The true model with keypoints of this noise in pixels, adjusted to them (ids: images 1 to IMAGES, points in order)."""
    model, xyz = pycolmap.Reconstruction(), wall()
    camera = pycolmap.Camera(
        camera_id=1, model="PINHOLE", width=WIDTH, height=HEIGHT, params=[FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]
    )
    rig = pycolmap.Rig(rig_id=1)
    rig.add_ref_sensor(camera.sensor_id)
    model.add_camera(camera)
    model.add_rig(rig)
    seen = []
    for k, center in enumerate(CENTERS):
        pose = Pose(TURN, -TURN @ center)
        local = pose.apply(xyz)
        xy = FOCAL * local[:, :2] / local[:, 2:] + [WIDTH / 2, HEIGHT / 2]
        inside = np.flatnonzero(((xy > 0) & (xy < [WIDTH, HEIGHT])).all(axis=1))
        seen.append(inside)
        keypoints = xy[inside] + noise * rng.normal(size=(len(inside), 2))
        image = pycolmap.Image(name=f"{k:02d}.jpg", keypoints=keypoints, camera_id=1, image_id=k + 1)
        frame = pycolmap.Frame(frame_id=k + 1, rig_id=1, rig_from_world=pose.to_colmap())
        frame.add_data_id(image.data_id)
        image.frame_id = k + 1
        model.add_frame(frame)
        model.add_image(image)
        model.register_frame(k + 1)
    for j, point in enumerate(xyz):
        track = pycolmap.Track()
        for k, inside in enumerate(seen):
            if (there := np.flatnonzero(inside == j)).size:
                track.add_element(k + 1, int(there[0]))
        if track.length() >= 3:
            model.add_point3D(point, track, np.zeros(3, np.uint8))
    if adjusted:
        config = whole_model(model, [1])
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
        options = robust_options(pycolmap.LossFunctionType.TRIVIAL, 20, 1)
        pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    return model


def centers_of(model: pycolmap.Reconstruction) -> np.ndarray:
    """(IMAGES, 3) places of the cameras."""
    return np.array([model.image(k + 1).projection_center() for k in range(IMAGES)])
