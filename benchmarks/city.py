"""Is a city the same however it is cut, what does it cost, and what do more workers bring?

    python benchmarks/city.py cut CITY CITY [CITY …]       the same drives cut differently: the first beside the others
    python benchmarks/city.py truth CITY TRUTH             a folder of truth images: instances beside true objects
    python benchmarks/city.py growth WORK STREET           cost per keyframe of parts of one street
    python benchmarks/city.py workers WORK STREET          one local worker and two in turn, a thread each
    python benchmarks/city.py joining --blocks 25 250      the steps beyond the blocks alone, with blocks of a known truth

STREET is what ``seg2d3d simulate`` makes. Streets and cities are kept below WORK; all processes run with one thread.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation
from sklearn.metrics import adjusted_rand_score

from seg2d3d_ros.city.joining.block_content import read_content
from seg2d3d_ros.city.joining.block_graph import PlacedBlock, place_blocks
from seg2d3d_ros.city.joining.overlap_fit import BlockTie
from seg2d3d_ros.city.outputs.opened_city import OpenedCity
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity, fit_points
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.store import MapStore

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LEAST = 3
"""Masks of an instance that count as one: what two or fewer images show is chance."""


def labels_of(city: OpenedCity) -> dict[tuple[str, int], int]:
    """(image, segment) -> the city's instance, of the detector's masks."""
    found: dict[tuple[str, int], int] = {}
    for block in city.placed:
        for item in city.instances(block):
            for seen in item["observations"]:
                if not seen.get("recovered"):
                    found[seen["image"], int(seen["segment"])] = item["id"]
    return found


def centers_of(city: OpenedCity) -> dict[int, np.ndarray]:
    """Middle of each instance's box."""
    items = (item for block in city.placed for item in city.instances(block) if "box3d" in item)
    return {item["id"]: np.array(item["box3d"]["center"]) for item in items}


def cameras_of(city: OpenedCity) -> dict[str, np.ndarray]:
    """Centre of each camera, by its own block."""
    found = {}
    for block in city.index["blocks"]:
        if block["city_from_block"] is not None:
            content = read_content(city.folder, block["name"])
            centers = city.city_from[block["name"]].apply(content.model.centers)
            found.update({name: centers[content.row[name]] for name in block["core"] if name in content.row})
    return found


def matched(a: dict, b: dict) -> list[tuple[int, int, int]]:
    """One to one, instances of two cities by the masks that both hold."""
    votes = Counter((a[key], b[key]) for key in a.keys() & b.keys())
    rows, columns = (sorted({pair[k] for pair in votes}) for k in (0, 1))
    table = np.zeros((len(rows), len(columns)))
    for (one, other), count in votes.items():
        table[rows.index(one), columns.index(other)] = count
    pairs = zip(*linear_sum_assignment(-table), strict=True)
    return [(rows[i], columns[j], int(table[i, j])) for i, j in pairs if table[i, j]]


def compare(first: Path, second: Path) -> None:
    """Print how alike two cities of the same drives are."""
    one, other = OpenedCity(first), OpenedCity(second)
    a, b = labels_of(one), labels_of(other)
    common = sorted(a.keys() & b.keys())
    ari = adjusted_rand_score([a[key] for key in common], [b[key] for key in common])
    pairs = [(i, j) for i, j, count in matched(a, b) if count >= LEAST]
    ca, cb = cameras_of(one), cameras_of(other)
    names = sorted(ca.keys() & cb.keys())
    shape = fit_points(np.array([ca[n] for n in names]), np.array([cb[n] for n in names]))
    cameras = np.linalg.norm(np.array([ca[n] - cb[n] for n in names]), axis=1)
    bent = np.linalg.norm(shape.apply(np.array([ca[n] for n in names])) - np.array([cb[n] for n in names]), axis=1)
    xa, xb = centers_of(one), centers_of(other)
    boxes = np.array([np.linalg.norm(xa[i] - xb[j]) for i, j in pairs if i in xa and j in xb])
    print(
        f"{first.name} ({one.index['counts']['blocks']} blocks) and {second.name} ({other.index['counts']['blocks']}): "
        f"{len(common)} masks, ARI {ari:.3f}; instances {len(set(a.values()))} and {len(set(b.values()))}, {len(pairs)} pairs; "
        f"boxes' middles median {np.median(boxes):.3f} m; cameras median {np.median(cameras):.3f} m, "
        f"p90 {np.quantile(cameras, 0.9):.3f} m; after one similarity {np.median(bent):.3f} m"
    )


def truth(path: Path, folder: Path) -> None:
    """Print purity and ARI of the city's instances against the true objects, over all masks."""
    city = OpenedCity(path)
    names = city.index["drives"]
    labels, found, true = labels_of(city), [], []
    stores = {name: MapStore(city.folder.drive(name)) for name in names}
    cache: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for (image, segment), number in sorted(labels.items()):
        if image not in cache:
            drive = next(name for name in names if image.startswith(f"{name}_"))
            segments = read_labels(stores[drive].segment_path(image))
            cache[image] = segments, read_labels(folder / f"{image.removeprefix(f'{drive}_')}.png")
        segments, real = cache[image]
        owner = np.bincount(real[segments == segment]).argmax() if (segments == segment).any() else 0
        if 0 < owner < 65535:
            found.append(number)
            true.append(int(owner))
    parts = {n: Counter(t for f, t in zip(found, true, strict=True) if f == n) for n in set(found)}
    purity = sum(max(c.values()) for c in parts.values()) / len(found)
    split = Counter(t for c in parts.values() for t, k in c.items() if k >= LEAST)
    print(
        f"{path.name}: {len(found)} masks of true objects, ARI {adjusted_rand_score(true, found):.3f}, purity {purity:.3f}, "
        f"{len(split)} objects in {sum(split.values())} instances of {LEAST} masks or more"
    )


def part(street: Path, folder: Path, count: int) -> Path:
    """The first ``count`` images of a street along its way as a drive each for there and back."""
    if (folder / "gps.csv").exists():
        return folder
    images = sorted((street / "images").iterdir(), key=lambda p: int(p.stem.rsplit("_", 1)[1]))
    moments = sorted({int(p.stem.rsplit("_", 1)[1]) for p in images})
    cameras = len(images) // len(moments)
    stops = -(-count // cameras)
    wanted = {*moments[: -(-stops // 2)], *moments[len(moments) - stops // 2 :]}  # where the way back ends, it began
    chosen = [p for p in images if int(p.stem.rsplit("_", 1)[1]) in wanted]
    for name in ("images", "segments"):
        (folder / name).mkdir(parents=True)
    for image in chosen:
        os.link(image, folder / "images" / image.name)
        os.link(street / "segments" / f"{image.stem}.png", folder / "segments" / f"{image.stem}.png")
    rows = list(csv.reader((street / "gps.csv").open()))
    keep = {p.name for p in chosen}
    with (folder / "gps.csv").open("w") as file:
        csv.writer(file).writerows([rows[0], *(row for row in rows[1:] if row[0] in keep)])
    shutil.copy(street / "camera.json", folder)
    return folder


def run_city(street: Path, out: Path, limit: int, overlap: float, workers: int, features: int) -> dict:
    """Make a city with the command; its index with the seconds that it took."""
    command = [sys.executable, "-m", "seg2d3d_ros", "city", str(street / "images"), "--segments", str(street / "segments")]
    command += ["--gps", str(street / "gps.csv"), "--camera", str(street / "camera.json"), "--out", str(out)]
    command += ["--block-keyframes", str(limit), "--overlap", str(overlap), "--workers", str(workers)]
    command += ["--set", f"reconstruction.max_features={features}", "--set", "association.overlay_width=0"]
    start = time.monotonic()
    subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {**json.loads((out / "city.json").read_text()), "wall": time.monotonic() - start}


def growth(args: argparse.Namespace) -> None:
    """Print the cost per keyframe of parts of a street."""
    for count in args.counts:
        street = part(args.street, args.work / f"street-{count}", count)
        out = args.work / f"city-{count}"
        shutil.rmtree(out, ignore_errors=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        index = run_city(street, out, args.limit, args.overlap, 0, args.features)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        made = sum(block["cpu_seconds"] for block in index["blocks"])
        number = index["counts"]["keyframes"]
        print(
            f"{number} keyframes, {index['counts']['blocks']} blocks of {sum(b['keyframes'] for b in index['blocks'])} in all: "
            f"{1e3 * cpu / number:.0f} ms CPU a keyframe, {1e3 * made / number:.0f} of them in blocks; "
            f"{index['counts']['registered']} registered, {index['counts']['blocks_joined']} joined; peak "
            f"{max(b['peak_mb'] for b in index['blocks']):.0f} MB",
            flush=True,
        )


def workers(args: argparse.Namespace) -> None:
    """Print the wall time of the same blocks on one and on two workers, taken in turn."""
    street = part(args.street, args.work / f"street-{args.counts[0]}", args.counts[0])
    taken: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.rounds):
        for count in taken:
            out = args.work / f"workers-{count}"
            shutil.rmtree(out, ignore_errors=True)
            index = run_city(street, out, args.limit, args.overlap, count, args.features)
            taken[count].append(index["wall"])
            peak = max(block["peak_mb"] for block in index["blocks"])
            print(f"{count} workers: {index['wall']:.1f} s, {len(index['blocks'])} blocks, peak {peak:.0f} MB", flush=True)
    best = {count: min(times) for count, times in taken.items()}
    print(f"speed-up {best[1] / best[2]:.2f} (least of {args.rounds} each, with all that is not blocks)")


def street_of_blocks(count: int, wrong: int) -> tuple[list[PlacedBlock], list[BlockTie], dict[str, Similarity]]:
    """Blocks in a row, 40 m each, with ties of 2 cm of noise; each block's own positions have 0.3 m of error; ``wrong`` more
    ties say something else. Also the true ``city_from_block``."""
    rng = np.random.default_rng(0)
    nodes, right, ties = [], {}, []
    for k in range(count):
        turn = Rotation.from_rotvec(0.05 * rng.normal(size=3)).as_matrix()
        right[f"b{k}"] = Similarity(float(np.exp(0.01 * rng.normal())), turn, np.array([40.0 * k, 0, 0]) + rng.normal(size=3))
        true = right[f"b{k}"]
        own = Similarity(true.scale, true.rotation, true.translation + 0.3 * rng.normal(size=3))
        centers = true.inverse().apply(
            np.stack([40.0 * k + np.linspace(-30, 30, 40), rng.normal(size=40), np.zeros(40)], axis=1)
        )
        nodes.append(PlacedBlock(f"b{k}", 40, centers.mean(axis=0), centers, np.full(40, 1.5), own, 0.02))
    pairs = [(k, k + 1, False) for k in range(count - 1)]
    pairs += [(k, k + 2, True) for k in rng.choice(count - 2, wrong, replace=False).tolist()]
    for a, b, lie in pairs:
        middle = np.array([20.0 * (a + b), 0, 0])
        there = middle + rng.uniform(-10, 10, (12, 3)) * [1, 0.1, 0.05]
        points = middle + rng.uniform(-15, 15, (200, 3))
        one, other = right[f"b{a}"], right[f"b{b}"]
        shift = np.array([5.0, 3.0, 0]) if lie else np.zeros(3)
        turns = Rotation.random(12, random_state=a).as_matrix()  # world_from_camera
        poses = [
            Pose(np.swapaxes(s.rotation.T @ turns, 1, 2), -np.einsum("kji,kj->ki", s.rotation.T @ turns, s.inverse().apply(c)))
            for s, c in ((one, there + rng.normal(0, 0.02, there.shape)), (other, there + shift))
        ]
        xyz_a, xyz_b = one.inverse().apply(points + rng.normal(0, 0.05, points.shape)), other.inverse().apply(points + shift)
        ties.append(BlockTie(f"b{a}", f"b{b}", 200.0, one, *poses, xyz_a, xyz_b, np.full(200, 10.0)))
    return nodes, ties, right


def joining(args: argparse.Namespace) -> None:
    """Print what the graph of blocks costs: a street of blocks with ties that are exact but for noise, and a few wrong ones."""
    for count in args.blocks:
        nodes, ties, right = street_of_blocks(count, wrong=max(1, count // 50))
        start = time.process_time()
        found = place_blocks(nodes, ties)
        seconds = time.process_time() - start
        off = [np.abs(found.city_from_block[n.name].apply(n.centers) - right[n.name].apply(n.centers)).max() for n in nodes]
        print(
            f"{count} blocks, {len(ties)} ties: {1e3 * seconds / count:.1f} ms CPU a block; {len(found.refused)} ties refused; "
            f"cameras off by {np.median(off):.3f} m in the median, {max(off):.3f} m at most",
            flush=True,
        )


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    cut = what.add_parser("cut")
    cut.add_argument("cities", nargs="+", type=Path)
    true = what.add_parser("truth")
    true.add_argument("city", type=Path)
    true.add_argument("truth", type=Path)
    for name in ("growth", "workers"):
        one = what.add_parser(name)
        one.add_argument("work", type=Path)
        one.add_argument("street", type=Path)
        one.add_argument("--counts", nargs="+", type=int, default=[200, 400, 1000])
        one.add_argument("--limit", type=int, default=120)
        one.add_argument("--overlap", type=float, default=20.0)
        one.add_argument("--features", type=int, default=1500)
        one.add_argument("--rounds", type=int, default=2)
    join = what.add_parser("joining")
    join.add_argument("--blocks", nargs="+", type=int, default=[25, 100, 400])
    args = parser.parse_args()
    if args.what == "cut":
        for other in args.cities[1:]:
            compare(args.cities[0], other)
    elif args.what == "truth":
        truth(args.city, args.truth)
    else:
        {"growth": growth, "workers": workers, "joining": joining}[args.what](args)


if __name__ == "__main__":
    main()
