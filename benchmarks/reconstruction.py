"""Online reconstruction against the best batch solutions, on real photographs in random orders.

    python benchmarks/reconstruction.py castle --orders 20     # positions against the laser survey, and CPU time
    python benchmarks/reconstruction.py lund --orders 20       # registered images; lund-gps: with the photographs' GPS,
                                                               # lund-noise: with 10 m of noise on top

Features are found and all pairs are matched once. Each order then reveals images one by one, and of the pairs only those
that the reconstruction asks for; so what is timed is the mapping (growth, global solutions, revisions), which is what
differs from batch. Times are CPU seconds of the process, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.batch.components import solve_component
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.database import PAIR_BASE, ImageRow
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import SparseModel

DATA = Path(__file__).resolve().parents[2] / "shared/data"
CONFIGS = {
    "castle": ReconstructionConfig(max_image_size=1000, max_features=5200, threads=1, max_gps_sigma=1e4),
    "lund": ReconstructionConfig(threads=1, max_gps_sigma=1e4),
    "lund-gps": ReconstructionConfig(threads=1),
    "lund-noise": ReconstructionConfig(threads=1, max_gps_sigma=50.0),
}
NOISE_M = 10.0


def with_noise(geo: GeoPosition, rng: np.random.Generator) -> GeoPosition:
    """A position further off by ``NOISE_M`` in each direction, and with a covariance that says so."""
    east, north, up = NOISE_M * rng.normal(size=3)
    metre = 1 / 111320.0
    return GeoPosition(
        geo.latitude + metre * north,
        geo.longitude + metre * east / np.cos(np.deg2rad(geo.latitude)),
        geo.altitude + up,
        NOISE_M**2 * np.eye(3),
    )


def prepare(name: str, folder: Path, positions: str | None) -> None:
    """Features and all pairs of a set of photographs; kept in ``folder`` for the next time."""
    if (folder / "ready").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    camera = DATA / "castle-P30/camera.json" if name == "castle" else None
    images = DATA / ("castle-P30" if name == "castle" else "lund") / "images"
    reconstructor, rng = BatchReconstructor(folder, CONFIGS[name]), np.random.default_rng(0)
    for keyframe in read_folder(images, camera=camera, gps=positions, order="name"):
        noisy = name == "lund-noise" and keyframe.geo is not None
        reconstructor.add(replace(keyframe, geo=with_noise(keyframe.geo, rng)) if noisy else keyframe)
    rows = reconstructor.database.images()
    pairs = [(a.image_id, b.image_id) for k, a in enumerate(rows) for b in rows[k + 1 :]]
    reconstructor.matcher.match(pairs, rows, lambda stage, done, total: print(f"\r{stage} {done}/{total}", end="", flush=True))
    print()
    reconstructor.close()
    (folder / "ready").touch()


class Revealing(OnlineReconstructor):
    """Images appear when ``reveal`` says so; verified pairs come out of a store instead of being computed."""

    def __init__(self, root: Path, config: ReconstructionConfig) -> None:
        with sqlite3.connect(root / "database.db") as database:
            database.executescript(
                "CREATE TABLE held AS SELECT * FROM two_view_geometries; CREATE UNIQUE INDEX held_pair ON held (pair_id);"
                "DELETE FROM two_view_geometries;"
            )
        database.close()
        super().__init__(root, config)
        self._order: list[str] = []
        every = {row.name: row for row in self.database.images()}
        self.database.images = lambda: [every[name] for name in self._order]  # type: ignore[method-assign]
        self.matcher.match = self._release  # type: ignore[method-assign]

    def reveal(self, name: str) -> None:
        self._order.append(name)

    def _release(self, pairs: Sequence[tuple[int, int]], rows: Sequence[ImageRow], progress: Any = None) -> None:
        wanted = [(min(p) * PAIR_BASE + max(p),) for p in pairs]
        self.database._sqlite.executemany("INSERT INTO two_view_geometries SELECT * FROM held WHERE pair_id = ?", wanted)
        self.matcher.tried.note(self.database.verified(pairs))


def copy_map(source: Path, target: Path) -> None:
    """A fresh map folder with the database of another."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with sqlite3.connect(source / "database.db") as old, sqlite3.connect(target / "database.db") as new:
        old.backup(new)


def position_error(model: SparseModel, truth: dict[str, np.ndarray]) -> tuple[float, float]:
    """Root mean square and largest distance of the camera centres in metres after the best similarity."""
    target = np.array([truth[name] for name in model.names])
    a, b = model.centers - model.centers.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = np.trace(np.diag(s) @ d) / (a**2).sum()
    error = np.linalg.norm(scale * a @ (u @ d @ vt).T - b, axis=1)
    return float(np.sqrt(np.mean(error**2))), float(error.max())


def survey() -> dict[str, np.ndarray]:
    lines = (DATA / "castle-P30/truth_positions.txt").read_text().splitlines()
    words = [line.split() for line in lines if not line.startswith("#")]
    return {Path(w[0]).stem: np.array([float(v) for v in w[1:]]) for w in words}


def batch(name: str, folder: Path, truth: dict[str, np.ndarray] | None) -> dict[str, Any]:
    """Both batch mappers on all pairs: registered images, error, CPU seconds."""
    from seg2d3d_ros.reconstruction.model_io import sparse_model

    reconstructor = BatchReconstructor(folder, CONFIGS[name])
    rows = reconstructor.database.images()
    pairs, ids = reconstructor.database.matched_pairs(), [r.image_id for r in rows]
    result = {}
    for mapper in ("incremental", "global"):
        begin = time.process_time()
        model = solve_component(MapperTask.of(reconstructor.database, rows, CONFIGS[name]), ids, pairs, mapper)[0]
        seconds = time.process_time() - begin
        value = sparse_model(model, {r.file_name: r.name for r in rows})
        result[mapper] = {"registered": len(value.names), "cpu": round(seconds, 1)}
        if truth:
            result[mapper]["rms"], result[mapper]["max"] = (round(e, 4) for e in position_error(value, truth))
        print(f"batch {mapper}: {result[mapper]}", flush=True)
    reconstructor.close()
    return result


def orders(name: str, folder: Path, first: int, count: int, truth: dict[str, np.ndarray] | None) -> list[dict[str, Any]]:
    """The online reconstruction in random orders."""
    rows = []
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as scratch:
            copy_map(folder, Path(scratch) / "map")
            reconstructor = Revealing(Path(scratch) / "map", CONFIGS[name])
            names = list(reconstructor.names)
            random.Random(seed).shuffle(names)
            begin, revisions = time.process_time(), 0
            for keyframe in names:
                reconstructor.reveal(keyframe)
                revisions += reconstructor.grow() is not None
            grown = len(reconstructor.mapper.registered)
            result = reconstructor.solve()
            seconds = time.process_time() - begin
            reconstructor.close()
        model = result.models[0]
        row = {"seed": seed, "registered": len(model.names), "models": len(result.models), "before solve": grown,
               "revisions": revisions, "cpu": round(seconds, 1), "frame": model.frame.kind}  # fmt: skip
        if truth:
            row["rms"], row["max"] = (round(e, 4) for e in position_error(model, truth))
        rows.append(row)
        print(row, flush=True)
    return rows


def machine() -> str:
    """What the times were measured on."""
    cores = len(os.sched_getaffinity(0))
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    return f"{platform.machine()} {model}, {cores} cores, Python {platform.python_version()}"


def summarise(result: dict[str, Any], surveyed: bool) -> None:
    """The figures that count, over all orders."""
    found = result["orders"]
    both = sum(mapper["cpu"] for mapper in result["batch"].values())
    cpu = np.array([row["cpu"] for row in found]) / both
    print(f"{len(found)} orders: registered {min(row['registered'] for row in found)} or more")
    print(f"CPU as a share of both batch mappers: mean {cpu.mean():.2f}, at most {cpu.max():.2f}")
    if surveyed:
        rms = np.array([row["rms"] for row in found])
        print(f"position rms: median {np.median(rms):.3f} m, at most {rms.max():.3f} m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(CONFIGS))
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first order")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "seg2d3d_benchmark")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(machine())
    truth = survey() if args.what == "castle" else None
    folder = args.work / args.what
    prepare(args.what, folder, "exif" if args.what in ("lund-gps", "lund-noise") else None)
    result = {"batch": batch(args.what, folder, truth), "orders": orders(args.what, folder, args.first, args.orders, truth)}
    summarise(result, truth is not None)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), **result}, indent=1))


if __name__ == "__main__":
    main()
