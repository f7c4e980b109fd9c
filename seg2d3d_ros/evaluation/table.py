"""The result of an evaluation as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAP_ROW = "this_map"
METHODS = {
    MAP_ROW: "this map",
    "published": "published method",
    "iou_tracker": "IoU tracker",
    "bytetrack": "ByteTrack",
    "one_id": "one id for all",
    "one_id_per_mask": "one id per mask",
    "oracle": "oracle",
}
"""Rows, by their key in the result."""

COLUMNS = {
    "coverage": (
        "cover",
        "share of an object's images in which its best track matches it (mask IoU ≥ 0.5); mean over all objects",
    ),
    "adjusted_coverage": ("adj.cov", "the same over the images in which any raw mask matches the object"),
    "coverage_one_to_one": ("cov 1:1", "coverage when each track may serve one object only"),
    "hota": ("HOTA", "detection and association together, mean over IoU .05 … .95"),
    "assa": ("AssA", "HOTA's association accuracy at IoU 0.5"),
    "deta": ("DetA", "HOTA's detection accuracy at IoU 0.5"),
    "idf1": ("IDF1", "F1 of masks under the best one-to-one assignment of tracks and objects"),
    "ari": ("ARI", "adjusted Rand index of the raw masks' grouping; 0 = chance"),
    "bcubed_f1": ("B³ F1", "B-cubed F1 of the raw masks' grouping"),
    "purity": ("purity", "share of a track's masks that match its main object"),
    "fragmentation": ("frag", "tracks that match an object, mean over the objects with any; 1 is best"),
    "false_merges": ("merges", "tracks that hold half of two or more objects, in 30 % of their images; 0 is best"),
    "merged_objects": ("merged", "objects in such tracks; 0 is best"),
    "tracks": ("tracks", "number of tracks"),
}
"""Column heading and meaning, by the metric's key in the result."""

COLUMNS_3D = {
    "ap": ("AP", "average precision of instances as sets of 3D points, mean over IoU .5 … .95 (ScanNet's)"),
    "ap50": ("AP50", "the same at IoU 0.5"),
    "ap25": ("AP25", "the same at IoU 0.25"),
    "pq": ("PQ", "panoptic quality of instances as sets of 3D points"),
}
"""The same for what is measured in 3D."""

_ORDER_NOTE = "IoU tracker and ByteTrack take the images in file-name order; no other row depends on an order."
_ORACLE_NOTE = "Oracle: each raw mask gets the object it shows most of, the best that association alone can do."


def format_result(result: Mapping[str, Any]) -> str:
    """Tables of methods × metrics, in the images and in 3D; what the columns mean; the notes."""
    lines = [summary(result), "", *_table(result["methods"], COLUMNS), "", *_meanings(COLUMNS)]
    if result.get("points_with_owner"):
        lines += ["", f"Over the {result['points_with_owner']} 3D points whose true owner is known:", ""]
        lines += [*_table(result["methods"], COLUMNS_3D), "", *_meanings(COLUMNS_3D)]
    if result.get("positions"):
        lines += ["", *_positions(result["positions"])]
    return "\n".join([*lines, "", _ORDER_NOTE, _ORACLE_NOTE, *(f"Note: {note}." for note in result["notes"])])


def summary(result: Mapping[str, Any]) -> str:
    """What was measured: how many objects, and which are left out."""
    words = f"{result.get('objects', 0)} objects in {result.get('images', 0)} images"
    if single := result.get("objects_in_one_image"):
        words += f"; {single} seen in one image only, left out"
    if never := result.get("objects_never_detected"):
        words += f"; {never} never detected"
    if counts := result.get("map"):
        words += (
            f"; the map has {counts['instances']} instances, and {counts['labelled_points']} of the {counts['points']} points "
            "in points.ply belong to one"
        )
    return words


def _table(methods: Mapping[str, Any], columns: Mapping[str, tuple[str, str]]) -> list[str]:
    headings = ["", *(heading for heading, _ in columns.values())]
    rows = [[METHODS.get(key, key), *(_cell(values.get(c)) for c in columns)] for key, values in methods.items()]
    widths = [max(len(row[k]) for row in [headings, *rows]) for k in range(len(headings))]
    lines = [_line(row, widths) for row in [headings, *rows]]
    return [lines[0], "─" * len(lines[0]), *lines[1:]]


def _positions(of_class: Mapping[str, Any]) -> list[str]:
    """Places of instances against those of the true objects, class by class."""
    keys = ("objects", "found", "right", "precision", "recall", "f1", "error")
    rows = [["", *keys[:-1], "error m"], *([name, *(_cell(values[key]) for key in keys)] for name, values in of_class.items())]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["Places of instances within 0.5 m of true ones, in plan:", "", *(_line(row, widths) for row in rows)]


def _meanings(columns: Mapping[str, tuple[str, str]]) -> list[str]:
    width = max(len(heading) for heading, _ in columns.values())
    return [f"  {heading:<{width}}  {meaning}" for heading, meaning in columns.values()]


def _line(row: list[str], widths: list[int]) -> str:
    return "  ".join([f"{row[0]:<{widths[0]}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))])


def _cell(value: float | int | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
