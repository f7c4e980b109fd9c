"""A drive as it lies in the city: its keyframes with fingerprints, and its ready masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.types import Keyframe, Segments

FILE = "drive.json"


@dataclass(frozen=True)
class CityKeyframe:
    """A keyframe of a drive.

    Attributes:
        record: as in keyframes.json; its name begins with the drive's, its image is relative to the drive's folder or absolute.
        drive: the drive's name.
        digest: fingerprint of all that a block is made of: image, masks, position, camera.
    """

    record: KeyframeRecord
    drive: str
    digest: str

    @property
    def name(self) -> str:
        """Unique in the city."""
        return self.record.name

    def image_path(self, city: CityFolder) -> Path:
        """Where its image lies."""
        return city.drive(self.drive) / self.record.image

    def keyframe(self, city: CityFolder) -> Keyframe:
        """With its image. Raises ``DataError`` where the file is gone."""
        path = self.image_path(city)
        try:
            return self.record.keyframe(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class DriveFacts:
    """What ``drive.json`` says.

    Attributes:
        fingerprint: of the source, when it was read.
        digests: keyframe name -> fingerprint.
        objects: masks of all keyframes together; -1 where none were given.
        left_out: image -> why it is not used.
        findings: as in metrics.json.
    """

    fingerprint: str
    digests: Mapping[str, str]
    objects: int
    left_out: Mapping[str, str]
    findings: Sequence[Mapping[str, Any]]


def digest_of(keyframe: Keyframe, record: KeyframeRecord, masks: bytes) -> str:
    """Fingerprint of a keyframe: it changes whenever something does that a block is made of."""
    facts = {k: v for k, v in record.to_json().items() if k != "image"}
    found = hashlib.sha256(keyframe.encoded)
    found.update(json.dumps(facts, sort_keys=True, default=str).encode())
    found.update(masks)
    return found.hexdigest()[:32]


def write_facts(folder: Path, facts: DriveFacts) -> None:
    """Say that the drive is read; written last."""
    write_json(folder / FILE, {name: getattr(facts, name) for name in DriveFacts.__dataclass_fields__})


def read_facts(folder: Path) -> DriveFacts | None:
    """What ``write_facts`` said; None where the drive is not, or not wholly, read, or the file is damaged."""
    try:
        item = read_json(folder / FILE)
        return DriveFacts(**{name: item[name] for name in DriveFacts.__dataclass_fields__})
    except (Seg2d3dError, KeyError, TypeError):
        return None


def stored_keyframes(folder: Path, facts: DriveFacts) -> list[CityKeyframe]:
    """The keyframes of a drive that was read, sorted by name.

    Raises:
        DataError: its keyframes.json is damaged.
    """
    records = MapStore(folder).read_keyframes()
    if {record.name for record in records} != set(facts.digests):
        raise DataError(f"{folder}: its keyframes.json is not that which {FILE} speaks of; delete {folder} and run again")
    found = [CityKeyframe(record, folder.name, facts.digests[record.name]) for record in records]
    return sorted(found, key=lambda keyframe: keyframe.name)


class DriveMasks:
    """Gives the masks that were read with the drives.

    Args:
        folders: where each drive lies, by keyframe name.
        class_names: of the classes; the k-th has the id k + 1.
    """

    def __init__(self, folders: Mapping[str, Path], class_names: Sequence[str]) -> None:
        self._folders, self._class_names = folders, tuple(class_names)

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """The masks of one keyframe; None where nobody looked for objects in it.

        Raises:
            DataError: a file is damaged.
        """
        store = MapStore(self._folders[keyframe.name])
        named = store.read_named_segments(keyframe.name)
        if named is None:
            return None
        segments = named.numbered(self._class_names)
        if not (store.root / "masks" / f"{keyframe.name}.json").exists():
            return segments
        return replace(segments, overlapping=store.read_overlapping(keyframe.name, self._class_names))

    def close(self) -> None:
        """Nothing to free."""
