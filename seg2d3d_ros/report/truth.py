"""The comparison with ground truth, as ``evaluation.measure.evaluate_map`` left it in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seg2d3d_ros.evaluation.table import COLUMNS, COLUMNS_3D, MAP_ROW, METHODS, summary
from seg2d3d_ros.report.content import Content


def truth_tables(content: Content) -> dict[str, Any]:
    """Methods × metrics, what the columns mean, and a row for each true object, the worst first; empty without a measurement.

    Returns:
        ``summary``; ``columns`` {metric: (heading, meaning)}; ``methods`` [(name, whether it is this map, {metric: value})];
        ``objects`` [row of ``evaluation.coverage.object_table``]; ``notes``.
    """
    measured = content.metrics.get("truth")
    if not isinstance(measured, Mapping):
        return {}
    methods = {str(name): values for name, values in (measured.get("methods") or {}).items() if isinstance(values, Mapping)}
    if not methods:
        return {}
    present = {key for values in methods.values() for key in values}
    return {
        "summary": f"{summary(measured)}. Higher is better, except for frag (1 is best), merges and merged (0 is best).",
        "columns": {key: text for key, text in {**COLUMNS, **COLUMNS_3D}.items() if key in present},
        "methods": [(METHODS.get(name, name.replace("_", " ")), name == MAP_ROW, values) for name, values in methods.items()],
        "objects": sorted(measured.get("per_object") or [], key=lambda item: (item["coverage"], item["id"])),
        "notes": measured.get("notes") or [],
    }
