"""A data set on disk: one npz for each street, and ``dataset.json``, which says what they are and how they are divided.

Arrays of a scene lie under the names of ``LearningScene``; what a view sees is in CSR layout (``view_start`` points into
``view_point``, ``view_mask`` and ``view_instance``). ``numpy.load(path, allow_pickle=False)`` reads it anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

import seg2d3d_ros
from seg2d3d_ros.disk.arrays_file import read_arrays
from seg2d3d_ros.disk.atomic import replacing, write_json, write_text
from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.learning.learning_scene import LearningScene

CARD, README = "dataset.json", "README.md"
FORMAT = "seg2d3d learning scenes"
VERSION = 2
SPLITS = ("train", "validation", "test")
_TEXT = ("name", "views", "text_model", "image_model")
_INDICES = {"superpoint": 0, "instance": -1, "view_point": 0, "view_mask": 0, "view_instance": 0}
"""The lowest value that each may have."""

SCENES_UNREADABLE = Kind(
    "dataset_scenes_unreadable",
    "streets of a data set that cannot be used",
    cause="{reason}",
    remedy="make the data set again, or remove the file and its entry in dataset.json",
)


@dataclass(frozen=True)
class DataSet:
    """Scenes by split.

    Attributes:
        folder: where they lie.
        voxel: metres between neighbouring points.
        files: by split, the files' names.
        text: size of the text-image vectors, 0 = some or all maps have none.
        image: values of the points' image features, 0 = there are none.
    """

    folder: Path
    voxel: float
    files: Mapping[str, tuple[str, ...]]
    text: int
    image: int

    def scenes(self, split: str, findings: Findings) -> list[LearningScene]:
        """The scenes of a split; damaged ones are counted and left out.

        Raises:
            DataError: none is left.
        """
        found = []
        for name in self.files[split]:
            scene = self._scene_or_reason(name)
            if isinstance(scene, str):
                findings.add(SCENES_UNREADABLE, name, of=len(self.files[split]), reason=scene)
            else:
                found.append(scene)
        if not found:
            raise DataError(f"{self.folder}: no street of its {split} split can be used; make the data set again")
        return found

    def _scene_or_reason(self, name: str) -> LearningScene | str:
        try:
            scene = read_scene(self.folder / name)
        except DataError as error:
            return str(error)
        if self.image and scene.image_model and scene.image.shape[1] != self.image:
            return f"{name}: its image features have {scene.image.shape[1]} values, the data set's {self.image}"
        return scene


def write_scene(path: Path, scene: LearningScene) -> None:
    """Write a scene whole or not at all."""
    arrays = {item.name: np.asarray(getattr(scene, item.name)) for item in fields(scene)}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_scene(path: Path) -> LearningScene:
    """The inverse.

    Raises:
        DataError: no such file, a damaged or pickled one, or one whose arrays do not fit together.
    """
    names = [item.name for item in fields(LearningScene)]
    try:
        arrays = read_arrays(path)
        values: dict[str, Any] = {name: arrays[name] for name in names}
        for name in _TEXT:
            values[name] = tuple(values[name].tolist()) if name == "views" else str(values[name])
        scene = LearningScene(**values)
        _check(scene)
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: no scene of a data set, or a damaged one ({reason}); make the data set again") from error
    return scene


def _check(scene: LearningScene) -> None:
    if not np.isfinite(scene.xyz).all() or not np.isfinite(scene.normal).all():
        raise ValueError("its points or normals hold values that are no numbers")
    for name, least in _INDICES.items():
        values = getattr(scene, name)
        if len(values) and values.min() < least:
            raise ValueError(f"{name} holds {values.min()}")
    start = scene.view_start
    if start[0] != 0 or start[-1] != len(scene.view_point) or (np.diff(start) < 0).any():
        raise ValueError("view_start does not fit view_point")
    if len(scene.xyz) < 2 or (len(scene.view_point) and scene.view_point.max() >= len(scene.xyz)):
        raise ValueError("view_point names points that are not there")


def write_card(
    folder: Path, scenes: Sequence[Mapping[str, Any]], voxel: float, settings: Mapping[str, Any], text: int, image: int = 0
) -> None:
    """Write the data card: ``dataset.json`` for programs, and the same in words.

    Args:
        scenes: of each street its ``file``, ``split``, ``source`` and counts.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"seg2d3d_ros {seg2d3d_ros.__version__}",
        "voxel": voxel,
        "text": text,
        "image": image,
        **settings,
        "scenes": list(scenes),
    }
    write_json(folder / CARD, document)
    write_text(folder / README, _words(document))


def read_card(folder: Path) -> DataSet:
    """What a folder's card says.

    Raises:
        UsageError: no data set.
        DataError: an empty one, one of another version, or a damaged card.
    """
    path = folder / CARD
    if not path.is_file():
        raise UsageError(f"{folder}: no data set (it has no {CARD}); `seg2d3d dataset MAP… --out {folder}` makes one")
    card = read_json(path, remedy="make the data set again")
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path}: not the card of a data set of this software; make the data set again")
    if card.get("version") != VERSION:
        raise DataError(
            f"{path}: version {str(card.get('version'))[:20]}, this software reads {VERSION}; make the data set again"
        )
    scenes, voxel, text, image = card.get("scenes"), card.get("voxel"), card.get("text"), card.get("image")
    valid = isinstance(scenes, list) and all(
        isinstance(s, dict) and s.get("split") in SPLITS and _plain(s.get("file")) for s in scenes
    )
    sizes = all(isinstance(size, int) and 0 <= size < 1 << 16 for size in (text, image))
    if not valid or not sizes or not isinstance(voxel, int | float) or not 0 < voxel < 100:
        raise DataError(f"{path}: its scenes or its voxel make no sense; make the data set again")
    files = {split: tuple(str(s["file"]) for s in scenes or () if s["split"] == split) for split in SPLITS}
    if not files["train"]:
        raise DataError(
            f"{folder}: the data set is empty: it has no street to train on; give `seg2d3d dataset` maps with masks"
        )
    return DataSet(folder, float(voxel), files, int(text or 0), int(image or 0))


def _plain(name: Any) -> bool:
    """Whether it is a file's name and leads nowhere else."""
    return isinstance(name, str) and name == Path(name).name and name.endswith(".npz") and "\0" not in name


def _words(card: Mapping[str, Any]) -> str:
    rows = [
        f"| {s['file']} | {s['split']} | {s['points']} | {s['superpoints']} | {s['views']} | {s['masks']} | {s['instances']} "
        f"| {s['labelled']:.2f} |"
        for s in card["scenes"]
    ]
    return "\n".join(
        [
            "# Streets to learn from",
            "",
            f"Made by {card['made_by']} (`seg2d3d dataset`). Nobody drew a label: masks come from a detector in each image,",
            "objects from their association over all images, and both are wrong in places. They are partial labels: of what a",
            "view does not see it says nothing.",
            "",
            f"Points are {card['voxel']:g} m apart. Each npz has the arrays of `seg2d3d_ros.learning.learning_scene`: places,",
            "colours, normals, superpoints, the label of the whole street (-1 = seen by no view), image features where a model",
            "was asked for them, and per view",
            "(CSR: `view_start`) the points that it sees, its own masks there and the objects there.",
            "",
            "| file | split | points | superpoints | views | masks | instances | labelled |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "`labelled`: share of the points that some view sees. Streets are in one split as a whole.",
            "",
        ]
    )
