"""Keyframes on disk while a node is active, with the masks that were sent for them: for second looks and new prompts."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from std_msgs.msg import Header

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.images import read_labels, write_labels
from seg2d3d_ros.types import Keyframe

NOT_KEPT = Kind(
    "keyframes_not_kept",
    "keyframes that cannot be segmented again",
    cause="they cannot be kept on disk for it ({reason})",
    remedy="free space in the folder for temporary files, or set TMPDIR to another one; they were segmented once",
)


class KeptKeyframes:
    """The newest ``most`` keyframes. Without their pictures they need little memory; ``picture`` reads one back.

    Args:
        findings: gets those that the disk does not take.
    """

    def __init__(self, most: int, findings: Findings) -> None:
        self._most, self._findings = most, findings
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._kept: OrderedDict[str, tuple[Keyframe, Header]] = OrderedDict()

    def add(self, keyframe: Keyframe, header: Header) -> None:
        """Keep a keyframe; the oldest goes for it where there are too many. Where it cannot be written, it goes without."""
        if self._most == 0:
            return
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="seg2d3d-keyframes-")
            path = Path(self._folder.name) / hashlib.sha256(keyframe.name.encode()).hexdigest()
            write_bytes(path, keyframe.encoded)
        except (OSError, DataError) as error:
            self._findings.add(NOT_KEPT, keyframe.name, reason=str(error))
            return
        self._kept[keyframe.name] = (dataclasses.replace(keyframe, encoded=b"", source=str(path)), header)
        self._kept.move_to_end(keyframe.name)
        while len(self._kept) > self._most:
            _, (oldest, _) = self._kept.popitem(last=False)
            for file in (Path(oldest.source), _labels_of(oldest)):
                file.unlink(missing_ok=True)

    def get(self, name: str) -> tuple[Keyframe, Header] | None:
        """The keyframe without its picture, and its header; None where it is not kept."""
        return self._kept.get(name)

    def pictures(self) -> Iterator[tuple[Keyframe, Header]]:
        """The keyframes that are kept now, each with its picture; those that go meanwhile are left out."""
        for keyframe, header in list(self._kept.values()):
            try:
                whole = self.picture(keyframe)
            except FileNotFoundError:
                continue
            yield whole, header

    def picture(self, keyframe: Keyframe) -> Keyframe:
        """A kept keyframe with its picture. Raises ``FileNotFoundError`` where it is not kept any more."""
        return dataclasses.replace(keyframe, encoded=Path(keyframe.source).read_bytes())

    def write_labels(self, name: str, labels: np.ndarray) -> None:
        """Remember the masks (H, W) uint16 of a keyframe, if it is kept."""
        if kept := self._kept.get(name):
            try:
                write_labels(_labels_of(kept[0]), labels)
            except DataError as error:
                del self._kept[name]  # without its masks nothing could be added to them
                self._findings.add(NOT_KEPT, name, reason=str(error))

    def read_labels(self, keyframe: Keyframe) -> np.ndarray:
        """The masks (H, W) uint16 that were written last. Raises ``DataError`` where there are none."""
        return read_labels(_labels_of(keyframe))

    def close(self) -> None:
        """Forget all and remove the files."""
        self._kept.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _labels_of(kept: Keyframe) -> Path:
    return Path(kept.source).with_suffix(".png")
