"""What the checks of a map cost: calibrations, the vertical, distances to positions, how well the scale is known.

    python benchmarks/checks.py MAP… [--rig FILE] [--modes batch online] [--rounds 3] [--each]

The features and matches of each MAP are mapped with all checks and without them, by turns, in one process and one thread; the
CPU seconds of the fastest round count. ``whole`` adds what the MAP took for features and matches (its metrics.json).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from faults import prepare

from seg2d3d_ros.geometry.up import up_of_cameras
from seg2d3d_ros.reconstruction import reconstructor
from seg2d3d_ros.reconstruction.anchored import anchored_mapper
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.world import locator
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig


def nothing(*_args: Any, **_named: Any) -> None:
    """In the place of a check."""


CHECKS: dict[str, list[tuple[Any, str, Callable[..., Any]]]] = {
    "calibrations": [
        (anchored_mapper, "doubt_calibrations", nothing),
        (reconstructor, "doubt_calibrations", nothing),
        (reconstructor, "tell_implausible", nothing),
    ],
    "vertical": [
        (Locator, "verticals", lambda self, ids, poses: [up_of_cameras(poses)]),
        (locator, "tell_rolled", nothing),
        (locator, "tell_upside_down", nothing),
    ],
    "positions": [(Locator, "residuals", nothing)],
    "scale": [(Locator, "frame_of", lambda self, model, scale: self.world), (Locator, "tell_scales", nothing)],
}
"""Check -> where it is called, by what name, and what stands in for it."""


@contextmanager
def without(checks: list[str]) -> Iterator[None]:
    """These checks are not made."""
    patches = [mock.patch.object(where, name, stand_in) for check in checks for where, name, stand_in in CHECKS[check]]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def seconds(source: Path, rig: str, mode: str, checks: list[str]) -> tuple[float, int]:
    """CPU seconds of one solution without these checks, and its registered images."""
    folder = Path(tempfile.mkdtemp(prefix="checks_"))
    try:
        prepare(source, folder, rig, 0)
        with without(checks):
            opened = open_reconstructor(folder, replace(ReconstructionConfig(), mode=mode, threads=1))
            begin = time.process_time()
            found = opened.solve()
            used = time.process_time() - begin
            opened.close()
        return used, sum(len(model.names) for model in found.models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Print one line for each map and mode."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("maps", type=Path, nargs="+")
    parser.add_argument("--rig", default="auto")
    parser.add_argument("--modes", nargs="+", default=["batch", "online"], choices=["batch", "online"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", action="store_true", help="also without each check alone")
    wanted = parser.parse_args()
    for source in wanted.maps:
        timings = json.loads((source / "metrics.json").read_text())["timings"]
        before = sum(timings.get(stage, 0.0) for stage in ("features", "matching"))
        for mode in wanted.modes:
            singly = {name: [name] for name in CHECKS} if wanted.each else {}
            variants: dict[str, list[str]] = {"all": [], **singly, "none": list(CHECKS)}
            best = dict.fromkeys(variants, float("inf"))
            images = 0
            for _ in range(wanted.rounds):
                for name, off in variants.items():
                    used, images = seconds(source, wanted.rig, mode, off)
                    best[name] = min(best[name], used)
            costs = {"together": best["none"], **{name: best[name] for name in singly}}
            each = ", ".join(f"{name} {1000 * (best['all'] - used) / images:.0f}" for name, used in costs.items())
            print(
                f"{source.name} {mode}: {images} images, {best['none']:.1f} → {best['all']:.1f} CPU s, "
                f"mapping ×{best['all'] / best['none']:.2f}, whole ×{(before + best['all']) / (before + best['none']):.2f}; "
                f"ms a keyframe: {each}",
                flush=True,
            )


if __name__ == "__main__":
    main()
