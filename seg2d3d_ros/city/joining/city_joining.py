"""Joins blocks that are made: overlaps, transforms, identities. Never more than a few blocks are in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from seg2d3d_ros.city.blocks.block_state import BlockState
from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.joining import joining_doubts as kinds
from seg2d3d_ros.city.joining.block_content import BlockContent, ContentReader
from seg2d3d_ros.city.joining.block_graph import PlacedBlock, Placement, place_blocks
from seg2d3d_ros.city.joining.common_points import common_points
from seg2d3d_ros.city.joining.identity_groups import Identities, group_instances
from seg2d3d_ros.city.joining.joined_city import JoinedCity, write_table
from seg2d3d_ros.city.joining.joined_instances import joined_instance
from seg2d3d_ros.city.joining.overlap_fit import Overlap, fit_overlap
from seg2d3d_ros.city.joining.own_frames import city_datum, placed_block
from seg2d3d_ros.city.joining.shared_evidence import Instance, SameObject, same_by_images, same_by_place
from seg2d3d_ros.city.planning import CityPlan
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.progress import Progress

Read = Callable[[str], "BlockContent | None"]


def join_blocks(
    city: CityFolder, plan: CityPlan, states: Mapping[str, BlockState], findings: Findings, progress: Progress
) -> JoinedCity:
    """Lay the blocks of a plan together, and write instances.npz and instances/.

    Args:
        states: of the blocks; those that are not made are left out.
        findings: gets what does not fit.
        progress: called with ("joining", steps done, steps).

    Raises:
        DataError: not one block can be read.
    """
    read = ContentReader(city)
    datum = city_datum(plan.keyframes)
    nodes: list[PlacedBlock] = []
    for job in plan.jobs:
        if states[job.name].state != "made":
            continue
        try:
            content = read(job.name)
        except DataError as error:
            findings.add(kinds.CITY_BLOCKS_DAMAGED, job.name, of=len(plan.jobs), reason=str(error))
            continue
        if content is not None:
            nodes.append(placed_block(content, plan.keyframes, datum))
    if not nodes:
        raise DataError(f"{city.root}: no block can be read; delete blocks/ and run again")
    pairs = _pairs(plan, [node.name for node in nodes])
    overlaps, evidence = _overlaps(pairs, read, progress, 2 * len(pairs) + len(nodes))
    placement = place_blocks(nodes, [overlap.tie for overlap in overlaps if overlap.tie is not None])
    tied = {pair for pair in placement.residuals if pair[0] in placement.placed}
    found = [item for pair in sorted(tied) for item in evidence[pair]]
    found += _by_place(sorted(tied), read, placement, found, bool(datum), progress, len(nodes))
    number_of, identities = _numbers(nodes, placement, read, found)
    own = {job.name: cut.core for job, cut in zip(plan.jobs, plan.cuts, strict=True)}
    joined = _write(city, nodes, own, placement, number_of, identities, read, progress, 2 * len(pairs), datum, overlaps)
    kinds.tell_joining(plan, nodes, overlaps, placement, identities, joined, findings)
    return joined


def _pairs(plan: CityPlan, names: Sequence[str]) -> list[tuple[str, str]]:
    """Blocks that have keyframes in common, near ones one after the other."""
    known = set(names)
    holders: dict[str, list[str]] = defaultdict(list)
    for job in plan.jobs:
        if job.name in known:
            for keyframe in job.keyframes:
                holders[keyframe.name].append(job.name)
    order = {name: k for k, name in enumerate(names)}
    pairs = {tuple(sorted(pair, key=order.__getitem__)) for some in holders.values() for pair in combinations(some, 2)}
    return sorted(((a, b) for a, b in pairs), key=lambda pair: (order[pair[0]], order[pair[1]]))


def _overlaps(
    pairs: Sequence[tuple[str, str]], read: Read, progress: Progress, steps: int
) -> tuple[list[Overlap], dict[tuple[str, str], list[SameObject]]]:
    overlaps: list[Overlap] = []
    evidence: dict[tuple[str, str], list[SameObject]] = {}
    for done, (a, b) in enumerate(pairs):
        progress("joining", done, steps)
        one, other = read(a), read(b)
        assert one is not None, "only blocks with a model are paired"
        assert other is not None
        common = common_points(one, other)
        if common is None:
            overlaps.append(Overlap(a, b, 0, 0, reason="no image is registered in both"))
            continue
        overlap = fit_overlap(a, b, common)
        overlaps.append(overlap)
        evidence[a, b] = same_by_images(one, other, common) if overlap.tie is not None else []
    return overlaps, evidence


def _by_place(
    pairs: Sequence[tuple[str, str]],
    read: Read,
    placement: Placement,
    known: Sequence[SameObject],
    metric: bool,
    progress: Progress,
    rest: int,
) -> list[SameObject]:
    partners: dict[tuple[str, str], set[Instance]] = defaultdict(set)
    for item in known:
        partners[item.one[0], item.other[0]] |= {item.one, item.other}
    found = []
    for done, (a, b) in enumerate(pairs):
        progress("joining", len(pairs) + done, 2 * len(pairs) + rest)
        one, other = read(a), read(b)
        assert one is not None
        assert other is not None
        where = placement.city_from_block
        found += same_by_place(one, other, where[a], where[b], partners[a, b], metric=metric)
    return found


def _numbers(
    nodes: Sequence[PlacedBlock], placement: Placement, read: Read, evidence: Sequence[SameObject]
) -> tuple[dict[Instance, int], Identities]:
    """The city's id of each instance of the blocks in its frame: by the first mask of the object, however the city is cut."""
    instances: list[Instance] = []
    first: dict[Instance, tuple[str, int]] = {}
    together: dict[str, list[set[int]]] = {}
    asked = {item.one for item in evidence} | {item.other for item in evidence}
    for node in nodes:
        content = read(node.name) if node.name in placement.placed else None
        if content is None:
            continue
        for number, item in content.instances.items():
            instances.append((node.name, number))
            seen = min(((str(o["image"]), int(o["segment"])) for o in item["observations"]), default=("~", number))
            first[node.name, number] = seen
        candidates = {number for name, number in asked if name == node.name}
        shown = ({n for n in numbers if n in candidates} for numbers in content.together.values())
        together[node.name] = [numbers for numbers in shown if len(numbers) > 1]

    def apart(block: str, one: int, other: int) -> bool:
        return any(one in numbers and other in numbers for numbers in together[block])

    identities = group_instances(instances, evidence, apart)
    order = sorted(identities.groups, key=lambda group: (min(first[one] for one in group), group))
    return {one: number for number, group in enumerate(order, start=1) for one in group}, identities


def _write(
    city: CityFolder,
    nodes: Sequence[PlacedBlock],
    own: Mapping[str, Sequence[str]],
    placement: Placement,
    number_of: Mapping[Instance, int],
    identities: Identities,
    read: Read,
    progress: Progress,
    done: int,
    datum: tuple[float, float, float] | None,
    overlaps: Sequence[Overlap],
) -> JoinedCity:
    names = [node.name for node in nodes if node.name in placement.placed]
    where = {name: placement.city_from_block[name] for name in names}
    home_of: dict[str, list[tuple[Instance, ...]]] = defaultdict(list)
    points: dict[Instance, int] = {}
    bounds: dict[str, Any] = {}
    registered: set[str] = set()
    up = np.array(Z)
    largest = max(nodes, key=lambda node: (node.name in placement.placed, node.weight)).name
    georeferenced = any(node.city_from_block is not None for node in nodes if node.name in placement.placed)
    kind = "enu"
    for name in names:
        content = read(name)
        assert content is not None
        points.update({(name, number): int(item["points"]) for number, item in content.instances.items()})
        centers = where[name].apply(content.model.centers)
        bounds[name] = np.round([centers.min(axis=0), centers.max(axis=0)], 3).tolist()
        registered |= set(content.model.names)
        if name == largest and not georeferenced:
            kind, up = content.model.frame.kind, where[name].rotation @ content.model.up.direction
    for group in identities.groups:
        ranked = sorted(group, key=lambda one: (-points[one], one))
        home_of[ranked[0][0]].append(tuple(ranked))
    for k, name in enumerate(names):
        progress("joining", done + k, done + len(names))
        content = read(name)
        assert content is not None
        items = []
        for members in sorted(home_of[name], key=lambda group: number_of[group[0]]):
            parts = [(held, one) for block, one in members if (held := read(block)) is not None]
            items.append(joined_instance(number_of[members[0]], parts, where, up))
        rows = [content.row[one] for one in own[name] if one in content.row]
        cameras = where[name].apply(content.model.centers[rows]) if rows else np.zeros((0, 3))
        write_json(city.instances(name), {"instances": items, "cameras": np.round(cameras, 3).tolist()})
    progress("joining", done + len(names), done + len(names))
    write_table(city.table, number_of)
    frame: dict[str, Any] = {"kind": kind}
    if georeferenced and datum is not None:
        frame["datum"] = dict(zip(("latitude", "longitude", "altitude"), datum, strict=True))
    return JoinedCity(
        frame,
        where,
        placement.group,
        bounds,
        [_overlap_entry(overlap, placement) for overlap in overlaps],
        frozenset(registered),
        len(identities.groups),
        sum(len({block for block, _ in group}) > 1 for group in identities.groups),
        _shifts(nodes, placement),
    )


def _shifts(nodes: Sequence[PlacedBlock], placement: Placement) -> dict[str, float]:
    """By how much each georeferenced block moved from where its own positions have it, in metres, in the median."""
    found = {}
    for node in nodes:
        if node.city_from_block is not None and len(node.centers):
            moved = placement.city_from_block[node.name].apply(node.centers) - node.city_from_block.apply(node.centers)
            found[node.name] = float(np.median(np.linalg.norm(moved, axis=1)))
    return found


def _overlap_entry(overlap: Overlap, placement: Placement) -> dict[str, Any]:
    entry: dict[str, Any] = {"a": overlap.a, "b": overlap.b, "images": overlap.images, "points": overlap.points}
    entry["agree"] = round(overlap.agree, 3)
    pair = overlap.pair
    if pair in placement.refused:
        return {**entry, "refused": f"the other overlaps contradict it by {placement.refused[pair]:.3g}"}
    if overlap.tie is None:
        return {**entry, "refused": overlap.reason}
    distance, angle = placement.residuals[pair]
    return {**entry, "distance": round(distance, 4), "degrees": round(angle, 4)}
