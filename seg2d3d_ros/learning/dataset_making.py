"""Maps → a data set: one scene for each map, whole streets in each split, a card beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.learning.dataset_folder import CARD, SPLITS, write_card, write_scene
from seg2d3d_ros.learning.image_features import CHANNELS, ImageFeatures
from seg2d3d_ros.learning.learning_scene import UNKNOWN, LearningScene
from seg2d3d_ros.learning.map_scenes import map_scene
from seg2d3d_ros.learning.pointcept_files import write_pointcept
from seg2d3d_ros.progress import Progress

MAPS_LEFT_OUT = Kind(
    "dataset_maps_left_out",
    "maps that give a data set nothing",
    cause="{reason}",
    remedy="mend or leave out these maps",
)
EMBEDDINGS_DIFFER = Kind(
    "dataset_embeddings_left_out",
    "maps whose embeddings a data set leaves out",
    cause="they are of another text-image model than those of the other maps, or some maps have none",
    remedy="run `seg2d3d find` with one words.model on all maps first, if the network is to know words",
)


def make_dataset(
    maps: Sequence[Path],
    out: Path,
    *,
    voxel: float,
    reach: float,
    cloud: str,
    held_out: tuple[float, float],
    seed: int,
    pointcept: bool,
    findings: Findings,
    progress: Progress,
    features: ImageFeatures | None = None,
) -> list[dict[str, Any]]:
    """Write a data set.

    Args:
        maps: one street each.
        out: a new or empty folder.
        held_out: shares of the maps for validation and test; at least one map is left to train on.
        seed: of the division.
        pointcept: also write the layout that Pointcept's and similar trainers read.
        features: what is asked about the pictures; None = nothing.

    Returns:
        what the card says of each scene.

    Raises:
        UsageError: the folder is not empty, or the shares make no sense.
        DataError: no map gives a scene.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is not an empty folder; choose a new one")
    if min(held_out) < 0 or sum(held_out) >= 1 or not 0 < voxel < 10 or not reach > 0:
        raise UsageError("dataset: shares for validation and test are together below 1, --voxel in (0, 10), --range above 0")
    names = _names(maps)
    scenes: list[tuple[Path, LearningScene]] = []
    for done, (root, name) in enumerate(zip(maps, names, strict=True), 1):
        try:
            scene: LearningScene | str = map_scene(root, name, voxel, reach, cloud, findings, features, progress)
        except Seg2d3dError as error:
            scene = str(error)
        if isinstance(scene, str):
            findings.add(MAPS_LEFT_OUT, str(root), of=len(maps), reason=scene)
        else:
            scenes.append((root, scene))
        progress("maps", done, len(maps))
    if not scenes:
        reasons = next((found.details.get("reason", "") for found in findings.list() if found.kind is MAPS_LEFT_OUT), "")
        raise DataError(f"none of the {len(maps)} maps can be learnt from: {reasons}")
    text = _same_text([scene for _, scene in scenes], findings)
    split_of = split_streets([scene.name for _, scene in scenes], held_out, seed)
    facts: list[dict[str, Any]] = []
    for root, scene in scenes:
        file = f"{scene.name}.npz"
        write_scene(out / file, scene)
        if pointcept:
            write_pointcept(out / "pointcept" / split_of[scene.name] / scene.name, scene)
        facts.append({"file": file, "split": split_of[scene.name], "source": str(root), **counts(scene)})
    write_card(out, facts, voxel, {"range": reach, "cloud": cloud, "seed": seed}, text, CHANNELS if features else 0)
    return facts


def counts(scene: LearningScene) -> dict[str, Any]:
    """What a data card says of a scene."""
    masks = sum(len(np.unique(view.label[view.label > 0])) for view in scene.by_view(own=True))
    return {
        "points": len(scene.xyz),
        "superpoints": int(scene.superpoint.max(initial=-1)) + 1,
        "views": len(scene.views),
        "masks": masks,
        "instances": len(np.unique(scene.instance[scene.instance > 0])),
        "labelled": round(float((scene.instance != UNKNOWN).mean()), 4),
        "embedded": len(scene.text_instance),
    }


def split_streets(names: Sequence[str], held_out: tuple[float, float], seed: int) -> dict[str, str]:
    """The split of each street by its name; a share that asks for part of a street gets the nearest whole number."""
    order = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    validation, test = (round(share * len(names)) for share in held_out)
    while validation + test >= len(names):
        validation, test = (validation - 1, test) if validation >= test else (validation, test - 1)
    splits = [SPLITS[1]] * validation + [SPLITS[2]] * test
    splits += [SPLITS[0]] * (len(names) - len(splits))
    return dict(zip(order, splits, strict=True))


def _names(maps: Sequence[Path]) -> list[str]:
    """A name for each map: its folder's, with a number where several folders have one."""
    stems = ["".join(c if c.isalnum() or c in "-_" else "_" for c in root.resolve().name) or "map" for root in maps]
    return [stem if stems.count(stem) == 1 and f"{stem}.npz" != CARD else f"{stem}_{k}" for k, stem in enumerate(stems)]


def _same_text(scenes: Sequence[LearningScene], findings: Findings) -> int:
    """Size of the embeddings where all scenes have those of one model, else 0."""
    models = {scene.text_model for scene in scenes}
    if len(models) == 1 and "" not in models:
        return int(scenes[0].text.shape[1])
    with_text = [scene.name for scene in scenes if scene.text_model]
    findings.add(EMBEDDINGS_DIFFER, *with_text, count=len(with_text), of=len(scenes))
    return 0
