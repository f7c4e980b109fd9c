"""The directory of a city: what lies where, its index, and who writes it.

::

    CITY/
      city.json                 the index: frame, blocks with their transforms, overlaps, counts, findings
      drives/<drive>/           what went in: keyframes.json, drive.json; of recordings keyframes/, of ready masks segments/
      blocks/<block>/           an ordinary map directory
      blocks/<block>.json       how far it is, and what it cost
      instances/<block>.json    the city's instances that are at home in the block, as in tracks.json, in the city's frame
      instances.npz             which instance of the city each instance of each block is
      report.html               overview, with links to the blocks' reports
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import seg2d3d_ros
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.disk.documents import read_json, shown
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.directory.lock import MapLock
from seg2d3d_ros.mapstore.store import MapStore

INDEX = "city.json"
FORMAT = 1
"""Of the index. It grows when older programs would misread a city, not when entries are added."""
OWN = (INDEX, "drives", "blocks", "instances", "instances.npz", "report.html")
REMEDY = "run 'seg2d3d city' again with the same --out: finished blocks are kept"


class CityFolder:
    """Paths in a city's directory, and its index.

    Args:
        root: the directory; nothing is made or read yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @property
    def page(self) -> Path:
        """The overview."""
        return self.root / "report.html"

    @property
    def table(self) -> Path:
        """Which instance of the city each instance of each block is."""
        return self.root / "instances.npz"

    def drive(self, name: str) -> Path:
        """Where a drive's keyframes lie."""
        return self.root / "drives" / name

    @property
    def graph(self) -> Path:
        """Of keyframes without positions: the database of who shows the same."""
        return self.root / "drives" / ".pairs"

    def block(self, name: str) -> Path:
        """The map directory of a block."""
        return self.root / "blocks" / name

    def block_state(self, name: str) -> Path:
        """How far a block is."""
        return self.root / "blocks" / f"{name}.json"

    def instances(self, block: str) -> Path:
        """The city's instances that are at home in a block."""
        return self.root / "instances" / f"{block}.json"

    def hold(self) -> MapLock:
        """Make the directory where there is none, and let no other process write it until the lock is released.

        Raises:
            UsageError: it holds something else, or another process writes it.
            DataError: it cannot be made.
        """
        MapStore(self.root)  # makes it
        foreign = sorted(path.name for path in self.root.iterdir() if path.name not in OWN and not path.name.startswith("."))
        if foreign:
            raise UsageError(
                f"{self.root}: holds {shown(foreign[0])}, which belongs to no city; choose an empty folder for --out"
            )
        return MapLock(self.root)

    def write_index(self, entries: dict[str, Any]) -> None:
        """Replace the index."""
        creator = f"seg2d3d_ros {seg2d3d_ros.__version__}"
        write_json(self.root / INDEX, {"format": FORMAT, "creator": creator, **entries})

    def read_index(self) -> dict[str, Any]:
        """The index.

        Raises:
            DataError: there is none, it is damaged, or the city is not whole yet.
            UsageError: its format is newer than this program.
        """
        path = self.root / INDEX
        index = read_json(path, remedy=REMEDY, unreadable=DataError)
        try:
            if int(index["format"]) > FORMAT:
                raise UsageError(f"{path}: of a newer program ({shown(index.get('creator'))}); install that one")
            if index["state"] != "whole":
                raise DataError(f"{self.root}: the city is not whole yet; {REMEDY}")
            for block in index["blocks"]:
                name = str(block["name"])
                if name != Path(name).name or name in ("", ".", "..") or "\0" in name:
                    raise ValueError(f"the block {shown(name)} would lie elsewhere")
                str(block["state"]), int(block["number"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UsageError):
                raise
            raise DataError(f"{path}: damaged ({type(error).__name__}: {error}); {REMEDY}") from error
        return dict(index)

    def find_block(self, wanted: str) -> Path:
        """The map directory of a block by its number or name, for commands about one block.

        Raises:
            UsageError: there is no such block, or it could not be made.
            DataError: the city's index is damaged.
        """
        blocks = self.read_index()["blocks"]
        found = [b for b in blocks if wanted in (b["name"], str(b.get("number")))]
        if not found:
            raise UsageError(f"--block {wanted}: {self.root} has {_in_short([str(b['number']) for b in blocks])}")
        if found[0]["state"] != "made":
            raise UsageError(f"--block {wanted}: it could not be made ({found[0].get('reason', 'unknown')})")
        return self.block(found[0]["name"])


def is_city(root: Path) -> bool:
    """Whether a directory is a city's, whole or not."""
    return (Path(root) / INDEX).is_file()


def _in_short(numbers: Sequence[str]) -> str:
    return ("blocks " + ", ".join(numbers[:10]) + (", …" if len(numbers) > 10 else "")) if numbers else "no blocks"
