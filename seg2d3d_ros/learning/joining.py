"""Objects of overlapping tiles → objects of the whole cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAME = 0.4
"""IoU where both tiles see, from which on two objects are one."""
PART = 0.7
"""Share of an object that a surer one holds already, from which on it is a part of it."""
LEFT = 0.4
"""Share of an object that surer ones must leave for it to stay one."""


@dataclass(frozen=True)
class TileObject:
    """An object of one tile.

    Attributes:
        superpoint: (n,) int64 the cloud's superpoints that are its.
        share: (n,) float32 how much each one is.
        seen: (m,) int64 all superpoints of the tile.
        score: how sure it is.
        text: (D,) its vector in a text-image model's space, where the network learnt one.
    """

    superpoint: np.ndarray
    share: np.ndarray
    seen: np.ndarray
    score: float
    text: np.ndarray | None = None


@dataclass(frozen=True)
class JoinedObjects:
    """I objects of a whole cloud over its S superpoints.

    Attributes:
        instance: (S,) int32 of each superpoint, 1 … I, 0 = none.
        confidence: (S,) float32 how sure that instance is.
        text: (I, D) float32 of length 1, None where the network learnt none; row ``i`` is instance ``i + 1``'s.
    """

    instance: np.ndarray
    confidence: np.ndarray
    text: np.ndarray | None


class _Group:
    """Objects of several tiles that are one: its votes for superpoints, and the superpoints that its tiles see, (S,) each."""

    def __init__(self, count: int) -> None:
        self.vote, self.seen, self.score = np.zeros(count, np.float32), np.zeros(count, bool), 0.0
        self.text: np.ndarray | None = None

    def add(self, item: TileObject) -> None:
        self.vote[item.superpoint] = np.maximum(self.vote[item.superpoint], item.share * item.score)
        self.seen[item.seen] = True
        self.score = max(self.score, item.score)
        if item.text is not None:
            weighted = item.text * item.score
            self.text = weighted if self.text is None else self.text + weighted


def join_objects(tiles: Sequence[Sequence[TileObject]], size: np.ndarray) -> JoinedObjects:
    """Join the objects of tiles that are one where both tiles see, the surest first.

    An object that lies for the most part in a surer one is a part of it and adds nothing. Each superpoint goes to the object
    that is surest of it, and objects of which little is left then give that up, too.

    Args:
        size: (S,) points of each superpoint.
    """
    groups: list[_Group] = []
    for item in sorted((item for tile in tiles for item in tile), key=lambda item: -item.score):
        mine, seen = np.zeros(len(size), bool), np.zeros(len(size), bool)
        mine[item.superpoint], seen[item.seen] = True, True
        home, part = None, False
        best = SAME
        for group in groups:
            iou, held = _agreement(mine, seen, group, size)
            part |= held > PART
            if iou > best:
                best, home = iou, group
        if home is None and part:
            continue
        if home is None:
            home = _Group(len(size))
            groups.append(home)
        home.add(item)
    return _shared_out(groups, size)


def _agreement(mine: np.ndarray, seen: np.ndarray, group: _Group, size: np.ndarray) -> tuple[float, float]:
    """Where both see: the IoU of an object and a group, and the share of the object that the group holds."""
    theirs = group.vote > 0
    both = float(size[mine & theirs].sum())
    if not both:
        return 0.0, 0.0
    common = seen & group.seen
    return both / float(size[(mine | theirs) & common].sum()), both / float(size[mine & common].sum())


def _shared_out(groups: list[_Group], size: np.ndarray) -> JoinedObjects:
    while groups:
        table = np.stack([group.vote for group in groups])
        winner = np.where(table.max(axis=0) > 0, table.argmax(axis=0), -1)
        kept = [
            group for number, group in enumerate(groups) if size[winner == number].sum() > LEFT * size[group.vote > 0].sum()
        ]
        if len(kept) == len(groups):
            score = np.append(np.array([group.score for group in groups], np.float32), 0.0)
            return JoinedObjects((winner + 1).astype(np.int32), score[winner].astype(np.float32), _texts(groups))
        groups = kept
    return JoinedObjects(np.zeros(len(size), np.int32), np.zeros(len(size), np.float32), None)


def _texts(groups: Sequence[_Group]) -> np.ndarray | None:
    """(I, D) of length 1."""
    vectors = [group.text for group in groups if group.text is not None]
    if len(vectors) < len(groups):
        return None
    table = np.stack(vectors)
    return np.asarray(table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12), np.float32)
