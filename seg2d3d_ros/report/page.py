"""MAP/report.html: one file that needs nothing else, for the screen, the phone and the printer."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import seg2d3d_ros
from seg2d3d_ros.atomic import write_text
from seg2d3d_ros.report import facts, strips
from seg2d3d_ros.report.content import Content, Instance, read_content
from seg2d3d_ros.report.map_view import map_section
from seg2d3d_ros.report.pictures import make_pictures
from seg2d3d_ros.report.truth import truth_section
from seg2d3d_ros.report.words import escape, section

# The browser itself enforces that the page asks nobody for anything.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(map_root: Path) -> Path:
    """Write ``map_root/report.html`` from what the map directory holds, and return its path.

    Files that are missing or damaged cost their part of the page; the page says so.

    Raises:
        DataError: ``map_root`` is no map directory, or cannot be written.
    """
    content = read_content(map_root)
    path = content.store.root / "report.html"
    write_text(path, render(content))
    return path


def render(content: Content) -> str:
    """The whole page."""
    chosen = strips.choose_crops(content.instances)
    sheet = strips.choose_overlays(content.records)
    crops: dict[str, list[Instance]] = {}
    for item in content.instances:
        for name in chosen.get(item.id, ()):
            crops.setdefault(name, []).append(item)
    pictures = make_pictures(content.store, content.records, crops, set(sheet))

    parts = [
        ("map", "The map from above", map_section(content)),
        ("warnings", "Warnings", facts.warnings(content)),
        ("measured", "Measured against the truth", truth_section(content)),
        ("instances", "Instances", strips.strips_section(content.instances, chosen, pictures)),
        ("images", "Images", strips.contact_section(content, sheet, pictures)),
        ("inputs", "What went in", facts.inputs(content)),
        ("times", "Time per stage", facts.timings(content)),
        ("files", "Files", facts.files(content)),
        ("configuration", "Configuration", facts.configuration(content)),
    ]
    name = escape(content.store.root.resolve().name)
    links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, body in parts if body)
    style = resources.files(__package__).joinpath("templates/style.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: labelled map</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Labelled map “{name}”</h1>
<p class=headline>{escape(facts.headline(content))}</p>
{facts.tiles(content)}
<nav>{links}</nav>
</header>
<main>
{"".join(section(title, body, anchor) for anchor, title, body in parts)}
</main>
<footer>Written by seg2d3d_ros {escape(seg2d3d_ros.__version__)}.
Write it again with <code>seg2d3d report {name}</code>.</footer>
</body>
</html>
"""
