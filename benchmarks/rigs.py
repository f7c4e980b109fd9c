"""Cameras that look to the left and to the right of a street, brought into one metric model by their mounts.

    python benchmarks/rigs.py STREET… --mode online --gps image        # folders of `seg2d3d simulate --cameras 3`
    python benchmarks/rigs.py --seeds 1 2 3 --mode online              # simulates them first
    python benchmarks/rigs.py --seeds 7 --buildings 32 --images 300 --features 1200 --size 720 --order shuffle:1 --draws 40
                                                                       # a long street, and what more fixes are worth

Only the images of ``left`` and ``right`` are used: at one moment the two cameras share no view, so that nothing but the
mounts ties them. The vehicle drives down the street and back. GPS: 2 m of noise per axis and 10 % outliers of 20 m,
which claim the same 2 m; ``image`` = independent for each image, ``stop`` = the same for all images of a moment, ``walk`` =
90 % of it correlated over 6 s, as a receiver's between houses is (then the mean error alone is of a metre), ``none`` = no
positions. Errors are distances of camera centres to the truth in metres: as placed in the world, and after the best rigid
motion (no scale). *doubled*: how far two places of the street that were passed on the way down and on the way back lie apart
that should not: the difference between the errors of each camera of the way back and the nearest one of the way down.

``--draws N`` fits the finished model again to N other draws of the noise, with the fixes of all moments and of 1/2, 1/4, …
of them, evenly spaced. Beside it stands the *ideal*: heading, scale and shift of the true shape by least squares, with the
outliers known.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from truth_poses import read_truth_poses

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity, fit_points, weighted_similarity
from seg2d3d_ros.geometry.wgs84 import GeoPosition, from_enu, to_enu
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.world.georeference import fit_similarity
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.simulation.drive import ANTENNA, base_from_camera
from seg2d3d_ros.simulation.gnss import DATUM
from seg2d3d_ros.simulation.street_folder import simulate
from seg2d3d_ros.types import Keyframe, SparseModel

SIGMA, OUTLIERS, JUMP, CORRELATION_SECONDS = 2.0, 0.1, 20.0, 6.0


def fixes(truth: dict[str, Pose], kind: str, seed: int) -> dict[str, GeoPosition]:
    """Image name -> position of the antenna with noise; empty for ``none``."""
    if kind == "none":
        return {}
    rng = np.random.default_rng([seed, 7])
    by_time = sorted(truth, key=lambda name: (int(name.rpartition("_")[2]), name))
    state, before, same, found = rng.normal(size=3), 0, "", {}
    for name in by_time:
        camera, _, stamp = name.rpartition("_")
        if kind != "image" and int(stamp) == before:
            found[name] = found[same]
            continue
        keep = np.exp(-(int(stamp) - before) / 1e9 / CORRELATION_SECONDS)
        state, before, same = keep * state + np.sqrt(1 - keep**2) * rng.normal(size=3), int(stamp), name
        share = 0.9 if kind == "walk" else 0.0
        error = SIGMA * (share * state + np.sqrt(1 - share**2) * rng.normal(size=3))
        jump = rng.normal(size=3)
        if rng.random() < OUTLIERS:
            error = JUMP * jump / np.linalg.norm(jump)
        (antenna,) = (truth[name] @ base_from_camera(camera).inverse()).apply(np.array([ANTENNA]))
        found[name] = replace(from_enu(antenna + error, DATUM)[0], covariance=np.eye(3) * SIGMA**2)
    return found


def keyframes(street: Path, cameras: tuple[str, ...], positions: dict[str, GeoPosition], order: str) -> Iterator[Keyframe]:
    """The images of these cameras, with the positions of their moments."""
    for keyframe in read_folder(
        street / "images", camera=street / "camera.json", gps=None, order="name" if order == "time" else order
    ):
        if keyframe.camera_name in cameras:
            yield replace(keyframe, geo=positions.get(keyframe.name))


def errors(model: SparseModel, truth: dict[str, Pose]) -> dict[str, float]:
    """Median and largest distance to the truth, in the world and after the best rigid motion."""
    target = np.array([truth[name].translation for name in model.names])
    found = {}
    if model.frame.kind == "enu":
        latitude, longitude, altitude = model.frame.datum or DATUM
        origin = to_enu([GeoPosition(latitude, longitude, altitude)], DATUM)[0]
        away = np.linalg.norm(model.centers + origin - target, axis=1)
        found = {"median": float(np.median(away)), "max": float(away.max())}
    best = weighted_similarity(model.centers, target, np.ones(len(target)))
    if best is None:
        return found
    a, b = model.centers - model.centers.mean(0), target - target.mean(0)
    away = np.linalg.norm(a @ best.rotation.T - b, axis=1)
    return {**found, "rigid median": float(np.median(away)), "rigid max": float(away.max()), "scale": best.scale}


def doubled(model: SparseModel, truth: dict[str, Pose]) -> dict[str, float]:
    """Median and largest distance between the two copies of a street that was driven there and back."""
    target = np.array([truth[name].translation for name in model.names])
    stamps = np.array([int(name.rpartition("_")[2]) for name in model.names])
    order = np.sort(stamps)
    turn = order[np.argmax(np.diff(order))]
    back = stamps > turn
    away = fit_points(model.centers, target).apply(model.centers) - target
    near = np.argmin(np.linalg.norm(target[back][:, None] - target[~back][None], axis=2), axis=1)
    apart = np.linalg.norm(away[back] - away[~back][near], axis=1)
    return {"doubled median": float(np.median(apart)), "doubled max": float(apart.max())}


def ideal(target: np.ndarray, measured: np.ndarray) -> Similarity:
    """Heading, scale and shift by least squares from (N, 3) true to (N, 3) measured places."""
    a, b = target - target.mean(0), measured - measured.mean(0)
    heading = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a[:, :2] * b[:, :2]).sum())
    rotation = Rotation.from_euler("z", heading).as_matrix()
    scale = float((b * (a @ rotation.T)).sum() / (a**2).sum())
    return Similarity(scale, rotation, measured.mean(0) - scale * rotation @ target.mean(0))


def refit(model: SparseModel, truth: dict[str, Pose], kind: str, draws: int) -> list[dict[str, Any]]:
    """Errors of the finished model's fits to other draws of the noise, by number of fixes, beside the ideal ones."""
    target = np.array([truth[name].translation for name in model.names])
    stamps = np.array([int(name.rpartition("_")[2]) for name in model.names])
    moments = np.unique(stamps)
    measured = []
    for seed in range(1000, 1000 + draws):
        found = fixes(truth, kind, seed)
        measured.append(to_enu([found[name] for name in model.names], DATUM))
    rows, some = [], len(moments)
    while some >= 6:
        chosen = np.flatnonzero(np.isin(stamps, moments[np.linspace(0, len(moments) - 1, some).round().astype(int)]))
        medians: dict[str, list[float]] = {"ours": [], "ideal": []}
        for positions in measured:
            fit = fit_similarity(model.pose[chosen], positions[chosen], np.full(len(chosen), SIGMA)).similarity
            good = chosen[np.linalg.norm(positions[chosen] - target[chosen], axis=1) < JUMP / 2]
            best = ideal(target[good], positions[good])
            for name, similarity, places in (("ours", fit, model.centers), ("ideal", best, target)):
                away = np.inf if similarity is None else np.median(np.linalg.norm(similarity.apply(places) - target, axis=1))
                medians[name].append(float(away))
        row: dict[str, Any] = {"fixes": len(chosen), "draws": draws}
        for name, values in medians.items():
            middle, most = np.quantile(values, [0.5, 0.9], method="nearest")
            row |= {name: round(float(middle), 3), f"{name} 90 %": round(float(most), 3)}
            row[f"{name} below .5"] = float(np.mean(np.array(values) < 0.5))
        rows.append(row)
        some //= 2
    return rows


def measure(street: Path, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One reconstruction of one street."""
    truth = read_truth_poses(street)
    rig = "none" if args.no_rig else str(street / "rig.json")
    config = ReconstructionConfig(mode=args.mode, rig=rig, max_features=args.features, max_image_size=args.size, threads=1)
    wanted = keyframes(street, tuple(args.cameras.split(",")), fixes(truth, args.gps, seed), args.order)
    with tempfile.TemporaryDirectory() as folder:
        reconstructor = open_reconstructor(Path(folder) / "map", config)
        begin = time.process_time()
        for keyframe in wanted:
            reconstructor.add(keyframe)
            if isinstance(reconstructor, OnlineReconstructor):
                revision = reconstructor.grow()
                if args.verbose and revision is not None:
                    sizes = [(len(model.names), model.frame.kind) for model in revision.models]
                    print(len(reconstructor.names), sizes, f"{time.process_time() - begin:.0f} s", flush=True)
        result = reconstructor.solve()
        seconds = time.process_time() - begin
        count = len(reconstructor.names)
        reconstructor.close()
    models = [len(model.names) for model in result.models]
    row: dict[str, Any] = {"images": count, "models": models, "frame": result.models[0].frame.kind if models else ""}
    row.update({key: round(value, 3) for key, value in (errors(result.models[0], truth) if models else {}).items()})
    if models and args.draws:
        row["draws"] = refit(result.models[0], truth, args.gps, args.draws)
    if models:
        row.update({key: round(value, 3) for key, value in doubled(result.models[0], truth).items()})
    stages = {stage: round(spent) for stage, spent in result.timings.items()}
    return {**row, "cpu": round(seconds), "last seconds": stages, "warnings": result.warnings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streets", nargs="*", type=Path, help="folders of simulated streets")
    parser.add_argument("--seeds", nargs="*", type=int, default=[], help="simulate streets with these seeds")
    parser.add_argument("--images", type=int, default=96, help="of a simulated street, of three cameras together")
    parser.add_argument("--buildings", type=int, default=10, help="of a simulated street; they set its length")
    parser.add_argument("--features", type=int, default=2000, help="at most, per image")
    parser.add_argument("--size", type=int, default=1000, help="pixels of the longer side")
    parser.add_argument("--mode", choices=("online", "batch"), default="online")
    parser.add_argument("--gps", choices=("image", "stop", "walk", "none"), default="image")
    parser.add_argument("--cameras", default="left,right")
    parser.add_argument("--order", default="name", help="name = all of left, then all of right; shuffle:SEED")
    parser.add_argument("--no-rig", action="store_true", help="without the mounts, to compare")
    parser.add_argument("--gps-seed", type=int, help="of the noise; default: the street's seed, or its place in the list")
    parser.add_argument("--draws", type=int, default=0, help="fit the finished model to so many other draws of the noise")
    parser.add_argument("--verbose", action="store_true", help="print every revision")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        streets = list(args.streets)
        for seed in args.seeds:
            streets.append(Path(scratch) / f"street{seed}")
            simulate(streets[-1], seed=seed, buildings=args.buildings, keyframes=args.images, bag=False)
        for place, street in enumerate(streets):
            seed = args.seeds[place - len(args.streets)] if place >= len(args.streets) else place
            rows[street.name] = measure(street, args, seed if args.gps_seed is None else args.gps_seed)
            print(street.name, json.dumps(rows[street.name]), flush=True)
    if args.json:
        what = {key: str(value) for key, value in vars(args).items()}
        args.json.write_text(json.dumps({"machine": platform.platform(), "arguments": what, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
