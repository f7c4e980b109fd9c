"""A comparison as one HTML page: the plan, what each colour means, and the rows that need a look."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.comparison.comparing import MATCHED, MEANING, UNSEEN, Comparison
from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.export.libraries import needed
from seg2d3d_ros.report.plan import nice_length

COLORS = {
    "matched": "#2e7d32",
    "moved": "#ef6c00",
    "missing": "#c62828",
    "new": "#1565c0",
    "again": "#6a1b9a",
    "covered": "#8d6e63",
    "unseen": "#b0b0b0",
}
WIDTH = 1000.0
MARGIN = 0.04
STYLE = """body{font:15px/1.5 sans-serif;margin:2rem auto;max-width:1040px;padding:0 1rem;color:#222}
svg{width:100%;max-height:90vh;border:1px solid #ddd}table{border-collapse:collapse;width:100%}
td,th{padding:.2rem .6rem;text-align:left;border-bottom:1px solid #eee}
.mark{display:inline-block;width:.8em;height:.8em;margin-right:.4em}"""


def write_page(result: Comparison, path: Path, title: str) -> None:
    """Write the page whole, or not at all; it needs no other file."""
    listed = [row for row in result.rows if row.status not in (MATCHED, UNSEEN)]
    legend = "".join(
        f"<tr><td><span class=mark style='background:{COLORS[status]}'></span>{status}</td><td>{count}</td>"
        f"<td>{escape(MEANING[status])}</td></tr>"
        for status, count in result.counts.items()
    )
    lines = "".join(
        f"<tr><td>{row.status}</td><td>{escape(row.instance or '')}</td><td>{escape(row.known or '')}</td>"
        f"<td>{escape(row.kind)}</td><td>{'' if row.distance is None else f'{row.distance:.2f} m'}</td></tr>"
        for row in listed
    )
    east, north = result.common.tolist()
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>In {escape(result.system)}. The whole map lies {east:+.2f} m east and {north:+.2f} m north of what it is compared "
        f"with; that is taken out. Known things count as in view up to {result.reach:.0f} m from a camera.</p>"
        f"{_plan(result)}<h2>Counts</h2><table>{legend}</table>"
        f"<h2>To look at</h2><table><tr><th>status<th>instance<th>known<th>class<th>off</tr>{lines}</table></html>\n"
    )
    write_text(path, page)


def _plan(result: Comparison) -> str:
    """North is up; the instances are moved by the common displacement, as they were compared."""
    shapely = needed("shapely", "a comparison")
    own = [row.known is None or row.distance is not None or row.status == "again" for row in result.rows]
    places = [
        shapely.transform(row.shape, lambda xy: xy - result.common) if mine else row.shape
        for row, mine in zip(result.rows, own, strict=True)
    ]
    cameras = result.cameras - result.common
    near = [place for place, row in zip(places, result.rows, strict=True) if row.status != UNSEEN]
    every = np.concatenate([cameras, *(shapely.get_coordinates(place) for place in near)])
    low, high = every.min(axis=0), every.max(axis=0)
    margin = MARGIN * float((high - low).max()) + 1.0
    low, high = low - margin, high + margin
    scale = WIDTH / float(high[0] - low[0])

    def path(place: Any) -> str:
        parts = [] if place.is_empty else list(getattr(place, "geoms", [place]))
        words = []
        for part in parts:
            ring = shapely.get_coordinates(part.exterior if part.geom_type == "Polygon" else part)
            xy = (ring - low) * scale
            words.append("M" + "L".join(f"{x:.1f},{scale * (high[1] - low[1]) - y:.1f}" for x, y in xy))
        return "".join(words)

    height = scale * float(high[1] - low[1])
    shapes = []
    for row, place in sorted(zip(result.rows, places, strict=True), key=lambda pair: pair[0].instance is not None):
        color = COLORS[row.status]
        name = escape(f"{row.status}: instance {row.instance or '-'}, known {row.known or '-'}", quote=True)
        shapes.append(
            f"<path d='{path(place)}' fill='{color}' fill-opacity='.45' stroke='{color}'><title>{name}</title></path>"
        )
    dots = "".join(
        f"<circle cx='{(x - low[0]) * scale:.1f}' cy='{height - (y - low[1]) * scale:.1f}' r='2'/>" for x, y in cameras.tolist()
    )
    return (
        f"<svg viewBox='0 0 {WIDTH:.0f} {height:.0f}' role=img aria-label='plan, north is up'>{''.join(shapes)}{dots}"
        f"{_scale_bar(scale, height)}</svg>"
    )


def _scale_bar(scale: float, height: float) -> str:
    """A bar of a round length, and an arrow to the north."""
    length = nice_length(WIDTH / scale / 5.0)
    bar = f"M10,{height - 18:.0f}v8h{length * scale:.1f}v-8"
    words = f"<text x='14' y='{height - 24:.0f}' font-size='16'>{length:g} m</text>"
    arrow = f"<path d='M{WIDTH - 24:.0f},40v-28l-6,12m6,-12l6,12' fill='none' stroke='#000' stroke-width='2'/>"
    return (
        f"<path d='{bar}' fill='none' stroke='#000' stroke-width='2'/>{words}{arrow}<text x='{WIDTH - 30:.0f}' y='58'>N</text>"
    )
