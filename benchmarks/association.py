"""Association methods side by side on simulated streets with ground truth.

    python benchmarks/association.py WORK --seeds 11 12 13 14 15 [--thinning 1 2 4] [--json FILE] [--plot PNG]
    python benchmarks/association.py WORK --seeds 101 102 103 104 105 --buildings 30 --length 200 --keyframes 144 \\
        --detectors typical hard --thinning 1
    python benchmarks/association.py WORK --seeds 101 102 103 104 105 --buildings 30 --length 200 --keyframes 30 \\
        --scene hard --cameras 1 --size 1024 768 --detectors typical --thinning 1

The second line makes streets of 200 m: there wrong matches tie houses that lie far apart. The third walks through streets that
are as hard as real ones (``difficulty.py`` says how hard).

For each seed a street is simulated with clean, typical and hard masks and reconstructed once (below WORK, kept for the next
run). Each method then gets the same masks and the same 3D points, with masks in every image, every 2nd and every 4th.
Figures are means over the seeds, and in brackets the share of the oracle's: the oracle gives each mask the object that it
covers most, so it is the best that assignment alone can do; cutting masks can do better. Methods that depend on the order of
the images are measured on the images in random order too. Cost and size: ``association_scale.py``.

After a change of the association the same line measures anew, without making streets or maps. It takes a fraction of the time
with ``--methods consensus oracle`` and, where ``points/enrich.py`` did not change, ``--keep-points``. ``--prepare`` only makes
what is missing; several streets can so be made beforehand, one at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import rivals
from association_streets import Scene, StreetPlan, load, prepare, shuffled

from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.evaluation import baselines
from seg2d3d_ros.evaluation.bytetrack import bytetrack
from seg2d3d_ros.evaluation.clustering import owners
from seg2d3d_ros.evaluation.coverage import detected_images
from seg2d3d_ros.evaluation.measure import score
from seg2d3d_ros.evaluation.overlaps import OverlapCounter, relabel
from seg2d3d_ros.sections.association_config import AssociationConfig

DETECTORS = ("clean", "typical", "hard")
THINNING = (1, 2, 4)
METRICS = (
    "coverage_one_to_one",
    "coverage",
    "assa",
    "adjusted_coverage",
    "hota",
    "idf1",
    "false_merges",
    "far_unions",
    "tracks",
    "cpu",
)
BESIDE_ORACLE = 3
"""So many of the first metrics are given as a share of the oracle's, too."""
FAR = 30.0
"""Metres between two houses from which on their union is counted as a far one."""
CUT = "consensus"
"""The method that also cuts masks, as the commands do."""


def methods() -> dict[str, Callable[[Scene], np.ndarray]]:
    """Labels (R,) of the raw masks by each method that leaves masks as they are."""

    def of_rows(scene: Scene, found: np.ndarray) -> np.ndarray:
        return np.where(scene.row >= 0, found[np.maximum(scene.row, 0)], 0) if len(found) else np.zeros(len(scene.row), int)

    def ours(scene: Scene, method: str) -> np.ndarray:
        config = AssociationConfig(method=method, repair=False)
        return of_rows(scene, associate(scene.incidence, scene.xyz, config).segment_instance)

    return {
        "oracle": lambda scene: baselines.oracle(scene.raw),
        "consensus, masks as given": lambda scene: ours(scene, "consensus"),
        "codebook, masks as given": lambda scene: ours(scene, "codebook"),
        "published": lambda scene: ours(scene, "published"),
        "view consensus (MaskClustering)": lambda scene: of_rows(scene, rivals.view_consensus(scene.incidence)),
        "pairwise tree (SAM3D)": lambda scene: of_rows(scene, rivals.pairwise_tree(scene.incidence, tuple(scene.segments))),
        "IoU tracker": lambda scene: baselines.iou_tracker(scene.raw, scene.boxes),
        "ByteTrack": lambda scene: bytetrack(scene.raw, scene.boxes, scene.scores),
        "one id for all": lambda scene: baselines.one_id(scene.raw),
        "one id per mask": lambda scene: baselines.one_id_per_mask(scene.raw),
    }


ORDERED = ("pairwise tree (SAM3D)", "IoU tracker", "ByteTrack")
"""Methods that depend on the order of the images."""
PLOTTED = (
    "consensus",
    "consensus, masks as given",
    "pairwise tree (SAM3D), images shuffled",
    "view consensus (MaskClustering)",
    "published",
    "ByteTrack",
)


def measure(scene: Scene, wanted: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """All metrics of all methods, or of the ``wanted`` ones; ``cpu``: seconds that the method takes, given the incidence."""
    detected, owner = detected_images(scene.raw), owners(scene.raw)
    result = {}
    for name, method in methods().items():
        if wanted and name not in wanted:
            continue
        start = time.process_time()
        labels = method(scene)
        cpu = time.process_time() - start
        result[name] = score(relabel(scene.raw, labels), scene.raw, labels, detected, owner)
        result[name] |= {"far_unions": far_unions(scene, labels, owner), "cpu": cpu}
    mixed = shuffled(scene, seed=1) if any(name in result for name in ORDERED) else scene
    for name in [name for name in ORDERED if name in result]:
        start = time.process_time()
        labels = methods()[name](mixed)
        cpu = time.process_time() - start
        row = score(relabel(mixed.raw, labels), mixed.raw, labels, detected_images(mixed.raw), owners(mixed.raw))
        result[f"{name}, images shuffled"] = row | {"far_unions": far_unions(mixed, labels, owners(mixed.raw)), "cpu": cpu}
    if not wanted or CUT in wanted:
        start = time.process_time()
        instances = associate(scene.incidence, scene.xyz, AssociationConfig(method="consensus"))
        repair = Repair(scene.incidence, instances)
        cut = {name: repair(scene.segments[name]).labels.image() for name in scene.raw.names}
        cpu, counter = time.process_time() - start, OverlapCounter()
        for name, image in cut.items():
            counter.add(name, scene.truth[name], image)
        labels = np.where(scene.row >= 0, instances.segment_instance[np.maximum(scene.row, 0)], 0)
        result[CUT] = score(counter.finish(), scene.raw, labels, detected, owner)
        result[CUT] |= {"far_unions": far_unions(scene, labels, owner), "cpu": cpu}
    return result


def far_unions(scene: Scene, labels: np.ndarray, owner: np.ndarray) -> int:
    """Tracks that hold masks of houses which lie ``FAR`` apart, by the middle of the points in their masks.

    Args:
        labels: (R,) the track of each raw mask, 0 = none.
        owner: (R,) the house that each raw mask belongs to, -1 = none.
    """
    matrix, xyz = scene.incidence.matrix, scene.xyz
    middle = {}
    for house in np.unique(owner[owner >= 0]).tolist():
        held = matrix[np.unique(scene.row[(owner == house) & (scene.row >= 0)])].indices
        if len(held):
            middle[house] = np.median(xyz[held], axis=0)
    count = 0
    for track in np.unique(labels[labels > 0]).tolist():
        places = [middle[house] for house in np.unique(owner[labels == track]).tolist() if house in middle]
        count += any(float(np.linalg.norm(a - b)) > FAR for a in places for b in places)
    return count


def main() -> None:
    """Command line."""
    usual = StreetPlan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for streets and maps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15], metavar="N")
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=DETECTORS)
    parser.add_argument("--thinning", type=int, nargs="+", default=list(THINNING), metavar="N")
    parser.add_argument("--buildings", type=int, default=usual.buildings, metavar="N", help="houses of a street")
    parser.add_argument("--keyframes", type=int, default=usual.keyframes, metavar="N", help="images of a street")
    parser.add_argument("--scene", default=usual.scene, metavar="NAME", help="typical or hard")
    parser.add_argument("--cameras", type=int, default=usual.cameras, metavar="N")
    parser.add_argument("--length", type=float, metavar="METRES", help="of a street; default: by the number of houses")
    parser.add_argument("--size", type=int, nargs=2, default=(usual.width, usual.height), metavar="PX", help="of the images")
    parser.add_argument("--methods", nargs="+", default=[], metavar="NAME", help="only these; with the oracle for its share")
    parser.add_argument("--enough-points", type=int, default=AssociationConfig().enough_points, metavar="N")
    parser.add_argument("--keep-points", action="store_true", help="take the additional points of an earlier run")
    parser.add_argument("--prepare", action="store_true", help="only make streets and maps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="AssA of some methods as a share of the oracle's")
    args = parser.parse_args()
    plan = StreetPlan(args.buildings, args.keyframes, args.scene, args.cameras, args.length, *args.size)
    figures: dict[str, dict[int, dict[str, dict[str, Any]]]] = {}
    for seed in args.seeds:
        street = prepare(args.work, seed, args.detectors, plan)
        for detector in () if args.prepare else args.detectors:
            for thinning in args.thinning:
                scene = load(street, detector, thinning, args.enough_points, keep_points=args.keep_points)
                figures.setdefault(f"{detector}, masks in 1 of {thinning}", {})[seed] = measure(scene, args.methods)
    for setting, of_seed in figures.items():
        print(f"\n{setting} (seeds {', '.join(map(str, of_seed))})\n")
        print("| method | " + " | ".join(METRICS) + " |\n|---" * 1 + "|---" * len(METRICS) + "|")
        rows = list(next(iter(of_seed.values())))
        for method in sorted(rows, key=lambda m: -_mean(of_seed, m, "assa")):
            cells = [f"{_mean(of_seed, method, metric):.3f}" for metric in METRICS]
            for k in range(BESIDE_ORACLE if "oracle" in rows else 0):
                ratios = [of_seed[s][method][METRICS[k]] / of_seed[s]["oracle"][METRICS[k]] for s in of_seed]
                cells[k] += f" ({np.mean(ratios):.3f}, worst {min(ratios):.3f})"
            print(f"| {method} | " + " | ".join(cells) + " |")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    if args.plot:
        plot(figures, args.plot)


def plot(figures: dict[str, dict[Any, dict[str, dict[str, Any]]]], path: Path) -> None:
    """AssA as a share of the oracle's: bars are means, lines reach from the worst seed to the best."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 3.6))
    for number, method in enumerate(PLOTTED):
        ratios = [[of[seed][method]["assa"] / of[seed]["oracle"]["assa"] for seed in of] for of in figures.values()]
        mean = np.array([np.mean(r) for r in ratios])
        reach = np.abs([[min(r) for r in ratios] - mean, [max(r) for r in ratios] - mean])
        place = np.arange(len(figures)) + (number - (len(PLOTTED) - 1) / 2) * 0.14
        axes.bar(place, mean, 0.13, yerr=reach, error_kw={"lw": 0.8}, label=method)
    axes.axhline(1, color="k", lw=0.8)
    axes.set_xticks(range(len(figures)), [setting.replace("masks in ", "") for setting in figures])
    axes.set_ylabel("AssA, share of the oracle's")
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.3), fontsize=8)
    figure.savefig(path, dpi=90, bbox_inches="tight")


def _mean(of_seed: dict[int, dict[str, dict[str, Any]]], method: str, metric: str) -> float:
    return float(np.mean([figures[method][metric] or 0.0 for figures in of_seed.values()]))


if __name__ == "__main__":
    main()
