"""A made-up street on disk: houses on both sides, a vehicle that drives past them and back, the answer known."""

from pathlib import Path

import cv2
import numpy as np

from seg2d3d_ros.config import Config
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore import point_cloud as ply
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.types import Keyframe, Segments, SparseModel, WorldFrame

WIDTH, HEIGHT, FOCAL = 480, 320, 300.0
LOOK_NORTH = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
LOOK_SOUTH = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]])


def _facades(houses: int) -> np.ndarray:
    """(houses, 4, 3) corners, east-north-up; odd ids north of the street, even ids south."""
    rng = np.random.default_rng(1)
    quads = []
    for k in range(houses):
        x, y, height = 8.0 * (k // 2), (9.0 + rng.uniform(0, 2)) * (1 if k % 2 == 0 else -1), rng.uniform(5, 9)
        quads.append([[x, y, 0], [x + 8, y, 0], [x + 8, y, height], [x, y, height]])
    return np.array(quads)


def _picture(quads: np.ndarray, rotation: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = np.linspace(235, 150, HEIGHT)[:, None, None]
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    for k, quad in enumerate(quads):
        seen = (quad - center) @ rotation.T
        if seen[:, 2].min() < 0.5:
            continue
        xy = np.rint(FOCAL * seen[:, :2] / seen[:, 2:] + [WIDTH / 2, HEIGHT * 0.65]).astype(np.int32)
        fill = (200 - 30 * (k % 3), 170 - 12 * (k % 5), 140)
        cv2.fillConvexPoly(image, xy, fill)
        cv2.fillConvexPoly(labels, xy, k + 1)
        for u in (0.2, 0.5, 0.8):
            for v in (0.35, 0.7):
                across, up = xy[1] - xy[0], xy[3] - xy[0]
                middle = xy[0] + u * across + v * up
                half = np.abs(across) * 0.07 + np.abs(up) * 0.1
                cv2.rectangle(
                    image, (middle - half).astype(int).tolist(), (middle + half).astype(int).tolist(), (70, 80, 95), -1
                )
    return image, labels


def write_sparse(root: Path, model: SparseModel, files: dict[str, str] | None = None) -> None:
    """Write the model's cameras, poses and points as COLMAP does, and what its frame means; ``files`` by keyframe."""
    import pycolmap

    from seg2d3d_ros.reconstruction.model_io import write_frame

    files = files or {name: f"{name}.jpg" for name in model.names}
    out = pycolmap.Reconstruction()
    for k, (name, camera, pose) in enumerate(zip(model.names, model.cameras, model.camera_from_world, strict=True), 1):
        out.add_camera_with_trivial_rig(
            pycolmap.Camera(
                camera_id=k, model=camera.model, width=camera.width, height=camera.height, params=list(camera.params)
            )
        )
        mine = model.obs_keyframe == k - 1
        keypoints = model.obs_xy[mine].astype(float).reshape(-1, 2)
        image = pycolmap.Image(image_id=k, camera_id=k, name=files[name], keypoints=keypoints)
        out.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pose))
    for point_id, xyz, rgb in zip(model.point_ids, model.xyz, model.rgb, strict=True):
        out.add_point3D_with_id(int(point_id), pycolmap.Point3D(xyz=xyz, color=rgb, track=pycolmap.Track()))
    for k in range(len(model.names)):
        for place, point in enumerate(model.obs_point[model.obs_keyframe == k].tolist()):
            out.add_observation(int(model.point_ids[point]), pycolmap.TrackElement(k + 1, place))
    folder = root / "sparse" / str(model.component)
    folder.mkdir(parents=True)
    out.write_binary(folder)
    write_frame(folder, model.frame, model.revision, {files[name]: name for name in model.names})


def street(
    root: Path, *, houses: int = 10, stops: int = 12, points: int = 2500, frame: str = "enu", mixed: str = "building"
) -> MapStore:
    """Write a whole map directory; ``mixed`` is the class name of all instances."""
    rng = np.random.default_rng(0)
    store = MapStore(root)
    quads = _facades(houses)
    length = 8.0 * ((houses + 1) // 2)
    names, poses, records, observations = [], [], [], {k + 1: [] for k in range(houses)}
    for way, rotation in enumerate((LOOK_NORTH, LOOK_SOUTH)):
        for k in range(stops):
            x = (k + 0.5) / stops * length
            center = np.array([x if way == 0 else length - x, -1.0 if way == 0 else 1.0, 1.6])
            stamp = (way * stops + k) * 1_000_000_000 + 5
            name = f"{'left' if way == 0 else 'right'}_{stamp}"
            image, labels = _picture(quads, rotation, center)
            encoded = encode_jpeg(image)
            camera = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT * 0.65))
            geo = GeoPosition(55.7, 13.19, 40.0) if frame == "enu" else None
            keyframe = Keyframe(name, name.split("_")[0], stamp, encoded, camera, geo, f"{name}.jpg")
            records.append(KeyframeRecord.of(keyframe, store.write_image(keyframe).relative_to(root)))
            ids = np.unique(labels[labels > 0])
            full = np.full(len(ids), 0.9, np.float32)
            segments = Segments(name, labels, ids, np.ones(len(ids), np.int32), full)
            store.write_segments(segments, (mixed,))
            write_label_file(store, name, labels)
            for segment_id, box in zip(ids.tolist(), segments.boxes.tolist(), strict=True):
                observations[segment_id].append({"image": name, "segment": segment_id, "box": box, "score": 0.9})
            names.append(name)
            poses.append(np.column_stack([rotation, -rotation @ center]))
    owner = rng.integers(0, houses, points)
    uv = rng.uniform(0, 1, (points, 2))
    base, across, up = quads[owner, 0], quads[owner, 1] - quads[owner, 0], quads[owner, 3] - quads[owner, 0]
    xyz = base + uv[:, :1] * across + uv[:, 1:] * up + rng.normal(0, 0.05, (points, 3))
    instance = np.where(rng.uniform(size=points) < 0.8, owner + 1, 0)
    grey = instance == 0
    xyz[grey] += rng.normal(0, 3, (int(grey.sum()), 3))
    xyz[:3] = rng.normal(0, 5000, (3, 3))
    instance[:3] = 0
    if frame != "enu":
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn *= np.sign(np.linalg.det(turn))
        xyz = xyz @ turn.T
        poses = [np.column_stack([pose[:, :3] @ turn.T, pose[:, 3]]) for pose in poses]
    cloud = np.zeros(points, ply.POINT)
    for axis, label in enumerate("xyz"):
        cloud[label] = xyz[:, axis]
    cloud["instance"], cloud["confidence"], cloud["point_id"] = instance, (instance > 0) * 0.9, np.arange(points) + 1
    ply.write_points(root / "points.ply", cloud)
    write_sparse(
        root,
        SparseModel(
            names=tuple(names),
            cameras=tuple(record.camera for record in records),
            camera_from_world=np.array(poses),
            xyz=xyz,
            rgb=instance_colors(instance),
            error=np.ones(points, np.float32),
            point_ids=np.arange(points) + 1,
            obs_keyframe=np.zeros(0, np.int32),
            obs_point=np.zeros(0, np.int32),
            obs_xy=np.zeros((0, 2), np.float32),
            frame=WorldFrame("enu", (55.7, 13.19, 40.0)) if frame == "enu" else WorldFrame(),
        ),
    )
    store.write_keyframes(records)
    found = [
        {"id": i, "class": mixed, "score": 0.9, "points": int((instance == i).sum()), "component": 0, "observations": seen}
        for i, seen in observations.items()
        if seen
    ]
    write_json(root / "tracks.json", {"instances": found, "frame": {"kind": frame}})
    store.write_config(Config())
    store.update_metrics(
        {
            "counts": {"images": len(names) + 2, "segments": 60, "segments_with_instance": 55},
            "timings": {"segmentation": 0.8, "features": 12.5, "matching": 31.0, "mapping": 48.2, "association": 0.3},
            "warnings": ["3 of 60 segments hold no 3D point & cannot be associated"],
            "unregistered": [
                {"image": "left_99", "reason": "too few matches with other images"},
                {"image": "right_99", "reason": "cannot be decoded as an image"},
            ],
            "truth": {
                "objects": 10,
                "images": 24,
                "objects_in_one_image": 1,
                "objects_never_detected": 0,
                "notes": ["a note from the evaluation"],
                "methods": {
                    "this_map": {"coverage": 0.71234, "assa": 0.6, "false_merges": 1},
                    "one_id_per_mask": {"coverage": 0.1, "assa": None, "false_merges": 0},
                },
                "per_object": [
                    {
                        "id": 901,
                        "images": 8,
                        "detected_images": 7,
                        "best_track": 6,
                        "matched_images": 5,
                        "coverage": 0.625,
                        "tracks": 2,
                    }
                ],
            },
        }
    )
    return store


def write_label_file(store: MapStore, name: str, labels: np.ndarray) -> None:
    """Write one label image."""
    from seg2d3d_ros.images import write_labels

    write_labels(store.label_path(name), labels)
