"""The plan of a city from above, as SVG paths: cameras and footprints by block. Files are read one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seg2d3d_ros.city.outputs.opened_city import OpenedCity
from seg2d3d_ros.export.gis.features import footprint

WIDTH, MARGIN = 1000, 30
CAMERAS, FOOTPRINTS = 8000, 6000
"""Marks that a page may hold; of more cameras every second, third, … is drawn, of more footprints those with most points."""
COLORS = ("#2f6db3", "#c8651b", "#2a8f64", "#8a4fb0", "#b8872b", "#2b9aa8", "#b94668", "#6a7a2c")


def draw_plan(city: OpenedCity) -> dict[str, Any]:
    """What the page's template draws: size, blocks with their paths, the scale bar, and how many footprints are left out."""
    number = {block["name"]: block["number"] for block in city.index["blocks"]}
    bounds = np.array([[*b["bounds"][0][:2], *b["bounds"][1][:2]] for b in city.index["blocks"] if b.get("bounds")])
    if not len(bounds):
        return {"width": WIDTH, "height": 100, "blocks": [], "bar": 0, "bar_words": "", "left_out": 0}
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    reach = 0.03 * float(np.max(high - low)) + 12.0 * (city.frame["kind"] != "arbitrary")
    low, high = low - reach, high + reach
    scale = (WIDTH - 2 * MARGIN) / max(float(high[0] - low[0]), float(high[1] - low[1]), 1e-9)
    width, height = (2 * MARGIN + scale * (high - low)).tolist()
    shift = (WIDTH - width) / 2

    def place(xy: np.ndarray) -> np.ndarray:
        return np.stack([shift + MARGIN + scale * (xy[:, 0] - low[0]), MARGIN + scale * (high[1] - xy[:, 1])], axis=1)

    every = max(1, -(-int(city.index["counts"]["registered"]) // CAMERAS))
    room = FOOTPRINTS // max(1, len(city.placed))
    drawn, left_out = [], 0
    for name in city.placed:
        items = sorted(city.instances(name), key=lambda item: (-item["points"], item["id"]))
        boxed = [item for item in items if "box3d" in item]
        left_out += max(0, len(boxed) - room)
        cameras = place(np.array(city.cameras(name)[::every], float).reshape(-1, 3))
        middle = cameras.mean(axis=0) if len(cameras) else np.array([0.0, 0.0])
        of_several = {k: len(item["blocks"]) > 1 for k, item in enumerate(boxed)}
        drawn.append(
            {
                "number": number[name],
                "link": f"blocks/{name}/report.html",
                "color": COLORS[(number[name] - 1) % len(COLORS)],
                "cameras": "".join(f"M{x:.1f} {y:.1f}h0" for x, y in cameras),
                "single": _rings([item for k, item in enumerate(boxed[:room]) if not of_several[k]], place),
                "several": _rings([item for k, item in enumerate(boxed[:room]) if of_several[k]], place),
                "x": round(float(middle[0]), 1),
                "y": round(float(middle[1]) - 8, 1),
            }
        )
    length = _round_length(0.2 * WIDTH / scale)
    words = f"{length:g} m" if city.frame["kind"] != "arbitrary" else f"{length:g} units"
    bar = round(scale * length, 1)
    return {
        "width": WIDTH,
        "height": round(height + 30),
        "blocks": drawn,
        "bar": bar,
        "bar_words": words,
        "left_out": f"{left_out} smaller footprints" if left_out else "",
    }


def _rings(items: Sequence[Mapping[str, Any]], place: Any) -> str:
    paths = []
    for item in items:
        ring = footprint(item)
        if ring is not None:
            paths.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in place(ring[:4])) + "Z")
    return "".join(paths)


def _round_length(length: float) -> float:
    """1, 2 or 5 times a power of ten, not above."""
    base = 10.0 ** math.floor(math.log10(max(length, 1e-9)))
    return max(step * base for step in (1.0, 2.0, 5.0) if step * base <= length)
