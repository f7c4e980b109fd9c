"""Which keyframes show the same, where nobody knows where they were taken: the graph of verified pairs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.drives.stored_drive import CityKeyframe
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

CITY_UNREADABLE = Kind(
    "city_unreadable",
    "keyframes that cannot be used to find out which show the same",
    cause="{reason}",
    remedy="look at these images",
)
FEATURES = 1500
"""Of an image, enough to tell who shows the same."""


def pair_graph(
    keyframes: Sequence[CityKeyframe],
    city: CityFolder,
    config: ReconstructionConfig,
    networks: NetworkSettings,
    findings: Findings,
    progress: Progress,
) -> np.ndarray:
    """(M, 3) int64 place of one keyframe, of another, their verified matches.

    The graph's database stays in the city, so that it is not made again; features of a new keyframe are added.

    Args:
        keyframes: sorted by name.
    """
    city.graph.mkdir(parents=True, exist_ok=True)
    few = replace(config, max_features=min(config.max_features, FEATURES), masks="", rig="none", model="")
    with closing(BatchReconstructor(city.graph, few, networks)) as reconstructor:
        for k, keyframe in enumerate(keyframes):
            progress("who shows the same", k, len(keyframes))
            try:
                reconstructor.add(keyframe.keyframe(city))
            except DataError as error:
                findings.add(CITY_UNREADABLE, keyframe.name, of=len(keyframes), reason=str(error))
        place = {keyframe.name: k for k, keyframe in enumerate(keyframes)}
        rows = [row for row in reconstructor.database.images() if row.name in place]
        for more in (False, True):
            reconstructor.matcher.match_all(rows, {}, more=more, progress=progress)
        index = {row.image_id: place[row.name] for row in rows}
        pairs = reconstructor.matcher.tried.rows(few.min_pair_inliers)
    known = [(index[a], index[b], n) for a, b, n in pairs.tolist() if a in index and b in index]
    return np.array(sorted((min(a, b), max(a, b), n) for a, b, n in known), np.int64).reshape(-1, 3)
