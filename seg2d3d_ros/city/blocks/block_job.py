"""The order for one block: everything that whoever makes it needs, also in another process or on another machine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.cutting.block_cut import BlockCut
from seg2d3d_ros.city.drives.stored_drive import CityKeyframe
from seg2d3d_ros.config import Config, make_config

VERSION = 1
"""Of how blocks are made; it grows when those made before are worth making anew."""
_PLAYS_NO_PART = ("reconstruction.threads", "segmentation.device", "segmentation.models_dir", "segmentation.allow_download")
"""Parameters that change nothing in a block but how long it takes."""


@dataclass(frozen=True)
class BlockJob:
    """One block to be made.

    Attributes:
        root: the city's directory, which whoever makes the block must be able to write.
        name: of the block: the beginning of its fingerprint.
        fingerprint: of its keyframes and of the configuration.
        keyframes: of the block, sorted by name.
        core: names of those that are its own.
        ready_masks: whether its masks were read with the drives.
        config: with as many threads as one worker has.
    """

    root: Path
    name: str
    fingerprint: str
    keyframes: tuple[CityKeyframe, ...]
    core: frozenset[str]
    ready_masks: bool
    config: Config

    @property
    def city(self) -> CityFolder:
        """Where the block belongs."""
        return CityFolder(self.root)

    def image_in_map(self, keyframe: CityKeyframe) -> Path:
        """Where a keyframe's image lies, for the block's keyframes.json: relative to its map where that is in the city."""
        if Path(keyframe.record.image).is_absolute():
            return Path(keyframe.record.image)
        return Path(os.path.relpath(keyframe.image_path(self.city), self.city.block(self.name)))


def block_jobs(
    city: CityFolder,
    cuts: Sequence[BlockCut],
    keyframes: Mapping[str, CityKeyframe],
    config: Config,
    *,
    ready_masks: bool,
    threads: int,
) -> list[BlockJob]:
    """The orders for all blocks of a cut, in its order.

    Args:
        keyframes: of the city, by name.
        threads: of one worker.
    """
    settings = {key: value for key, value in config.flat().items() if key not in _PLAYS_NO_PART}
    one = make_config({"reconstruction.threads": threads}, config)
    jobs = []
    for cut in cuts:
        chosen = tuple(keyframes[name] for name in cut.names)
        facts = [VERSION, [[k.name, k.digest] for k in chosen], settings]
        fingerprint = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        name = f"b{fingerprint[:10]}"
        jobs.append(BlockJob(city.root.resolve(), name, fingerprint, chosen, frozenset(cut.core), ready_masks, one))
    return jobs
