"""Prompts on simulated streets with the truth of houses, of storeys, shop fronts and roofs, and of doors, windows and signs.

    python benchmarks/prompts.py WORK --seeds 61 62 63 [--objects 20] [--json FILE] [--picture JPG]

For each seed WORK/<seed> is a street of ``seg2d3d simulate --levels`` and WORK/<seed>-map its map of overlapping masks (made
here where they are missing, and kept). Objects of all three levels are drawn by lot, those that at least four images show.
The first click is a pixel of the object by lot, in an image by lot; each further one lies, in another image by lot, in the
middle of the largest error there: positive where the answer lacks the object, negative where it has too much. The figure is
the mean over all views that see an object of the intersection over union, then over the objects. Rows:

* blind projection: the clicks' places are projected into every image, hidden or not, and the smallest mask there that
  holds the positive ones and none of the negative ones is the answer;
* existing masks alone: the map's instance at the first click;
* ours, without a model; and the same where the person also says which level is meant (``--level``);
* ours, with a double of a mask model (``mask_model_double.py``, which states its errors); and the same with the level;
* with ``--network MODEL`` (``seg2d3d train prompts``) the trained network, without and with the level told, and no other row.

Of each row of ours are also given: the share of answers in images that do not show the object, the share of asked images in
which the model disagreed, and the latency, CPU and wall time of ``ask`` after the first click (a double's own time is in it).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from granularity import simulated
from mask_model_double import MaskModelDouble

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.images import decode_rgb, read_labels
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.prompts.session import ClickNetwork, PromptSession

if TYPE_CHECKING:
    from seg2d3d_ros.prompts.network.network_masks import NetworkMasks

LEVELS = {"truth": "coarse", "truth_storeys": "1", "truth_parts": "fine"}
"""Folders of the truth, and what a person who wants this level says."""
LEAST_PIXELS, LEAST_VIEWS = 150, 4
CLICKS = (1, 3)
Regions = dict[str, Region]
Ask = Callable[[Sequence[Click]], Regions]


@dataclass(frozen=True)
class Target:
    """An object of the truth: id, level's folder, its (H, W) bool mask in each image that shows it, and all images that show a
    pixel of it."""

    id: int
    folder: str
    masks: dict[str, np.ndarray]
    seen: frozenset[str]


def prepare(work: Path, seed: int) -> tuple[Path, Path]:
    """The street and its map."""
    from seg2d3d_ros.cli.main import main as seg2d3d

    folder, out = simulated(work, seed), work / f"{seed}-map"
    if not (out / "granularity.json").exists():
        known = ["--camera", folder / "camera.json", "--gps", folder / "gps.csv", "--segments", folder / "masks"]
        seg2d3d(["run", *map(str, [folder / "images", "--out", out, "--granularity", "auto", *known])])
    return folder, out


def targets(folder: Path, count: int, rng: np.random.Generator) -> list[Target]:
    """Objects of the three levels in turn, by lot."""
    chosen: list[Target] = []
    for place, level in enumerate(LEVELS):
        images = {path.stem: read_labels(path) for path in sorted((folder / level).glob("*.png"))}
        views: dict[int, list[str]] = {}
        for name, labels in images.items():
            ids, sizes = np.unique(labels, return_counts=True)
            for i, size in zip(ids.tolist(), sizes.tolist(), strict=True):
                if i not in (0, 65535) and size >= LEAST_PIXELS:
                    views.setdefault(i, []).append(name)
        able = sorted(i for i, names in views.items() if len(names) >= LEAST_VIEWS)
        wanted = (count + len(LEVELS) - 1 - place) // len(LEVELS)
        for i in rng.permutation(able)[:wanted].tolist():
            seen = frozenset(name for name, labels in images.items() if (labels == i).any())
            chosen.append(Target(i, level, {name: images[name] == i for name in views[i]}, seen))
    return chosen


def next_click(target: Target, regions: Regions, name: str, rng: np.random.Generator) -> Click | None:
    """The first click where ``regions`` is empty, else the middle of the largest error in an image."""
    truth = target.masks[name]
    found = np.zeros(truth.shape, bool)
    if name in regions:
        found[regions[name].window] = regions[name].pixels
    missing, extra = truth & ~found, found & ~truth
    if not regions:
        inner = cv2.erode(truth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        rows, columns = np.nonzero(inner if inner.any() else truth)
        k = int(rng.integers(len(rows)))
        return Click(name, (float(columns[k]) + 0.5, float(rows[k]) + 0.5))
    best: tuple[float, Click] | None = None
    for wrong, positive in ((missing, True), (extra, False)):
        away = cv2.distanceTransform(np.pad(wrong, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(away.argmax()), away.shape)
        if away[row, column] > 0 and (best is None or away[row, column] > best[0]):
            best = float(away[row, column]), Click(name, (float(column) + 0.5, float(row) + 0.5), positive)
    return None if best is None else best[1]


def overlap(target: Target, regions: Regions) -> float:
    """Mean intersection over union over all images that show the object."""
    values = []
    for name, truth in target.masks.items():
        region = regions.get(name)
        common = 0 if region is None else int((truth[region.window] & region.pixels).sum())
        area = 0 if region is None else region.area
        values.append(common / (int(truth.sum()) + area - common))
    return float(np.mean(values))


def rounds(target: Target, ask: Ask, rng: np.random.Generator) -> list[float]:
    """The overlap after each click; a click that finds nothing changes nothing."""
    order = rng.permutation(sorted(target.masks)).tolist()
    clicks: list[Click] = []
    regions: Regions = {}
    result = []
    for k in range(max(CLICKS)):
        click = next_click(target, regions, order[k % len(order)], rng)
        if click is not None:
            clicks.append(click)
            with suppress(DataError):
                regions = ask(clicks)
        result.append(overlap(target, regions))
    return result


def blind(session: PromptSession) -> Ask:
    """See the module."""

    def ask(clicks: Sequence[Click]) -> Regions:
        placed = [session._placed(click) for click in clicks]
        found: Regions = {}
        for sight in session.sights:
            held: list[set[int]] = []
            for click in placed:
                pixel = click.xy[None]
                if click.name != sight.name:
                    if click.xyz is None:
                        continue
                    pixel, depth = sight.view.project(click.xyz[None])
                    if not depth[0] > 0:
                        continue
                there = session.things.holding(sight.name, pixel)[0] if np.isfinite(pixel).all() else set()
                held.append(there if click.positive else session.things.shown(sight.name) - there)
            if held and any(c.positive for c in clicks):
                regions = [r for i in set.intersection(*held) if (r := session.things.region(i, sight.name)) is not None]
                if regions:
                    found[sight.name] = min(regions, key=lambda region: region.area)
        return found

    return ask


def existing(session: PromptSession, labels: dict[str, np.ndarray]) -> Ask:
    """See the module."""
    from seg2d3d_ros.geometry.masks import region_of

    def ask(clicks: Sequence[Click]) -> Regions:
        first = clicks[0]
        column, row = np.floor(first.xy).astype(int).tolist()
        i = int(labels[str(first.image)][row, column])
        return {name: r for name, image in labels.items() if i and (r := region_of(image == i)) is not None}

    return ask


def trained(session: PromptSession, folder: Path, base: str) -> NetworkMasks:
    """The network in a folder of ``seg2d3d train prompts``, over an open map."""
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.networks.obtaining import NetworkSettings
    from seg2d3d_ros.prompts.network.encoded_map import EncodedMap
    from seg2d3d_ros.prompts.network.network_folder import open_network
    from seg2d3d_ros.prompts.network.network_masks import NetworkMasks

    network, model = open_network(folder, NetworkSettings(), Findings(), base)
    return NetworkMasks(network, EncodedMap(session, model))


def measure(folder: Path, out: Path, seed: int, count: int, model: Path | None = None, base: str = "") -> dict[str, Any]:
    """The figures of a street: per row and level of the truth, the mean overlap after 1 and 3 clicks."""
    start = time.perf_counter()
    session = PromptSession(out)
    asking = PromptSession(out, MaskModelDouble(folder, list(LEVELS), seed))
    result: dict[str, Any] = {"open [s]": time.perf_counter() - start}
    labels = {sight.name: read_labels(session.store.label_path(sight.name)) for sight in session.sights}
    wanted = targets(folder, count, np.random.default_rng(seed))
    took: list[tuple[float, float]] = []
    answered: list[tuple[int, int, int, int]] = []

    def ours(target: Target, level: str, session: PromptSession = session, network: ClickNetwork | None = None) -> Ask:
        def ask(clicks: Sequence[Click]) -> Regions:
            before = time.process_time(), time.perf_counter()
            try:
                answer = session.ask(clicks, level, network=network)
                there = len(answer.regions), len(answer.regions.keys() - target.seen)
                answered.append((*there, len(answer.asked), len(answer.disagreeing)))
                return dict(answer.regions)
            finally:
                took.append((time.process_time() - before[0], time.perf_counter() - before[1]))

        return ask

    asks: dict[str, Callable[[Target], Ask]] = {
        "blind projection": lambda target: blind(session),
        "existing masks alone": lambda target: existing(session, labels),
        "ours, instances first": lambda target: ours(target, "auto"),
        "ours": lambda target: ours(target, "fine"),
        "ours, level told": lambda target: ours(target, LEVELS[target.folder]),
        "ours, double of a mask model": lambda target: ours(target, "fine", asking),
        "ours, double of a mask model, level told": lambda target: ours(target, LEVELS[target.folder], asking),
    }
    if model is not None:
        network = trained(session, model, base)
        asks = {
            "trained network": lambda target: ours(target, "auto", network=network),
            "trained network, level told": lambda target: ours(target, LEVELS[target.folder], network=network),
        }
    for row, of in asks.items():
        found = {level: [] for level in LEVELS}  # type: dict[str, list[list[float]]]
        took.clear()
        answered.clear()
        for k, target in enumerate(wanted):
            found[target.folder].append(rounds(target, of(target), np.random.default_rng([seed, k])))
        every = [values for items in found.values() for values in items]
        result[row] = {
            "all": [float(np.mean([v[n - 1] for v in every])) for n in CLICKS],
            **{level: [float(np.mean([v[n - 1] for v in items])) for n in CLICKS] for level, items in found.items() if items},
        }
        if answered:
            total, wrong, asked, disagreed = np.sum(answered, axis=0).tolist()
            result[row]["answers in images that do not show the object"] = wrong / max(total, 1)
            result[row]["asked images in which the model disagreed"] = disagreed / max(asked, 1)
            result[row]["latency cpu, wall: median, max [s]"] = [
                [round(float(f([t[k] for t in took[1:]])), 3) for f in (np.median, np.max)] for k in (0, 1)
            ]
    return result


def picture(folder: Path, out: Path, path: Path, images: int = 4) -> None:
    """One click, and what it comes to in other images, at each level."""
    session = PromptSession(out)
    names = [sight.name for sight in session.sights if sight.name.startswith("left")]
    name = names[len(names) // 2]
    camera = session.sights[session._place[name]].view.camera
    xy = (camera.width * 0.5, camera.height * 0.5)
    rows = []
    for level in ("fine", "coarse"):
        answer = session.ask([Click(name, xy)], level)
        others = [n for n in answer.regions if n != name]
        shown = [name, *others[:: max(1, len(others) // (images - 1))][: images - 1]]
        row = []
        for n in shown:
            photo = decode_rgb((folder / "images" / f"{n}.jpg").read_bytes())
            tint = photo // 2
            region = answer.regions[n]
            tint[region.window][region.pixels] = photo[region.window][region.pixels] // 2 + np.array([120, 90, 0], np.uint8)
            edge = cv2.Canny(np.any(tint != photo // 2, axis=2).astype(np.uint8) * 255, 50, 150) > 0
            tint[cv2.dilate(edge.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0] = (255, 220, 60)
            if n == name:
                cv2.drawMarker(tint, tuple(map(int, xy)), (255, 40, 40), cv2.MARKER_CROSS, 40, 5)
            row.append(cv2.resize(tint, (400, 267), interpolation=cv2.INTER_AREA))
        rows.append(np.hstack(row))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for streets and maps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[61, 62, 63], metavar="N")
    parser.add_argument("--objects", type=int, default=20, metavar="N", help="per street")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--picture", type=Path, metavar="JPG", help="only draw the first street's answers")
    parser.add_argument("--network", type=Path, metavar="MODEL", help="measure this trained network instead of the other rows")
    parser.add_argument("--base", default="", metavar="NAME", help="where the network's base model lies")
    args = parser.parse_args()
    if args.picture:
        picture(*prepare(args.work, args.seeds[0]), args.picture)
        return
    figures = {}
    for seed in args.seeds:
        figures[seed] = measure(*prepare(args.work, seed), seed, args.objects, args.network, args.base)
        print(seed, json.dumps(figures[seed]), flush=True)
        if args.json:
            args.json.write_text(json.dumps(figures, indent=1))
    print("\n| mIoU after | 1 click | 3 clicks |\n|---|---|---|")
    for row in [name for name, value in next(iter(figures.values())).items() if isinstance(value, dict)]:
        for part in ("all", *LEVELS):
            values = [np.mean([f[row][part][k] for f in figures.values()]) for k in range(len(CLICKS))]
            print(f"| {row}, {part} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


if __name__ == "__main__":
    main()
