"""A machine that is too slow for a drive: what is given up first, and what next, and when it is taken back."""

from __future__ import annotations

from collections.abc import Callable

from seg2d3d_ros.findings import Finding, Kind

LEVELS = ("none", "fewer keyframes", "fewer features", "later global steps")
"""What is given up, in this order; each includes those before it."""
FEWER_FEATURES, LATER_STEPS = 2, 3
IMAGE_SCALE = 0.6
"""Of ``reconstruction.max_image_size``, with fewer features: keypoints are searched in a third of the pixels."""
PATIENCE = 2.0
"""Times ``max_wait`` that a level must have been too little, or more than needed, before the next one."""

MACHINE_TOO_SLOW = Kind(
    "machine_too_slow",
    "steps down that the mapping has taken to keep up",
    cause="keyframes come faster than the machine takes them in; given up at present: {given_up}",
    remedy="it goes up again when the surplus ends, and finalize takes in all keyframes; a larger keyframes.min_motion, a "
    "smaller reconstruction.max_image_size or another machine for the segmenter avoids it",
)


class Load:
    """How much is given up at present; call ``look`` several times a second.

    Args:
        max_wait: how long a keyframe may wait, in seconds; 0 = nothing is ever given up.
        clock: gives seconds.

    Attributes:
        level: index into ``LEVELS``.
    """

    def __init__(self, max_wait: float, clock: Callable[[], float]) -> None:
        self._patience, self._clock = PATIENCE * max_wait, clock
        self.level = 0
        self._changed = self._late = clock()

    def look(self, late: bool) -> bool:
        """Whether the level changes now.

        Args:
            late: whether a keyframe has waited for longer than it may.
        """
        now, before = self._clock(), self.level
        if late and self._patience:
            self._late = now
            if self.level == 0 or (now - self._changed >= self._patience and self.level + 1 < len(LEVELS)):
                self.level += 1
        elif self.level and now - max(self._late, self._changed) >= self._patience:
            self.level -= 1
        if self.level != before:
            self._changed = now
        return self.level != before

    @property
    def image_scale(self) -> float:
        """Of ``reconstruction.max_image_size``, for the next keyframes."""
        return IMAGE_SCALE if self.level >= FEWER_FEATURES else 1.0

    @property
    def words(self) -> str:
        """What is given up, for diagnostics."""
        return ", ".join(LEVELS[1 : self.level + 1]) or LEVELS[0]

    def finding(self) -> Finding:
        """From fewer features on; that of keyframes alone is ``keyframes_put_aside``."""
        return Finding(MACHINE_TOO_SLOW, self.level if self.level >= FEWER_FEATURES else 0, details={"given_up": self.words})
