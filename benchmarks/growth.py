"""What a keyframe costs as the map grows: CPU seconds and memory, on synthetic streets of several lengths.

    python benchmarks/growth.py --images 100 200 400 --json growth.json --plot docs/images/growth.png
    python benchmarks/growth.py --whole --images 100 400          # with second opinions and revisions written

Every length and order of arrival is a process of its own, one thread, keypoints and verified matches given: what is timed
is the mapping with its global adjustments, and with ``--whole`` the global solutions and the revisions as well. All are
done ``--repeat`` times in turn, and the least time counts: other work on the machine only ever adds to it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from reconstruction import Revealing, machine
from street import Street

from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

ORDERS = ("forward", "random", "inside out")
STEP = 25


def arrival(images: int, order: str, seed: int) -> list[int]:
    """Image ids from 1 in the order in which they come."""
    ids = list(range(1, images + 1))
    if order == "random":
        random.Random(seed).shuffle(ids)
    elif order == "inside out":
        ids.sort(key=lambda i: (abs(i - images // 2), i))
    return ids


def memory() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grow_mapper(images: int, order: str) -> dict[str, Any]:
    """The mapper alone: growth, joins, local and global adjustments."""
    street = Street(images, seed=0)
    mapper = street.mapper()
    mapper.options(mapper.thresholds, 2)  # the libraries are loaded
    base, curve, begin = memory(), [], time.process_time()
    for done, image_id in enumerate(arrival(images, order, 0), 1):
        street.feed(mapper, image_id)
        mapper.grow()
        if done % STEP == 0:
            curve.append([done, len(mapper.registered), round(time.process_time() - begin, 2)])
    mapper.grow(patient=False)
    mapper.adjust()
    seconds = time.process_time() - begin
    model = mapper.submaps[0].reconstruction
    return {"images": images, "order": order, "cpu": seconds, "MB": memory() - base, "curve": curve,
            "models": len(mapper.submaps), "registered": len(mapper.submaps[0]), "rms": street.error(model)}  # fmt: skip


class _Nearest:
    """Place recognition that knows the street."""

    def ranked(self, image_id: int, others: Sequence[int]) -> list[int]:
        return sorted(others, key=lambda other: (abs(other - image_id), other))

    def similarity(self, image_ids: Sequence[int]) -> np.ndarray:
        ids = np.array(image_ids, float)
        return -np.abs(ids[:, None] - ids[None])


def grow_map(images: int, order: str) -> dict[str, Any]:
    """The whole online reconstruction but for features and matching: with second opinions and revisions."""
    street = Street(images, seed=0)
    config = ReconstructionConfig(mode="online", threads=1, max_pairs=28)
    with tempfile.TemporaryDirectory() as folder:
        street.write(Path(folder))
        reconstructor = Revealing(Path(folder), config)
        reconstructor.matcher.recognition = _Nearest()  # type: ignore[assignment]
        base, begin = memory(), time.process_time()
        for image_id in arrival(images, order, 0):
            reconstructor.reveal(f"{image_id:05d}")
            reconstructor.grow()
        grown = time.process_time() - begin
        reconstructor.solve()
        seconds = time.process_time() - begin
        model = reconstructor.mapper.submaps[0].reconstruction
        result = {"images": images, "order": order, "grown": grown, "cpu": seconds, "MB": memory() - base,
                  "models": len(read_models(Path(folder))), "registered": model.num_reg_images(),
                  "rms": street.error(model)}  # fmt: skip
        reconstructor.close()
    return result


def measure(lengths: Sequence[int], orders: Sequence[str], repeat: int, *, whole: bool) -> list[dict[str, Any]]:
    """The least CPU time of each length and order over ``repeat`` rounds."""
    best: dict[tuple[int, str], dict[str, Any]] = {}
    for _ in range(repeat):
        for order in orders:
            for images in lengths:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    row = pool.submit(grow_map if whole else grow_mapper, images, order).result()
                print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if k != "curve"}, flush=True)
                if (images, order) not in best or row["cpu"] < best[images, order]["cpu"]:
                    best[images, order] = row
    return list(best.values())


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Per order: milliseconds and MB per keyframe at each length, and how they grow from the first to the last."""
    for order in dict.fromkeys(row["order"] for row in rows):
        own = sorted((row for row in rows if row["order"] == order), key=lambda row: row["images"])
        cost = [1000 * row["cpu"] / row["images"] for row in own]
        held = [row["MB"] / row["images"] for row in own]
        for row, milliseconds, megabytes in zip(own, cost, held, strict=True):
            print(f"{order:10} {row['images']:4} images: {milliseconds:6.1f} ms and {megabytes:.2f} MB each, "
                  f"{row['registered']} in one model, rms {row['rms']:.3f} m")  # fmt: skip
        print(f"{order:10} growth: time {cost[-1] / cost[0]:.2f}, memory {held[-1] / held[0]:.2f}")


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Time and memory per keyframe over the length of the street."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(7.2, 2.6), layout="constrained")
    for order, marker in zip(dict.fromkeys(row["order"] for row in rows), "os^D", strict=False):
        own = sorted((row for row in rows if row["order"] == order), key=lambda row: row["images"])
        sizes = [row["images"] for row in own]
        axes[0].plot(sizes, [1000 * row["cpu"] / row["images"] for row in own], marker + "-", label=order)
        axes[1].plot(sizes, [row["MB"] / row["images"] for row in own], marker + "-", label=order)
    for axis, label in zip(axes, ("CPU ms per keyframe", "peak MB per keyframe"), strict=True):
        axis.set(xlabel="keyframes", ylabel=label, xticks=sorted({row["images"] for row in rows}))
        axis.set_ylim(0, 1.15 * axis.get_ylim()[1])
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=list(ORDERS))
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--whole", action="store_true", help="with global solutions and revisions")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG")
    args = parser.parse_args()
    print(machine())
    rows = measure(args.images, args.orders, args.repeat, whole=args.whole)
    report(rows)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "whole": args.whole, "runs": rows}, indent=1))
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
