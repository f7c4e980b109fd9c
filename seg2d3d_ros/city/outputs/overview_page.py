"""The overview of a city: one page that links to the reports of its blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.outputs.city_plan import draw_plan
from seg2d3d_ros.city.outputs.opened_city import OpenedCity
from seg2d3d_ros.disk.atomic import write_text

FRAMES = {"enu": "metres east, north, up of {datum}", "metric": "metres, without a place on the Earth", "arbitrary": "no scale"}


def write_overview(city: CityFolder) -> Path:
    """Write ``report.html`` from what the city's directory holds, and return its path.

    Raises:
        DataError: the city is not whole, or a file is damaged.
    """
    opened = OpenedCity(city.root)
    index: dict[str, Any] = opened.index
    counts, frame = index["counts"], index["frame"]
    datum = frame.get("datum")
    where = FRAMES.get(frame["kind"], frame["kind"]).format(
        datum="" if datum is None else f"{datum['latitude']:.5f}, {datum['longitude']:.5f}"
    )
    notices = [item["text"] for item in index["findings"]]
    for item in index["findings_of_blocks"]:
        if item["level"] != "note":
            numbers = ", ".join(map(str, item["blocks"][:5])) + (", …" if len(item["blocks"]) > 5 else "")
            notices.append(f"blocks {numbers}: {item['text']}")
    environment = Environment(
        loader=PackageLoader("seg2d3d_ros.city.outputs"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("overview.html").render(
        name=city.root.resolve().name,
        counts=counts,
        where=where,
        tiles=_tiles(counts),
        plan=draw_plan(opened),
        notices=notices,
        blocks=index["blocks"],
        overlaps=index["overlaps"],
        number={block["name"]: block["number"] for block in index["blocks"]},
        unit="m" if frame["kind"] != "arbitrary" else "units",
    )
    write_text(city.page, page)
    return city.page


def _tiles(counts: dict[str, int]) -> list[tuple[str, str]]:
    return [
        (f"{counts['blocks_joined']} of {counts['blocks']}", "blocks in one frame"),
        (f"{counts['registered']} of {counts['keyframes']}", "keyframes in it"),
        (str(counts["instances"]), "instances"),
        (str(counts["instances_of_several_blocks"]), "seen by several blocks"),
    ]
