"""Classes that a file names, as the numbers of the prompts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from seg2d3d_ros.segmentation.segmenter import require_prompts

log = logging.getLogger(__name__)


class ClassTable:
    """Matches class names with the prompts; upper and lower case do not matter.

    Attributes:
        dropped: names that no prompt has, and how often they were asked for.
    """

    def __init__(self, prompts: Sequence[str]):
        """Number the prompts from 1.

        Raises:
            UsageError: no prompts.
        """
        require_prompts(prompts)
        self._numbers = {prompt.casefold(): number for number, prompt in enumerate(prompts, start=1)}
        self.dropped: Counter[str] = Counter()

    def number(self, name: str) -> int | None:
        """The class of this name; None, counted in ``dropped``, where no prompt has it."""
        number = self._numbers.get(name.casefold())
        if number is None:
            if name not in self.dropped:
                log.info("segments of class %r are left out: the prompts are %s", name, ", ".join(self._numbers))
            self.dropped[name] += 1
        return number


def checked_score(score: object) -> float:
    """A score from a file as a number.

    Raises:
        ValueError: not a number from 0 to 1.
    """
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ValueError(f"score {score} is outside 0 … 1")
    return float(score)
