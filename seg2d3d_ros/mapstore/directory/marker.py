"""``map.json``: makes a folder a map directory, says whether the map is whole, and who writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import seg2d3d_ros
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.disk.processes import ProcessIdentity
from seg2d3d_ros.errors import DataError, UsageError

MARKER_FILE = "map.json"
FORMAT = 1
COPY = "copy"
"""An entry of ``more``: see ``mark_copy``."""
"""Of the map directory. It grows when older programs would misread a map, not when files or entries are added."""
State = Literal["building", "whole"]
BUILDING: State = "building"
WHOLE: State = "whole"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Marker:
    """The content of ``map.json``.

    Attributes:
        format: version of the map directory's layout.
        creator: the program that began the map, with its version.
        created: when, ISO 8601 in UTC.
        state: ``building`` until everything that was asked for is in the map, then ``whole``.
        owner: who writes the map at present, or did when it was killed.
        replaces: inode of the map whose place this one takes, while it does so.
        more: entries that a newer program of the same format wrote; they are kept.
    """

    format: int
    creator: str
    created: str
    state: State
    owner: ProcessIdentity | None = None
    replaces: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def new(cls, state: State) -> Marker:
        """For a map that this program makes now."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return cls(FORMAT, f"seg2d3d_ros {seg2d3d_ros.__version__}", now, state)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dictionary; what is not there has no entry."""
        item: dict[str, Any] = {**self.more, "format": self.format, "creator": self.creator, "created": self.created}
        item["state"] = self.state
        if self.owner is not None:
            item["owner"] = self.owner.to_json()
        if self.replaces is not None:
            item["replaces"] = self.replaces
        return item

    @classmethod
    def from_json(cls, item: Any) -> Marker:
        """Inverse of ``to_json``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
        own = ("format", "creator", "created", "state", "owner", "replaces")
        if item["state"] not in (BUILDING, WHOLE):
            raise ValueError(f"state {str(item['state'])[:40]!r}")
        owner, replaces = item.get("owner"), item.get("replaces")
        return cls(
            int(item["format"]),
            str(item["creator"]),
            str(item["created"]),
            item["state"],
            None if owner is None else ProcessIdentity.from_json(owner),
            None if replaces is None else int(replaces),
            {key: value for key, value in item.items() if key not in own},
        )


def read_marker(root: Path) -> Marker | None:
    """The marker of a map directory; None where there is none: no map, or one of a program before there were markers.

    Raises:
        DataError: it is damaged.
        UsageError: the map's format is newer than this program.
    """
    path = Path(root) / MARKER_FILE
    if path.is_symlink():
        raise UsageError(f"{path}: is a symbolic link, which a map directory does not hold; remove it")
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            item = json.loads(file.read(MAX_BYTES))
        if (version := int(item["format"])) > FORMAT:
            raise UsageError(
                f"{root}: the map has format {version}, written by {str(item.get('creator', 'a newer program'))[:80]}; this is "
                f"seg2d3d_ros {seg2d3d_ros.__version__}, which knows formats up to {FORMAT}; install the newer one"
            )
        return Marker.from_json(item)
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{path}: damaged ({reason}); if {root} is a map, delete this file and try again") from error


def write_marker(root: Path, marker: Marker) -> None:
    """Replace the marker. Raises ``DataError`` where it cannot be written."""
    write_json(Path(root) / MARKER_FILE, marker.to_json())


def mark(root: Path, state: State, **changes: Any) -> Marker:
    """Set the state, and other attributes, of the marker in ``root``, which is made where there is none."""
    marker = replace(read_marker(root) or Marker.new(state), state=state, **changes)
    if state == WHOLE:
        marker.more.pop(COPY, None)
    write_marker(root, marker)
    return marker


def mark_copy(root: Path) -> None:
    """Say that a map under construction is the copy of one, to be changed: it is worth nothing when its process has ended."""
    marker = read_marker(root) or Marker.new(BUILDING)
    write_marker(root, replace(marker, more={**marker.more, COPY: True}))


def is_copy(root: Path) -> bool:
    """Whether a directory is such a copy that is not whole."""
    marker = None if Path(root).is_symlink() else read_marker(root)
    return marker is not None and marker.state == BUILDING and marker.more.get(COPY) is True
