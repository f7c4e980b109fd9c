"""Classes that a file names, as the numbers of the prompts."""

from __future__ import annotations

import difflib
import logging
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Finding, Findings, Kind
from seg2d3d_ros.segmentation.segmenter import require_prompts

log = logging.getLogger(__name__)

ALIKE = 0.75
"""Similarity (``difflib``) from which a class is named as what may have been meant."""

OTHER_CLASSES = Kind(
    "classes_not_asked",
    "segments of classes that were not asked for",
    cause="classes found: {found}; asked: {asked}",
    remedy="give the others with --label if they are wanted",
    level=NOTE,
)
NEAR_CLASSES = Kind(
    "classes_spelt_otherwise",
    "segments of classes that are spelt much like one that was asked for",
    cause="classes found: {found}; asked: {asked}",
    remedy="if they are the same, ask for {near}",
)
BAD_SCORES = Kind(
    "scores_out_of_range",
    "segments whose score is no number from 0 to 1",
    cause="e.g. {score}: percent, a model's raw output, or (None) missing while others have one",
    remedy="write probabilities; scores above 1 count as 1, those below as 0, others as 1",
)


class ClassTable:
    """Matches class names with the prompts; upper and lower case and blanks around them do not matter.

    Attributes:
        dropped: names that no prompt has, and how often they were asked for.
    """

    def __init__(self, prompts: Sequence[str], findings: Findings):
        """Number the prompts from 1.

        Raises:
            UsageError: no prompts.
        """
        require_prompts(prompts)
        self._prompts, self._findings = tuple(prompts), findings
        self._numbers = {_plain(prompt): number for number, prompt in enumerate(prompts, start=1)}
        self.dropped: Counter[str] = Counter()

    def knows(self, name: str) -> bool:
        """Whether a prompt has this name."""
        return _plain(name) in self._numbers

    def number(self, name: str) -> int | None:
        """The class of this name; None, counted in ``dropped`` and as a finding, where no prompt has it."""
        number = self._numbers.get(_plain(name))
        if number is None:
            self.dropped[name] += 1
            near = self.near([name])
            kind, told = (
                (NEAR_CLASSES, [n for n in self.dropped if self.near([n])]) if near else (OTHER_CLASSES, list(self.dropped))
            )
            count = sum(self.dropped[n] for n in told if bool(self.near([n])) == bool(near))
            details = {"found": _listed(self.dropped), "asked": ", ".join(self._prompts), "near": ", ".join(map(repr, told))}
            self._findings.put(Finding(kind, count, details=details))
        return number

    def near(self, names: Iterable[str]) -> list[str]:
        """Of these names, those that are spelt much like a prompt: another number, a letter more or less."""
        return [
            n for n in names if difflib.get_close_matches(_plain(n), self._numbers, n=1, cutoff=ALIKE) and not self.knows(n)
        ]

    def require_some(self, names: Counter[str], where: str) -> None:
        """Raise ``DataError`` where there are classes, and none of them was asked for."""
        if names and not any(map(self.knows, names)):
            near = self.near(names)
            way = f"--label {near[0]!r}" if near else "--label with one of those found"
            raise DataError(
                f"{where}: classes found: {_listed(names)}; asked: {', '.join(self._prompts)}; nothing to do: give {way}"
            )

    def score(self, value: object, name: str) -> float:
        """A score from a file, in 0 … 1; what is none is counted."""
        good = not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= 1
        if good:
            return float(value)  # type: ignore[arg-type]
        self._findings.add(BAD_SCORES, name, score=str(value)[:20])
        if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
            return 1.0
        return 1.0 if value > 1 else 0.0


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _listed(names: Counter[str]) -> str:
    most = names.most_common(8)
    return ", ".join(f"{name} ({count})" for name, count in most) + (", …" if len(names) > len(most) else "")
