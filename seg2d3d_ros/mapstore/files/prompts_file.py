"""``prompts.json``: the objects that somebody asked for, with their clicks, so that each further click refines the same object.

What lies beneath them is kept: label images in ``prompts/<name>.png``, tracks.json in ``tracks``. So an object that
shrinks gives back what it covered, and prompts outlive another association, which makes all of that anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.mapstore import checks

PROMPTS_FILE = "prompts.json"
REMEDY = "delete it, and make the labels anew with seg2d3d run --resume"


@dataclass(frozen=True)
class Click:
    """A pixel ``xy`` of a keyframe (conventions of ``types``), or a place ``xyz`` in the world where ``image`` is None."""

    image: str | None
    xy: tuple[float, float] = (0.0, 0.0)
    positive: bool = True
    xyz: tuple[float, float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        where = {"xyz": list(self.xyz or ())} if self.image is None else {"image": self.image, "xy": list(self.xy)}
        return {**where, "positive": self.positive}


@dataclass(frozen=True)
class Prompted:
    """An object that somebody asked for.

    Attributes:
        id: of its instance.
        clicks: all so far.
        level: the level that was asked for.
        box: keyframe and ``x0 y0 x1 y1``, or None.
        class_name: as the map calls it.
        regions: by keyframe name, its pixels, and the (H, W) of the image.
        carried: keyframes in which no whole mask showed it.
        facts: ``points``, ``component``, ``box3d``, as tracks.json has them.
    """

    id: int
    clicks: tuple[Click, ...]
    level: str
    box: tuple[str, tuple[float, float, float, float]] | None
    class_name: str
    regions: Mapping[str, tuple[Region, tuple[int, int]]] = field(repr=False)
    carried: frozenset[str]
    facts: Mapping[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        box = None if self.box is None else {"image": self.box[0], "box": list(self.box[1])}
        masks = {name: to_runs(region, shape) for name, (region, shape) in self.regions.items()}
        return {
            "id": self.id,
            "clicks": [click.to_json() for click in self.clicks],
            "level": self.level,
            "box": box,
            "class": self.class_name,
            "masks": masks,
            "carried": sorted(self.carried),
            "facts": dict(self.facts),
        }


@dataclass(frozen=True)
class StoredPrompts:
    """The content of the file.

    Attributes:
        objects: in the order in which they were asked for: of two at a pixel the later one is shown.
        tracks: tracks.json as it is without them.
        points: by cloud file, the instances of its points that prompts changed: place → what was there.
        laid: the map shows them. While a map grows they only wait here: ``tracks`` and ``points`` then say nothing.
    """

    objects: Sequence[Prompted]
    tracks: Mapping[str, Any]
    points: Mapping[str, Mapping[int, tuple[int, float]]]
    laid: bool = True

    @property
    def images(self) -> set[str]:
        """The keyframes whose labels they change."""
        return {name for item in self.objects for name in item.regions} | {
            observation["image"]
            for instance in self.tracks["instances"]
            if instance["id"] in {item.id for item in self.objects}
            for observation in instance["observations"]
        }

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        points = {name: [[k, i, c] for k, (i, c) in sorted(table.items())] for name, table in self.points.items()}
        content = {"objects": [item.to_json() for item in self.objects], "tracks": self.tracks, "points": points}
        return {**content, "laid": self.laid}


_XY = checks.listed(checks.number(), 2)
CLICK = checks.table({"positive": checks.flag}, {"image": checks.name, "xy": _XY, "xyz": checks.listed(checks.number(), 3)})
MASK = checks.table({"size": checks.listed(checks.whole(1), 2), "counts": checks.listed(checks.whole())})
PROMPTED = checks.table(
    {
        "id": checks.whole(1, checks.MAX_ID),
        "clicks": checks.listed(CLICK),
        "level": checks.text,
        "class": checks.text,
        "masks": checks.every(MASK),
        "carried": checks.listed(checks.name),
        "facts": checks.every(checks.anything),
    },
    {"box": checks.table({"image": checks.name, "box": checks.listed(checks.number(), 4)})},
)
_PROMPTS = checks.table(
    {
        "objects": checks.listed(PROMPTED),
        "tracks": checks.TRACKS,
        "points": checks.every(checks.listed(checks.listed(checks.number(), 3))),
    },
    {"laid": checks.flag},
)


def read_prompts(root: Path) -> StoredPrompts | None:
    """The prompts of a map directory; None where it has none.

    Raises:
        DataError: the file is damaged.
    """
    path = Path(root) / PROMPTS_FILE
    if not path.is_file():
        return None
    document = read_json(path, remedy=REMEDY, unreadable=DataError)
    try:
        _PROMPTS(document, "")
        objects = [prompted_of(item) for item in document["objects"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); {REMEDY}") from error
    points = {name: {int(k): (int(i), float(c)) for k, i, c in table} for name, table in document["points"].items()}
    return StoredPrompts(objects, document["tracks"], points, document.get("laid", True))


def prompted_of(item: Mapping[str, Any]) -> Prompted:
    """The inverse of ``Prompted.to_json``, of what ``PROMPTED`` has checked. Raises ``ValueError`` for masks that are none."""
    clicks = []
    for click in item["clicks"]:
        if click.get("image") is None:
            clicks.append(Click(None, positive=click["positive"], xyz=tuple(click["xyz"])))
        else:
            clicks.append(Click(click["image"], tuple(click["xy"]), click["positive"]))
    box = item.get("box")
    regions = {}
    for name, runs in item["masks"].items():
        region, shape = from_runs(runs)
        if region is not None:
            regions[name] = (region, shape)
    drawn = None if box is None else (box["image"], tuple(box["box"]))
    carried = frozenset(item["carried"])
    return Prompted(item["id"], tuple(clicks), item["level"], drawn, item["class"], regions, carried, item["facts"])


def to_runs(region: Region, shape: tuple[int, int]) -> dict[str, Any]:
    """COCO's run lengths, not compressed: down the columns, outside first."""
    pixels = np.zeros(shape, bool)
    pixels[region.window] = region.pixels
    flat = pixels.ravel(order="F")
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, flat.size)
    counts = np.diff(ends, prepend=0).tolist()
    return {"size": list(shape), "counts": [0, *counts] if flat[0] else counts}


def from_runs(runs: Mapping[str, Any]) -> tuple[Region | None, tuple[int, int]]:
    """The inverse of ``to_runs``; None for an empty mask. Raises ``ValueError`` where they do not fill the image."""
    from seg2d3d_ros.image_files import pixel_limit

    height, width = runs["size"]
    counts = np.array(runs["counts"], np.int64)
    if height * width > pixel_limit() or counts.sum() != height * width:
        raise ValueError("a mask that does not fill its image")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return region_of(flat.reshape(width, height).T), (height, width)
