"""MAP/report.html: one file that needs nothing else, for the screen, the phone and the printer."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader

import seg2d3d_ros
from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.geometry.wgs84 import enu_to_geodetic
from seg2d3d_ros.mapstore.directory.swap import final_path
from seg2d3d_ros.palette import hex_color
from seg2d3d_ros.report import attention, facts, words
from seg2d3d_ros.report.content import Content, Instance, read_content
from seg2d3d_ros.report.embedded_view import make_view
from seg2d3d_ros.report.map_view import draw_plans
from seg2d3d_ros.report.pictures import CROP_HEIGHT, make_pictures
from seg2d3d_ros.report.quality import quality
from seg2d3d_ros.report.strips import choose_cards, choose_crops, choose_overlays
from seg2d3d_ros.report.truth import truth_tables
from seg2d3d_ros.viewer.captions import day_of

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
    write_bytes(path, render(content).encode("utf-8", "backslashreplace"))  # names of folders need not be text
    return path


def render(content: Content) -> str:
    """The whole page. Every text that the templates put into it is escaped: names and classes come from files."""
    environment = Environment(loader=PackageLoader("seg2d3d_ros.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        count=words.count,
        number=words.number,
        lengths=words.lengths,
        duration=words.duration,
        color=hex_color,
        ink=words.ink,
        base64=lambda data: base64.b64encode(data).decode(),
        caption=content.caption,
    )
    cards, crops, contact_sheet = (
        choose_cards(content.instances),
        choose_crops(content.instances),
        choose_overlays(content.records),
    )
    shown = {item.id for item in cards}
    best = _by_keyframe((item, [item.best] if item.best and item.id in shown else []) for item in content.instances)
    strips = _by_keyframe((item, crops.get(item.id, ())) for item in content.instances)
    root = content.store.root.resolve()
    place = final_path(root)
    plans, undrawn = draw_plans(content)
    notices, doubted = attention.notices(content), attention.doubtful(content)
    view = make_view(content)
    return environment.get_template("page.html").render(
        content=content,
        name=place.name,
        version=seg2d3d_ros.__version__,
        day=day_of(content.records),
        headline=facts.headline(content),
        tiles=facts.tiles(content),
        plans=plans,
        undrawn=undrawn,
        view=view,
        notices=notices,
        doubtful=doubted,
        in_short=attention.in_short(notices, len(doubted)),
        sure=attention.SURE,
        overlays={record.name for record in content.records if content.store.overlay_path(record.name).is_file()},
        unregistered=attention.unregistered(content),
        quality=quality(content),
        truth=truth_tables(content),
        cards=cards,
        instances=sorted(content.instances, key=lambda item: item.id),
        places=_places(content),
        moments=_moments(content),
        chosen=crops,
        contact_sheet=contact_sheet,
        pictures=make_pictures(content.store, content.records, best, strips, set(contact_sheet)),
        crop_height=CROP_HEIGHT,
        folders=facts.folders(content),
        inputs=facts.inputs(content),
        cameras=facts.cameras(content),
        files=facts.files(root),
        root=place,
    )


def _by_keyframe(wanted: Iterable[tuple[Instance, Sequence[str]]]) -> dict[str, list[Instance]]:
    """Which instances are wanted of each keyframe, from which keyframes are wanted of each instance."""
    found: dict[str, list[Instance]] = {}
    for item, names in wanted:
        for name in names:
            found.setdefault(name, []).append(item)
    return found


def _places(content: Content) -> dict[int, str]:
    """Where each instance stands, in words: latitude and longitude; of georeferenced maps only."""
    if content.datum is None:
        return {}
    known = [(item, item.place) for item in content.instances if item.place is not None]
    degrees = enu_to_geodetic(np.array([place for _, place in known]), content.datum)
    return {
        item.id: f"{latitude:.6f}°, {longitude:.6f}°"
        for (item, _), (latitude, longitude, _) in zip(known, degrees.tolist(), strict=True)
    }


def _moments(content: Content) -> dict[int, str]:
    """What the first and the last image are called that show each instance."""
    ends = {
        item.id: (content.caption(item.images[0]), content.caption(item.images[-1]))
        for item in content.instances
        if item.images
    }
    return {i: first if first == last else f"{first} to {last}" for i, (first, last) in ends.items()}
