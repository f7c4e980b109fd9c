"""What finalize and save_map do beyond the 3D model: labels and clouds by the other nodes, figures, report, verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import NOTE, Finding
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.figures import write_reconstruction_figures
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.ros.exchange.findings_gatherer import together
from seg2d3d_ros.ros.map_exchange.results import write_config_sections, write_report_if_possible
from seg2d3d_ros.ros.node.calls import TriggerCaller
from seg2d3d_ros.ros.node.managed_node import ManagedNode

ASSOCIATION, CLOUD, SEGMENTATION = "association_node", "cloud_node", "segmentation_node"
CALL_SECONDS = 3600.0
"""How long the association of a large map may take."""
RESET_SECONDS = 60.0


@dataclass(frozen=True)
class Completed:
    """What became of a map, in words.

    Attributes:
        words: what there is.
        problem: why the result is not what was asked for; empty if it is.
        findings: the sentences of what was dropped, not matched or doubted.
    """

    words: str
    problem: str
    findings: tuple[str, ...]


class MapCompletion:
    """Make it in ``configure``.

    Args:
        sections: of the configuration that the node writes.
        objects: whether objects are asked for.
        others: the findings of the other nodes.

    Attributes:
        stage: what ``write`` is at, in words; empty while it does not run.
    """

    def __init__(
        self,
        node: ManagedNode,
        store: MapStore,
        sections: tuple[str, ...],
        *,
        objects: bool,
        others: Callable[[], Sequence[Finding]],
    ) -> None:
        self._node, self._store, self._sections, self._objects, self._others = node, store, sections, objects, others
        self._flush_association = TriggerCaller(node, f"{ASSOCIATION}/flush")
        self._flush_cloud = TriggerCaller(node, f"{CLOUD}/flush")
        self._resets = [TriggerCaller(node, f"{name}/reset") for name in (SEGMENTATION, CLOUD, ASSOCIATION)]
        self.stage = ""
        write_config_sections(store, node.config, sections)

    def write(
        self, images: int, reconstruction: Reconstruction | None, rejected: Mapping[str, str], seconds: Mapping[str, float]
    ) -> Completed:
        """Everything that belongs into the map directory beside the model.

        Args:
            images: keyframes that came.
            rejected: name -> reason.
            seconds: by stage.

        Raises:
            DataError: this node ends.
        """
        try:
            return self._write(images, reconstruction, rejected, seconds)
        finally:
            self.stage = ""

    def reset(self) -> list[str]:
        """Let the other nodes forget the map; call it while nothing of the map is published any more.

        Returns:
            who did not, in words: one that has just died is still in the graph, and does not keep the others from it.
        """
        problems = []
        for reset in self._resets:
            if reset.available:
                try:
                    reset.call(RESET_SECONDS)
                except DataError as error:
                    problems.append(str(error))
        return problems

    def _write(
        self, images: int, reconstruction: Reconstruction | None, rejected: Mapping[str, str], seconds: Mapping[str, float]
    ) -> Completed:
        write_config_sections(self._store, self._node.config, self._sections)
        self.stage = "findings of all nodes"
        others = self._others()  # which may add that one of them is gone
        found = together([self._node.diagnostics.findings.list(), others])
        write_reconstruction_figures(self._store, images, reconstruction, rejected, seconds, found)
        registered = sum(len(model.names) for model in reconstruction.models) if reconstruction else 0
        words, problems = [f"{registered} of {images} keyframes registered"], []
        for stage, flush in (("labels", self._flush_association), ("cloud", self._flush_cloud)):
            if flush.available:
                self.stage = f"{stage} ({flush.name})"
                try:
                    words.append(flush.call(CALL_SECONDS))
                except DataError as error:
                    if self._node.stopping.is_set() or self._node.state != "active":
                        raise
                    problems.append(str(error))  # the files are written; what is not there is said
            elif flush is self._flush_association:
                words.append(f"no labels ({flush.name} is not there)")
                if self._objects:
                    problems.append(f"no labels: {ASSOCIATION} is not running, or not active")
        self._add(self._others())
        self.stage = "report"
        words.append(write_report_if_possible(self._store))
        # Notes matter where the result is not what was asked for: they may be the cause, as other classes are.
        entries = self._store.read_metrics().get("findings", ())
        sentences = [entry["text"] for entry in entries if problems or entry["level"] != NOTE]
        return Completed(", ".join(words), "; ".join(problems), tuple(sentences))

    def _add(self, findings: Iterable[Finding]) -> None:
        """What the other nodes found while they finished their part, into metrics.json; what is written already stays."""
        known = self._store.read_metrics().get("findings", [])
        codes = {entry["code"] for entry in known}
        entries = [*known, *(finding.to_json() for finding in findings if finding.kind.code not in codes)]
        self._store.update_metrics({"findings": entries, "warnings": [entry["text"] for entry in entries]})
