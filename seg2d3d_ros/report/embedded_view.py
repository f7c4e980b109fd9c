"""The part of the page that can be turned in 3D: a picture for all, and what a browser with scripts and WebGL makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from seg2d3d_ros.report.content import Content
from seg2d3d_ros.viewer.browser import SCRIPTS, STYLE, asset, inline_json, script_hash
from seg2d3d_ros.viewer.packing import pack
from seg2d3d_ros.viewer.scene import MOST_POINTS, make_scenes
from seg2d3d_ros.viewer.still import draw_still

MAX_SCENES = 4


@dataclass(frozen=True)
class EmbeddedView:
    """What the page needs of it.

    Attributes:
        still: a PNG of the first scene.
        data: JSON, a list of scenes; safe inside a script element, as the scripts and the style are in theirs.
        scripts: in the order in which they run; ``hashes`` are what a Content-Security-Policy calls them.
        style: CSS.
        points, available: how many points there are in all scenes together, and were there to choose from.
    """

    still: bytes
    data: str
    scripts: Sequence[str]
    hashes: str
    style: str
    points: int
    available: int


def make_view(content: Content) -> EmbeddedView | None:
    """The view of the map's largest frames; None where there is nothing to see."""
    documents = [item.document for item in content.instances]
    frames = max(1, min(len(content.models), MAX_SCENES))
    scenes = make_scenes(
        content.models, content.points, content.photographed, documents, content.captions, MOST_POINTS // frames
    )[:MAX_SCENES]
    scenes = [scene for scene in scenes if len(scene.xyz) or scene.cameras]
    if not scenes:
        return None
    scripts = [asset(name) for name in SCRIPTS]
    scripts.append((files("seg2d3d_ros.report") / "templates" / "view.js").read_text(encoding="utf-8"))
    return EmbeddedView(
        still=draw_still(scenes[0]),
        data=inline_json([pack(scene) for scene in scenes]),
        scripts=scripts,
        hashes=" ".join(map(script_hash, scripts)),
        style=asset(STYLE),
        points=sum(len(scene.xyz) for scene in scenes),
        available=sum(scene.available for scene in scenes),
    )
