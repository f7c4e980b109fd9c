"""A keyframe's masks as they lie on disk: ``segments/<name>.png``, and ``<name>.json`` with their classes by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.types import Segments


@dataclass(frozen=True)
class NamedSegments:
    """Masks whose classes have names: class ids count the prompts, which may change.

    Attributes:
        name: the keyframe's.
        runs: of the label image.
        facts: by segment id, ascending: ``{"class": str, "score": float}``, and ``"second_look": True`` where a mask model
            found it when it was asked again.
    """

    name: str
    runs: LabelRuns
    facts: Mapping[int, Mapping[str, Any]]

    @classmethod
    def of(cls, segments: Segments, class_names: Sequence[str], second_look: Collection[int] = ()) -> NamedSegments:
        """Class id k of ``segments`` is ``class_names[k - 1]``; ids of a second look are marked."""
        facts: dict[int, dict[str, Any]] = {
            int(i): {"class": class_names[class_id - 1], "score": round(float(score), 4)}
            for i, class_id, score in zip(segments.ids, segments.classes, segments.scores, strict=True)
        }
        for i in second_look:
            facts[i]["second_look"] = True
        return cls(segments.name, segments.runs, facts)

    def numbered(self, class_names: Sequence[str]) -> Segments:
        """The masks of these classes; class id k is ``class_names[k - 1]``."""
        rows = [
            (i, class_names.index(fact["class"]) + 1, fact["score"])
            for i, fact in self.facts.items()
            if fact["class"] in class_names
        ]
        ids, classes, scores = zip(*rows, strict=True) if rows else ((), (), ())
        known = np.array(ids, np.uint16)
        arrays = np.array(classes, np.int32), np.array(scores, np.float32)
        return Segments.from_runs(self.name, self.runs.only(known), known, *arrays)
