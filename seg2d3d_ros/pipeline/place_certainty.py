"""The covariances of instances' positions, by what the reconstruction left beside its models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seg2d3d_ros.association.judging.place_covariance import LEAST, with_place_covariances
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import EXAMPLES, NOTE, Finding, Findings, Kind
from seg2d3d_ros.mapstore.files.covariance_file import read_covariance
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance
from seg2d3d_ros.types import Incidence, Instances, SparseModel

PLACE_UNSURE = Kind(
    "positions_without_covariance",
    "objects whose position has no covariance",
    cause="{reason}",
    remedy="nothing need be done where nobody asks how sure positions are; in tracks.json and all exports they have none",
    level=NOTE,
)
COVARIANCE_DAMAGED = Kind(
    "covariance_damaged",
    "models whose covariance cannot be read",
    cause="{reason}",
    remedy="the map itself is whole; make it again with --resume to know how sure its positions are",
)
NO_FILE = "nobody told the errors of the model's cameras: it was given, or is not finished, or none could be found"
TOO_FEW = f"they have fewer than {LEAST} 3D points in the model"


class PlaceCertainty:
    """Reads what is known of the models in a map directory, once they are finished.

    Attributes:
        findings: of the last finished revision.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.findings: list[Finding] = []

    def of(self, models: Sequence[SparseModel], incidence: Incidence, instances: Instances, *, full: bool) -> Instances:
        """The instances with the covariances of their positions, as far as they are known.

        Args:
            full: the map is finished; before, nothing is known.
        """
        if not full:
            return with_place_covariances(models, {}, instances)
        findings = Findings()
        known = {model.component: found for model in models if (found := self._read(model, findings)) is not None}
        sure = with_place_covariances(models, known, instances, incidence)
        lacking = instances.ids[sure.boxes.known & ~sure.boxes.located].tolist()
        reason = TOO_FEW if len(known) == len(models) else NO_FILE
        shown = tuple(f"object {i}" for i in lacking[:EXAMPLES])
        findings.put(Finding(PLACE_UNSURE, len(lacking), int(sure.boxes.known.sum()), shown, {"reason": reason}))
        self.findings = findings.list()
        return sure

    def _read(self, model: SparseModel, findings: Findings) -> PoseCovariance | None:
        try:
            return read_covariance(self._root / "sparse" / str(model.component), model.revision)
        except DataError as error:
            findings.add(COVARIANCE_DAMAGED, reason=error)
            return None
