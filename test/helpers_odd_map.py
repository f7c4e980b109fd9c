"""A tiny map in which all is awkward: names, cameras of one stamp, holes, parts, single pixels, missing labels and poses."""

from pathlib import Path

import numpy as np
from helpers_report import write_sparse
from scipy.spatial.transform import Rotation

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore import point_cloud as ply
from seg2d3d_ros.mapstore.directory.marker import WHOLE, mark
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.types import SparseModel, WorldFrame

WIDTH, HEIGHT = 60, 40
FRONT, REAR = "front left/ä", "front_left/ä"
CAMERAS = {
    FRONT: Camera("OPENCV", WIDTH, HEIGHT, (50.5, 51.25, 30.0, 20.5, 0.01, -0.002, 1e-4, -2e-4)),
    REAR: Camera("SIMPLE_RADIAL", WIDTH, HEIGHT, (48.0, 30.0, 20.0, 0.02)),
}
START = 1_780_300_000_123_456_789
SECOND = 1_000_000_000
PHOTOS = {
    "Straße 1": (FRONT, START, "front left/Straße 1.jpg"),
    "rear_1": (REAR, START, "rear/1.jpg"),
    "Straße 2": (FRONT, START + SECOND, "front left/Straße 2.jpg"),
    "rear_2": (REAR, START + SECOND, "rear/2.jpg"),
    "rear_3": (REAR, START + 2 * SECOND, "rear/3, again.jpg"),
    "rear_4": (REAR, START + 3 * SECOND, "rear/4.jpg"),
}
"""By keyframe: camera, stamp, file. rear_2 has no labels, rear_3 no pose, rear_4 lies in another model."""
REGISTERED = ("Straße 1", "Straße 2", "rear_1", "rear_2")
CLASSES = {5: "lamp post", 7: "building", 9: "building", 511: "building"}
DATUM = (55.7, 13.19, 40.0)


def odd_labels() -> dict[str, np.ndarray]:
    """(H, W) uint16 by keyframe."""
    labels = {name: np.zeros((HEIGHT, WIDTH), np.uint16) for name in PHOTOS if name != "rear_2"}
    first, second, rear, third, fourth = (labels[name] for name in ("Straße 1", "Straße 2", "rear_1", "rear_3", "rear_4"))
    first[5:30, 3:28], first[10:20, 8:16], first[13:16, 10:13] = 7, 0, 7  # a ring, and an island in its hole
    first[4:20, 33:40], first[25:36, 40:58] = 511, 511
    first[HEIGHT - 1, WIDTH - 1] = 5
    second[:, :25] = 7
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    second[(rows - 20) ** 2 / 200 + (columns - 43) ** 2 / 120 < 1] = 511
    rear[:] = 7
    rear[::2, ::2][:8, :8] = 511  # pixels that touch nothing of their own
    third[12:30, 20:45] = 511
    fourth[3:9, 2:50] = 9
    return labels


def odd_model(names: tuple[str, ...], component: int, kind: str) -> SparseModel:
    """Some poses and points."""
    rng = np.random.default_rng(5 + component)
    rotation = Rotation.random(len(names), random_state=component).as_matrix()
    points = 6
    return SparseModel(
        names=names,
        cameras=tuple(CAMERAS[PHOTOS[name][0]] for name in names),
        camera_from_world=np.concatenate([rotation, rng.normal(0, 30, (len(names), 3, 1))], axis=2),
        xyz=rng.normal(0, 10, (points, 3)),
        rgb=rng.integers(0, 255, (points, 3), np.uint8),
        error=np.zeros(points, np.float32),
        point_ids=np.arange(1, points + 1, dtype=np.int64) + 100 * component,
        obs_keyframe=np.repeat(np.arange(len(names), dtype=np.int32), points),
        obs_point=np.tile(np.arange(points, dtype=np.int32), len(names)),
        obs_xy=rng.uniform(1, 39, (len(names) * points, 2)).astype(np.float32),
        frame=WorldFrame("enu", DATUM) if kind == "enu" else WorldFrame(),
        component=component,
    )


def odd_map(root: Path, *, kind: str = "enu", empty: bool = False) -> MapStore:
    """Write it to ``root/map`` and its photographs to ``root/photos``; ``empty``: of no instances."""
    store = MapStore(root / "map")
    records = []
    for name, (camera, stamp, file_name) in PHOTOS.items():
        photo = root / "photos" / file_name
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(encode_jpeg(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)))
        records.append(KeyframeRecord(name, camera, stamp, file_name, str(photo), CAMERAS[camera]))
    store.write_keyframes(records)
    instances = []
    labels = {name: image * (not empty) for name, image in odd_labels().items()}
    for name, image in labels.items():
        store.write_labels(name, LabelRuns.of(image.astype(np.uint16)))
    for number, class_name in ({} if empty else CLASSES).items():
        seen = [
            {"image": name, "segment": 1, "box": [0, 0, 1, 1], "score": score, "detector_score": 1.0}
            for name, image in labels.items()
            if (image == number).any()
            for score in (0.25, 0.5)  # two pieces of the same instance
        ]
        component = int(number == 9)
        box = {"center": [number / 10, 4.0, 2.0], "size": [3.0, 2.0, 4.0], "quaternion_xyzw": [0.0, 0.0, 0.0, 1.0]}
        facts = {"id": number, "class": class_name, "score": 0.75, "points": 1, "component": component, "box3d": box}
        instances.append({**facts, "observations": seen})
    datum = dict(zip(("latitude", "longitude", "altitude"), DATUM, strict=True))
    write_json(
        store.root / "tracks.json",
        {"instances": instances, "frame": {"kind": "enu", "datum": datum} if kind == "enu" else {"kind": kind}},
    )
    models = [odd_model(REGISTERED, 0, kind), odd_model(("rear_4",), 1, kind)]
    for model in models:
        write_sparse(store.root, model, {name: PHOTOS[name][2] for name in PHOTOS})
    everything = np.concatenate([model.xyz for model in models]), np.concatenate([model.rgb for model in models])
    points = ply.cloud_points(*everything, np.resize([0] if empty else [7, 511, 5, 0], 12), np.ones(12), ply.POINT)
    points["point_id"] = np.concatenate([model.point_ids for model in models])
    ply.write_points(store.root / "points.ply", points)
    ply.write_points(store.root / "points_rgb.ply", points)
    mark(store.root, WHOLE)
    return store
