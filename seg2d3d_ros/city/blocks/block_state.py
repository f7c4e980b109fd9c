"""How far a block is: ``blocks/<block>.json``, the checkpoint by which a finished block is never made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from seg2d3d_ros.city.blocks.block_job import BlockJob
from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.mapstore.directory.marker import WHOLE, read_marker

Progressed = Literal["begun", "made", "failed"]
ATTEMPTS = 3
"""Times that a block may be begun without an end, before it is left out: its images crash whoever makes it."""


@dataclass(frozen=True)
class BlockState:
    """How far a block is.

    Attributes:
        fingerprint: of the block's job.
        state: ``begun`` and never ended means that whoever made it was killed.
        attempts: how often it was begun.
        reason: why it failed.
        counts: as in its metrics.json.
        findings: as in its metrics.json.
        seconds, cpu_seconds: what it took.
        peak_mb: the most memory that its process had, in megabytes.
    """

    fingerprint: str
    state: Progressed
    attempts: int = 1
    reason: str = ""
    counts: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


def write_state(city: CityFolder, block: str, state: BlockState) -> None:
    """Note how far a block is."""
    write_json(city.block_state(block), {**asdict(state), "findings": list(state.findings)})


def read_state(job: BlockJob) -> BlockState | None:
    """How far a block is; None where nothing was begun, or for other images or another configuration."""
    try:
        item = read_json(job.city.block_state(job.name))
        known = {name: item[name] for name in BlockState.__dataclass_fields__}
        state = BlockState(**{**known, "findings": tuple(item["findings"])})
    except (Seg2d3dError, KeyError, TypeError):
        return None
    return state if state.fingerprint == job.fingerprint else None


def is_made(job: BlockJob) -> bool:
    """Whether the block is there, whole."""
    state = read_state(job)
    if state is None or state.state != "made":
        return False
    try:
        marker = read_marker(job.city.block(job.name))
    except Seg2d3dError:
        return False
    return marker is not None and marker.state == WHOLE
