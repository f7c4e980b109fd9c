"""What a cut is: which keyframes are a block's own, and which it shares with its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT, OVERLAP, LEAST = 240, 20.0, 8
"""Keyframes of a block; metres by which it reaches into its neighbours; keyframes below which nothing is a block of its own."""


@dataclass(frozen=True)
class CutLimits:
    """How large blocks may be.

    Attributes:
        keyframes: of a block, those that it shares included.
        overlap: metres: a block also gets the keyframes that are this near to one of its own.
        least: groups of fewer keyframes join another block where they can.
    """

    keyframes: int = LIMIT
    overlap: float = OVERLAP
    least: int = LEAST


@dataclass(frozen=True)
class BlockCut:
    """The keyframes of one block, by name, sorted.

    Attributes:
        core: its own; each keyframe is the core of exactly one block.
        shared: beside these, the core of others.
        trimmed: keyframes within the overlap that it has no room for.
    """

    core: tuple[str, ...]
    shared: tuple[str, ...]
    trimmed: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted((*self.core, *self.shared)))
