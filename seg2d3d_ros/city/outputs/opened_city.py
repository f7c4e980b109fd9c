"""A city as exporters and its page read it: block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from seg2d3d_ros.city.city_folder import REMEDY, CityFolder
from seg2d3d_ros.city.joining.joined_city import read_similarity, read_table
from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.similarity import Similarity


class OpenedCity:
    """A city to read.

    Args:
        root: its directory.

    Raises:
        DataError: it is none, not whole, or its index is damaged.
        UsageError: it is of a newer program.
    """

    def __init__(self, root: Path) -> None:
        self.folder = CityFolder(root)
        self.index = self.folder.read_index()
        try:
            self.frame: Mapping[str, Any] = self.index["frame"]
            self.placed: list[str] = []
            self.city_from: dict[str, Similarity] = {}
            self.core: dict[str, frozenset[str]] = {}
            for block in self.index["blocks"]:
                if block["city_from_block"] is not None:
                    self.placed.append(block["name"])
                    self.city_from[block["name"]] = read_similarity(block["city_from_block"])
                    self.core[block["name"]] = frozenset(block["core"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.folder.root / 'city.json'}: damaged ({type(error).__name__}: {error}); {REMEDY}") from error

    @cached_property
    def numbers(self) -> dict[str, dict[int, int]]:
        """Of each block: its instance -> that of the city."""
        return read_table(self.folder.table)

    def instances(self, block: str) -> Sequence[Mapping[str, Any]]:
        """The city's instances that are at home in a block: entries like those of tracks.json. Raises ``DataError``."""
        return [{**item, "id": int(item["id"])} for item in self._listed(block, "instances")]

    def cameras(self, block: str) -> Sequence[Sequence[float]]:
        """Where the block's own cameras are, in the city's frame. Raises ``DataError``."""
        return [[float(value) for value in place] for place in self._listed(block, "cameras")]

    def _listed(self, block: str, what: str) -> list[Any]:
        path = self.folder.instances(block)
        document = read_json(path, remedy=REMEDY, unreadable=DataError)
        try:
            return list(document[what])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: damaged ({type(error).__name__}: {error}); {REMEDY}") from error
