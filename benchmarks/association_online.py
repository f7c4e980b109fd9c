"""Association while the map grows: what an update costs, and whether it comes to the same.

    python benchmarks/association_online.py WORK [--seed 21 --orders 3] [--json FILE] [--plot FILE]

A simulated street is reconstructed once (below WORK, kept for the next run) and then revealed keyframe by keyframe, in random
orders: a keyframe brings its keypoints and masks, and a point is there when two of the revealed keyframes observe it, so that
most keyframes of the neighbourhood change with each. Every ``--every`` keyframes the same map is solved offline, and compared:
CPU seconds of the update and of the offline solution (evidence, incidence, projection, association, boxes; masks in memory for
both), and the adjusted Rand index over masks. An id switch, after an update, is a change of the id that most masks of one
final instance have (the id before, where two have as many); a change to the id that was announced to stand for the one before
is counted apart, as a merge. Of the switches it is also counted how many came

* after the first third of the keyframes: of the first, far from one another, few overlap;
* to an id that three masks of the instance or more had had (*established*);
* without any mask changing its id (*overtaken*): an instance that is still in pieces gained masks in another piece;
* with the solution of everything at the end, and, of the others, when no mask of the instance had come for 20 keyframes.

``--drive`` adds the order of the drive. Counted alike are the switches of the offline solutions themselves, those every
``--every`` keyframes with ids handed on likewise, beside those of the updates if only these had been looked at; and what share
of the masks that the offline solution labels is not shown (``association.confirm_images``).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.online.identity import Identity, Merge, inherit_ids
from seg2d3d_ros.association.online.online_association import OnlineAssociation, Update
from seg2d3d_ros.association.points.doppelgangers import without_doppelgangers
from seg2d3d_ros.association.points.off_surface import LiveSurfaces, without_off_surface
from seg2d3d_ros.association.solve import associate, stacked_up
from seg2d3d_ros.evaluation.clustering import adjusted_rand_index
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel

CONFIG = AssociationConfig()
Key = tuple[str, int]


def prepare(work: Path, seed: int, keyframes: int, buildings: int, detector: str) -> Path:
    """Simulate and reconstruct what is missing; returns the map directory."""
    from seg2d3d_ros.cli.main import main
    from seg2d3d_ros.simulation.street_folder import simulate

    street = work / f"street{seed}" / detector
    root = street.parent / ("map" if detector == "typical" else f"map_{detector}")
    if not (street / "gps.csv").exists():
        simulate(street, seed=seed, keyframes=keyframes, buildings=buildings, detector=detector, bag=False)
    if not (root / "metrics.json").exists():
        options = ["--camera", street / "camera.json", "--gps", street / "gps.csv", "--segments", street / "segments"]
        main(["run", *map(str, [street / "images", "--out", root, "--label", "building", *options])])
    return root


def reveal(model: SparseModel, shown: np.ndarray) -> SparseModel:
    """The model as if only these keyframes, (K,) bool, had come."""
    seen = sparse.csr_matrix(
        (np.ones(len(model.obs_point), bool), (model.obs_point, model.obs_keyframe)), (len(model.point_ids), len(shown))
    )
    points = np.asarray(seen[:, shown].sum(axis=1)).ravel() >= 2
    kept = shown[model.obs_keyframe] & points[model.obs_point]
    used = shown & (np.bincount(model.obs_keyframe[kept], minlength=len(shown)) > 0)
    keyframe, point = np.cumsum(used) - 1, np.cumsum(points) - 1
    chosen = np.flatnonzero(used)
    return SparseModel(
        tuple(model.names[k] for k in chosen),
        tuple(model.cameras[k] for k in chosen),
        model.camera_from_world[used],
        model.xyz[points],
        model.rgb[points],
        model.error[points],
        model.point_ids[points],
        keyframe[model.obs_keyframe[kept]].astype(np.int32),
        point[model.obs_point[kept]].astype(np.int32),
        model.obs_xy[kept],
        model.frame,
    )


def growth(model: SparseModel, order: np.ndarray) -> Iterator[tuple[str, list[SparseModel]]]:
    """The name of the keyframe that comes, and the map with it."""
    shown = np.zeros(len(order), bool)
    for k in order.tolist():
        shown[k] = True
        yield model.names[k], [reveal(model, shown)]


def drive(model: SparseModel) -> np.ndarray:
    """(K,) keyframes in the order of their stamps, which their names end with."""
    return np.argsort([int(name.rsplit("_", 1)[1]) for name in model.names], kind="stable")


def rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """Of two partitions of the masks; 0 (no instance) is a group as any other."""
    _, rows = np.unique(first, return_inverse=True)
    _, columns = np.unique(second, return_inverse=True)
    joint = np.zeros((rows.max(initial=0) + 1, columns.max(initial=0) + 1))
    np.add.at(joint, (rows, columns), 1)
    return adjusted_rand_index(joint, joint.sum(axis=1), joint.sum(axis=0))


def ids_of(online: OnlineAssociation, update: Update) -> dict[Key, int]:
    """The instance of each mask."""
    incidence = online.incidence
    names = [incidence.names[k] for k in incidence.row_keyframe.tolist()]
    return dict(
        zip(zip(names, incidence.row_id.tolist(), strict=True), update.instances.segment_instance.tolist(), strict=True)
    )


ESTABLISHED = 3
"""Masks of an instance that had the id that it loses."""
LEFT = 20
"""An instance has left the view when no mask of it came with so many keyframes."""


@dataclass(frozen=True)
class Switch:
    """An instance's id changed in update ``step``, from 1.

    ``held``: masks of the instance that had the earlier one; ``left``: it was out of view.
    """

    step: int
    announced: bool
    held: int
    overtaken: bool
    left: bool


class Switches:
    """Counts changes of the id that most masks of each final instance have."""

    def __init__(self) -> None:
        self._history: list[tuple[dict[Key, int], dict[int, int]]] = []

    def note(self, ids: dict[Key, int], merges: Sequence[Merge]) -> None:
        """After each update."""
        self._history.append((ids, {gone: merge.kept for merge in merges for gone in merge.absorbed}))

    def __len__(self) -> int:
        return len(self._history)

    def count(self) -> tuple[int, list[Switch]]:
        """Final instances and their switches."""
        final: dict[int, list[Key]] = {}
        for key, instance_id in self._history[-1][0].items():
            if instance_id:
                final.setdefault(instance_id, []).append(key)
        return len(final), [switch for keys in final.values() for switch in self._of(keys)]

    def _of(self, keys: list[Key]) -> Iterator[Switch]:
        last, before = 0, dict.fromkeys(keys, 0)
        heir: dict[int, int] = {}
        present, came = 0, 0
        for step, (ids, merged) in enumerate(self._history, 1):
            heir.update(merged)
            if (there := sum(key in ids for key in keys)) > present:
                present, came = there, step
            after = {key: ids.get(key, 0) for key in keys}
            votes = Counter(i for i in after.values() if i)
            if not votes:
                continue
            most = votes.most_common(1)[0][1]
            now = last if votes[last] == most else min(i for i, n in votes.items() if n == most)
            if last and now != last:
                overtaken = all(after[key] == i for key, i in before.items() if i and after[key])
                held = sum(i == last for i in before.values())
                yield Switch(step, _follow(last, heir) == now, held, overtaken, step - came > LEFT)
            last, before = now, after


def _follow(instance_id: int, merged: Mapping[int, int]) -> int:
    while instance_id in merged:
        instance_id = merged[instance_id]
    return instance_id


def evidence(models: Sequence[SparseModel], segments: Mapping[str, Segments]) -> list[SparseModel]:
    """The observations that a solution of everything judges by; no points are added, as where images are missing."""
    return without_off_surface(without_doppelgangers(models, segments), segments)


def offline(models: list[SparseModel], segments: Mapping[str, Segments]) -> tuple[float, Incidence, Instances]:
    """CPU seconds and result of a solution from nothing."""
    start = time.process_time()
    models = evidence(models, segments)
    incidence = build_incidence(models, segments, project=CONFIG.project)
    instances = associate(incidence, np.concatenate([m.xyz for m in models]), CONFIG, stacked_up(models))
    return time.process_time() - start, incidence, instances


def grow(revisions: Iterator[tuple[str, list[SparseModel]]], masks: Mapping[str, Segments], every: int) -> dict[str, Any]:
    """Feed the revisions and measure."""
    online, switches, sampled, repeated = OnlineAssociation(CONFIG, Identity()), Switches(), Switches(), Switches()
    identity, surfaces = Identity(), LiveSurfaces()
    merges: list[Merge] = []
    segments: dict[str, Segments] = {}
    result: dict[str, Any] = {"update_s": [], "offline": [], "solved": [], "hidden": [], "merges": 0}
    models: list[SparseModel] = []
    for step, (name, models) in enumerate(revisions, 1):
        fresh = {name} & masks.keys()
        segments.update({key: masks[key] for key in fresh})
        start = time.process_time()
        update = online.update(surfaces.without_off_surface(models, segments, fresh), segments, fresh)
        result["update_s"].append(time.process_time() - start)
        result["solved"].append(update.solved)
        result["merges"] += len(update.merges)
        ids = ids_of(online, update)
        switches.note(ids, update.merges)
        merges += update.merges
        if step % every == 0:
            seconds, incidence, instances = offline(models, segments)
            own, there = update.instances.segment_instance, instances.segment_instance
            result["offline"].append([step, seconds, rand_index(own, there)])
            result["hidden"].append(float((own[there > 0] == 0).mean()))
            renamed, identity, united = inherit_ids(incidence, instances, identity)
            repeated.note(dict(zip(ids, renamed.segment_instance.tolist(), strict=True)), united)
            sampled.note(ids, merges)
            merges = []
    result["last"] = ids_of(online, update)
    final = online.update(evidence(models, segments), segments, set(), full=True)
    partition = offline(models, segments)[2].segment_instance
    result["final"] = ids_of(online, final)
    for counted in (switches, sampled, repeated):
        counted.note(result["final"], final.merges)
    result["ari_final"] = rand_index(final.instances.segment_instance, partition)
    last = len(sampled)
    for name, counted in (("sampled", sampled), ("repeated", repeated)):
        result[name] = sum(not switch.announced and switch.step < last for switch in counted.count()[1])
    result["instances"], found = switches.count()
    result["switches"] = [asdict(switch) for switch in found]
    return result


def summary(result: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one order."""

    def per_instance(counted: list[Any]) -> float:
        return len(counted) / result["instances"]

    steps, seconds, ari = np.array(result["offline"]).T
    updates = np.array(result["update_s"])
    at = np.interp(np.arange(1, len(updates) + 1), steps, seconds, left=np.nan)
    # Each update against the offline solution of its size; below the smallest one measured there is none.
    ratio = (updates / at)[np.isfinite(at)]
    switches = result["switches"]
    untold = [switch for switch in switches if not switch["announced"]]
    return {
        "median_ratio": float(np.median(ratio)),
        "p95_ratio": float(np.percentile(ratio, 95)),
        "mean_ratio": float(ratio.mean()),
        "last_third_median_ratio": float(np.median(ratio[-len(updates) // 3 :])),
        "ari_median": float(np.median(ari)),
        "ari_lowest": float(ari.min()),
        "ari_final": result["ari_final"],
        "merges_announced_per_instance": per_instance([s for s in switches if s["announced"]]),
        "switches_per_instance": per_instance(untold),
        "switches_after_a_third": per_instance([s for s in untold if 3 * s["step"] > len(updates)]),
        "switches_established": per_instance([s for s in untold if s["held"] >= ESTABLISHED]),
        "switches_at_the_end": per_instance([s for s in untold if s["step"] > len(updates)]),
        "switches_after_leaving": per_instance([s for s in untold if s["left"] and s["step"] <= len(updates)]),
        "switches_overtaken": per_instance([s for s in untold if s["overtaken"]]),
        "switches_if_seen_so_rarely": result["sampled"] / result["instances"],
        "switches_of_offline_solutions": result["repeated"] / result["instances"],
        "hidden_share": float(np.mean(result["hidden"])),
    }


def plot(results: Mapping[str, dict[str, Any]], path: Path) -> None:
    """CPU of updates and offline solutions, and agreement, over the number of keyframes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)
    for number, (name, result) in enumerate(results.items()):
        steps, seconds, ari = np.array(result["offline"]).T
        first = number == 0
        left.plot(np.arange(1, len(result["update_s"]) + 1), result["update_s"], ".", ms=2, color=f"C{number}")
        left.plot(steps, seconds, "-", color="k", lw=1, alpha=0.6, label="offline solution" if first else None)
        right.plot(steps, ari, "-", lw=1, color=f"C{number}", label=name)
    left.plot(steps, 0.05 * seconds, "--", color="k", lw=1, label="5 % of it")
    left.set(xlabel="keyframes", ylabel="CPU seconds", yscale="log", title="updates (dots)")
    right.set(xlabel="keyframes", ylabel="adjusted Rand index", title="masks grouped as offline", ylim=(0.3, 1.01))
    for axes in (left, right):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--keyframes", type=int, default=300)
    parser.add_argument("--buildings", type=int, default=32)
    parser.add_argument("--detector", default="typical", choices=("clean", "typical", "hard"))
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--drive", action="store_true", help="also in the order of the drive, after the others")
    parser.add_argument("--every", type=int, default=10, help="compare with the offline solution each so many keyframes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    root = prepare(args.work, args.seed, args.keyframes, args.buildings, args.detector)
    model = read_models(root)[0]
    store = MapStore(root)
    masks = {
        name: item.numbered(("building",)) for name in model.names if (item := store.read_named_segments(name)) is not None
    }
    results = []
    for seed in (*range(args.orders), *["drive"] * args.drive):
        order = drive(model) if seed == "drive" else np.random.default_rng(seed).permutation(len(model.names))
        results.append(grow(growth(model, order), masks, args.every))
        print(f"order {seed}: " + ", ".join(f"{key} {value:.4f}" for key, value in summary(results[-1]).items()), flush=True)
    between = {}
    for stage in ("last", "final"):
        rows = [np.array([result[stage].get(key, 0) for key in sorted(results[0][stage])]) for result in results]
        pairs = [rand_index(a, b) for i, a in enumerate(rows) for b in rows[i + 1 :]]
        between[stage] = min(pairs, default=1.0)
    print(f"agreement between orders (lowest ARI): last update {between['last']:.4f}, whole solution {between['final']:.4f}")
    if args.json:
        kept = [{key: value for key, value in result.items() if key not in ("last", "final")} for result in results]
        document = {"summary": [summary(r) for r in results], "between": between, "orders": kept}
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    if args.plot:
        names = [*(f"order {seed}" for seed in range(args.orders)), *["drive"] * args.drive]
        plot(dict(zip(names, results, strict=True)), args.plot)


if __name__ == "__main__":
    main()
