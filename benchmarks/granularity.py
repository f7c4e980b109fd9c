"""One granularity from masks of random levels, on simulated streets with the truth of houses, storeys and parts.

    python benchmarks/granularity.py WORK --seeds 61 62 63 [--json FILE] [--picture JPG]

For each seed a street is simulated with ``--levels`` and reconstructed once (WORK/<seed>, WORK/<seed>-map, kept for later).
The detector cuts each house at a random level in each image, sometimes at two, with misses and ragged borders. Printed are:

* coverage and AssA of each granularity against the truth of its level; for ``auto`` each house is judged at the level at which
  it was cut, by the truth (the level whose objects the labels cover best); ``consensus`` gets the same masks made flat (the
  smallest at each pixel) and is judged at the level that suits it best;
* of the truth's pairs of whole and part that two images each have masks of, how many are in the tree;
* the three rounds: of the masks of an object that two images show, how many are in its largest group, and purity;
* per house, the coverage of ``auto`` beside that of the best fixed granularity;
* CPU seconds of the tree beside those of ``consensus`` on the same points.

``--scale`` instead compares the time of both on a made-up street of 2,000 masks in 300 images.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.consensus import consensus_tracks
from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.points.enrich import enrich
from seg2d3d_ros.association.solve import associate, stacked_xyz
from seg2d3d_ros.evaluation.clustering import owners
from seg2d3d_ros.evaluation.coverage import detected_images
from seg2d3d_ros.evaluation.measure import score
from seg2d3d_ros.evaluation.overlaps import OverlapCounter
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.granularity.cut import choose
from seg2d3d_ros.granularity.flattening import FlatChoice, flatten
from seg2d3d_ros.granularity.mask_points import MaskPoints, mask_points
from seg2d3d_ros.granularity.object_tree import ObjectTree, Rounds, build_tree
from seg2d3d_ros.images import decode_rgb, read_labels
from seg2d3d_ros.mapstore.files.masks_file import read_masks_document
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.segmentation.finest import FinestSegments
from seg2d3d_ros.types import Incidence, SparseModel

LEVELS = ("house", "storey", "part")
TRUTH = ("truth", "truth_storeys", "truth_parts")
FIXED = {"coarse": 0, "1": 1, "fine": 2}
"""Granularities, and the level of the truth that each is judged by."""
IGNORE = 65535
MATCH = 0.5
Labels = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Street:
    """A simulated street: models with additional points, masks, and the truth by level and image."""

    folder: Path
    models: Sequence[SparseModel]
    masks: Mapping[str, OverlappingMasks]
    objects: Mapping[int, Mapping[str, Any]]
    truth: Sequence[Labels]

    def house(self, i: int) -> int:
        """The house that an object is part of."""
        return i if self.objects[i]["parent"] == 0 else self.house(self.objects[i]["parent"])


def simulated(work: Path, seed: int) -> Path:
    """The folder of a street with truth at three levels, simulated where it is missing."""
    from seg2d3d_ros.cli.main import main as seg2d3d

    folder = work / f"{seed}"
    if not (folder / "gps.csv").exists():
        size = ["--width", "640", "--height", "427", "--keyframes", "96"]
        seg2d3d(["simulate", str(folder), "--seed", f"{seed}", *size, "--no-bag", "--levels"])
    return folder


def prepare(work: Path, seed: int) -> Street:
    """Simulate and reconstruct what is missing, and read it."""
    from seg2d3d_ros.cli.main import main as seg2d3d

    folder, out = simulated(work, seed), work / f"{seed}-map"
    if not (out / "metrics.json").exists():
        known = ["--camera", folder / "camera.json", "--gps", folder / "gps.csv", "--segments", folder / "segments"]
        seg2d3d(["run", *map(str, [folder / "images", "--out", out, "--label", "building", *known])])
    masks = {p.stem: read_masks_document(p, p.stem, ("object",)) for p in sorted((folder / "masks").glob("*.json"))}
    objects = {int(i): fact for i, fact in json.loads((folder / "levels.json").read_text())["objects"].items()}
    truth = [{name: read_labels(folder / level / f"{name}.png") for name in masks} for level in TRUTH]
    image = {name: folder / "images" / f"{name}.jpg" for name in masks}
    enough = AssociationConfig().enough_points
    models = enrich(read_models(out), FinestSegments(masks), lambda n: decode_rgb(image[n].read_bytes()), enough=enough)
    return Street(folder, models, masks, objects, truth)


def drawn(choice: FlatChoice) -> Labels:
    """The label images of a choice, carried regions among them."""
    result = {}
    for name, segments in choice.segments.items():
        labels = segments.labels.copy()
        for item in choice.carried.get(name, ()):
            window = labels[item.region.window]
            window[item.region.pixels & (window == 0)] = item.instance
        result[name] = labels
    return result


def measured(labels: Labels, truth: Labels) -> dict[str, float]:
    """Coverage, AssA and HOTA."""
    counter = OverlapCounter()
    for name in truth:
        counter.add(name, truth[name], labels[name])
    found = counter.finish()
    numbers = np.arange(1, len(found.region_label) + 1)
    result = score(found, found, numbers, detected_images(found), owners(found))
    return {key: float(result[key] or 0.0) for key in ("coverage", "assa", "hota")}


def coverages(labels: Labels, truth: Labels) -> dict[int, float]:
    """Of each object that two images show, the share of its images in which its best label matches it."""
    hits: dict[int, Counter[int]] = defaultdict(Counter)
    images: Counter[int] = Counter()
    for name, true in truth.items():
        pairs, counts = np.unique(true.astype(np.int64) << 17 | labels[name], return_counts=True)
        objects, found = pairs >> 17, pairs & 0x1FFFF
        kept = objects != IGNORE
        objects, found, counts = objects[kept], found[kept], counts[kept]
        of_object, of_label = np.bincount(objects, counts), np.bincount(found, counts)
        images.update(int(i) for i in np.unique(objects[objects > 0]))
        for i, k, n in zip(objects.tolist(), found.tolist(), counts.tolist(), strict=True):
            if i and k and n >= MATCH * (of_object[i] + of_label[k] - n):
                hits[i][k] += 1
    return {i: max(hits[i].values(), default=0) / n for i, n in images.items() if n >= 2}


def of_houses(street: Street, labels: Labels) -> dict[int, list[float]]:
    """Per house the mean coverage of its objects at each level."""
    found: dict[int, list[list[float]]] = defaultdict(lambda: [[], [], []])
    for level, truth in enumerate(street.truth):
        for i, value in coverages(labels, truth).items():
            found[street.house(i)][level].append(value)
    return {house: [float(np.mean(values)) if values else 0.0 for values in levels] for house, levels in found.items()}


def at_levels(street: Street, level_of: Mapping[int, int]) -> Labels:
    """A truth in which each house is there at a level of its own."""
    result = {}
    for name, houses in street.truth[0].items():
        mixed = houses.copy()
        for house, level in level_of.items():
            there = houses == house
            mixed[there] = street.truth[level][name][there]
        result[name] = mixed
    return result


def true_owners(street: Street, points: MaskPoints) -> np.ndarray:
    """(S,) the object, of whatever level, that each mask shows, 0 = none: the best intersection over union from .4 on."""
    found = []
    areas = [
        {name: np.bincount(labels.ravel(), minlength=IGNORE + 1) for name, labels in truth.items()} for truth in street.truth
    ]
    for name, k in points.keys:
        region, best = street.masks[name].region(k), (0.4, 0)
        for level, truth in enumerate(street.truth):
            ids, counts = np.unique(truth[name][region.window][region.pixels], return_counts=True)
            for i, n in zip(ids.tolist(), counts.tolist(), strict=True):
                if i not in (0, IGNORE):
                    best = max(best, (n / (region.area + areas[level][name][i] - n), i))
        found.append(best[1])
    return np.array(found)


def of_rounds(points: MaskPoints, rounds: Rounds, owner: np.ndarray) -> dict[str, tuple[float, float, int]]:
    """Per round: completeness, purity, and number of groups."""
    result = {}
    several = {i for i in set(owner.tolist()) - {0} if len(set(points.view[owner == i].tolist())) > 1}
    for name in ("single", "views", "scene"):
        group = getattr(rounds, name)
        complete = []
        for i in several:
            mine = group[owner == i]
            complete.append(max(Counter(mine[mine >= 0].tolist()).values(), default=0) / len(mine))
        known = (owner > 0) & (group >= 0)
        pure = sum(max(Counter(owner[known & (group == g)].tolist()).values()) for g in np.unique(group[known]))
        result[name] = float(np.mean(complete)), pure / max(int(known.sum()), 1), len(np.unique(group[group >= 0]))
    return result


def right_pairs(street: Street, points: MaskPoints, tree: ObjectTree, owner: np.ndarray) -> tuple[int, int]:
    """Of the truth's pairs of part and whole, those that the tree has, and all that two images each have masks of.

    The whole is the nearest one that two images show.
    """
    shown = {i: len(set(points.view[owner == i].tolist())) > 1 for i in set(owner.tolist()) - {0}}
    node = {}
    for i in shown:
        of = tree.of_mask[(owner == i) & (tree.of_mask >= 0)]
        node[i] = Counter(of.tolist()).most_common(1)[0][0] if len(of) else None
    right = total = 0
    for i in (i for i, seen in shown.items() if seen):
        whole = street.objects[i]["parent"]
        while whole and not shown.get(whole):
            whole = street.objects[whole]["parent"]
        if not whole:
            continue
        total += 1
        at = node[i]
        while at is not None and at >= 0:
            at = int(tree.parent[at])
            right += at == node[whole] and at >= 0
    return right, total


def measure(street: Street) -> dict[str, Any]:
    """All figures of a street."""
    start = time.process_time()
    points = mask_points(street.models, street.masks)
    lap = time.process_time()
    tree, rounds = build_tree(points)
    result: dict[str, Any] = {"masks": len(points), "nodes": len(tree), "points [s]": lap - start}
    result["tree [s]"] = time.process_time() - lap
    owner = true_owners(street, points)
    result["pairs"], result["rounds"] = right_pairs(street, points, tree, owner), of_rounds(points, rounds, owner)
    houses, pictures = {}, {}
    for granularity in (*FIXED, "auto"):
        lap = time.process_time()
        labels = drawn(flatten(street.models, points, tree, choose(tree, granularity), street.masks))
        result[f"{granularity} drawn [s]"] = time.process_time() - lap
        houses[granularity], pictures[granularity] = of_houses(street, labels), labels
    for granularity, level in FIXED.items():
        result[granularity] = measured(pictures[granularity], street.truth[level])
    level_of = {house: int(np.argmax(values)) for house, values in houses["auto"].items()}
    result["auto levels"] = Counter(LEVELS[level] for level in level_of.values())
    mixed = at_levels(street, level_of)
    result["auto"] = measured(pictures["auto"], mixed)
    result["auto of houses"] = float(np.mean([max(values) for values in houses["auto"].values()]))
    best = [max(max(houses[g][house]) for g in FIXED) for house in houses["auto"]]
    result["best fixed of houses"] = float(np.mean(best))
    flat = FinestSegments(street.masks)
    incidence = build_incidence(street.models, flat, project=True)
    lap = time.process_time()
    repair = Repair(incidence, associate(incidence, stacked_xyz(street.models), AssociationConfig()))
    result["consensus [s]"] = time.process_time() - lap
    labels = {name: repair(item).labels.image() for name, item in flat.items()}
    for level, name in enumerate(LEVELS):
        result[f"consensus, {name}"] = measured(labels, street.truth[level])
    result["consensus, levels of auto"] = measured(labels, mixed)
    return result


def picture(street: Street, path: Path, images: int = 3) -> None:
    """Photographs beside their masks, and the labels of coarse, auto and fine."""
    import cv2

    points = mask_points(street.models, street.masks)
    tree, _ = build_tree(points)
    labels = {g: drawn(flatten(street.models, points, tree, choose(tree, g), street.masks)) for g in ("coarse", "auto", "fine")}
    left = [name for name in street.masks if name.startswith("left")]
    rows = []
    for name in left[len(left) // 4 :][:images]:
        photo = decode_rgb((street.folder / "images" / f"{name}.jpg").read_bytes())
        masks = photo // 2
        for k in np.argsort(-street.masks[name].areas, kind="stable").tolist():
            region = street.masks[name].region(k)
            window = masks[region.window]
            outline = region.pixels & (cv2.erode(np.pad(region.pixels, 1).astype(np.uint8), np.ones((5, 5)))[1:-1, 1:-1] == 0)
            window[outline] = instance_colors(np.array([k + 1]))[0]
        shown = [photo, masks]
        for granularity in ("coarse", "auto", "fine"):
            ids = labels[granularity][name]
            tint = instance_colors(ids.ravel()).reshape(*ids.shape, 3)
            shown.append(np.where((ids > 0)[..., None], (0.35 * photo + 0.65 * tint).astype(np.uint8), photo // 2))
        rows.append(np.hstack([cv2.resize(item, (320, 214), interpolation=cv2.INTER_AREA) for item in shown]))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def made_up(masks: int, views: int, points_per_mask: int = 60, seed: int = 0) -> tuple[MaskPoints, Incidence]:
    """Masks of two levels along a street: houses, or their three parts, per house and view; for the time that they take."""
    rng = np.random.default_rng(seed)
    per_view, parts = max(masks // views, 1), 3
    houses = max(views // 4, 2)
    count = houses * parts * points_per_mask
    part = np.arange(count) // points_per_mask
    rows, columns, view_of, area = [], [], [], []
    seen_views, seen_points = [], []
    for view in range(views):
        first, found = view * houses // views, 0
        house = first
        while found < per_view:
            mine = np.flatnonzero(part // parts == house % houses)
            mine = mine[rng.random(len(mine)) < 0.5]
            seen_views.append(np.full(len(mine), view))
            seen_points.append(mine)
            groups = [mine] if rng.random() < 0.5 else [mine[part[mine] % parts == p] for p in range(parts)]
            for group in groups:
                rows.append(np.full(len(group), len(view_of)))
                columns.append(group)
                view_of.append(view)
                area.append(len(group))
                found += 1
            house += 1
    number = len(view_of)
    row, column = np.concatenate(rows), np.concatenate(columns)
    held = sparse.csr_matrix((np.ones(len(row)), (row, column)), (number, count))
    held.data[:] = 1.0
    place = np.concatenate(seen_views), np.concatenate(seen_points)
    visible = sparse.csr_matrix((np.ones(len(place[0])), place), (views, count))
    visible.data[:] = 1.0
    names, ones = tuple(map(str, range(views))), np.ones(number, np.int32)
    view = np.array(view_of)
    index = np.arange(number) - np.searchsorted(view, view)
    scores = np.ones(number, np.float32)
    nothing = np.empty(0, np.int64)
    where = (nothing, nothing, np.empty((0, 2)), nothing.astype(bool))
    points = MaskPoints(held, visible, names, view, index, np.array(area), ones, scores, scores, *where)
    ids = (index + 1).astype(np.uint16)
    incidence = Incidence(
        held.astype(np.float32), visible.astype(bool), names, view.astype(np.int32), ids, ones, scores, np.arange(count)
    )
    return points, incidence


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?", metavar="WORK", help="folder for streets and maps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[61, 62, 63], metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--picture", type=Path, metavar="JPG", help="only draw the first street's labels")
    parser.add_argument("--scale", action="store_true", help="only the time on 2,000 masks in 300 images")
    args = parser.parse_args()
    if args.scale:
        points, incidence = made_up(2000, 300)
        start = time.process_time()
        tree, _ = build_tree(points)
        middle = time.process_time()
        consensus_tracks(incidence, AssociationConfig())
        end = time.process_time()
        print(
            f"{len(points)} masks in {len(points.names)} images: tree of {len(tree)} nodes {middle - start:.2f} s, "
            f"consensus {end - middle:.2f} s"
        )
        return
    if args.picture:
        picture(prepare(args.work, args.seeds[0]), args.picture)
        return
    figures = {}
    for seed in args.seeds:
        figures[seed] = measure(prepare(args.work, seed))
        print(seed, json.dumps(figures[seed]), flush=True)
        if args.json:
            args.json.write_text(json.dumps(figures, indent=1))
    print("\n| | coverage | AssA | HOTA |\n|---|---|---|---|")
    for name in (*FIXED, "auto", *(f"consensus, {level}" for level in LEVELS), "consensus, levels of auto"):
        print(
            f"| {name} | "
            + " | ".join(f"{np.mean([f[name][k] for f in figures.values()]):.3f}" for k in ("coverage", "assa", "hota"))
            + " |"
        )
    right, total = (sum(f["pairs"][k] for f in figures.values()) for k in (0, 1))
    print(f"\npairs: {right} of {total} ({right / total:.3f})")
    for key in ("auto of houses", "best fixed of houses"):
        print(key, f"{np.mean([f[key] for f in figures.values()]):.3f}")


if __name__ == "__main__":
    main()
