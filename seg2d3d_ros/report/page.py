"""MAP/report.html: one file that needs nothing else, for the screen, the phone and the printer."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

from jinja2 import Environment, PackageLoader

import seg2d3d_ros
from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.mapstore.directory.swap import final_path
from seg2d3d_ros.palette import hex_color
from seg2d3d_ros.report import facts, words
from seg2d3d_ros.report.content import Content, Instance, read_content
from seg2d3d_ros.report.map_view import draw_plans
from seg2d3d_ros.report.pictures import CROP_HEIGHT, make_pictures
from seg2d3d_ros.report.strips import choose_crops, choose_overlays, ranked
from seg2d3d_ros.report.truth import truth_tables

log = logging.getLogger(__name__)


def write_report(map_root: Path) -> Path:
    """Write ``map_root/report.html`` from what the map directory holds, and return its path.

    Files that are missing or damaged cost their part of the page; the page says so.

    Raises:
        DataError: ``map_root`` is no map directory, or cannot be written.
    """
    content = read_content(map_root)
    for message in content.damage:
        log.warning("the report lacks what cannot be read: %s", message)
    path = content.store.root / "report.html"
    write_text(path, render(content))
    return path


def render(content: Content) -> str:
    """The whole page. Every text that the templates put into it is escaped: names and classes come from files."""
    environment = Environment(loader=PackageLoader("seg2d3d_ros.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        count=words.count,
        number=words.number,
        duration=words.duration,
        color=hex_color,
        ink=words.ink,
        base64=lambda data: base64.b64encode(data).decode(),
    )
    chosen, contact_sheet = choose_crops(content.instances), choose_overlays(content.records)
    crops: dict[str, list[Instance]] = {}
    for item in content.instances:
        for name in chosen.get(item.id, ()):
            crops.setdefault(name, []).append(item)
    root = content.store.root.resolve()
    place = final_path(root)
    plans, undrawn = draw_plans(content)
    return environment.get_template("page.html").render(
        content=content,
        name=place.name,
        version=seg2d3d_ros.__version__,
        headline=facts.headline(content),
        tiles=facts.tiles(content),
        plans=plans,
        undrawn=undrawn,
        notices=facts.notices(content),
        doubtful=facts.doubtful(content),
        sure=facts.SURE,
        overlays={record.name for record in content.records if content.store.overlay_path(record.name).is_file()},
        unregistered=facts.unregistered(content),
        truth=truth_tables(content),
        instances=ranked(content.instances),
        chosen=chosen,
        contact_sheet=contact_sheet,
        pictures=make_pictures(content.store, content.records, crops, set(contact_sheet)),
        crop_height=CROP_HEIGHT,
        folders=facts.folders(content),
        inputs=facts.inputs(content),
        cameras=facts.cameras(content),
        files=facts.files(root),
        root=place,
    )
