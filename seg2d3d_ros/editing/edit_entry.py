"""One line of ``edits.jsonl``: what a person did to which objects, said so that it can be done again to another result.

Instances are told by where they were seen (``references``), never by their numbers alone; the place of a line by the image
that it was drawn in, or by the cameras around it (``frame_anchor``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seg2d3d_ros.mapstore import checks
from seg2d3d_ros.mapstore.files.prompts_file import MASK, PROMPTED

VERSION = 1
MERGE, SPLIT, RENAME, DELETE, REDRAW, UNDO = "merge", "split", "rename", "delete", "redraw", "undo"
MAX_WORDS = 120
"""Characters of a class or an author."""

_XY, _XYZ = checks.listed(checks.number(), 2), checks.listed(checks.number(), 3)
_ID = checks.whole(1, checks.MAX_ID)
_POSE = checks.listed(checks.listed(checks.number(), 4), 3)


def words(value: Any, where: str) -> None:
    """A short text without control characters."""
    checks.text(value, where)
    if not value.strip() or len(value) > MAX_WORDS or not value.isprintable():
        raise ValueError(f"{where} is empty, longer than {MAX_WORDS} characters, or holds control characters")


_SEEN = checks.listed(checks.table({"image": checks.name, "mask": MASK}))
REFERENCE = checks.table({"id": _ID, "class": checks.text, "seen": _SEEN}, {"center": _XYZ, "size": _XYZ})
FRAME = checks.table({"images": checks.listed(checks.name), "camera_from_world": checks.listed(_POSE)})
_LINE_IN_IMAGE = checks.table({"image": checks.name, "from": _XY, "to": _XY})
_LINE_FROM_ABOVE = checks.table({"from": _XYZ, "to": _XYZ, "up": _XYZ})
_CONTENT: Mapping[str, checks.Check] = {
    MERGE: checks.table({"instances": checks.listed(REFERENCE), "keep": _ID}),
    SPLIT: checks.table(
        {"instances": checks.listed(REFERENCE, 1), "new": _ID, "keeps": checks.one_of("left", "right")},
        {"line": _LINE_IN_IMAGE, "above": _LINE_FROM_ABOVE},
    ),
    RENAME: checks.table({"instances": checks.listed(REFERENCE), "class": words}),
    DELETE: checks.table({"instances": checks.listed(REFERENCE)}),
    REDRAW: checks.table({"instances": checks.listed(REFERENCE), "object": PROMPTED}),
    UNDO: checks.table({"of": checks.whole(1)}),
}
_HEAD = checks.table({"version": checks.whole(1), "id": checks.whole(1), "time": checks.text}, {"author": words})
_FRAME_OPTIONAL = checks.table({}, {"frame": FRAME})


@dataclass(frozen=True)
class Edit:
    """See the module.

    Attributes:
        id: its number in the log, from 1 on.
        operation: ``MERGE``, …
        time: ISO 8601, UTC.
        author: who did it; "" = nobody said.
        content: of the operation, as in the log.
    """

    id: int
    operation: str
    time: str
    author: str
    content: Mapping[str, Any] = field(repr=False)

    @property
    def ids(self) -> list[int]:
        """The numbers that its instances had when it was made."""
        return [int(item["id"]) for item in self.content.get("instances", ())]

    @property
    def highest_id(self) -> int:
        """The highest number that it gives to an instance, or that one had."""
        given = [self.content.get("new", 0), self.content.get("keep", 0), self.content.get("object", {}).get("id", 0)]
        return max([0, *self.ids, *map(int, given)])

    @property
    def in_words(self) -> str:
        """For people."""
        known = ", ".join(f"{item['id']} ({item['class']})" for item in self.content.get("instances", ()))
        if self.operation == MERGE:
            return f"merge {known} into {self.content['keep']}"
        if self.operation == SPLIT:
            line = self.content.get("line")
            return f"split {known} by a line " + (f"in {line['image']}" if line else "seen from above")
        if self.operation == RENAME:
            return f"call {known} “{self.content['class']}”"
        if self.operation == REDRAW:
            return f"redraw {known}" if known else f"draw {self.content['object']['id']} ({self.content['object']['class']})"
        return f"undo {self.content['of']}" if self.operation == UNDO else f"delete {known}"

    def to_line(self) -> str:
        """The line of the log, without its end."""
        head: dict[str, Any] = {"version": VERSION, "id": self.id, "time": self.time, "op": self.operation}
        if self.author:
            head["author"] = self.author
        return json.dumps({**head, **self.content}, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, item: Any) -> Edit:
        """The inverse. Raises ``ValueError`` for what is no correction, or one of a newer program."""
        _HEAD(item, "")
        if item["version"] > VERSION:
            raise ValueError(f"version {item['version']} is of a newer program")
        if not isinstance(item.get("op"), str) or item["op"] not in _CONTENT:
            raise ValueError(f"op {str(item.get('op'))[:40]!r}")
        _CONTENT[item["op"]](item, "")
        _FRAME_OPTIONAL(item, "")
        if item["op"] == SPLIT and ("line" in item) == ("above" in item):
            raise ValueError("a split has one line")
        if item["op"] in (MERGE, RENAME, DELETE) and not item["instances"]:
            raise ValueError("no instance")
        content = {key: value for key, value in item.items() if key not in ("version", "id", "time", "op", "author")}
        return cls(item["id"], item["op"], item["time"], item.get("author") or "", content)
