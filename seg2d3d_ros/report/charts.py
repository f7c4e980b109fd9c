"""Small charts as numbers for an SVG template: a distribution, and a bar for each item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.report.plan import nice_length

WIDTH, HEIGHT = 440, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 36
MAX_BARS = 150
BINS = 24


@dataclass(frozen=True)
class Bar:
    """A bar in SVG units, with what it says when one points at it."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Chart:
    """Bars between axes.

    Attributes:
        title: what is shown; ``x_title``: what the horizontal axis counts.
        bars: the bars.
        x_ticks, y_ticks: place in SVG units, and words.
        level: height of a line across the chart, and its words; None = no line.
    """

    title: str
    x_title: str
    bars: Sequence[Bar]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    level: tuple[float, str] | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    bottom: int = BOTTOM


def histogram(title: str, x_title: str, values: np.ndarray, noun: str) -> Chart | None:
    """How many of the values (N,), none of them negative, lie in each of equally wide bins.

    Whole numbers get bins of whole numbers; of others the last bin holds all beyond the 99th percentile.
    """
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None
    whole = values.dtype.kind in "iu"
    if whole:
        step = float(-(-(int(values.max()) + 1) // BINS))
        top = step * (int(values.max()) // step + 1)
    else:
        top = max(float(np.percentile(values, 99)), 1e-9)
        step = top / BINS
    counts = np.histogram(values.clip(0, top), round(top / step), (0.0, top))[0]
    across, up = _scale(0.0, top, LEFT, WIDTH - RIGHT), _scale(0.0, float(counts.max()), HEIGHT - BOTTOM, TOP)
    bars = []
    for k, number in enumerate(counts.tolist()):
        x0, x1, y = across(k * step), across((k + 1) * step), up(number)
        first, last = k * step, (k + 1) * step - whole
        span = f"{first:.3g} to {last:.3g}" if whole or k + 1 < len(counts) else f"from {first:.3g}"
        words = f"{f'{first:.0f}' if first == last else span} {x_title}: {number:,} {noun}"
        bars.append(Bar(round(x0 + 0.5, 1), round(y, 1), round(x1 - x0 - 1, 1), round(HEIGHT - BOTTOM - y, 1), words))
    return Chart(title, x_title, bars, _ticks(across, top), _ticks(up, float(counts.max())))


def bar_each(
    title: str, x_title: str, values: Sequence[float], words: Sequence[str], level: tuple[float, str] | None = None
) -> Chart | None:
    """A bar for each value, in their order; of more than ``MAX_BARS`` the largest of neighbours stand for each other."""
    if len(values) < 2:
        return None
    groups = np.array_split(np.arange(len(values)), min(len(values), MAX_BARS))
    shown = [int(group[np.argmax(np.asarray(values)[group])]) for group in groups]
    heights = [float(values[k]) for k in shown]
    top = max(*heights, level[0] if level and level[0] < 4 * max(heights) else 0.0, 1e-9)
    up = _scale(0.0, top, HEIGHT - BOTTOM, TOP)
    pitch = (WIDTH - LEFT - RIGHT) / len(shown)
    bars = []
    for place, (k, value) in enumerate(zip(shown, heights, strict=True)):
        y = up(value)
        width = max(pitch - (1 if pitch > 3 else 0.2), 0.5)
        bars.append(Bar(round(LEFT + place * pitch, 1), round(y, 1), round(width, 1), round(HEIGHT - BOTTOM - y, 1), words[k]))
    line = (round(up(level[0]), 1), level[1]) if level and level[0] <= top else None
    return Chart(title, x_title, bars, (), _ticks(up, top), line)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (end - start) * (value - low) / max(high - low, 1e-12)


def _ticks(scale: Callable[[float], float], top: float) -> list[tuple[float, str]]:
    step = nice_length(top / 3)
    return [(round(scale(k * step), 1), f"{k * step:,g}") for k in range(int(top / step + 1e-6) + 1)]
