"""Labels carried to a dense cloud, point by point and over superpoints, on simulated streets whose points have true owners.

    python benchmarks/superpoints.py WORK --seeds 171 172 173 [--scenes typical hard] [--detectors typical hard]

With --picture JPG the first street is drawn. Streets with houses and street furniture are simulated below WORK and kept. Poses
are the true ones, and each mask has the id of the object that it shows most of, so that nothing is measured but the errors of
masks (ragged borders, misses, covered poles, things glued together or cut) and what is made of them. Rows:

* nearest point: the label of the nearest of some points chosen at random, as many as structure from motion finds;
* votes: each point by the votes of the views that see it;
* geometric: votes counted over superpoints of geometry and colour alone;
* boundary-aware: over superpoints that keep the borders which the views show.

Columns: AP and AP50 of the objects' points within ``NEAR`` metres of a true border, and of all points; superpoints; ``cross``,
the share of the superpoints that cross a true border: more than a tenth of their points belong to another owner than most of
them; CPU seconds for a million points.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.evaluation.points import UNKNOWN, point_metrics
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.images import encode_jpeg, read_labels
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.simulation.street_folder import IGNORE, simulate
from seg2d3d_ros.simulation.true_cloud import FILE
from seg2d3d_ros.superpoints.completion import completed_labels, voted_labels
from seg2d3d_ros.superpoints.partition import partition
from seg2d3d_ros.superpoints.shown_labels import LabelledView, ShownLabels, shown_labels

NEAR = 0.3
SPARSE = 10_000
"""Points that structure from motion finds on such a street."""
CROSSING = 0.1
MAX_RANGE = 40.0


@dataclass(frozen=True)
class DenseStreet:
    """A street's cloud: (N, 3) places, (N, 3) colours, (N,) true owners, and (N,) bool which lie near a border."""

    xyz: np.ndarray
    rgb: np.ndarray
    owner: np.ndarray
    near: np.ndarray


def prepare(work: Path, seed: int, scene: str, detector: str) -> Path:
    """The street's folder; made where it is missing."""
    folder = work / f"{scene}-{seed}-{detector}"
    if not folder.exists():
        options = {"buildings": 8, "keyframes": 48, "width": 640, "height": 427, "furniture": True, "bag": False, "cloud": True}
        unfinished = work / f"{folder.name}.{time.time_ns()}"
        simulate(unfinished, seed=seed, scene=scene, detector=detector, **options)
        unfinished.rename(folder)
    return folder


def read_street(folder: Path, voxel: float) -> DenseStreet:
    """The cloud of a street, one point in each cube of side ``voxel``."""
    points = read_points(folder / "truth" / FILE, CLOUD_POINT)
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(float)
    kept = one_per_voxel(xyz, voxel)
    rgb = np.stack([points[color] for color in ("red", "green", "blue")], axis=1)
    owner = points["instance"][kept].astype(np.int64)
    return DenseStreet(xyz[kept], rgb[kept], owner, near_borders(xyz[kept], owner))


def near_borders(xyz: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(N,) bool: points within ``NEAR`` of a point of another owner, one of the two being an object."""
    known, near = owner != IGNORE, np.zeros(len(xyz), bool)
    for thing in np.unique(owner[known & (owner > 0)]):
        mine = np.flatnonzero(owner == thing)
        low, high = xyz[mine].min(axis=0) - NEAR, xyz[mine].max(axis=0) + NEAR
        others = np.flatnonzero(known & (owner != thing) & ((xyz > low) & (xyz < high)).all(axis=1))
        for some, rest in ((mine, others), (others, mine)):
            if len(some) and len(rest):
                near[some] |= np.isfinite(cKDTree(xyz[rest]).query(xyz[some], distance_upper_bound=NEAR)[0])
    return near


def views(folder: Path) -> Iterator[LabelledView]:
    """The keyframes at their true poses, each mask with the id of what it shows most of."""
    facts = json.loads((folder / "camera.json").read_text())
    camera = Camera(facts["model"], facts["width"], facts["height"], tuple(facts["params"]))
    for line in (folder / "truth_poses.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, *values = line.split()
            number = np.array(values, float)
            rotation = Rotation.from_quat(np.roll(number[:4], -1)).as_matrix()
            view = View(camera, Pose(rotation, number[4:7]).inverse())
            yield LabelledView(view, lambda stem=Path(name).stem: _owned_masks(folder, stem))  # type: ignore[misc]


def _owned_masks(folder: Path, stem: str) -> np.ndarray:
    masks, truth = (read_labels(folder / part / f"{stem}.png") for part in ("segments", "truth"))
    owner = np.zeros(int(masks.max()) + 1, np.uint16)
    for mask in np.unique(masks[masks > 0]):
        shown, pixels = np.unique(truth[(masks == mask) & (truth != IGNORE) & (truth > 0)], return_counts=True)
        owner[mask] = shown[pixels.argmax()] if len(shown) else 0
    return owner[masks]


def nearest_labels(shown: list[ShownLabels], xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label and confidence of the nearest of ``SPARSE`` points."""
    label, confidence = voted_labels(shown, len(xyz))
    some = np.random.default_rng(0).choice(len(xyz), min(SPARSE, len(xyz)), replace=False)
    nearest = some[cKDTree(xyz[some]).query(xyz)[1]]
    return label[nearest], confidence[nearest]


def crossing_share(superpoint: np.ndarray, owner: np.ndarray) -> float:
    """Of the superpoints, the share that crosses a true border."""
    known = owner != IGNORE
    pairs, size = np.unique(np.stack([superpoint[known], owner[known]]), axis=1, return_counts=True)
    count = int(superpoint.max()) + 1
    whole, most = np.bincount(pairs[0], size, count), np.zeros(count)
    np.maximum.at(most, pairs[0], size)
    return float(np.sum(whole - most > CROSSING * whole) / np.sum(whole > 0))


def quality(street: DenseStreet, label: np.ndarray, confidence: np.ndarray) -> dict[str, float]:
    """AP and AP50 near borders and everywhere."""
    owner = np.where(street.owner == IGNORE, UNKNOWN, street.owner)
    found = {}
    for where, some in (("near", street.near), ("all", np.ones(len(owner), bool))):
        metrics = point_metrics(owner[some], label[some], confidence[some])
        found |= {f"{where} {name}": float(metrics[name] or 0.0) for name in ("ap", "ap50")}
    return found


def measure(folder: Path, config: SuperpointConfig, voxel: float) -> dict[str, dict[str, float]]:
    """The figures of each row."""
    street = read_street(folder, voxel)
    million = len(street.xyz) / 1e6
    begin = time.process_time()
    shown = [item for _, item in shown_labels(street.xyz, views(folder), MAX_RANGE)]
    seeing = time.process_time() - begin
    rows = {"nearest point": quality(street, *nearest_labels(shown, street.xyz))}
    rows["votes"] = {**quality(street, *voted_labels(shown, len(street.xyz))), "seconds": seeing / million}
    for name, seen in (("geometric", []), ("boundary-aware", shown)):
        begin = time.process_time()
        superpoint = partition(street.xyz, config, rgb=street.rgb, shown=seen)
        seconds = time.process_time() - begin
        rows[name] = {
            **quality(street, *completed_labels(shown, superpoint)),
            "count": float(superpoint.max() + 1),
            "cross": crossing_share(superpoint, street.owner),
            "seconds": seconds / million,
        }
    return rows


def draw(folder: Path, config: SuperpointConfig, file: Path) -> None:
    """A picture of a part of the street, as one camera sees the cloud: superpoints above, labels below."""
    street = read_street(folder, 0.05)
    every = list(views(folder))
    shown = [item for _, item in shown_labels(street.xyz, every, MAX_RANGE)]
    geometric, aware = (partition(street.xyz, config, rgb=street.rgb, shown=seen) for seen in ((), shown))
    # Of the cameras that look to the side, the one that sees most labels.
    best = max(shown, key=lambda item: len(np.unique(item.label)) * np.count_nonzero(item.label))
    panels = [
        ("superpoints by geometry and colour", instance_colors(geometric + 1)),
        ("superpoints that keep the views' borders", instance_colors(aware + 1)),
        ("labels point by point", instance_colors(voted_labels(shown, len(street.xyz))[0])),
        ("labels completed over superpoints", instance_colors(completed_labels(shown, aware)[0])),
    ]
    pictures = [_splatted(best, colors, title) for title, colors in panels]
    write_bytes(file, encode_jpeg(np.vstack([np.hstack(pictures[:2]), np.hstack(pictures[2:])]), 88))


def _splatted(item: ShownLabels, colors: np.ndarray, title: str) -> np.ndarray:
    """(H, W, 3) the points that a view sees, as discs, the farthest first."""
    camera = item.view.camera
    picture = np.full((camera.height, camera.width, 3), 255, np.uint8)
    for k in np.argsort(-item.depth):
        radius = max(1, round(0.03 * camera.params[0] / float(item.depth[k])))
        x, y = item.pixels[k]
        cv2.circle(picture, (int(x), int(y)), radius, colors[item.point[k]].tolist(), -1)
    cv2.rectangle(picture, (0, 0), (camera.width, 22), (255, 255, 255), -1)
    cv2.putText(picture, title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[171, 172, 173])
    parser.add_argument("--scenes", nargs="+", default=["typical", "hard"])
    parser.add_argument("--detectors", nargs="+", default=["typical", "hard"])
    parser.add_argument("--voxel", type=float, default=0.05, help="metres between the points of the clouds")
    parser.add_argument("--scale", type=float, default=SuperpointConfig().scale, help="superpoints.scale")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="only draw the first street")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.picture:
        folder = prepare(args.work, args.seeds[0], args.scenes[0], args.detectors[0])
        draw(folder, SuperpointConfig(scale=args.scale), args.picture)
        return
    found = {}
    for scene in args.scenes:
        for detector in args.detectors:
            for seed in args.seeds:
                folder = prepare(args.work, seed, scene, detector)
                rows = found[folder.name] = measure(folder, SuperpointConfig(scale=args.scale), args.voxel)
                print(folder.name)
                for name, values in rows.items():
                    print(f"  {name:<15}" + "".join(f"  {key} {value:.3f}" for key, value in values.items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
