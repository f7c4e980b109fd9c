"""What the association of many masks costs, beside the bare sparse product A·Aᵀ and the published method set by set.

    python benchmarks/association_scale.py [--masks 1000 10000 100000] [--points 100] [--json FILE] [--plot PNG]

Synthetic incidences along a street: ten masks a view, a house of 8 m every 10 m, each seen by some ten views, each point by two
to a handful of them (5 % of the keypoints outside masks). Sizes are measured in a process each, so that the peak of memory is
their own. CPU seconds of one thread (set OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.consensus import consensus_tracks
from seg2d3d_ros.association.published import published_tracks
from seg2d3d_ros.evaluation.clustering import mask_clustering
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence

SET_BY_SET = 2000
"""Masks up to which the published method is also run with Python sets."""
PER_VIEW = 10


def synthetic(masks: int, points_per_mask: int, seed: int = 0) -> tuple[Incidence, np.ndarray]:
    """An incidence, and (S,) the true object of each mask."""
    rng = np.random.default_rng(seed)
    views = objects = masks // PER_VIEW
    points = masks * points_per_mask
    view = np.repeat(np.arange(views), PER_VIEW)
    owner = (view + np.tile(np.arange(PER_VIEW), views)) % objects
    of_object = rng.integers(0, objects, points)
    by_object = np.lexsort((view, owner))
    start = np.searchsorted(owner[by_object], np.arange(objects))
    count = np.searchsorted(owner[by_object], np.arange(objects), "right") - start
    length = np.minimum(1 + rng.geometric(0.62, points), count[of_object])
    point = np.repeat(np.arange(points), length)
    step = np.arange(len(point)) - np.repeat(np.cumsum(length) - length, length)
    first = rng.integers(0, 1 << 30, points) % np.maximum(count[of_object] - length + 1, 1)
    row = by_object[start[of_object[point]] + first[point] + step]
    masked = rng.random(len(row)) < 0.95
    shape = (len(view), points)
    matrix = sparse.csr_matrix((np.ones(int(masked.sum()), np.float32), (row[masked], point[masked])), shape)
    visibility = sparse.csr_matrix((np.ones(len(row), bool), (view[row], point)), (views, points))
    names = tuple(map(str, range(views)))
    ids = (np.arange(masks) % PER_VIEW + 1).astype(np.uint16)
    ones = np.ones(masks, np.int32)
    xyz = np.stack([10.0 * of_object, np.zeros(points), np.zeros(points)], axis=1) + rng.uniform(-4.0, 4.0, (points, 3))
    incidence = Incidence(
        matrix, visibility, names, view.astype(np.int32), ids, ones, ones.astype(np.float32), np.arange(points), xyz=xyz
    )
    return incidence, owner


def set_by_set(incidence: Incidence, tau: float) -> np.ndarray:
    """Stage one of the published method as it is written: Python sets, each reference against all that is left."""
    held = [set(incidence.matrix[k].indices.tolist()) for k in range(incidence.matrix.shape[0])]
    label = np.zeros(len(held), np.int64)
    left = set(range(len(held)))
    number = 0
    while left:
        reference = max(left, key=lambda k: (len(held[k]), -k))
        number += 1
        mine = held[reference]
        joined = [k for k in left if k == reference or len(mine & held[k]) > tau * len(mine | held[k])]
        label[joined] = number
        left.difference_update(joined)
    return label


def measure(masks: int, points_per_mask: int) -> dict[str, Any]:
    """CPU seconds and gigabytes at one size."""
    incidence, owner = synthetic(masks, points_per_mask)
    result: dict[str, Any] = {"masks": masks, "points": incidence.matrix.shape[1], "non-zeros": int(incidence.matrix.nnz)}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.process_time()
        value = work()
        result[name] = time.process_time() - begin
        return value

    held = incidence.matrix.astype(np.float64)
    timed("A·Aᵀ [s]", lambda: held @ held.T)
    config = AssociationConfig()
    tracks = timed("consensus [s]", lambda: consensus_tracks(incidence, config))
    result["peak [GB]"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    timed("published [s]", lambda: published_tracks(incidence.matrix, incidence.segment_keyframe, config))
    if masks <= SET_BY_SET:
        timed("published, Python sets [s]", lambda: set_by_set(incidence, config.similarity))
    result["ratio to A·Aᵀ"] = result["consensus [s]"] / result["A·Aᵀ [s]"]
    result["ARI"] = mask_clustering(owner, tracks.segment)["ari"]
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, nargs="+", default=[1000, 2000, 10_000, 100_000], metavar="N")
    parser.add_argument("--points", type=int, default=100, metavar="N", help="3D points per mask")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="cost over size")
    args = parser.parse_args()
    rows = []
    for masks in args.masks:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, (masks, args.points)))
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if args.plot:
        plot(rows, args.plot)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """CPU seconds over the number of masks."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.2))
    for name in ("published, Python sets [s]", "consensus [s]", "published [s]", "A·Aᵀ [s]"):
        there = [row for row in rows if name in row]
        axes.loglog([row["masks"] for row in there], [row[name] for row in there], "o-", label=name.removesuffix(" [s]"))
    axes.set(xlabel="masks, each with points as in --points", ylabel="CPU seconds")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    main()
