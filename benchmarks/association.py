"""Association methods side by side on simulated streets with ground truth.

    python benchmarks/association.py WORK --seeds 11 12 13 14 15 [--thinning 1 2 4] [--json FILE] [--plot PNG]
    python benchmarks/association.py WORK --seeds 41 42 43 44 45 --buildings 42 --keyframes 180 --thinning 1

The second line makes long streets, of some 190 m: there wrong matches tie houses that lie far apart.

For each seed a street is simulated with clean, typical and hard masks and reconstructed once (below WORK, kept for the next
run). Each method then gets the same masks and the same 3D points, with masks in every image, every 2nd and every 4th.
Figures are means over the seeds, and in brackets the share of the oracle's: the oracle gives each mask the object that it
covers most, so it is the best that assignment alone can do; cutting masks can do better. Methods that depend on the order of
the images are measured on the images in random order too. Cost and size: ``association_scale.py``.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rivals

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.points.doppelgangers import without_doppelgangers
from seg2d3d_ros.association.points.enrich import enrich
from seg2d3d_ros.association.points.off_surface import without_off_surface
from seg2d3d_ros.association.solve import associate, stacked_xyz
from seg2d3d_ros.evaluation import baselines
from seg2d3d_ros.evaluation.bytetrack import bytetrack
from seg2d3d_ros.evaluation.clustering import owners
from seg2d3d_ros.evaluation.coverage import detected_images
from seg2d3d_ros.evaluation.measure import score
from seg2d3d_ros.evaluation.overlaps import OverlapCounter, Overlaps, relabel
from seg2d3d_ros.evaluation.reading import natural_key
from seg2d3d_ros.images import decode_rgb, read_labels
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence, Segments, SparseModel

DETECTORS = ("clean", "typical", "hard")
THINNING = (1, 2, 4)
METRICS = (
    "coverage",
    "assa",
    "coverage_one_to_one",
    "adjusted_coverage",
    "hota",
    "idf1",
    "false_merges",
    "far_unions",
    "tracks",
)
FAR = 30.0
"""Metres between two houses from which on their union is counted as a far one."""


@dataclass(frozen=True)
class Scene:
    """One street with one detector's masks: what methods get, and what they are judged by."""

    segments: dict[str, Segments]
    truth: dict[str, np.ndarray]
    incidence: Incidence
    models: Sequence[SparseModel]
    raw: Overlaps
    row: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @property
    def xyz(self) -> np.ndarray:
        """(P, 3) points of the models, in the incidence's order."""
        return stacked_xyz(self.models)


def prepare(work: Path, seed: int, detectors: Sequence[str], buildings: int, keyframes: int) -> Path:
    """Simulate and reconstruct what is missing below ``work/<seed>-<buildings>-<keyframes>``; returns that folder."""
    from seg2d3d_ros.cli.main import main
    from seg2d3d_ros.simulation.street_folder import simulate

    street = work / f"{seed}-{buildings}-{keyframes}"
    size = {"buildings": buildings, "keyframes": keyframes, "width": 640, "height": 427}
    for detector in dict.fromkeys(["typical", *detectors]):
        if not (street / detector / "gps.csv").exists():
            simulate(street / detector, seed=seed, detector=detector, bag=False, **size)
    if not (street / "map" / "metrics.json").exists():
        source = street / "typical"
        options = ["--camera", source / "camera.json", "--gps", source / "gps.csv", "--segments", source / "segments"]
        main(["run", *map(str, [source / "images", "--out", street / "map", "--label", "building", *options])])
    return street


def load(street: Path, detector: str, thinning: int, enough: int = 0) -> Scene:
    """Read a street, with masks in every ``thinning``-th image of each camera; the other images are not judged.

    Args:
        enough: ``association.enough_points``.
    """
    folder = street / detector
    facts = json.loads((folder / "segments" / "segments.json").read_text())
    names = sorted((path.stem for path in (folder / "truth").glob("*.png")), key=natural_key)
    cameras = sorted({re.split(r"_\d", name)[0] for name in names})
    kept = [name for camera in cameras for name in [n for n in names if n.startswith(camera)][::thinning]]
    kept.sort(key=natural_key)
    segments = {name: _segments(folder, name, facts.get(name, {})) for name in kept}
    truth = {name: read_labels(folder / "truth" / f"{name}.png") for name in kept}
    models = read_models(street / "map")
    if enough:
        models = enrich(
            models, segments, lambda name: decode_rgb((folder / "images" / f"{name}.jpg").read_bytes()), enough=enough
        )
    models = without_off_surface(without_doppelgangers(models, segments), segments)
    incidence = build_incidence(models, segments, project=True)
    return _judged(segments, truth, incidence, models)


def _judged(
    segments: dict[str, Segments], truth: dict[str, np.ndarray], incidence: Incidence, models: Sequence[SparseModel]
) -> Scene:
    """The scene with its images in the order of ``segments``."""
    counter = OverlapCounter()
    for name, item in segments.items():
        counter.add(name, truth[name], item.labels)
    raw = counter.finish()
    keys = zip(incidence.segment_keyframe.tolist(), incidence.segment_ids.tolist(), strict=True)
    place = {(incidence.names[k], i): row for row, (k, i) in enumerate(keys)}
    regions = [(raw.names[k], int(i)) for k, i in zip(raw.region_image, raw.region_label, strict=True)]
    return Scene(
        segments,
        truth,
        incidence,
        models,
        raw,
        np.array([place.get(key, -1) for key in regions]),
        np.concatenate([s.boxes for s in segments.values()]),
        np.concatenate([s.scores for s in segments.values()]).astype(float),
    )


def shuffled(scene: Scene, seed: int) -> Scene:
    """The same images in random order."""
    names = list(scene.segments)
    order = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    return _judged({name: scene.segments[name] for name in order}, scene.truth, scene.incidence, scene.models)


def _segments(folder: Path, name: str, facts: dict[str, Any]) -> Segments:
    labels = read_labels(folder / "segments" / f"{name}.png")
    ids = np.array(sorted(int(i) for i in facts), np.uint16)
    scores = np.array([facts[str(i)]["score"] for i in ids], np.float32)
    return Segments(name, labels, ids, np.ones(len(ids), np.int32), scores)


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


def measure(scene: Scene) -> dict[str, dict[str, Any]]:
    """All metrics of all methods."""
    detected, owner = detected_images(scene.raw), owners(scene.raw)
    result = {}
    for name, method in methods().items():
        labels = method(scene)
        result[name] = score(relabel(scene.raw, labels), scene.raw, labels, detected, owner)
        result[name]["far_unions"] = far_unions(scene, labels, owner)
    mixed = shuffled(scene, seed=1)
    for name in ORDERED:
        labels = methods()[name](mixed)
        row = score(relabel(mixed.raw, labels), mixed.raw, labels, detected_images(mixed.raw), owners(mixed.raw))
        row["far_unions"] = far_unions(mixed, labels, owners(mixed.raw))
        result[f"{name}, images shuffled"] = row
    instances = associate(scene.incidence, scene.xyz, AssociationConfig(method="consensus"))
    repair, counter = Repair(scene.incidence, instances), OverlapCounter()
    for name in scene.raw.names:
        counter.add(name, scene.truth[name], repair(scene.segments[name]).labels.image())
    labels = np.where(scene.row >= 0, instances.segment_instance[np.maximum(scene.row, 0)], 0)
    result["consensus"] = score(counter.finish(), scene.raw, labels, detected, owner)
    result["consensus"]["far_unions"] = far_unions(scene, labels, owner)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for streets and maps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15], metavar="N")
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=DETECTORS)
    parser.add_argument("--thinning", type=int, nargs="+", default=list(THINNING), metavar="N")
    parser.add_argument("--buildings", type=int, default=10, metavar="N", help="houses of a street")
    parser.add_argument("--keyframes", type=int, default=96, metavar="N", help="images of a street")
    parser.add_argument("--enough-points", type=int, default=AssociationConfig().enough_points, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="AssA of some methods as a share of the oracle's")
    args = parser.parse_args()
    figures: dict[str, dict[int, dict[str, dict[str, Any]]]] = {}
    for seed in args.seeds:
        street = prepare(args.work, seed, args.detectors, args.buildings, args.keyframes)
        for detector in args.detectors:
            for thinning in args.thinning:
                figures.setdefault(f"{detector}, masks in 1 of {thinning}", {})[seed] = measure(
                    load(street, detector, thinning, args.enough_points)
                )
    for setting, of_seed in figures.items():
        print(f"\n{setting} (seeds {', '.join(map(str, of_seed))})\n")
        print("| method | " + " | ".join(METRICS) + " |\n|---" * 1 + "|---" * len(METRICS) + "|")
        rows = list(next(iter(of_seed.values())))
        for method in sorted(rows, key=lambda m: -_mean(of_seed, m, "assa")):
            cells = [f"{_mean(of_seed, method, metric):.3f}" for metric in METRICS]
            for k in (0, 1):
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
