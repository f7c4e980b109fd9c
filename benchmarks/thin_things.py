"""Thin and small things: F1 of their places within 0.5 m, by class and by the number of images that see them.

    python benchmarks/thin_things.py [--seeds 31 32 33] [--detectors typical hard] [--cameras 3] [--shuffle] [--plot PNG]

Each seed is a street with rows of poles, signs, lamps, bins, hydrants and manholes at regular distances, and houses, all
associated in one run (see ``thin_scene.py``; poses have noise of 0.02 m and 0.05°). An instance is right where a thing of
its class stands within 0.5 m in plan, one to one. A thing counts where so many images show it, whether its masks were found or
not; a wrong instance counts where it has so many masks. ``purity`` is the share of an instance's masks that show its thing,
``error`` the median distance of the right ones, ``≤ 2 σ`` of them as near as the covariance says (86 % if that is true).
``points`` is the same without rays.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from thin_scene import ThinScene, make_scene, reordered

from seg2d3d_ros.association.online.identity import Identity
from seg2d3d_ros.association.online.online_association import OnlineAssociation
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.simulation.scene.furniture import KINDS
from seg2d3d_ros.simulation.street_folder import CLASSES

NEAR = 0.5
GROUPS = {"3+": (3, 10**9), "3-5": (3, 5), "6-11": (6, 11), "12+": (12, 10**9)}


@dataclass
class Tally:
    """Counts by group, and what is measured of each right instance."""

    truth: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GROUPS, 0))
    right: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GROUPS, 0))
    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GROUPS, 0))
    error: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    purity: list[float] = field(default_factory=list)

    def f1(self, group: str) -> float | None:
        """2 · right / (truth + found); None where there is neither."""
        total = self.truth[group] + self.right[group] + self.wrong[group]
        return 2 * self.right[group] / total if total else None

    def add(self, counts: dict[str, int], images: int) -> None:
        """Count one thing or instance with so many images in its groups."""
        for group, (low, high) in GROUPS.items():
            counts[group] += low <= images <= high


def measure(scene: ThinScene, config: AssociationConfig, tallies: dict[str, Tally]) -> float:
    """Associate a scene and count; returns the CPU seconds."""
    start = time.process_time()
    association = OnlineAssociation(config, Identity())
    instances = association.update(scene.models, scene.segments, set(scene.segments), full=True).instances
    seconds = time.process_time() - start
    incidence = association.incidence.whole()
    owner = np.array(
        [
            _owner(scene, incidence.names[k], int(i))
            for k, i in zip(incidence.segment_keyframe, incidence.segment_ids, strict=True)
        ]
    )
    for kind in KINDS:
        tally, chosen = tallies[kind], np.flatnonzero(scene.kinds == kind)
        rows = np.flatnonzero((instances.classes == 1 + CLASSES.index(kind)) & instances.boxes.known)
        distance = np.linalg.norm(scene.feet[chosen, None, :2] - instances.boxes.foot[rows][None, :, :2], axis=-1)
        pairs = linear_sum_assignment(np.where(distance < NEAR, distance, 1e6))
        matched = {int(c): int(r) for r, c in zip(*pairs, strict=True) if distance[r, c] < NEAR}
        for images in scene.images[chosen].tolist():
            tally.add(tally.truth, images)
        for column, row in enumerate(rows.tolist()):
            mine = np.flatnonzero(instances.segment_instance == instances.ids[row])
            if column not in matched:
                tally.add(tally.wrong, len(np.unique(incidence.segment_keyframe[mine])))
                continue
            thing = chosen[matched[column]]
            tally.add(tally.right, int(scene.images[thing]))
            tally.error.append(float(distance[matched[column], column]))
            tally.purity.append(float(np.mean(owner[mine] == scene.ids[thing])))
            if instances.boxes.located[row]:
                off = (instances.boxes.foot[row] - scene.feet[thing])[:2]
                tally.inside.append(bool(off @ np.linalg.solve(instances.boxes.covariance[row, :2, :2], off) < 4.0))
    return seconds


def _owner(scene: ThinScene, name: str, segment: int) -> int:
    """The label that most pixels of a segment have."""
    labels, counts = np.unique(scene.truth[name][scene.segments[name].labels == segment], return_counts=True)
    return int(labels[counts.argmax()])


def table(tallies: dict[str, Tally]) -> str:
    """One line for each class."""
    lines = [f"{'':9}{'things':>7}" + "".join(f"{'F1 ' + g:>9}" for g in GROUPS) + f"{'error':>8}{'≤ 2 σ':>7}{'purity':>8}"]
    for kind, tally in tallies.items():
        cells = "".join(f"{'–' if (f := tally.f1(g)) is None else f'{f:.3f}':>9}" for g in GROUPS)
        error = f"{np.median(tally.error):.3f}" if tally.error else "–"
        inside = f"{np.mean(tally.inside):.2f}" if tally.inside else "–"
        purity = f"{np.mean(tally.purity):.2f}" if tally.purity else "–"
        lines.append(f"{kind:9}{tally.truth['3+']:7}{cells}{error:>8}{inside:>7}{purity:>8}")
    return "\n".join(lines)


def plot(results: dict[str, dict[str, dict[str, float | None]]], path: Path) -> None:
    """Bars of F1 (three images and more) by class."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3))
    width = 0.8 / len(results)
    for k, (name, of_kind) in enumerate(results.items()):
        heights = [of_kind[kind]["3+"] or 0.0 for kind in KINDS]
        axes.bar(np.arange(len(KINDS)) + (k - (len(results) - 1) / 2) * width, heights, width, label=name)
    axes.set_xticks(np.arange(len(KINDS)), KINDS)
    axes.set_ylabel("F1 within 0.5 m, 3 images and more")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower center", ncols=len(results), bbox_to_anchor=(0.5, 1.0), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 32, 33])
    parser.add_argument("--detectors", nargs="+", default=["typical", "hard"])
    parser.add_argument("--cameras", type=int, default=3, help="1 = forward only")
    parser.add_argument("--keyframes", type=int, default=96)
    parser.add_argument("--buildings", type=int, default=10)
    parser.add_argument("--position-noise", type=float, default=0.02)
    parser.add_argument("--angle-noise", type=float, default=0.05)
    parser.add_argument("--shuffle", action="store_true", help="the images in random order")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args(arguments)
    size = {name: getattr(args, name) for name in ("cameras", "keyframes", "buildings", "position_noise", "angle_noise")}
    results: dict[str, dict[str, dict[str, float | None]]] = {}
    for detector in args.detectors:
        methods = {"points": AssociationConfig(rays=False), "rays": AssociationConfig()}
        tallies = {method: {kind: Tally() for kind in KINDS} for method in methods}
        seconds = dict.fromkeys(methods, 0.0)
        for seed in args.seeds:
            scene = make_scene(seed, detector, **size)
            scene = reordered(scene, seed) if args.shuffle else scene
            for method, config in methods.items():
                seconds[method] += measure(scene, config, tallies[method])
        for method in methods:
            print(f"\n{detector}, {method}: seeds {args.seeds}, {seconds[method] / len(args.seeds):.1f} CPU s a street")
            print(table(tallies[method]), flush=True)
            results[f"{detector}, {method}"] = {k: {g: t.f1(g) for g in GROUPS} for k, t in tallies[method].items()}
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    main()
