"""How well scores of instances are calibrated: of those with a score of .9, are nine in ten right?

    python benchmarks/calibration.py WORK [--fit 21 22 23 24] [--check 25 26 27 28] [--json FILE]

Streets with ground truth are simulated and reconstructed once (below WORK, kept for the next run): odd seeds with three
cameras, even ones with the front camera alone, which moves towards what it sees. The detectors are typical and hard ones, with
masks in every, every 2nd and every 4th image. The coefficients of ``association.judging.scores`` are fitted on the seeds of
``--fit`` (without ``--fit`` those in the code are used), and the table is of the seeds of ``--check``.

An instance is right if it matches a true object at an IoU above .5, over the points that some mask holds and whose true owner
is known. No two instances can match one object so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import association_streets as streets
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from seg2d3d_ros.association.judging import scores
from seg2d3d_ros.association.judging.impossible import without_impossible
from seg2d3d_ros.association.solve import associate, stacked_up
from seg2d3d_ros.evaluation.points import true_owners
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence, Instances

DETECTORS, THINNING = ("typical", "hard"), (1, 2, 4)
IMAGES = 48
EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
SHRINKAGE = 0.02
"""Of the squares of the coefficients, for each instance of the fit divided by 100."""
MIN_IOU = 0.5


def prepare(work: Path, seed: int) -> Path:
    """Simulate and reconstruct what is missing below ``work/<seed>``; returns that folder."""
    from seg2d3d_ros.cli.main import main
    from seg2d3d_ros.simulation.street_folder import simulate

    street = work / str(seed)
    drive = {"keyframes": IMAGES, "cameras": 3 if seed % 2 else 1, "width": 640, "height": 427, "bag": False}
    for detector in DETECTORS:
        if not (street / detector / "gps.csv").exists():
            simulate(street / detector, seed=seed, detector=detector, **drive)
    if not (street / "map" / "metrics.json").exists():
        source = street / DETECTORS[0]
        options = ["--camera", source / "camera.json", "--gps", source / "gps.csv", "--segmenter", "none"]
        main(["run", *map(str, [source / "images", "--out", street / "map", *options])])
    return street


def measure(street: Path, detector: str, thinning: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(I, F) the features of all instances with points, (I,) whether each is right, and how many labels cannot be."""
    scene = streets.load(street, detector, thinning, AssociationConfig().enough_points)
    found = associate(scene.incidence, scene.xyz, AssociationConfig(), stacked_up(scene.models))
    instances, impossible = without_impossible(scene.models, scene.incidence, found)
    objects = np.setdiff1d(np.unique(np.concatenate([np.unique(image) for image in scene.truth.values()])), [0, 65535])
    owner = true_owners(scene.models, scene.truth.get, objects)
    known = instances.boxes.known
    right = right_instances(scene.incidence, instances, owner)
    return scores.features(scene.models, scene.incidence, instances)[known], right[known], len(impossible)


def right_instances(incidence: Incidence, instances: Instances, owner: np.ndarray) -> np.ndarray:
    """(I,) bool: instances that match an object by their points.

    Args:
        owner: (P,) from ``evaluation.points.true_owners``.
    """
    held = np.zeros(len(owner), bool)
    held[incidence.matrix.indices] = True
    right = []
    for instance_id in instances.ids.tolist():
        mine = owner[(instances.point_instance == instance_id) & (owner >= 0)]
        names, counts = np.unique(mine[mine > 0], return_counts=True)
        union = len(mine) + np.array([np.sum(held & (owner == name)) for name in names]) - counts
        right.append(bool(len(names) and (counts / union).max() > MIN_IOU))
    return np.array(right, bool)


def fit(measured: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients (F,) with the signs of ``scores.FEATURES``, and the intercept: logistic regression, shrunk a little."""
    sign = np.sign(list(scores.FEATURES.values()))
    bounds = [(0.0, None) if s > 0 else (None, 0.0) for s in sign] + [(None, None)]

    def loss(x: np.ndarray) -> float:
        margin = np.where(right, 1.0, -1.0) * (measured @ x[:-1] + x[-1])
        return float(np.logaddexp(0.0, -margin).sum() + SHRINKAGE * len(right) / 100 * (x[:-1] ** 2).sum())

    x = minimize(loss, np.zeros(len(bounds)), bounds=bounds, method="L-BFGS-B").x
    return x[:-1], float(x[-1])


def table(score: np.ndarray, right: np.ndarray) -> str:
    """The reliability table: instances, mean score and share that is right, by score."""
    lines = ["| score | instances | mean score | right |", "|---|---|---|---|"]
    for low, high in pairwise(EDGES):
        inside = (score >= low) & ((score < high) | (high == 1.0))
        if inside.any():
            lines.append(f"| {low:g} – {high:g} | {inside.sum()} | {score[inside].mean():.2f} | {right[inside].mean():.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for streets and maps")
    parser.add_argument("--fit", type=int, nargs="*", default=[], metavar="N")
    parser.add_argument("--check", type=int, nargs="+", default=[25, 26, 27, 28], metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write features and truth there")
    args = parser.parse_args()
    found = {seed: _of_seed(args.work, seed) for seed in [*args.fit, *args.check]}
    coefficients, intercept = np.array(list(scores.FEATURES.values())), scores.INTERCEPT
    if args.fit:
        coefficients, intercept = fit(*(np.concatenate([found[seed][k] for seed in args.fit]) for k in (0, 1)))
        for name, value in zip(scores.FEATURES, coefficients, strict=True):
            print(f'    "{name}": {value:.2f},')
        print(f"INTERCEPT = {intercept:.2f}")
    measured, right = (np.concatenate([found[seed][k] for seed in args.check]) for k in (0, 1))
    score = expit(measured @ coefficients + intercept)
    sure = score >= 0.9
    print(f"{len(right)} instances on seeds {', '.join(map(str, args.check))}, {right.mean():.2f} of them right")
    print(f"score ≥ .9: {sure.sum()} instances, {right[sure].mean():.3f} right; {sure[right].mean():.2f} of the right ones")
    print(f"Brier score {np.mean((score - right) ** 2):.3f}\n")
    print(table(score, right))
    if args.json:
        args.json.write_text(json.dumps({str(seed): [x.tolist(), y.tolist()] for seed, (x, y) in found.items()}))


def _of_seed(work: Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
    street = prepare(work, seed)
    parts: list[Sequence[np.ndarray]] = []
    for detector in DETECTORS:
        for thinning in THINNING:
            measured, right, impossible = measure(street, detector, thinning)
            print(
                f"{seed} {detector} 1 of {thinning}: {right.sum()} of {len(right)} right, {impossible} labels cannot be",
                flush=True,
            )
            parts.append((measured, right))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


if __name__ == "__main__":
    main()
