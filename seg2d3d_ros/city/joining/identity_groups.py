"""One identity for what several blocks show: groups of instances, without contradiction over all blocks.

The surest evidence comes first (as Kruskal's algorithm takes edges, on union-find). Two instances of one block are two
objects by that block's own judgement. So a union that would put both into one group is refused, unless no image of the block
shows both, which is how a house that one block sees in two pieces looks, and it is common images that ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from seg2d3d_ros.city.joining.shared_evidence import Instance, SameObject


@dataclass(frozen=True)
class Identities:
    """Which instances are one object.

    Attributes:
        groups: instances of one object each, sorted; every instance is in exactly one.
        refused: unions that would have made one object of two that a block holds apart.
        pieces: unions that put two pieces of a block together.
    """

    groups: Sequence[tuple[Instance, ...]]
    refused: Sequence[SameObject]
    pieces: Sequence[SameObject]


def group_instances(
    instances: Iterable[Instance], evidence: Iterable[SameObject], apart: Callable[[str, int, int], bool]
) -> Identities:
    """Groups of instances by the evidence, in an order that does not depend on the order of the arguments.

    Args:
        instances: all there are.
        evidence: pairs of them, of different blocks.
        apart: of a block and two of its instances, whether an image shows both: then they are two objects.
    """
    parent: dict[Instance, Instance] = {one: one for one in instances}
    members: dict[Instance, list[Instance]] = {one: [one] for one in parent}

    def root(one: Instance) -> Instance:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    refused, pieces = [], []
    for item in sorted(evidence, key=lambda e: (-e.support, -e.agreement, *sorted((e.one, e.other)))):
        first, second = root(item.one), root(item.other)
        if first == second:
            continue
        clashes = [(a[0], a[1], b[1]) for a in members[first] for b in members[second] if a[0] == b[0]]
        if clashes:
            if item.support <= 0 or any(apart(*clash) for clash in clashes):
                refused.append(item)
                continue
            pieces.append(item)
        if len(members[first]) < len(members[second]):
            first, second = second, first
        parent[second] = first
        members[first] += members.pop(second)
    groups = sorted(tuple(sorted(group)) for group in members.values())
    return Identities(groups, refused, pieces)
