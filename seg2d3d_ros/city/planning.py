"""From drives to the orders for blocks: everything is read, cut, and given a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.city.blocks.block_job import BlockJob, block_jobs
from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.cutting.block_cut import BlockCut, CutLimits
from seg2d3d_ros.city.cutting.cut_by_pairs import cut_by_pairs
from seg2d3d_ros.city.cutting.cut_by_place import cut_by_place
from seg2d3d_ros.city.cutting.keyframe_places import in_order, keyframe_places
from seg2d3d_ros.city.cutting.pair_graph import pair_graph
from seg2d3d_ros.city.drives.drive_reading import read_drive
from seg2d3d_ros.city.drives.drive_source import DriveSource
from seg2d3d_ros.city.drives.stored_drive import CityKeyframe, DriveFacts
from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.segmentation.factory import MODELS

CITY_DRIVES_UNREAD = Kind(
    "city_drives_unread",
    "drives that cannot be read",
    cause="{reason}",
    remedy="mend or leave out these drives; the others are in the city",
)
CITY_ALONE = Kind(
    "city_alone",
    "keyframes that no block holds",
    cause="nothing was taken near them, or nothing that shows the same",
    remedy="check their positions, or take more images there",
)
CITY_MIXED = Kind(
    "city_drives_without_positions",
    "drives without positions beside drives with positions",
    cause="who lies where is only known of the others, so these are cut by what they show, and share no block with the others",
    remedy="give positions for them (--gps), and the drives of one street join",
)
CITY_TRIMMED = Kind(
    "city_overlap_trimmed",
    "keyframes that a block should share with a neighbour but has no room for",
    cause="many images were taken in one place; the nearest ones are shared",
    remedy="let blocks be larger: --block-keyframes, with more memory for each worker",
)


@dataclass(frozen=True)
class CityPlan:
    """What is to be made.

    Attributes:
        keyframes: all that were read, by name.
        drives: what was read of each drive, by its name.
        cuts: the blocks' keyframes, in the order of the blocks' numbers; ``jobs`` the orders for them.
        places: (2,) metres by keyframe name, where known.
    """

    keyframes: Mapping[str, CityKeyframe]
    drives: Mapping[str, DriveFacts]
    cuts: Sequence[BlockCut]
    jobs: Sequence[BlockJob]
    places: Mapping[str, np.ndarray]


def plan_city(
    city: CityFolder,
    sources: Sequence[DriveSource],
    config: Config,
    limits: CutLimits,
    *,
    threads: int,
    findings: Findings,
    progress: Progress,
) -> CityPlan:
    """Read the drives and cut them.

    Raises:
        DataError: no drive can be read, or ready masks hold no object at all.
    """
    keyframes, drives = _read(city, sources, config, findings, progress)
    ready = config.segmentation.segmenter not in MODELS and config.segmentation.segmenter != "none"
    if ready and not any(facts.objects > 0 for facts in drives.values()):
        raise DataError(
            f"no object in the masks of {len(keyframes)} images of {len(drives)} drives; give masks of what was asked for, or "
            "--segmenter none for 3D only"
        )
    places = keyframe_places(list(keyframes.values()), findings)
    cuts = _cut(city, keyframes, places, config, limits, findings, progress)
    jobs = block_jobs(city, cuts, keyframes, config, ready_masks=ready, threads=threads)
    return CityPlan(keyframes, drives, cuts, jobs, places)


def _read(
    city: CityFolder, sources: Sequence[DriveSource], config: Config, findings: Findings, progress: Progress
) -> tuple[dict[str, CityKeyframe], dict[str, DriveFacts]]:
    keyframes: dict[str, CityKeyframe] = {}
    drives: dict[str, DriveFacts] = {}
    settings = config.reconstruction  # a rig file, and a folder of masks, call the cameras as the drives do
    own_cameras = settings.rig in ("auto", "none") and not (settings.masks and Path(settings.masks).is_dir())
    errors: list[Seg2d3dError] = []
    for source in sources:
        try:
            found, drives[source.name] = read_drive(
                source, city.drive(source.name), config, own_cameras=own_cameras, findings=findings, progress=progress
            )
        except DataError as error:
            errors.append(error)
            findings.add(CITY_DRIVES_UNREAD, source.name, of=len(sources), reason=str(error))
            continue
        keyframes.update({keyframe.name: keyframe for keyframe in found})
    if not keyframes:
        raise errors[0] if errors else DataError("no drive was given")
    return keyframes, drives


def _cut(
    city: CityFolder,
    keyframes: Mapping[str, CityKeyframe],
    places: Mapping[str, np.ndarray],
    config: Config,
    limits: CutLimits,
    findings: Findings,
    progress: Progress,
) -> list[BlockCut]:
    there = sorted(places)
    cuts = cut_by_place(there, np.array([places[name] for name in there]), limits) if there else []
    cuts = _stray_to_neighbours(cuts, keyframes, limits)
    rest = [keyframes[name] for name in sorted(keyframes) if name not in places]
    if rest:
        if cuts:
            without = sorted({keyframe.drive for keyframe in rest})
            findings.add(CITY_MIXED, *without, of=len({k.drive for k in keyframes.values()}))
        networks = config.segmentation.networks
        pairs = pair_graph(rest, city, config.reconstruction, networks, findings, progress)
        cuts += cut_by_pairs([keyframe.name for keyframe in rest], pairs, limits)
    lonely = [name for cut in cuts if len(cut.names) < 2 for name in cut.names]
    if lonely:
        findings.add(CITY_ALONE, *lonely, of=len(keyframes))
    kept = [cut for cut in cuts if len(cut.names) >= 2]
    if not kept:
        raise DataError("no two images lie near each other or show the same; check the positions, or take more images")
    if trimmed := sum(cut.trimmed for cut in kept):
        findings.add(CITY_TRIMMED, count=trimmed)
    return kept


def _stray_to_neighbours(cuts: Sequence[BlockCut], keyframes: Mapping[str, CityKeyframe], limits: CutLimits) -> list[BlockCut]:
    """Few keyframes that lie apart from all others, by a wrong position say, go where their neighbours in the drive are."""
    stray = [k for k, cut in enumerate(cuts) if len(cut.core) < limits.least and not cut.shared]
    if not stray or len(stray) == len(cuts):
        return list(cuts)
    home = {name: k for k, cut in enumerate(cuts) if k not in set(stray) for name in cut.core}
    more: dict[int, list[str]] = {}
    moved: set[int] = set()
    ordered = {drive: in_order([k for k in keyframes.values() if k.drive == drive]) for drive in _drives(cuts, keyframes)}
    for k in stray:
        way = [keyframe.name for keyframe in ordered[keyframes[cuts[k].core[0]].drive]]
        at = way.index(cuts[k].core[0])
        near = sorted((i for i, name in enumerate(way) if name in home), key=lambda i: (abs(i - at), i))
        target = next((home[way[i]] for i in near[:1]), None)
        if target is not None and len(cuts[target].names) + len(more.get(target, ())) < limits.keyframes:
            more.setdefault(target, []).extend(cuts[k].core)
            moved.add(k)
    return [replace(cut, core=tuple(sorted((*cut.core, *more.get(k, ()))))) for k, cut in enumerate(cuts) if k not in moved]


def _drives(cuts: Sequence[BlockCut], keyframes: Mapping[str, CityKeyframe]) -> list[str]:
    return sorted({keyframes[name].drive for cut in cuts for name in cut.core})


def told_before(plan: CityPlan) -> list[dict[str, Any]]:
    """What was found when the drives were read, in this run or a former one, as in metrics.json."""
    return [{**finding, "drive": drive} for drive, facts in plan.drives.items() for finding in facts.findings]
