"""How hard maps are to associate: 3D points in masks, and matches between images, of any map directories.

    python benchmarks/difficulty.py MAP… [--segments DIR] [--label building] [--added]

One row for each map:

* *points a mask*: median number of the model's points that a mask holds, over all masks of registered images, and beside it the
  share of masks with fewer than 5;
* *with added*: the same with the points that the association adds in masks which hold few (``points/enrich.py``; with
  ``--added``, takes about a second an image);
* *matches a pair*: median number of verified matches, over the pairs of images with at least 15, the least that reconstruction
  uses. Pairs of cameras that a survey vehicle triggers together count like all others.

``--segments`` gives masks as label images (0 = none) to maps that were made without, or with others.
"""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg2d3d_ros.association.points.enrich import enrich
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, StoredSegments
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Segments, SparseModel

FEW = 5
LEAST_MATCHES = 15


@dataclass(frozen=True)
class Difficulty:
    """The figures of one map; ``few``: share of masks with fewer than ``FEW`` points."""

    images: int
    registered: int
    masks: int
    points: float
    few: float
    pairs: int
    matches: float


def measure(root: Path, segments: Mapping[str, Segments], models: list[SparseModel] | None = None) -> Difficulty:
    """Figures of the map ``root`` with these masks, by image name; ``models``: in place of its own ones."""
    models = read_models(root) if models is None else models
    held = points_of_masks(models, segments)
    images, counts = read_matches(root / "database.db")
    pairs = counts[counts >= LEAST_MATCHES]
    return Difficulty(
        images=images,
        registered=sum(len(model.names) for model in models),
        masks=len(held),
        points=float(np.median(held)) if len(held) else 0.0,
        few=float(np.mean(held < FEW)) if len(held) else 1.0,
        pairs=len(pairs),
        matches=float(np.median(pairs)) if len(pairs) else 0.0,
    )


def points_of_masks(models: list[SparseModel], segments: Mapping[str, Segments]) -> np.ndarray:
    """(M,) the number of different points that each mask of a registered image holds."""
    held = [np.zeros(0, np.int64)]
    for model in models:
        for k, name in enumerate(model.names):
            if name not in segments:
                continue
            item, own = segments[name], model.obs_keyframe == k
            height, width = item.labels.shape
            pixel = np.floor(model.obs_xy[own]).astype(np.int64).clip(0, [width - 1, height - 1])
            pairs = np.unique(np.stack([item.labels[pixel[:, 1], pixel[:, 0]], model.obs_point[own]]), axis=1)
            held.append(np.bincount(pairs[0], minlength=int(item.ids.max(initial=0)) + 1)[item.ids])
    return np.concatenate(held)


def read_matches(database: Path) -> tuple[int, np.ndarray]:
    """The number of images, and (P,) verified matches of each pair that was tried."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (images,) = connection.execute("SELECT count(*) FROM images").fetchone()
        rows = connection.execute("SELECT rows FROM two_view_geometries").fetchall()
    return int(images), np.array(rows, np.int64).ravel()


class LabelImages(dict[str, Segments]):
    """Masks by image name, from a folder of label images."""

    def __init__(self, folder: Path) -> None:
        for path in sorted(folder.glob("*.png")):
            labels = read_labels(path)
            ids = np.setdiff1d(labels, [0]).astype(np.uint16)
            ones = np.ones(len(ids))
            self[path.stem] = Segments(path.stem, labels, ids, ones.astype(np.int32), ones.astype(np.float32))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=Path, nargs="+", metavar="MAP", help="map directories")
    parser.add_argument("--segments", type=Path, metavar="DIR", help="masks as label images, in place of the maps' own")
    parser.add_argument("--label", nargs="+", default=["building"], help="classes that count")
    parser.add_argument("--added", action="store_true", help="also with the association's additional points")
    args = parser.parse_args()
    print(
        "| map | registered | masks | points a mask | under 5 | with added | under 5 | pairs | matches a pair |\n"
        + "|---" * 9
        + "|"
    )
    for root in args.maps:
        store = MapStore(root)
        segments = LabelImages(args.segments) if args.segments else StoredSegments(store, None, args.label)
        own, cells = measure(root, segments), ["", ""]
        if args.added:
            enough = AssociationConfig().enough_points
            more = measure(root, segments, enrich(read_models(root), segments, StoredImages(store).__getitem__, enough=enough))
            cells = [f"{more.points:g}", f"{more.few:.2f}"]
        cells = [f"{own.registered} of {own.images}", f"{own.masks}", f"{own.points:g}", f"{own.few:.2f}", *cells]
        print(f"| {root} | " + " | ".join([*cells, f"{own.pairs}", f"{own.matches:g}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
