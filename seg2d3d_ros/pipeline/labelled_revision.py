"""One revision of the map with its labels: what an update of the association comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seg2d3d_ros.association.masks.missed import MissedView
from seg2d3d_ros.association.online.identity import Merge
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.types import Incidence, Instances, Observation, SparseModel


@dataclass(frozen=True)
class LabelledRevision:
    """See the module.

    Attributes:
        models: with additional points, and without observations that mistake one house for another, where it was solved whole.
        class_names: what the class ids count.
        labels: label images that are new or differ from the last revision's, by keyframe.
        observations: what they show, by keyframe.
        merges: instances that turned out to be one.
        whole: everything was solved, and ``missed`` is of this revision.
        missed: where instances should be seen and no mask shows them, as the last update that solved everything found.
        seconds: how long it took.
    """

    models: Sequence[SparseModel]
    incidence: Incidence
    instances: Instances
    class_names: tuple[str, ...]
    labels: Mapping[str, LabelRuns]
    observations: Mapping[str, Sequence[Observation]]
    merges: tuple[Merge, ...]
    whole: bool
    missed: tuple[MissedView, ...]
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    seconds: float
