"""Pictures as the sequences that trackers know: one per camera and size of image, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from seg2d3d_ros.export.annotations.labelled_pictures import LabelledPicture
from seg2d3d_ros.export.csv_text import csv_text
from seg2d3d_ros.recording.naming import natural_key

Row = TypeVar("Row")


@dataclass(frozen=True)
class Frame(Generic[Row]):
    """What a format says of one picture, without its pixels."""

    name: str
    file_name: str
    stamp_ns: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class PictureSequence(Generic[Row]):
    """The pictures of one size from one camera, by time, then by name."""

    camera_name: str
    width: int
    height: int
    frames: tuple[Frame[Row], ...]

    @property
    def rate(self) -> float:
        """Pictures per second, by the median step; 1 where times are not known."""
        steps = np.diff([frame.stamp_ns for frame in self.frames])
        steps = steps[steps > 0]
        return round(1e9 / float(np.median(steps)), 3) if len(steps) else 1.0

    def table(self, first: int) -> str:
        """Which picture each frame is, as CSV; frames are numbered from ``first`` on."""
        rows = ([number, f.name, f.file_name, f.stamp_ns] for number, f in enumerate(self.frames, start=first))
        return csv_text(["frame", "image", "file_name", "stamp_ns"], rows)


class SequenceSorter(Generic[Row]):
    """Takes pictures in any order."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, int], list[Frame[Row]]] = {}

    def add(self, picture: LabelledPicture, rows: Sequence[Row]) -> None:
        """Take a picture with what is to be said of its instances."""
        key = picture.camera_name, picture.width, picture.height
        frame = Frame(picture.name, picture.file_name, picture.stamp_ns, tuple(rows))
        self._found.setdefault(key, []).append(frame)

    def sequences(self) -> list[PictureSequence[Row]]:
        """All of them, by the cameras' names."""
        return [
            PictureSequence(*key, tuple(sorted(frames, key=lambda frame: (frame.stamp_ns, natural_key(frame.name)))))
            for key, frames in sorted(self._found.items())
        ]
