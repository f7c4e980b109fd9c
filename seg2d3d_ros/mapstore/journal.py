""".identity.jsonl: which instance each segment was given, written as it happens.

tracks.json says it too, but it is as large as the map and therefore written now and then. The journal holds what came
since, one line for each update; after a kill the ids are all there.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.directory.inventory import JOURNAL

log = logging.getLogger(__name__)


class IdentityJournal:
    """The journal in a map directory.

    A line is ``{"next": lowest id never given, "images": {name: {segment id: instance id}}}``; an image's entry replaces
    earlier ones of it.
    """

    def __init__(self, root: Path) -> None:
        self._path = Path(root) / JOURNAL

    def read(self) -> tuple[int, dict[str, dict[int, int]]]:
        """The lowest id never given (1 if nothing is known), and the instances of segments by image."""
        next_id = 1
        images: dict[str, dict[int, int]] = {}
        if not self._path.exists():
            return next_id, images
        for number, line in enumerate(self._path.read_text(errors="replace").splitlines(), 1):
            try:
                item = json.loads(line)
                found = {str(name): {int(s): int(i) for s, i in table.items()} for name, table in item["images"].items()}
                next_id = max(next_id, int(item["next"]))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                # A kill cuts the last line off; the update that it belonged to was not published as a whole.
                log.warning("%s: line %d is damaged and left out", self._path, number)
                continue
            images.update(found)
        return next_id, images

    def append(self, next_id: int, images: Mapping[str, Mapping[int, int]]) -> None:
        """Add a line and flush it to the disk.

        Raises:
            DataError: the disk is full or the folder cannot be written.
        """
        line = json.dumps({"next": next_id, "images": images}, separators=(",", ":"))
        try:
            with self._path.open("a+b") as file:
                # Behind a line that was cut off, a new one begins.
                end = file.seek(0, os.SEEK_END)
                torn = end > 0 and (file.seek(end - 1), file.read(1))[1] != b"\n"
                file.write((b"\n" if torn else b"") + line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"{self._path}: cannot be written ({error.strerror}); free space or choose another folder"
            ) from error

    def restart(self, next_id: int, told: int = 0) -> None:
        """Begin anew, when tracks.json holds everything; without a journal, only where it does not tell the lowest id never
        given.

        Args:
            told: the lowest id never given as far as tracks.json tells.
        """
        if self._path.exists() or next_id > told:
            write_text(self._path, json.dumps({"next": next_id, "images": {}}) + "\n")
