#!/usr/bin/env python3
"""Write the table in docs/troubleshooting.md from the kinds of findings that the package declares."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "troubleshooting.md"
BEGIN, END = "<!-- begin: made by scripts/draw_troubles.py -->\n", "<!-- end -->\n"
STAGES = {
    "images, positions, recordings": ("keyframes", "recording", "images"),
    "masks": ("segmentation", "networks"),
    "reconstruction": ("reconstruction",),
    "objects": ("association", "pipeline", "language", "prompts"),
    "cities": ("city",),
    "clouds": ("lidar", "dense", "superpoints"),
    "learning": ("learning",),
    "corrections": ("editing", "serve"),
    "map directory": ("mapstore", "report", "viewer", "evaluation", "export", "comparison", "api", "cli"),
    "live": ("ros", "nodes"),
}
"""Headings of the table, and the folders whose findings stand below each."""


def kinds() -> dict[str, list[dict[str, str]]]:
    """By module below the package, its kinds of findings with their texts and the name of the constant."""
    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted((ROOT / "seg2d3d_ros").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            value = getattr(node, "value", None)
            if not (isinstance(node, ast.Assign) and isinstance(value, ast.Call) and ast.unparse(value.func) == "Kind"):
                continue
            texts = dict(zip(("code", "what"), map(ast.literal_eval, value.args), strict=True))
            keywords = {k.arg or "": k.value for k in value.keywords}
            texts |= {name: ast.literal_eval(keywords[name]) for name in ("cause", "remedy")}
            texts["level"] = ast.unparse(keywords["level"]).lower() if "level" in keywords else "warning"
            texts["name"] = ast.unparse(node.targets[0])
            found.setdefault(path.relative_to(ROOT / "seg2d3d_ros").as_posix(), []).append(texts)
    return found


def table() -> str:
    """One table for each stage, as Markdown."""
    lines, rest = [], kinds()
    for heading, folders in STAGES.items():
        rows = [kind for module, found in rest.items() if module.split("/")[0].removesuffix(".py") in folders for kind in found]
        lines += ["", f"### {heading[0].upper()}{heading[1:]}", "", "| what you see | likely cause | what to do | code |"]
        lines += ["|---|---|---|---|"]
        for row in sorted(rows, key=lambda row: row["what"]):
            cells = [row["what"], row["cause"], row["remedy"], f"`{row['code']}`"]
            lines.append("| " + " | ".join(re.sub(r"\{\w+\}", "…", cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def drawn(document: str) -> str:
    """The document with its table renewed."""
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text()))
