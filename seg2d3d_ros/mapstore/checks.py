"""What the JSON files of a map directory must hold: checked when they are read, so that whoever uses them need not doubt.

Entries that are not named here are let through: newer programs may write more. Each check raises ``ValueError`` with the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from seg2d3d_ros.mapstore.records import KeyframeRecord

Check = Callable[[Any, str], Any]
MAX_ID = 65535
"""Label images hold 16 bits."""
MAX_COUNT = 2**53
MAX_SIDE = 100_000
"""Pixels of a panorama."""
_FRAMES = ("arbitrary", "metric", "enu")


def _fail(value: object, where: str, wanted: str) -> ValueError:
    text = repr(value)
    return ValueError(f"{where} is {text if len(text) <= 40 else text[:40] + '…'}, not {wanted}")


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite number in a range."""

    def check(value: Any, where: str) -> None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
        if not fits:
            span = "" if math.isinf(low) else f" of at least {low:g}" if math.isinf(high) else f" from {low:g} to {high:g}"
            raise _fail(value, where, f"a number{span}")

    return check


def whole(low: int = 0, high: int = MAX_COUNT) -> Check:
    """A whole number in a range."""

    def check(value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _fail(value, where, f"a whole number from {low} to {high}")

    return check


def text(value: Any, where: str) -> None:
    """A text that can be written and shown."""
    if not isinstance(value, str) or "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise _fail(value, where, "a text")


def name(value: Any, where: str) -> None:
    """A name that files inside the map directory may be called by."""
    text(value, where)
    if not value or value.startswith("/") or ".." in value.split("/"):
        raise _fail(value, where, "a name inside the map directory")


def flag(value: Any, where: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _fail(value, where, "true or false")


def one_of(*values: str) -> Check:
    """One of these texts."""

    def check(value: Any, where: str) -> None:
        if value not in values:
            raise _fail(value, where, f"one of {', '.join(values)}")

    return check


def listed(item: Check, length: int | None = None) -> Check:
    """A list; of ``length`` items if given."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise _fail(value, where, "a list" if length is None else f"a list of {length}")
        for place, entry in enumerate(value):
            item(entry, f"{where}[{place}]")

    return check


def table(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these entries."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _fail(value, where, "an object")
        for key, entry in required.items():
            if key not in value:
                raise ValueError(f"{where} lacks {key!r}")
            entry(value[key], f"{where}.{key}" if where else key)
        for key, entry in (optional or {}).items():
            if value.get(key) is not None:
                entry(value[key], f"{where}.{key}" if where else key)

    return check


def every(entry: Check) -> Check:
    """An object whose values are all alike."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _fail(value, where, "an object")
        for key, item in value.items():
            entry(item, f"{where}.{key}" if where else key)

    return check


def anything(value: Any, where: str) -> None:
    """Any value at all."""


def _single(value: Any, where: str) -> None:
    """Something that fits into a cell of a table."""
    if isinstance(value, dict | list):
        raise _fail(value, where, "a single value")


def _view(value: Any, where: str) -> None:
    """Which view of a panorama a keyframe is."""
    shape = table({"width": whole(2, MAX_SIDE), "height": whole(2, MAX_SIDE), "top": number(0, MAX_SIDE)})
    texts = dict.fromkeys(("camera_name", "file_name", "source"), text)
    table({"panorama": name, "shape": shape, "number": whole(), "count": whole(1, 360), **texts})(value, where)
    if value["number"] >= value["count"]:
        raise _fail(value["number"], f"{where}.number", f"below {value['count']}")


def keyframe(value: Any, where: str) -> None:
    """A line of keyframes.json."""
    texts = dict.fromkeys(("camera_name", "file_name", "image"), text)
    table({"name": name, "stamp_ns": whole(-(2**63), 2**63 - 1), **texts}, {"view": _view})(value, where)
    if not value["image"].startswith("/"):
        name(value["image"], f"{where}.image")
    try:
        KeyframeRecord.from_json(value)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, ArithmeticError) as error:
        raise ValueError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


_three = listed(number(), 3)
_box = listed(whole(-MAX_COUNT), 4)
_observation = table({"image": name, "segment": whole(), "box": _box, "score": number()}, {"share": number(0, 1)})
_instance = table(
    {"id": whole(1, MAX_ID), "class": text, "score": number(), "points": whole(), "observations": listed(_observation)},
    {
        "component": whole(),
        "parent": whole(0, MAX_ID),
        "level": whole(),
        "stability": number(0, 1),
        "panoramas": listed(table({"image": name, "box": _box})),
        "position": _three,
        "covariance": listed(_three, 3),
        "box3d": table(
            {}, {"min": _three, "max": _three, "center": _three, "size": _three, "quaternion_xyzw": listed(number(), 4)}
        ),
    },
)
_datum = table({"latitude": number(-90, 90), "longitude": number(-180, 180), "altitude": number()})
TRACKS = table({"instances": listed(_instance), "frame": table({"kind": one_of(*_FRAMES)}, {"datum": _datum})})
KEYFRAMES = table({"keyframes": listed(keyframe)})
SEGMENT_FACTS = every(table({"class": text, "score": number()}))
METRICS = table(
    {},
    {
        "counts": every(whole()),
        "timings": every(number()),
        "findings": listed(table({"code": text, "level": text, "count": whole(), "text": text})),
        "warnings": listed(text),
        "unregistered": listed(table({"image": text}, {"reason": text})),
        "missed": listed(table({})),
        "truth": table(
            {},
            {
                "methods": every(every(_single)),
                "per_object": listed(table({"id": whole(), "coverage": number(0, 1)}, {"best_track": whole(0, 2**31)})),
                "notes": listed(text),
            },
        ),
    },
)
