"""What the page asks for: corrections as JSON, checked, and done one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.mapstore import checks
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.pipeline.correcting import Correction, MapEditor
from seg2d3d_ros.serve.served_map import ServedMap

MOST = 500
"""Instances or clicks of one request."""

_ID = checks.whole(1, checks.MAX_ID)
_XY, _XYZ = checks.listed(checks.number(-1e6, 1e6), 2), checks.listed(checks.number(-1e9, 1e9), 3)
_LINE = checks.table({"image": checks.name, "from": _XY, "to": _XY})
_ABOVE = checks.table({"from": _XYZ, "to": _XYZ})
_CLICK = checks.table({"xy": _XY, "positive": checks.flag})


class Stale(UsageError):
    """The page shows a map that is no longer there."""


class Corrector:
    """Does the corrections that pages ask for. Safe to use from any thread; one works at a time.

    Args:
        author: of all of them.
    """

    def __init__(self, served: ServedMap, author: str = "") -> None:
        self._served, self._editor = served, MapEditor(served.root, author, self._check)
        self._working, self._seen = threading.Lock(), ""
        self.done = 0

    def correct(self, asked: Any) -> Correction:
        """One correction: ``{"op": …, "revision": …, …}``.

        Raises:
            Stale: the map has changed since the page saw it.
            UsageError: a request that is none, or another process writes the map.
            DataError: nothing comes of it; the map is as it was.
        """
        try:
            checks.table({"op": checks.one_of(*_OPERATIONS), "revision": checks.text})(asked, "request")
            check, do = _OPERATIONS[asked["op"]]
            check(asked, "request")
        except ValueError as error:
            raise UsageError(str(error)) from error
        if max(len(asked.get("instances") or ()), len(asked.get("clicks") or ())) > MOST:
            raise UsageError(f"at most {MOST} at once")
        with self._working:
            self._seen = asked["revision"]
            self._check()
            correction = do(self._editor, asked)
            self.done += 1
        return correction

    def _check(self) -> None:
        """Once before anything is done, and once when no other process can change the map any more."""
        if self._seen != self._served.content().revision:
            raise Stale("the map has changed meanwhile; look at it as it is now, and do it again")


def _merge(editor: MapEditor, asked: Mapping[str, Any]) -> Correction:
    return editor.merge(asked["instances"])


def _delete(editor: MapEditor, asked: Mapping[str, Any]) -> Correction:
    return editor.delete(asked["instances"])


def _rename(editor: MapEditor, asked: Mapping[str, Any]) -> Correction:
    return editor.rename(asked["instances"], asked["name"])


def _undo(editor: MapEditor, asked: Mapping[str, Any]) -> Correction:
    return editor.undo(asked.get("of"))


def _split(editor: MapEditor, asked: Mapping[str, Any]) -> Correction:
    line, above = asked.get("line"), asked.get("above")
    if (line is None) == (above is None):
        raise UsageError("a split has one line")
    if above is not None:
        return editor.split_from_above(asked["instance"], above["from"], above["to"])
    assert line is not None
    return editor.split_in_image(asked["instance"], line["image"], tuple(line["from"]), tuple(line["to"]))


def _redraw(editor: MapEditor, asked: Mapping[str, Any]) -> Correction:
    clicks = [Click(asked["image"], (float(c["xy"][0]), float(c["xy"][1])), c["positive"]) for c in asked["clicks"]]
    level = asked.get("level") or "fine"
    return editor.redraw(clicks, instance=asked.get("instance"), level=level, name=asked.get("name") or "")


_DRAWN = {"instance": _ID, "level": checks.text, "name": checks.text}
_SEVERAL = {"instances": checks.listed(_ID)}
_OPERATIONS: Mapping[str, tuple[checks.Check, Callable[[MapEditor, Mapping[str, Any]], Correction]]] = {
    "merge": (checks.table(_SEVERAL), _merge),
    "delete": (checks.table(_SEVERAL), _delete),
    "rename": (checks.table({**_SEVERAL, "name": checks.text}), _rename),
    "split": (checks.table({"instance": _ID}, {"line": _LINE, "above": _ABOVE}), _split),
    "redraw": (
        checks.table(
            {"image": checks.name, "clicks": checks.listed(_CLICK)},
            _DRAWN,
        ),
        _redraw,
    ),
    "undo": (checks.table({}, {"of": checks.whole(1)}), _undo),
}
