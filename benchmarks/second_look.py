"""What recovery and the second look bring on simulated streets whose detector misses 30 % of the houses in each image.

    python benchmarks/second_look.py WORK --seeds 11 12 13 [--detectors typical hard] [--json FILE]

Each street is simulated and reconstructed once (below WORK, kept for the next run). The mask model is a double, not SAM: in
the box that it is asked for it answers with the true object that fills most of it, its outline displaced like that of the
simulator's ``typical`` detector. What it says is how much of the gain the asking and the acceptance allow, given a mask
model that cuts out what a good box shows. Wrong answers are asked for, too: a share of the answers is the whole box.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import association_streets as streets
import numpy as np

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.masks.missed import find_missed
from seg2d3d_ros.association.masks.recovered_masks import RecoveringRepair, labels_by, recover
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.evaluation.coverage import coverage_metrics, detected_images
from seg2d3d_ros.evaluation.overlaps import OverlapCounter
from seg2d3d_ros.evaluation.tracking import hota_metrics
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.pipeline.second_look import asks_of, second_round
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.segmentation.models.mask_models import Mask
from seg2d3d_ros.simulation.detector import DetectorQuality, detect
from seg2d3d_ros.simulation.street_folder import IGNORE, simulate
from seg2d3d_ros.types import Incidence, Instances, Keyframe, Segments

MISS = 0.3
WRONG = 0.1
OUTLINE = DetectorQuality(min_area=0.0, fill=9.0, jitter=2.0)


class TrueMasks:
    """The double, see the module."""

    def __init__(self, truth: dict[str, np.ndarray], seed: int) -> None:
        self._truth, self._rng, self.asked = truth, np.random.default_rng(seed), 0

    def look(self, keyframe: Keyframe, boxes: np.ndarray) -> list[Mask | None]:
        """See ``pipeline.second_look.Looker``."""
        truth = self._truth[keyframe.name].astype(np.int32)
        found: list[Mask | None] = []
        for x0, y0, x1, y1 in boxes.astype(int).tolist():
            self.asked += 1
            if self._rng.random() < WRONG:
                box = np.zeros(truth.shape, bool)
                box[y0:y1, x0:x1] = True
                region = region_of(box)
            else:
                window = truth[y0:y1, x0:x1]
                ids, areas = np.unique(window[(window > 0) & (window != IGNORE)], return_counts=True)
                only = np.where(truth == ids[areas.argmax()], 1, 0).astype(np.int32) if len(ids) else np.zeros_like(truth)
                region = region_of(detect(only, OUTLINE, self._rng)[0] > 0)
            found.append(None if region is None else Mask(region, 1.0, 1.0))
        return found


def figures(scene: streets.Scene, segments: dict[str, Segments], repair: Repair) -> dict[str, Any]:
    """Coverage, AssA, HOTA of what is published, and the share of the objects' images in which any of it matches them."""
    counter = OverlapCounter()
    for name in scene.raw.names:
        counter.add(name, scene.truth[name], repair(segments[name]).labels.image())
    found = counter.finish()
    hota = hota_metrics(found)
    coverage = coverage_metrics(found, detected_images(scene.raw))["coverage"]
    recall = float(np.sum(detected_images(found)) / np.sum(found.object_images))
    return {"coverage": coverage, "recall": recall, "assa": hota["assa"], "hota": hota["hota"]}


def measure(street: Path, detector: str, seed: int) -> dict[str, dict[str, Any]]:
    """The detector's own recall, and the figures without help, with recovery, with the second look, with both."""
    scene, models = streets.load(street, detector, 1), read_models(street / "map")
    segments = dict(scene.segments)

    def solve() -> tuple[Incidence, Instances]:
        incidence = build_incidence(models, segments, project=True)
        return incidence, associate(incidence, scene.xyz, AssociationConfig())

    incidence, instances = solve()
    missed = find_missed(models, segments, incidence, instances)
    own = float(np.sum(detected_images(scene.raw)) / np.sum(scene.raw.object_images))
    result = {"no help": figures(scene, segments, Repair(incidence, instances))}
    drawn = recover(missed, models, segments, incidence, instances)
    result["recovery"] = figures(scene, segments, RecoveringRepair(incidence, instances, drawn))
    looker = TrueMasks(scene.truth, seed)
    transfer = Transfer(models, incidence, instances, labels_by(Repair(incidence, instances), segments))
    before = dict(segments)
    looked = list(second_round(looker, asks_of(missed, transfer), lambda name: Keyframe(name, "", 0, b""), before.__getitem__))
    segments.update({item.name: item for item, _ in looked})
    incidence, instances = solve()
    result["second look"] = figures(scene, segments, Repair(incidence, instances))
    left = find_missed(models, segments, incidence, instances)
    drawn = recover(left, models, segments, incidence, instances)
    result["second look and recovery"] = figures(scene, segments, RecoveringRepair(incidence, instances, drawn))
    accepted = sum(len(ids) for _, ids in looked)
    facts = {"detector's recall": own, "missed": len(missed), "asked": looker.asked, "accepted": accepted}
    return {key: {**value, **facts} for key, value in result.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for streets and maps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13], metavar="N")
    parser.add_argument("--detectors", nargs="+", default=["typical", "hard"], choices=("typical", "hard"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    args = parser.parse_args()
    everything: dict[str, dict[int, dict[str, dict[str, Any]]]] = {}
    for seed in args.seeds:
        street = streets.prepare(args.work, seed, args.detectors)
        for detector in args.detectors:
            folder = street / f"{detector}_missing"
            if not (folder / "gps.csv").exists():
                simulate(folder, seed=seed, detector=detector, width=640, height=427, bag=False, miss=MISS)
            everything.setdefault(detector, {})[seed] = measure(street, folder.name, seed)
    for detector, of_seed in everything.items():
        print(f"\n{detector}, {MISS:.0%} missed (seeds {', '.join(map(str, of_seed))})\n")
        rows = list(next(iter(of_seed.values())))
        columns = list(next(iter(of_seed.values()))[rows[0]])
        print("| | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
        for row in rows:
            means = [np.mean([of_seed[seed][row][column] for seed in of_seed]) for column in columns]
            print(f"| {row} | " + " | ".join(f"{value:.3f}" for value in means) + " |")
    if args.json:
        args.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
