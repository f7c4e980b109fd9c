"""What is fuzzed: each reader with good input, and what it makes of it, in numbers that damage must not change silently."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))
from fuzz_targets_other import OTHERS, make_other_inputs
from helpers_bags import ROS1, ROS2, SECOND, START, jpeg, storage_file, view, wall, write_bag
from helpers_report import street

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.config import Config, load_config, make_config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.images import decode_rgb, read_labels, write_labels
from seg2d3d_ros.keyframes.bag_keyframes import read_bag
from seg2d3d_ros.keyframes.camera_file import read_camera_file
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.keyframes.folder_scan import PhotoFile
from seg2d3d_ros.keyframes.positions.pose_file import read_poses
from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints, PoseSource
from seg2d3d_ros.mapstore.files.masks_file import masks_document, read_masks_document
from seg2d3d_ros.mapstore.files.tree_file import StoredTree, TreeNode, read_tree
from seg2d3d_ros.reconstruction.database import FeatureDatabase, Features
from seg2d3d_ros.reconstruction.rigs.rig_file import read_rig_file
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.types import Keyframe

CAMERA = Camera("PINHOLE", 160, 120, (140.0, 140.0, 80.0, 60.0))
PROMPTS = {"segmentation.prompts": ("building",)}


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        files: which of them is damaged, below the target's folder.
        read: the folder -> numbers; raises errors for the person. What it doubts goes into the findings.
        text: whether the files are text.
        loses_nothing: whether an error, too, is wrong, as the file is one of many.
    """

    files: tuple[str, ...]
    read: Callable[[Path, Findings], Any]
    text: bool = False
    loses_nothing: bool = False


def images(root: Path, findings: Findings) -> Any:
    """A folder of photographs."""
    source = read_folder(root / "images", camera=None, gps="exif", order="name", findings=findings)
    shapes = [decode_rgb(frame.encoded, frame.name).shape for frame in source]
    for name, reason in getattr(source, "skipped", {}).items():  # a command lists these itself
        findings.add(Kind("skipped", "images left out", "{reason}", ""), name, reason=reason)
    return sorted(shapes)


def keyframes(root: Path) -> list[Keyframe]:
    """The photographs that masks belong to."""
    return list(read_folder(root / "images", camera=None, gps="none", order="name", findings=Findings()))


def masks(root: Path, findings: Findings) -> Any:
    """Label images beside the photographs."""
    config = make_config({"segmentation.segmenter": "label_images", **PROMPTS}).segmentation
    segmenter = create_segmenter(config, directory=root / "segments", findings=findings)
    return segments(segmenter, keyframes(root), findings)


def coco(root: Path, findings: Findings) -> Any:
    """A COCO file."""
    config = make_config({"segmentation.segmenter": "coco", **PROMPTS}).segmentation
    segmenter = create_segmenter(config, directory=root / "coco.json", findings=findings)
    return segments(segmenter, keyframes(root), findings)


def segments(segmenter: Any, frames: list[Keyframe], findings: Findings) -> list[int]:
    """How many there are in each image."""
    segmenter.expect([PhotoName(frame.name, frame.file_name) for frame in frames])
    return [count_segments(segmenter, frame, findings) for frame in frames]


def count_segments(segmenter: Any, frame: Keyframe, findings: Findings) -> int:
    """Of one image, -1 where nobody looked for any; its own error is told as the intake does it."""
    try:
        found = segmenter.segment(frame)
    except DataError as error:
        findings.add(Kind("refused", "images refused", str(error), ""), frame.name)
        return 0
    return -1 if found is None else len(found.ids)


def overlapping(root: Path, findings: Findings, folder: str) -> Any:
    """Masks that overlap: lists of a generator, or one PNG per mask."""
    changes = {"segmentation.segmenter": "label_images", "segmentation.overlapping": True, "segmentation.prompts": ("object",)}
    segmenter = create_segmenter(make_config(changes).segmentation, directory=root / folder, findings=findings)
    return segments(segmenter, keyframes(root), findings)


def kept_masks(root: Path, _findings: Findings) -> Any:
    """A map's own masks; each damaged file is refused."""
    return [len(read_masks_document(path, path.stem, ("object",))) for path in sorted((root / "kept_masks").iterdir())]


def tree(root: Path, _findings: Findings) -> Any:
    """A map's tree of objects."""
    found = read_tree(root / "tree")
    return None if found is None else [(node.id, node.parent, len(node.masks), len(node.points)) for node in found.nodes]


def positions(root: Path, findings: Findings) -> Any:
    """Positions of the photographs."""
    source = read_folder(root / "images", camera=None, gps=root / "gps.csv", order="name", findings=findings)
    return [frame.geo is not None for frame in source]


def poses(root: Path, findings: Findings) -> Any:
    """Poses of the photographs in each of the forms."""
    counts = []
    for name in POSES:

        def source(photos: Sequence[PhotoFile], told: Findings, name: str = name) -> PoseSource:
            return read_poses(root / name, photos, PoseHints(), told)

        own = Findings()
        frames = read_folder(root / "images", camera=None, gps="none", order="name", poses=source, findings=own)
        counts.append(sum(frame.given is not None for frame in frames))
        findings.update(own.list())
    return counts


def bag(root: Path, findings: Findings, name: str) -> Any:
    """A recording with one camera."""
    with read_bag(root / name, config=Config().keyframes, findings=findings) as recording:
        items = list(recording)
        return len(items), sum(item[0].geo is not None for item in items), sum(item[0].camera is not None for item in items)


def command(*words: str) -> Callable[[Path, Findings], Any]:
    """A command on the map; its own words are its findings."""

    def read(root: Path, _findings: Findings) -> Any:
        code = main([word.replace("MAP", str(root / "map")).replace("OUT", str(root / "out")) for word in words])
        if code:
            raise SystemExit(code)
        return code

    return read


def database(root: Path, _findings: Findings) -> Any:
    """A map's features."""
    opened = FeatureDatabase(root / "database.db")
    rows = opened.images()
    found = len(rows), sum(len(opened.descriptors(row.image_id, 1000)) for row in rows), len(opened.matched_pairs())
    opened.close()
    return found


def checkpoint(root: Path, _findings: Findings) -> Any:
    """Weights, which may hold code."""
    from seg2d3d_ros.networks.checkpoints import read_state

    return len(read_state(root / "weights.pth"))


NAMES = ("a.jpg", "b.png", "c.webp", "d.tif", "e.bmp")
POSES = ("poses.csv", "poses.tum", "poses.kitti", "transforms.json", "reconstruction.json")
TARGETS = {
    "image": Target(tuple(f"images/{name}" for name in NAMES), images, loses_nothing=True),
    "mask": Target(("segments/a.png", "segments/b.png"), masks, loses_nothing=True),
    "segments.json": Target(("segments/segments.json",), masks, text=True),
    "coco": Target(("coco.json",), coco, text=True),
    "mask lists": Target(("lists/*.json",), lambda root, findings: overlapping(root, findings, "lists"), text=True),
    "mask folders": Target(("folders/*/*",), lambda root, findings: overlapping(root, findings, "folders"), loses_nothing=True),
    "kept masks": Target(("kept_masks/*.json",), kept_masks, text=True),
    "tree": Target(("tree/granularity.json",), tree, text=True),
    "camera": Target(("camera.json",), lambda root, _: len(read_camera_file(root / "camera.json")._cameras), text=True),
    "positions": Target(("gps.csv",), positions, text=True),
    "poses": Target(POSES, poses, text=True),
    "rig": Target(("rig.yaml",), lambda root, _: len(read_rig_file(root / "rig.yaml").mounts), text=True),
    "params": Target(("params.yaml",), lambda root, _: len(load_config(file=root / "params.yaml").flat()), text=True),
    "mcap": Target(("drive.mcap",), lambda root, findings: bag(root, findings, "drive.mcap")),
    "db3": Target(("drive2/metadata.yaml", "drive2/drive2.db3"), lambda root, findings: bag(root, findings, "drive2")),
    "ros1": Target(("drive.bag",), lambda root, findings: bag(root, findings, "drive.bag")),
    "database": Target(("database.db",), database),
    "report": Target(("map/*", "map/*/*", "map/sparse/*/*"), command("report", "MAP")),
    "map.json files": Target(("map/*.json", "map/sparse/0/frame.json"), command("report", "MAP"), text=True),
    "export": Target(("map/tracks.json", "map/points.ply"), command("export", "MAP", "--format", "ply", "--out", "OUT/x.ply")),
    "evaluate": Target(("map/labels/*", "map/tracks.json"), command("evaluate", "MAP", "--truth", "MAP/../truth")),
    "checkpoint": Target(("weights.pth",), checkpoint),
    **{name: Target(files, read, **facts) for name, (files, read, facts) in OTHERS.items()},
}


def make_inputs(base: Path, names: list[str]) -> None:
    """Good input for the targets."""
    scene = wall(3)
    for folder in ("images", "segments", "out"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(NAMES):
        cv2.imwrite(str(base / "images" / name), view(scene, 20 * k))
    labels = np.zeros((120, 160), np.uint16)
    labels[20:60, 30:80], labels[70:110, 90:150] = 1, 2
    for name in NAMES:
        write_labels(base / f"segments/{name[0]}.png", labels)
    fact = {"class": "building", "score": 0.9}
    (base / "segments/segments.json").write_text(json.dumps({name[0]: {"1": fact, "2": fact} for name in NAMES}))
    (base / "coco.json").write_text(json.dumps(coco_document()))
    make_overlapping(base)
    pinhole = {"model": "PINHOLE", "width": 160, "height": 120, "params": [140.0, 140.0, 80.0, 60.0]}
    (base / "camera.json").write_text(json.dumps({"cameras": {"front": pinhole, "left": pinhole}}))
    rows = [f"{name},{55.7 + k * 1e-4},{13.2},{40.0 + k},1.5" for k, name in enumerate(NAMES)]
    (base / "gps.csv").write_text("\n".join(["image,latitude,longitude,altitude,sigma", *rows]) + "\n")
    make_poses(base)
    mount = "{translation: [0.1, 0.0, -0.5], quaternion_wxyz: [1.0, 0.0, 0.0, 0.0]}"
    (base / "rig.yaml").write_text(f"cameras:\n  front:\n    sensor_from_rig: {mount}\n  left:\n    rig_from_sensor: {mount}\n")
    (base / "params.yaml").write_text(Config().to_yaml())
    make_other_inputs(base, set(names))
    if {"mcap", "db3", "ros1"} & set(names):
        make_bags(base, scene)
    if {"report", "map.json files", "export", "evaluate"} & set(names):
        store = street(base / "map", houses=4, stops=3, points=200)
        for path in (store.root / "labels").iterdir():  # not the segmenter's own pixels, which are no truth
            write_labels(base / "truth" / path.name, np.roll(read_labels(path), 6, axis=1))
    if "database" in names:
        make_database(base / "database.db")
    if "checkpoint" in names:
        import torch

        torch.save({f"layer{k}.weight": torch.ones(4, 4) for k in range(3)}, base / "weights.pth")


def make_poses(base: Path) -> None:
    """A pose of each photograph, in each of the forms."""
    rows = [f"{name},{55.7 + k * 1e-4},13.2,40,1,2,{30 + k}" for k, name in enumerate(NAMES)]
    (base / "poses.csv").write_text("\n".join(["image,latitude,longitude,altitude,roll,pitch,yaw", *rows]) + "\n")
    (base / "poses.tum").write_text("".join(f"{name} {k}.5 2.0 0.1 0.0 0.0 0.6 0.8\n" for k, name in enumerate(NAMES)))
    (base / "poses.kitti").write_text("".join(f"1 0 0 {k}.5 0 1 0 2.0 0 0 1 0.1\n" for k in range(len(NAMES))))
    matrix = [[1.0, 0.0, 0.0, 2.5], [0.0, 1.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.1], [0.0, 0.0, 0.0, 1.0]]
    frames = [{"file_path": f"images/{name}", "transform_matrix": matrix} for name in NAMES]
    (base / "transforms.json").write_text(json.dumps({"frames": frames}))
    shots = {name: {"rotation": [0.1, 0.2, 0.3], "translation": [1.0, 2.0, 3.0], "camera": "c"} for name in NAMES}
    (base / "reconstruction.json").write_text(json.dumps([{"shots": shots}]))


def coco_document() -> dict[str, Any]:
    """Polygons and run lengths, with scores."""
    images = [{"id": k, "file_name": name, "width": 160, "height": 120} for k, name in enumerate(NAMES)]
    runs = {"size": [120, 160], "counts": [2420, 40, 80, 40, 80, 40, 120 * 160 - 2700]}
    annotations = []
    for k in range(len(NAMES)):
        polygon = [[10.0, 10.0, 60.0, 10.0, 60.0, 90.0, 10.0, 90.0]]
        for segmentation in (polygon, runs):
            number = len(annotations)
            annotations.append({"id": number, "image_id": k, "category_id": 1, "segmentation": segmentation, "score": 0.8})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]}


def make_overlapping(base: Path) -> None:
    """A house, a storey and a window on it, in all forms of overlapping masks, and a tree of them."""
    pixels = np.zeros((3, 120, 160), bool)
    for k, (left, top, right, bottom) in enumerate(((20, 10, 140, 110), (20, 40, 140, 75), (60, 50, 80, 70))):
        pixels[k, top:bottom, left:right] = True
    regions = [region for region in map(region_of, pixels) if region is not None]
    facts = np.ones(3, np.int32), np.full(3, 0.9, np.float32), np.full(3, 0.8, np.float32)
    for k, photo in enumerate(NAMES):
        name = photo[0]
        masks = OverlappingMasks.of_regions(name, (120, 160), regions, *facts)
        document = masks_document(masks, ("object",))
        written = document["annotations"] if k % 2 else document
        for folder, content in (("kept_masks", document), ("lists", written)):
            (base / folder).mkdir(exist_ok=True)
            (base / folder / f"{name}.json").write_text(json.dumps(content))
        (base / "folders" / name).mkdir(parents=True, exist_ok=True)
        for number, mask in enumerate(pixels):
            cv2.imwrite(str(base / "folders" / name / f"{number}.png"), mask.astype(np.uint8) * 255)
        rows = [f"{number},{int(mask.sum())},0.9,0.8" for number, mask in enumerate(pixels)]
        (base / "folders" / name / "metadata.csv").write_text(
            "\n".join(["id,area,predicted_iou,stability_score", *rows]) + "\n"
        )
    nodes = [
        TreeNode(k + 1, k, k, 0.5, k == 0, {name[0]: (k,) for name in NAMES}, tuple(range(1, 60 - 20 * k))) for k in range(3)
    ]
    (base / "tree").mkdir(exist_ok=True)
    (base / "tree/granularity.json").write_text(json.dumps(StoredTree("coarse", 4, nodes).to_json()))


def make_bags(base: Path, scene: np.ndarray) -> None:
    """The same drive in the three formats."""
    for kind, make in (("mcap", ROS2), ("sqlite3", ROS2), ("bag", ROS1)):
        records = []
        for k in range(8):
            stamp = START + k * SECOND
            records.append(("/front/image/compressed", stamp, make.compressed(stamp, "front", jpeg(view(scene, 30 * k)))))
            records.append(("/front/camera_info", stamp, make.info(stamp, "front", 160, 120, (140, 140, 80, 60))))
            records.append(("/fix", stamp, make.fix(stamp, 55.7 + k * 1e-4, 13.2)))
        path = write_bag(base / {"mcap": "one", "sqlite3": "drive2", "bag": "drive.bag"}[kind], records, kind)
        if kind == "mcap":
            shutil.copy(storage_file(path), base / "drive.mcap")


def make_database(path: Path) -> None:
    """Three images with features."""
    opened = FeatureDatabase(path)
    rng = np.random.default_rng(1)
    camera_id = opened.camera_id("front", CAMERA)
    for k in range(3):
        keypoints, colors = rng.random((30, 4), np.float32), rng.integers(0, 255, (30, 3), np.uint8)
        features = Features(160, 120, keypoints, rng.integers(0, 255, (30, 128), np.uint8), colors)
        opened.add_image(Keyframe(str(k), "front", k, b"x", camera=CAMERA, file_name=f"{k}.jpg"), camera_id, features)
    opened.close()
