"""GPX tracks (Topografix, GPX 1.0 and 1.1), without what XML can do beyond tracks: no document types, no entities."""

from __future__ import annotations

import math
from xml.parsers import expat

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.keyframes.video.track import RANGE_ERROR, Track, TrackFix, parse_time

_WANTED = ("time", "ele", "hdop", "fix")
LONGEST_TEXT = 200
"""Characters of an element that is read."""


class _Forbidden(Exception):
    """The document declares a type or an entity."""


class _Reader:
    """Takes the parser's events; nothing but one point is held."""

    def __init__(self) -> None:
        self.track = Track()
        self.seen = False
        self._point: dict[str, str] | None = None
        self._element = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins; names are without their namespace."""
        name = name.rpartition(":")[2]
        self.seen = self.seen or name == "gpx"
        if name == "trkpt":
            self._point = {"lat": attributes.get("lat", ""), "lon": attributes.get("lon", "")}
        elif self._point is not None:
            self._element = name if name in _WANTED else ""

    def text(self, content: str) -> None:
        """Text inside an element, perhaps a part of it."""
        if self._point is not None and self._element:
            self._point[self._element] = (self._point.get(self._element, "") + content)[:LONGEST_TEXT]

    def end(self, name: str) -> None:
        """An element ends."""
        if name.rpartition(":")[2] == "trkpt" and self._point is not None:
            try:
                self.track.fixes.append(_fix(self._point))
            except ValueError as error:
                self.track.refuse(str(error))
            self._point = None
        self._element = ""

    def forbid(self, *_: object) -> None:
        """A document type or an entity is declared."""
        raise _Forbidden


def read_gpx(content: bytes, source: str) -> Track:
    """The points of all tracks of a GPX file; waypoints and routes have no times and are not read. A file that is cut off gives
    what stands before.

    Raises:
        DataError: no GPX, or one that declares entities; ``source`` names it.
    """
    reader, parser = _Reader(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = reader.forbid
    try:
        parser.Parse(content, True)
    except _Forbidden as error:
        raise DataError(f"{source}: declares a document type or entities, which no GPX needs; they are not read") from error
    except expat.ExpatError as error:
        if not reader.track.fixes:
            raise DataError(f"{source}: no GPX file, or a damaged one ({error})") from error
        reader.track.refuse(f"the file is damaged from line {error.lineno} on")
    if not reader.seen:
        raise DataError(f"{source}: XML, but no GPX: the element gpx is missing")
    return reader.track


def _fix(point: dict[str, str]) -> TrackFix:
    if "time" not in point:
        raise ValueError("points without a time")
    sigma = RANGE_ERROR * _number(point.get("hdop", ""))
    return TrackFix(
        parse_time(point["time"]),
        _number(point["lat"]),
        _number(point["lon"]),
        _number(point.get("ele", "")),
        sigma if 0 < sigma < 1e6 else math.nan,
        valid=point.get("fix", "").strip() != "none",
    )


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
