"""The whole way from drives to a city: read, cut, make the blocks, join them, write what people open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seg2d3d_ros.city.blocks.block_run import run_blocks
from seg2d3d_ros.city.blocks.block_state import BlockState
from seg2d3d_ros.city.blocks.workers import Workers
from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.cutting.block_cut import CutLimits
from seg2d3d_ros.city.drives.drive_source import DriveSource
from seg2d3d_ros.city.joining.city_joining import JoinedCity, join_blocks
from seg2d3d_ros.city.outputs.overview_page import write_overview
from seg2d3d_ros.city.planning import CityPlan, plan_city, told_before
from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.progress import Progress

CITY_BLOCKS_FAILED = Kind(
    "city_blocks_failed",
    "blocks that could not be made",
    cause="{reason}",
    remedy="the others are there; mend the cause and run again: only these are made",
)
CITY_BLOCKS_STALE = Kind(
    "city_blocks_stale",
    "blocks of an earlier cut or configuration that are not used any more",
    cause="drives, masks or parameters changed since they were made",
    remedy="delete them in blocks/ if their space is wanted",
    level="note",
)
LISTED = 50
"""Findings of blocks that the index lists."""


def make_city(
    root: Path,
    sources: Sequence[DriveSource],
    config: Config,
    limits: CutLimits,
    workers: Workers,
    *,
    findings: Findings,
    progress: Progress,
) -> dict[str, Any]:
    """Make a city, or go on with it: what is finished is not made again. Returns its index.

    Raises:
        UsageError: the directory holds something else, or is in use; Ray is asked for and not installed.
        DataError: no drive can be read, or not one block could be made.
    """
    city = CityFolder(root)
    with city.hold():
        if not (city.root / "city.json").exists():
            city.write_index({"state": "building", "blocks": []})
        plan = plan_city(city, sources, config, limits, threads=workers.threads, findings=findings, progress=progress)
        states = run_blocks(plan.jobs, workers, progress)
        tell_blocks(city, plan, states, findings)
        joined = join_blocks(city, plan, states, findings, progress)
        index = _index(city, plan, states, joined, limits, findings)
        city.write_index(index)
        write_overview(city)
        return index


def tell_blocks(city: CityFolder, plan: CityPlan, states: Mapping[str, BlockState], findings: Findings) -> None:
    """Tell of blocks that could not be made, and of those that an earlier run left.

    Raises:
        DataError: not one block is made.
    """
    failed = [job for job in plan.jobs if states[job.name].state != "made"]
    for job in failed:
        findings.add(CITY_BLOCKS_FAILED, job.name, of=len(plan.jobs), reason=states[failed[0].name].reason)
    if len(failed) == len(plan.jobs):
        raise DataError(f"{city.root}: not one of {len(failed)} blocks could be made: {states[failed[0].name].reason}")
    known = {job.name for job in plan.jobs}
    stale = sorted(path.name for path in (city.root / "blocks").iterdir() if path.is_dir() and path.name not in known)
    if stale := [name for name in stale if not name.startswith(".")]:
        findings.add(CITY_BLOCKS_STALE, *stale)


def _index(
    city: CityFolder,
    plan: CityPlan,
    states: Mapping[str, BlockState],
    joined: JoinedCity,
    limits: CutLimits,
    findings: Findings,
) -> dict[str, Any]:
    blocks = []
    for number, (job, cut) in enumerate(zip(plan.jobs, plan.cuts, strict=True), start=1):
        state = states[job.name]
        entry: dict[str, Any] = {"number": number, "name": job.name, "folder": f"blocks/{job.name}", "state": state.state}
        entry |= {"fingerprint": job.fingerprint, "keyframes": len(job.keyframes), "core": list(cut.core)}
        if state.reason:
            entry["reason"] = state.reason
        entry |= {"counts": dict(state.counts), "seconds": state.seconds, "cpu_seconds": state.cpu_seconds}
        entry["peak_mb"] = state.peak_mb
        entry["city_from_block"] = joined.transform_entry(job.name)
        entry["bounds"] = joined.bounds.get(job.name)
        blocks.append(entry)
    registered = joined.registered
    counts = {
        "drives": len(plan.drives),
        "keyframes": len(plan.keyframes),
        "registered": len(registered),
        "blocks": len(blocks),
        "blocks_made": sum(block["state"] == "made" for block in blocks),
        "blocks_joined": len(joined.placed),
        "instances": joined.instances,
        "instances_of_several_blocks": joined.of_several,
    }
    own, of_drives = [finding.to_json() for finding in findings.list()], told_before(plan)
    by_drive = {finding["code"] for finding in of_drives}
    return {
        "state": "whole",
        "frame": joined.frame,
        "cut": {"keyframes": limits.keyframes, "overlap": limits.overlap},
        "drives": {
            name: {"keyframes": len(facts.digests), "left_out": len(facts.left_out)} for name, facts in plan.drives.items()
        },
        "blocks": blocks,
        "overlaps": joined.overlaps,
        "counts": counts,
        "findings": [finding for finding in own if finding["code"] not in by_drive] + of_drives,
        "warnings": [str(item["text"]) for item in own],
        "findings_of_blocks": _together(plan, states),
    }


def _together(plan: CityPlan, states: Mapping[str, BlockState]) -> list[dict[str, Any]]:
    """What the blocks doubt, each kind once: how many blocks, how many cases, the text of the block with most."""
    kinds: dict[str, dict[str, Any]] = {}
    for number, job in enumerate(plan.jobs, start=1):
        for finding in states[job.name].findings:
            entry = kinds.setdefault(finding["code"], {**finding, "count": 0, "most": 0, "blocks": []})
            entry["count"] += finding["count"]
            entry["blocks"].append(number)
            if finding["count"] > entry["most"]:
                entry |= {"most": finding["count"], "text": finding["text"]}
    order = {"error": 0, "warning": 1, "note": 2}
    found = sorted(kinds.values(), key=lambda entry: (order.get(entry["level"], 3), -entry["count"], entry["code"]))
    return [{key: value for key, value in entry.items() if key != "most"} for entry in found[:LISTED]]
