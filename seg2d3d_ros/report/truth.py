"""The comparison with ground truth, as ``evaluation.evaluate_map`` left it in metrics.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from seg2d3d_ros.evaluation.measure import MAP_ROW
from seg2d3d_ros.evaluation.table import COLUMNS, COLUMNS_3D, METHODS
from seg2d3d_ros.report.content import Content
from seg2d3d_ros.report.words import badge, count, escape, number, table


def truth_section(content: Content) -> str:
    """A table of methods × metrics, what the columns mean, and a row for each true object; empty if nothing was measured."""
    measured = content.metrics.get("truth")
    if not isinstance(measured, Mapping):
        return ""
    methods = {str(name): values for name, values in (measured.get("methods") or {}).items() if isinstance(values, Mapping)}
    if not methods:
        return ""
    present = {key for values in methods.values() for key in values}
    columns = {key: text for key, text in {**COLUMNS, **COLUMNS_3D}.items() if key in present}
    head = ("", *(f'<span title="{escape(meaning)}">{escape(short)}</span>' for short, meaning in columns.values()))
    rows = [[_method(name), *(_cell(values.get(key)) for key in columns)] for name, values in methods.items()]
    meanings = "".join(f"<dt>{escape(short)}</dt><dd>{escape(meaning)}</dd>" for short, meaning in columns.values())
    return (
        f"<p>{escape(_summary(measured))}</p>"
        + table(head, rows, range(1, len(columns) + 1))
        + f"<details><summary>What the columns mean</summary><dl class=facts>{meanings}</dl></details>"
        + _objects(measured)
        + "".join(f"<p class=soft>{escape(note)}.</p>" for note in measured.get("notes") or [])
    )


def _method(name: str) -> str:
    words = escape(METHODS.get(name, name.replace("_", " ")))
    return f"<b>{words}</b>" if name == MAP_ROW else words


def _summary(measured: Mapping[str, Any]) -> str:
    words = f"{count(int(measured.get('objects') or 0), 'object')} in {count(int(measured.get('images') or 0), 'image')}"
    if single := measured.get("objects_in_one_image"):
        words += f"; {single} seen in one image only, left out"
    if never := measured.get("objects_never_detected"):
        words += f"; {never} never detected"
    return f"{words}. Higher is better, except for frag (1 is best), merges and merged (0 is best)."


def _objects(measured: Mapping[str, Any]) -> str:
    objects = measured.get("per_object") or []
    if not objects:
        return ""
    rows = []
    for item in sorted(objects, key=lambda item: (item["coverage"], item["id"])):
        best = "none" if item["best_track"] is None else badge(int(item["best_track"]))
        seen = (f"{item['images']}", f"{item['detected_images']}", f"{item['matched_images']}")
        rows.append((str(item["id"]), *seen, _cell(item["coverage"]), best, str(item["tracks"])))
    head = ("true object", "images", "with a matching mask", "with the best instance", "coverage", "best instance", "instances")
    listing = table(head, rows, (1, 2, 3, 4, 6))
    return f"<details><summary>Each true object, the worst first</summary>{listing}</details>"


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, int | float) and math.isfinite(value) else "–"
