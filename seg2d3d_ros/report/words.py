"""Figures in words, as short as they stay exact enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from seg2d3d_ros.palette import instance_colors


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``1,204 points``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``38 s``, ``2 min 5 s``, ``1 h 4 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def certainty(sigma: float | None) -> str:
    """``known to 1.6 % (one standard deviation)``, by a relative standard deviation; None = ``unknown``."""
    return "unknown" if sigma is None else f"known to {100 * sigma:.2g} % (one standard deviation)"


def number(value: Any) -> str:
    """A figure with three decimals or as many as it needs; ``–`` for what is no finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def lengths(sides: Sequence[float], metric: bool) -> str:
    """``9.0 × 2.0 × 6.0 m``; without metres to three digits of the longest side."""
    digits = 1 if metric else min(max(2 - math.floor(math.log10(max(*sides, 1e-9))), 0), 9)
    return " × ".join(f"{side:.{digits}f}" for side in sides) + (" m" if metric else "")


def file_size(size: int) -> str:
    """Size in the unit that fits: ``512 B``, ``1.4 kB``, ``23 MB``."""
    if size < 1000:
        return f"{size} B"
    for power, unit in enumerate(("kB", "MB", "GB"), 1):
        value = size / 1000**power
        if value < 999.5 or unit == "GB":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def ink(instance_id: int) -> str:
    """Black or white, whichever reads better on the instance's colour (WCAG relative luminance)."""
    channels = instance_colors([instance_id])[0] / 255
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000" if luminance > 0.179 else "#fff"
