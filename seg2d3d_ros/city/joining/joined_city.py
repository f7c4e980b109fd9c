"""What joining came to: transforms, identities, and what is doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.city.joining.shared_evidence import Instance
from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity


@dataclass(frozen=True, eq=False)
class JoinedCity:
    """Blocks in one frame.

    Attributes:
        frame: as in tracks.json.
        city_from_block: by name, of the blocks that are in the city's frame; ``group`` 0 for the largest group that hangs
            together by common points.
        bounds: [[x, y, z], [x, y, z]] of the cameras of each block, in the city's frame.
        overlaps: for the index.
        registered: names of the keyframes that are in the frame.
        instances: of the city; ``of_several`` those that several blocks show.
    """

    frame: Mapping[str, Any]
    city_from_block: Mapping[str, Similarity]
    group: Mapping[str, int]
    bounds: Mapping[str, Any]
    overlaps: Sequence[Mapping[str, Any]]
    registered: frozenset[str]
    instances: int = 0
    of_several: int = 0
    shifts: Mapping[str, float] = field(default_factory=dict)

    @property
    def placed(self) -> frozenset[str]:
        """Names of the blocks that are in the city's frame."""
        return frozenset(self.city_from_block)

    def transform_entry(self, name: str) -> dict[str, Any] | None:
        """A block's transform for the index; None where it is not in the city's frame."""
        if name not in self.city_from_block:
            return None
        entry = similarity_entry(self.city_from_block[name])
        entry["group"] = self.group[name]
        if name in self.shifts:
            entry["moved"] = round(self.shifts[name], 3)
        return entry


def similarity_entry(similarity: Similarity) -> dict[str, Any]:
    """A similarity in JSON."""
    turn = Pose(similarity.rotation, np.zeros(3)).quaternion
    return {
        "scale": similarity.scale,
        "quaternion_xyzw": turn.tolist(),
        "translation": similarity.translation.tolist(),
    }


def read_similarity(entry: Mapping[str, Any]) -> Similarity:
    """The inverse of ``similarity_entry``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
    turn = Pose.from_quaternion(np.array(entry["quaternion_xyzw"], float), np.zeros(3))
    scale, translation = float(entry["scale"]), np.array(entry["translation"], float).reshape(3)
    if not 0 < scale < np.inf or not np.isfinite(translation).all():
        raise ValueError(f"scale {scale}, translation {translation.tolist()}")
    return Similarity(scale, turn.rotation, translation)


def write_table(path: Path, numbers: Mapping[Instance, int]) -> None:
    """Write which instance of the city each instance of each block is: ``blocks`` (B,) names, ``block`` (N,) which of them,
    ``local`` (N,) its id there, ``instance`` (N,) that of the city."""
    rows = sorted(numbers)
    names = sorted({name for name, _ in rows})
    place = {name: k for k, name in enumerate(names)}
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            blocks=np.array(names, np.str_),
            block=np.array([place[name] for name, _ in rows], np.int32),
            local=np.array([one for _, one in rows], np.int32),
            instance=np.array([numbers[row] for row in rows], np.int64),
        )


def read_table(path: Path) -> dict[str, dict[int, int]]:
    """Of each block: its instance -> that of the city. Raises ``DataError`` where the file is gone or damaged."""
    try:
        with np.load(path, allow_pickle=False) as table:
            names = [str(name) for name in table["blocks"]]
            found: dict[str, dict[int, int]] = {name: {} for name in names}
            for block, local, number in zip(
                table["block"].tolist(), table["local"].tolist(), table["instance"].tolist(), strict=True
            ):
                found[names[block]][local] = number
            return found
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run 'seg2d3d city' again with the same --out") from error
