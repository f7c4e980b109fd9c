"""The corrections of a map, done to it: again to every new result, or taken off while something beneath them changes.

Whatever makes labels calls ``KeptEdits``, which the association does for all commands and nodes, or ``edits_lifted``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.editing.edit_entry import Edit
from seg2d3d_ros.editing.edit_log import EDITS_DAMAGED, EditLog
from seg2d3d_ros.editing.editable_map import EditableMap, Geometry
from seg2d3d_ros.editing.operations import COVERED, MASKS_GONE, UNDIVIDED, Applied, NotFound, apply
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.mapstore.directory.inventory import UNEDITED_FILE
from seg2d3d_ros.mapstore.files.unedited_file import read_unedited
from seg2d3d_ros.mapstore.point_cloud import colored_by_instance, read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.prompts.laying import CLOUDS
from seg2d3d_ros.types import SparseModel

EDITS_SHOWN = Kind(
    "edits_shown",
    "corrections by people that the map shows",
    cause="they are in edits.jsonl, and are made again whenever the map is made anew",
    remedy="`seg2d3d edit MAP list` says which, `seg2d3d edit MAP hide` shows the map without them",
    level=NOTE,
)
EDITS_LOST = Kind(
    "edits_lost",
    "corrections by people that no longer find their objects",
    cause="the map was made anew with other masks or images: {reason}",
    remedy="look at these objects and correct them again; the old corrections stay in edits.jsonl; "
    "`seg2d3d edit MAP list` says which, `undo` takes them out",
)
EDITS_HIDDEN = Kind(
    "edits_hidden",
    "corrections by people that the map does not show",
    cause="{why}",
    remedy="{way_out}",
)
CLOUD_BEHIND = Kind(
    "cloud_behind_edits",
    "points of a cloud whose instance is none of the map's",
    cause="{file} was labelled while corrections were shown that are not shown any more",
    remedy="label it again: the command that made the map, with --resume and --densify or --cloud",
)
TOLD = (EDITS_SHOWN, EDITS_LOST, EDITS_HIDDEN, EDITS_DAMAGED, CLOUD_BEHIND, MASKS_GONE, UNDIVIDED, COVERED)
"""Findings that each replay makes anew."""
ASKED_OFF: dict[str, Any] = {"why": "association.edits is false", "way_out": "`seg2d3d edit MAP show` shows them again"}
GROWING: dict[str, Any] = {"why": "a live map does them when it is solved as a whole", "way_out": "call finalize"}


def lift(store: MapStore) -> bool:
    """Make a map what it is without its corrections; the log stays. Returns whether it showed any.

    Whatever interrupts this, another call completes it.

    Raises:
        DataError: a damaged file, or a full disk.
    """
    unedited = read_unedited(store.root)
    if unedited is None:
        return False
    for path in sorted((store.root / "unedited").glob("[!.]*.png")):
        labels = store.read_unedited(path.stem)
        if labels is not None:
            store.write_labels(path.stem, LabelRuns.of(labels))
    for file, cloud in unedited.clouds.items():
        if file in CLOUDS and (store.root / file).exists():
            points = cloud.restored(read_points(store.root / file, CLOUDS[file]))
            if points is not None:
                write_points(store.root / file, colored_by_instance(points) if file == "points.ply" else points)
    write_json(store.root / "tracks.json", unedited.tracks)
    store.write_panoramas()
    for path in (store.root / "unedited").glob("[!.]*.png"):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        (store.root / "unedited").rmdir()
    (store.root / UNEDITED_FILE).unlink(missing_ok=True)
    return True


def replay(store: MapStore, findings: Findings, models: Sequence[SparseModel] | None = None) -> dict[str, int]:
    """Do all corrections of the log to what lies beneath them.

    Args:
        findings: gets what came of them.
        models: of the map; None = those in ``sparse/``.

    Returns:
        entries for the counts of metrics.json; none where there is no log.

    Raises:
        DataError: a damaged file, or a full disk.
    """
    lift(store)
    geometry = Geometry(store.root, models)
    return _do(store, EditLog(store.root), None, findings, geometry)[0]


def replay_last(store: MapStore, findings: Findings, geometry: Geometry) -> tuple[dict[str, int], Applied]:
    """Do the newest correction to a map that shows the others. Arguments and errors as for ``replay``.

    Raises:
        NotFound: it does not find its objects; nothing is written.
    """
    log = EditLog(store.root)
    return _do(store, log, log.entries[-1], findings, geometry)


def _do(
    store: MapStore, log: EditLog, only: Edit | None, findings: Findings, geometry: Geometry
) -> tuple[dict[str, int], Applied]:
    log.tell(findings)
    applied = Applied()
    if not log.active:
        return ({"edits": 0, "edits_lost": 0} if log.entries else {}), applied
    former = read_unedited(store.root)
    states = {} if former is None else dict(former.states)
    edited = EditableMap(store, geometry)
    if only is not None:
        applied = apply(only, edited, findings)
        states[only.id] = ""
    else:
        states = {edit.id: _state(edit, edited, findings) for edit in log.active}
    edited.save(states)
    _tell(log, states, findings)
    ids = set(edited.items)
    for file, points in edited.clouds.items():
        strange = sorted(set(points["instance"].tolist()) - ids - {0})
        if strange:
            findings.add(CLOUD_BEHIND, *map(str, strange), of=len(points), file=file)
    lost = sum(bool(reason) for reason in states.values())
    return {**edited.counts, "edits": len(states) - lost, "edits_lost": lost}, applied


def _state(edit: Edit, edited: EditableMap, findings: Findings) -> str:
    """Do a correction; "" where it is done, else why not."""
    try:
        apply(edit, edited, findings)
    except NotFound as reason:
        return str(reason)
    return ""


def _tell(log: EditLog, states: dict[int, str], findings: Findings) -> None:
    words = {edit.id: f"{edit.id}: {edit.in_words}" for edit in log.active}
    shown = [words[i] for i, reason in states.items() if not reason]
    lost = [(words[i], reason) for i, reason in states.items() if reason]
    findings.add(EDITS_SHOWN, *shown, count=len(shown), of=len(words))
    for text, reason in lost:
        findings.add(EDITS_LOST, text, of=len(words), reason=reason)


@contextmanager
def edits_lifted(store: MapStore, findings: Findings) -> Iterator[None]:
    """While something beneath the corrections of a map changes that nobody else writes; at the end they are done again."""
    shown = lift(store)
    yield
    if shown:
        counts = replay(store, findings)
        store.update_metrics({"counts": {**store.read_metrics().get("counts", {}), **counts}})


class KeptEdits:
    """The corrections of a map directory that an association writes: the one place from which its labels get them.

    Args:
        wanted: the map is to show them.

    Attributes:
        next_id: the lowest number that no correction gives to an instance.
        findings, counts: of the last update.
    """

    def __init__(self, store: MapStore, *, wanted: bool) -> None:
        self._store, self._wanted = store, wanted
        self.next_id = EditLog(store.root).next_id
        self.findings = Findings()
        self.counts: dict[str, int] = {}

    def lift(self) -> None:
        """Before an update writes: the map is what it is without them, until ``follow``."""
        lift(self._store)

    def follow(self, models: Sequence[SparseModel], *, full: bool) -> None:
        """After an update that wrote labels, tracks and points.

        Args:
            full: everything was made anew; else the map shows them when that is so.
        """
        self.findings.clear()
        self.counts = {}
        log = EditLog(self._store.root)
        if full and self._wanted:
            self.counts = replay(self._store, self.findings, models)
        elif log.active:
            log.tell(self.findings)
            self.findings.add(EDITS_HIDDEN, count=len(log.active), **(GROWING if self._wanted else ASKED_OFF))
