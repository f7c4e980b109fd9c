"""Scans on disk until the map is final: ``MAP/scans/<stamp ns>.npz``, so that memory stays bounded and a restart loses none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.arrays_file import read_arrays
from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.lidar.scans import Scan

FOLDER = "scans"
log = logging.getLogger(__name__)


class KeptScans:
    """The scans in a folder, those of an earlier run included.

    Args:
        folder: made with the first scan.
        limit: bytes; beyond it the oldest go. 0 = nothing is kept.

    Attributes:
        dropped: scans that went for newer ones.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.dropped = 0
        self._folder, self._limit = folder, limit
        self._sizes = {path: path.stat().st_size for path in self._paths()}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._sizes)

    def add(self, scan: Scan) -> None:
        """Keep a scan; one of the same moment is replaced.

        Raises:
            DataError: it cannot be written.
        """
        if self._limit == 0:
            return
        path = self._folder / f"{scan.stamp_ns:020d}.npz"
        fields = {"xyz": scan.xyz, "intensity": scan.intensity, "offset": scan.offset, "row": scan.row}
        with replacing(path) as temporary:
            np.savez(
                temporary,
                allow_pickle=False,
                stamp_ns=np.int64(scan.stamp_ns),
                frame_id=np.array(scan.frame_id),
                **{name: values for name, values in fields.items() if values is not None},
            )
        self._sizes[path] = path.stat().st_size
        while sum(self._sizes.values()) > self._limit:
            oldest = min(self._sizes)
            oldest.unlink(missing_ok=True)
            del self._sizes[oldest]
            self.dropped += 1

    def __iter__(self) -> Iterator[Scan]:
        """The scans in the order of their stamps, read one by one; damaged files are left out with a warning."""
        for path in self._paths():
            if (scan := _read(path)) is not None:
                yield scan

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9-]*.npz"))


def _read(path: Path) -> Scan | None:
    try:
        fields = read_arrays(path)
        count = len(fields["row"])
        parts = [fields[name] for name in ("intensity", "offset") if name in fields]
        if fields["xyz"].shape != (count, 3) or any(part.shape != (count,) for part in parts):
            raise ValueError(f"{count} points do not fit")
        stamp_ns, frame_id = int(fields["stamp_ns"]), str(fields["frame_id"])
        return Scan(stamp_ns, frame_id, fields["xyz"], fields.get("intensity"), fields.get("offset"), fields["row"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        log.warning("%s: no whole scan (%s); it is left out", path, error)
        return None
