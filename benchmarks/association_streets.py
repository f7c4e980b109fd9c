"""Simulated streets for the association's benchmarks: made, mapped and read, each step once.

What takes minutes, images and maps, is kept below the work folder; an interrupted step begins anew, finished ones do not.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.points.doppelgangers import without_doppelgangers
from seg2d3d_ros.association.points.enrich import enrich
from seg2d3d_ros.association.points.off_surface import without_off_surface
from seg2d3d_ros.association.solve import stacked_xyz
from seg2d3d_ros.evaluation.overlaps import OverlapCounter, Overlaps
from seg2d3d_ros.evaluation.reading import natural_key
from seg2d3d_ros.images import decode_rgb, read_labels
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.types import Incidence, Segments, SparseModel


@dataclass(frozen=True)
class StreetPlan:
    """Which street: the arguments of ``simulate`` but for the seed and the detector."""

    buildings: int = 10
    keyframes: int = 96
    scene: str = "typical"
    cameras: int = 3
    length: float | None = None
    width: int = 640
    height: int = 427

    def folder(self, seed: int) -> str:
        """Its name below the work folder, which tells it from every other street."""
        name = f"{seed}-{self.buildings}-{self.keyframes}"
        for part, usual in ((self.scene, "typical"), (f"{self.cameras}c", "3c"), (self.length, None)):
            name += "" if part == usual else f"-{part}"
        return name + ("" if (self.width, self.height) == (640, 427) else f"-{self.width}x{self.height}")


@dataclass(frozen=True)
class Scene:
    """One street with one detector's masks: what methods get, and what they are judged by."""

    segments: dict[str, Segments]
    truth: dict[str, np.ndarray]
    incidence: Incidence
    models: Sequence[SparseModel]
    raw: Overlaps
    row: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @property
    def xyz(self) -> np.ndarray:
        """(P, 3) points of the models, in the incidence's order."""
        return stacked_xyz(self.models)


def prepare(work: Path, seed: int, detectors: Sequence[str], plan: StreetPlan | None = None) -> Path:
    """Simulate and reconstruct what is missing; returns the street's folder.

    Raises:
        RuntimeError: there is no map of the street.
    """
    from seg2d3d_ros.cli.main import main
    from seg2d3d_ros.simulation.street_folder import simulate

    plan = plan or StreetPlan()
    street = work / plan.folder(seed)
    options = {field.name: getattr(plan, field.name) for field in fields(plan)}
    for detector in dict.fromkeys(["typical", *detectors]):
        if not (street / detector).exists():
            unfinished = street / f"{detector}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            simulate(unfinished, seed=seed, detector=detector, bag=False, **options)
            unfinished.rename(street / detector)
    if not (street / "map" / "metrics.json").exists():
        source = street / "typical"
        words = ["run", source / "images", "--out", street / "map", "--label", "building", "--camera", source / "camera.json"]
        words += ["--gps", source / "gps.csv", "--segmenter", "none"]
        words += ["--rig", source / "rig.json"] if plan.scene == "hard" and plan.cameras > 1 else []
        main(list(map(str, words)))
        if not (street / "map" / "metrics.json").exists():
            raise RuntimeError(f"{street}: there is no map; what was said above tells why")
    return street


def load(street: Path, detector: str, thinning: int = 1, enough: int = 0, *, keep_points: bool = False) -> Scene:
    """Read a street, with masks in every ``thinning``-th image of each camera; the other images are not judged.

    Args:
        enough: ``association.enough_points``.
        keep_points: take the additional points of an earlier call, or keep these for later ones; they lie in the street's
            folder.
    """
    folder = street / detector
    facts = json.loads((folder / "segments" / "segments.json").read_text())
    names = sorted((path.stem for path in (folder / "truth").glob("*.png")), key=natural_key)
    cameras = sorted({re.split(r"_\d", name)[0] for name in names})
    kept = [name for camera in cameras for name in [n for n in names if n.startswith(camera)][::thinning]]
    kept.sort(key=natural_key)
    segments = {name: _segments(folder, name, facts.get(name, {})) for name in kept}
    truth = {name: read_labels(folder / "truth" / f"{name}.png") for name in kept}
    models = read_models(street / "map")
    if enough:
        stored = street / f"points-{detector}-{thinning}-{enough}.npz"
        if not (keep_points and stored.exists()):
            models = enrich(
                models, segments, lambda name: decode_rgb((folder / "images" / f"{name}.jpg").read_bytes()), enough=enough
            )
            if keep_points:
                _keep(stored, models)
        else:
            models = _kept(stored, models)
    models = without_off_surface(without_doppelgangers(models, segments), segments)
    incidence = build_incidence(models, segments, project=True)
    return judged(segments, truth, incidence, models)


ADDED = ("xyz", "rgb", "error", "point_ids", "obs_keyframe", "obs_point", "obs_xy")
"""What additional points change in a ``SparseModel``."""


def _keep(stored: Path, models: Sequence[SparseModel]) -> None:
    arrays = {f"{k}_{name}": getattr(model, name) for k, model in enumerate(models) for name in ADDED}
    unfinished = stored.with_suffix(".unfinished.npz")
    np.savez(unfinished, **arrays)
    unfinished.rename(stored)


def _kept(stored: Path, models: Sequence[SparseModel]) -> list[SparseModel]:
    with np.load(stored, allow_pickle=False) as arrays:
        return [replace(model, **{name: arrays[f"{k}_{name}"] for name in ADDED}) for k, model in enumerate(models)]


def judged(
    segments: dict[str, Segments], truth: dict[str, np.ndarray], incidence: Incidence, models: Sequence[SparseModel]
) -> Scene:
    """The scene with its images in the order of ``segments``."""
    counter = OverlapCounter()
    for name, item in segments.items():
        counter.add(name, truth[name], item.labels)
    raw = counter.finish()
    keys = zip(incidence.segment_keyframe.tolist(), incidence.segment_ids.tolist(), strict=True)
    place = {(incidence.names[k], i): row for row, (k, i) in enumerate(keys)}
    regions = [(raw.names[k], int(i)) for k, i in zip(raw.region_image, raw.region_label, strict=True)]
    return Scene(
        segments,
        truth,
        incidence,
        models,
        raw,
        np.array([place.get(key, -1) for key in regions]),
        np.concatenate([s.boxes for s in segments.values()]),
        np.concatenate([s.scores for s in segments.values()]).astype(float),
    )


def shuffled(scene: Scene, seed: int) -> Scene:
    """The same images in random order."""
    names = list(scene.segments)
    order = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    return judged({name: scene.segments[name] for name in order}, scene.truth, scene.incidence, scene.models)


def _segments(folder: Path, name: str, facts: dict[str, Any]) -> Segments:
    labels = read_labels(folder / "segments" / f"{name}.png")
    ids = np.array(sorted(int(i) for i in facts), np.uint16)
    scores = np.array([facts[str(i)]["score"] for i in ids], np.float32)
    return Segments(name, labels, ids, np.ones(len(ids), np.int32), scores)
