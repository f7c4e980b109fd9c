#!/usr/bin/env python3
"""Write the table of formats in docs/exports.md from the table that the command line has."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "exports.md"
BEGIN, END = "<!-- begin: made by scripts/draw_formats.py -->\n", "<!-- end -->\n"
GROUPS = {"clouds": "Clouds", "gis": "GIS and cities", "annotations": "Annotations and tracks", "poses": "Poses"}
"""Headings, by the folder of the modules."""


def table() -> str:
    """One table for each folder of ``seg2d3d_ros/export``, as Markdown."""
    sys.path.insert(0, str(ROOT))
    try:
        from seg2d3d_ros.export.formats import FORMATS
    finally:
        sys.path.remove(str(ROOT))
    lines = []
    for folder, heading in GROUPS.items():
        lines += ["", f"### {heading}", "", "| `--format` | what is written | `--out` | `--crs` | `--cloud` | needs | lost |"]
        lines.append("|---|---|---|---|---|---|---|")
        for name, item in FORMATS.items():
            if item.module.partition(".")[0] == folder:
                system = {None: "any", "": ""}.get(item.crs, f"{item.crs} alone")
                needs = ", ".join(item.needs)
                cells = [f"`{name}`", item.what, "folder" if item.folder else "file", system]
                cells += ["yes" if item.cloud else "", needs, item.lost]
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def drawn(document: str) -> str:
    """The document with its tables renewed."""
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text()))
