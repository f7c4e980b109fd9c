"""How well labels reach a LiDAR's points: on a simulated drive whose points carry their true house.

    seg2d3d simulate street --seed 7 --lidar
    seg2d3d bag street/street.mcap --label building --out map
    python benchmarks/lidar.py street map

Two rows: with the map's own labels, and with the true masks of the keyframes, which shows what poses and occlusion cost. Of the
houses' points: ``seen`` by a keyframe; of these ``right`` (the instance that is matched to the house, one to one), ``none`` and
``other``. Of the other points that are seen: ``free`` of any label.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from seg2d3d_ros.evaluation.points import UNKNOWN, point_metrics
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.lidar.labeller import CloudLabeller
from seg2d3d_ros.lidar.scans import cloud_to_array, read_scan
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredLabels, recent
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.recording.reader import open_recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames
from seg2d3d_ros.recording.topics import CLOUD
from seg2d3d_ros.sections.cloud_config import CloudConfig
from seg2d3d_ros.simulation.lidar_scanner import TOPIC

IGNORE = 65535


def label(
    street: Path, root: Path, labels: Callable[[str], np.ndarray | None], config: CloudConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Instance, confidence and true house of every labelled point (N,)."""
    store = MapStore(root)
    found, truth = [], {}
    with open_recording(street / "street.mcap") as recording:
        topic = recording.find(TOPIC, CLOUD)
        machine = CloudLabeller(read_models(root), store.moments(), recorded_frames(recording), config, labels=labels)
        for number, (_, _, message) in enumerate(recording.messages([topic])):
            truth[number] = cloud_to_array(message)["truth"]
            found.append(machine.add(read_scan(message, topic)))
    parts = [part for part in [*found, machine.flush()] if part is not None]
    owner = [np.array([truth[s][r] for s, r in zip(p.scan.tolist(), p.row.tolist(), strict=True)], np.int64) for p in parts]
    instance, confidence = (np.concatenate([getattr(p, name) for p in parts]) for name in ("instance", "confidence"))
    return instance, confidence, np.concatenate(owner)


def measure(instance: np.ndarray, confidence: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The figures of one row."""
    known = truth != IGNORE
    houses, ids = np.unique(truth[known & (truth > 0)]), np.unique(instance[instance > 0])
    both = known & (truth > 0) & (instance > 0)
    table = np.zeros((len(houses), len(ids)))
    np.add.at(table, (np.searchsorted(houses, truth[both]), np.searchsorted(ids, instance[both])), 1)
    rows, columns = linear_sum_assignment(-table)
    house_of = np.full(int(instance.max(initial=0)) + 1, -1)
    house_of[ids[columns]] = houses[rows]
    seen = known & (confidence > 0)
    of_house, other = seen & (truth > 0), seen & (truth == 0)
    right = house_of[instance[of_house]] == truth[of_house]
    metrics = point_metrics(np.where(known, truth, UNKNOWN), instance, confidence)
    return {
        "points": len(truth),
        "seen": of_house.sum() / max((known & (truth > 0)).sum(), 1),
        "right": right.mean(),
        "none": (instance[of_house] == 0).mean(),
        "other": ((instance[of_house] > 0) & ~right).mean(),
        "free": (instance[other] == 0).mean(),
        **{key: float(metrics[key] or 0.0) for key in ("ap50", "pq")},
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("street", type=Path, help="folder of seg2d3d simulate --lidar")
    parser.add_argument("map", type=Path, help="map directory made of its bag")
    parser.add_argument("--interval", type=float, default=0.2, help="seconds between the scans that are used (default 0.2)")
    args = parser.parse_args()
    config = CloudConfig(interval=args.interval)

    def true_labels(name: str) -> np.ndarray:
        image = read_labels(args.street / "truth" / f"{name}.png")
        return np.where(image == IGNORE, 0, image).astype(np.uint16)

    for title, labels in (("map", recent(StoredLabels(MapStore(args.map)))), ("true masks", true_labels)):
        begin = time.process_time()
        values = measure(*label(args.street, args.map, labels, config))
        words = "  ".join(f"{key} {value:.3f}" for key, value in values.items() if key != "points")
        print(f"{title:<10}  {int(values['points'])} points  {words}  {time.process_time() - begin:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
