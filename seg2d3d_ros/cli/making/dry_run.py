"""``--dry-run`` of ``run`` and ``bag``: what would be done, how long it would take, and how much disk; nothing is written."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind, printable
from seg2d3d_ros.mapstore.directory.marker import read_marker
from seg2d3d_ros.mapstore.directory.swap import building_path
from seg2d3d_ros.mapstore.held_map import real, refuse_foreign
from seg2d3d_ros.networks.weights import find_model, models_dir

PROBE_SIZE, PROBE_ROUNDS = (960, 640), 3
STAGE_COSTS = {"features": (0.7, 1.5), "matching": (0.7, 2.5), "mapping": (0.7, 4.0), "association": (1.5, 30.0)}
"""Seconds of a stage for an image, in seconds of the probe: in the simulator's streets, and in real ones with many
points. Measured on two cores; features by the pixels, matching by the pairs and features of an image."""
MODEL_COSTS = {"grounded_sam": 300.0, "panoptic": 150.0, "everything": 2000.0, "sam3": 500.0}
"""The same of a segmenter without a GPU (docs/segmenters.md; of sam3 a guess)."""
GPU_FACTOR, MODEL_SPREAD = 0.01, 3.0
"""A GPU takes about a hundredth of that; models, GPUs and numbers of objects differ by so much."""
MEGABYTES = 0.4, 1.2
"""A map takes for an image, beside images that are kept in it."""
NO_ROOM = Kind(
    "disk_too_small",
    "disks that are too small for the map",
    cause="{free} are free in {folder}, and {needed} may be needed",
    remedy="free space, or choose another --out",
)
MODEL_MISSING = Kind(
    "model_missing",
    "models whose weights are not here",
    cause="they were never downloaded",
    remedy="give --download, or run: seg2d3d models --download {names}",
)


@dataclass(frozen=True)
class Source:
    """What a map would be made of.

    Attributes:
        words: what it is, for a person.
        images: how many keyframes at most; 0 = unknown.
        exact: there are as many.
        kept: bytes of the images that are kept in the map; 0 where they stay where they are.
        pixels: of an image; 0 = unknown.
    """

    words: str
    images: int
    exact: bool
    kept: int = 0
    pixels: int = 0


def tell_plan(
    source: Source, out: Path, config: Config, findings: Findings, *, resume: bool, more: tuple[str, ...] = ()
) -> int:
    """Say what would be done; returns the exit status.

    Args:
        more: stages after the map, in words.

    Raises:
        UsageError: ``out`` could not take the map.
        DataError: there is no image.
    """
    if not source.images and source.exact:
        raise DataError(f"{source.words}: nothing to make a map of")
    place = _place(out, resume=resume)
    stages = _stages(config, more)
    low, high = _seconds(source, config)
    need = tuple(source.images * megabytes * 1e6 + source.kept for megabytes in MEGABYTES)
    folder = _existing(out)
    free = shutil.disk_usage(folder).free
    if need[1] > free:
        findings.add(NO_ROOM, str(out), free=_size(free), needed=_size(need[1]), folder=str(folder))
    _tell_models(config, findings)
    lines = [f"input: {source.words}", f"map: {place}", f"stages: {', '.join(stages)}"]
    if source.images:
        most = "" if source.exact else "at most "
        lines.append(
            f"time: {most}{_time(low)} to {_time(high)}, a rough estimate by this machine's speed with one picture: streets "
            "with few points take the less, real ones the more"
        )
        lines.append(f"disk: {most}{_size(need[0])} to {_size(need[1])} needed, {_size(free)} free in {folder}")
    else:
        lines.append(f"time and disk: not known before the video is read; {_size(free)} free in {folder}")
    lines.append("nothing was written; the same command without --dry-run makes the map")
    facts = {"images": source.images, "exact": source.exact, "stages": stages, "seconds": [round(low), round(high)]}
    tell_findings(findings.list())
    tell_result(*map(printable, lines), dry_run=True, **facts, bytes=[round(n) for n in need], free=free, config=config.flat())
    return 0


def _place(out: Path, *, resume: bool) -> str:
    """What would become of ``out``; refuses what the command itself would, without a lock or a file."""
    root = real(out)
    if root.exists() and not root.is_dir():
        raise UsageError(f"{out}: is a file; choose another --out")
    unfinished = building_path(root).exists()
    if root.is_dir():
        marker = read_marker(root)
        refuse_foreign(root, "choose an empty folder for --out")
        if marker is not None and resume:
            return f"{out} is continued"
        if marker is not None:
            return f"{out} is replaced when the new map is whole" + (", which begins anew" if unfinished else "")
    return f"{out} is made" + (f", from what is in {building_path(root)}" if unfinished and resume else "")


def _stages(config: Config, more: tuple[str, ...]) -> list[str]:
    segmenter, given = config.segmentation.segmenter, bool(config.reconstruction.model)
    stages = ["reading"] + ([f"masks ({segmenter})"] if segmenter != "none" else [])
    stages += ["the given model"] if given else ["features", "matching", "mapping", "georeference"]
    stages += ["association"] if segmenter != "none" else []
    stages += ["overlays"] if config.association.overlay_width else []
    stages += ["dense cloud"] if config.cloud.densify else []
    return [*stages, *more, "report"]


def _seconds(source: Source, config: Config) -> tuple[float, float]:
    """The least and the most that it is likely to take."""
    asked = config.reconstruction
    pixels = PROBE_SIZE[0] * PROBE_SIZE[1]
    size = min(source.pixels or asked.max_image_size**2 * 2 // 3, asked.max_image_size**2 * 2 // 3) / pixels
    pairs = min(asked.max_pairs, max(source.images - 1, 1)) / 20 * (asked.max_features / 4096) ** 2
    factors = {"features": size, "matching": pairs, "mapping": 1.0, "association": 1.0}
    if asked.model:
        factors = {"association": 1.0}
    if config.segmentation.segmenter == "none":
        factors.pop("association")
    costs = [(low * factors[name], high * factors[name]) for name, (low, high) in STAGE_COSTS.items() if name in factors]
    gpu = config.segmentation.device not in ("auto", "cpu") or (
        config.segmentation.device == "auto" and Path("/proc/driver/nvidia/version").exists()
    )
    model = MODEL_COSTS.get(config.segmentation.segmenter, 0.0) * (GPU_FACTOR if gpu else 1.0)
    costs.append((model, model * MODEL_SPREAD))
    unit = probe()
    return unit * source.images * sum(low for low, _ in costs), unit * source.images * sum(high for _, high in costs)


def probe() -> float:
    """Seconds that this machine takes to find the keypoints of a picture, the fastest of a few rounds."""
    import cv2

    noise = np.random.default_rng(0).integers(0, 255, (PROBE_SIZE[1] // 4, PROBE_SIZE[0] // 4), np.uint8)
    picture = cv2.resize(noise, PROBE_SIZE, interpolation=cv2.INTER_CUBIC)
    sift: Any = getattr(cv2, "SIFT_create")(nfeatures=4096)  # noqa: B009  (OpenCV's types lack it)
    seconds = []
    for _ in range(PROBE_ROUNDS):
        start = time.perf_counter()
        sift.detectAndCompute(picture, None)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _tell_models(config: Config, findings: Findings) -> None:
    asked = config.segmentation
    names = {
        "grounded_sam": (asked.detector_model, asked.mask_model),
        "everything": (asked.mask_model,),
        "panoptic": (asked.panoptic_model,),
        "sam3": (asked.concept_model,),
    }.get(asked.segmenter, ())
    folder = models_dir(asked.models_dir)
    missing = [name for name in names if not find_model(name, folder).present]
    if missing and not asked.allow_download:
        findings.add(MODEL_MISSING, *missing, names=" ".join(missing))


def _existing(path: Path) -> Path:
    """The folder that holds ``path``, or is to."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  (not resolved: links are followed by disk_usage)
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
