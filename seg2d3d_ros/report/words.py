"""Small pieces of HTML and of English. Every text from a file passes through ``escape``."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence

from seg2d3d_ros.palette import hex_color, instance_colors


def escape(text: object) -> str:
    """Text for HTML, attributes included."""
    return html.escape(str(text), quote=True)


def data_uri(data: bytes, kind: str) -> str:
    """``data:image/<kind>;base64,…``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table from cells that are HTML already; the columns in ``numeric`` are aligned to the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=n' if k in numeric else ''}>{cell}</{tag}>" for k, cell in enumerate(row))

    header = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class=scroll><table>{header}<tbody>{body}</tbody></table></div>"


def section(title: str, body: str, anchor: str) -> str:
    """A headed section; empty without a body."""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{body}</section>' if body else ""


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``1,204 points``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Time in words as short as they stay exact enough: ``0.4 s``, ``38 s``, ``2 min 5 s``, ``1 h 4 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: float) -> str:
    """A figure with three decimals or as many as it needs."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


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


def badge(instance_id: int) -> str:
    """The id on its colour."""
    return f'<b class=badge style="background:{hex_color(instance_id)};color:{ink(instance_id)}">{instance_id}</b>'


def evenly(count_: int, limit: int) -> list[int]:
    """At most ``limit`` indices below ``count_``, evenly spread, first and last among them."""
    if count_ <= limit:
        return list(range(count_))
    if limit == 1:
        return [0]
    return [round(k * (count_ - 1) / (limit - 1)) for k in range(limit)]
