"""What is doubtful about a joined city, told to the person who made it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.city.joining.block_graph import PlacedBlock, Placement
from seg2d3d_ros.city.joining.identity_groups import Identities
from seg2d3d_ros.city.joining.joined_city import JoinedCity
from seg2d3d_ros.city.joining.overlap_fit import Overlap
from seg2d3d_ros.city.planning import CityPlan
from seg2d3d_ros.findings import NOTE, Findings, Kind

CITY_BLOCKS_DAMAGED = Kind(
    "city_blocks_damaged",
    "blocks that are made but cannot be read",
    cause="{reason}",
    remedy="delete them in blocks/ and run again: only these are made anew",
)
CITY_OVERLAPS_UNTIED = Kind(
    "city_overlaps_untied",
    "overlaps of two blocks that tie nothing",
    cause="{reason}",
    remedy="more keyframes in common tie them: --overlap, or more images there",
)
CITY_OVERLAPS_CONTRADICT = Kind(
    "city_overlaps_contradict",
    "overlaps of two blocks that the other overlaps contradict",
    cause="one of the two blocks is bent or shows another place; this overlap lies {distance} apart and is not used",
    remedy="look at the reports of these two blocks",
)
CITY_UNJOINED = Kind(
    "city_unjoined",
    "blocks that share no points with the largest group of blocks",
    cause="no drive leads from one to the other, or their overlap ties nothing; {where}",
    remedy="drive the gap, or let blocks share more: --overlap",
)
CITY_MOVED = Kind(
    "city_blocks_moved",
    "blocks that lie far from where their own positions have them",
    cause="their positions are off by up to {metres} m, more than three times what they claim, and common points say so",
    remedy="check the positions of these drives: clock, lever arm, height system",
)
CITY_UNREGISTERED = Kind(
    "city_unregistered",
    "keyframes that are in no block's largest model",
    cause="they overlap too little with others of their block, or are in a model of their own there",
    remedy="the blocks' reports name them with reasons; images with more overlap help",
)
CITY_IDENTITIES_REFUSED = Kind(
    "city_identities_refused",
    "pairs of instances of two blocks that look like one object but were kept apart",
    cause="joining them would make one object of two that a block shows side by side",
    remedy="look at them where the blocks meet; masks that glue two objects are the likely cause",
)
CITY_PIECES = Kind(
    "city_pieces_joined",
    "objects that one block saw in pieces and another as a whole",
    cause="no image of the block shows the pieces together",
    remedy="nothing need be done",
    level=NOTE,
)
TIMES = 3.0
"""Standard deviations of its positions by which a block may move before that is told."""


def tell_joining(
    plan: CityPlan,
    nodes: Sequence[PlacedBlock],
    overlaps: Sequence[Overlap],
    placement: Placement,
    identities: Identities,
    joined: JoinedCity,
    findings: Findings,
) -> None:
    """Count what does not fit."""
    number = {job.name: f"{k}" for k, job in enumerate(plan.jobs, start=1)}
    untied = [overlap for overlap in overlaps if overlap.tie is None]
    for overlap in untied:
        findings.add(
            CITY_OVERLAPS_UNTIED, f"{number[overlap.a]}–{number[overlap.b]}", of=len(overlaps), reason=untied[0].reason
        )
    for (a, b), distance in placement.refused.items():
        findings.add(CITY_OVERLAPS_CONTRADICT, f"{number[a]}–{number[b]}", of=len(overlaps), distance=f"{distance:.2g}")
    apart = [node.name for node in nodes if placement.group[node.name] > 0]
    if apart:
        placed = [name for name in apart if name in placement.placed]
        where = "their positions alone say where they lie" if len(placed) == len(apart) else "nobody knows where they lie"
        findings.add(CITY_UNJOINED, *(f"block {number[name]}" for name in apart), of=len(nodes), where=where)
    for node in nodes:
        moved = joined.shifts.get(node.name, 0.0)
        if moved > TIMES * float(np.median(node.sigmas)) if len(node.sigmas) else False:
            findings.add(CITY_MOVED, f"block {number[node.name]}", of=len(nodes), metres=f"{max(joined.shifts.values()):.1f}")
    missing = sorted(set(plan.keyframes) - joined.registered)
    if missing:
        findings.add(CITY_UNREGISTERED, *missing, of=len(plan.keyframes))
    if identities.refused:
        names = [f"{number[i.one[0]]}:{i.one[1]}–{number[i.other[0]]}:{i.other[1]}" for i in identities.refused]
        findings.add(CITY_IDENTITIES_REFUSED, *names)
    if identities.pieces:
        findings.add(CITY_PIECES, count=len(identities.pieces))
