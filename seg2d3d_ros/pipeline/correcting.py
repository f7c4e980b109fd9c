"""What a person corrects in a finished map: said in the log, done to a copy, and put in the map's place when that is whole.

editor = MapEditor(Path("MAP"))
editor.merge([3, 7])
editor.undo()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.config import load_config
from seg2d3d_ros.editing.edit_entry import DELETE, MERGE, REDRAW, RENAME, SPLIT, UNDO, Edit, words
from seg2d3d_ros.editing.edit_log import EditLog
from seg2d3d_ros.editing.editable_map import EditableMap, Geometry
from seg2d3d_ros.editing.frame_anchor import frame_anchor
from seg2d3d_ros.editing.operations import NotFound
from seg2d3d_ros.editing.references import reference
from seg2d3d_ros.editing.replaying import ASKED_OFF, EDITS_HIDDEN, TOLD, lift, replay, replay_last
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Finding, Findings
from seg2d3d_ros.mapstore.changed_copy import changed_copy
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.figures import add_findings
from seg2d3d_ros.prompts.prompting import OBJECT, draw
from seg2d3d_ros.prompts.session import PromptSession, check_level

Content = dict[str, Any]
LINE_SHORTEST = 1e-6
UPRIGHT = 0.9
"""Of the vertical along z, from which on x and y say where a line is, seen from above."""
Box = tuple[str, tuple[float, float, float, float]]


@dataclass(frozen=True)
class Correction:
    """What a correction came to.

    Attributes:
        edit: the line of the log; None where none was added.
        ids: instances that it made or changed and that are there now.
        findings: what is doubted about the map's corrections now.
    """

    edit: Edit | None
    ids: Sequence[int]
    findings: Sequence[Finding]


class MapEditor:
    """Corrects one map. What it reads of the models is kept from one correction to the next.

    Each method raises ``UsageError`` for instances, images or numbers that are none, or where another process writes the map,
    and ``DataError`` where nothing comes of it; the map then is as it was.

    Args:
        author: who corrects; "" = nobody says.
        check: is called when nobody else can change the map any more, and raises where it is not what was looked at.
    """

    def __init__(self, root: Path, author: str = "", check: Callable[[], None] = lambda: None) -> None:
        self.root, self._author, self._check = Path(root), author, check
        if author:
            _checked(author, "the author")
        self._geometry: Geometry | None = None
        self._prompts: PromptSession | None = None
        self._read: tuple[int, ...] = ()

    def merge(self, instances: Sequence[int]) -> Correction:
        """They are one object, which keeps the lowest number."""
        ids = sorted(set(instances))
        if len(ids) < 2:
            raise UsageError("merge needs two instances or more, as in: merge 3 7")
        return self._add(MERGE, lambda edited, log: {**_told(edited, ids), "keep": ids[0]})

    def split_in_image(self, instance: int, image: str, start: tuple[float, float], end: tuple[float, float]) -> Correction:
        """It is two objects, divided by a line that is drawn in an image, and endless."""
        line = {"image": image, "from": list(map(float, start)), "to": list(map(float, end))}
        return self._add(SPLIT, lambda edited, log: self._divided(edited, log, instance, {"line": line}))

    def split_from_above(self, instance: int, start: Sequence[float], end: Sequence[float]) -> Correction:
        """It is two objects, divided by an upright plane through two places of the world (x, y or x, y, z), and endless."""

        def content(edited: EditableMap, log: EditLog) -> Content:
            up, middle = edited.geometry.up, _middle(edited, [instance])
            if min(len(start), len(end)) < 3 and abs(up[2]) < UPRIGHT:
                raise UsageError(f"{self.root}: z is not up in this map; give three numbers for each end of the line")
            ends = [[*map(float, place), *middle[len(place) :].tolist()] for place in (start, end)]
            if float(np.linalg.norm(np.cross(np.array(ends[1]) - np.array(ends[0]), up))) < LINE_SHORTEST:
                raise UsageError("seen from above, both ends of the line are one place")
            above = {"from": ends[0], "to": ends[1], "up": up.tolist()}
            return self._divided(edited, log, instance, {"above": above})

        return self._add(SPLIT, content)

    def rename(self, instances: Sequence[int], name: str) -> Correction:
        """They are called something else."""
        called = _checked(name, "the name")
        return self._add(RENAME, lambda edited, log: {**_told(edited, _some(instances)), "class": called})

    def delete(self, instances: Sequence[int]) -> Correction:
        """They are no objects."""
        return self._add(DELETE, lambda edited, log: _told(edited, _some(instances)))

    def redraw(
        self,
        clicks: Sequence[Click],
        *,
        instance: int | None = None,
        level: str = "fine",
        box: Box | None = None,
        name: str = "",
    ) -> Correction:
        """What clicks mean is the object, in all images, in the place of an instance or as a new one (see ``prompts``)."""
        check_level(level)
        called = _checked(name, "the name") if name else ""
        if box is None and not any(click.positive for click in clicks):
            raise UsageError("nothing says where the object is; give a click on it, or a box around it")
        found = Findings()

        def content(edited: EditableMap, log: EditLog) -> Content:
            told = _told(edited, [] if instance is None else [instance])
            number = instance or edited.free_id(log.next_id)
            known = edited.items[instance]["class"] if instance else OBJECT
            drawn = draw(self._session(), clicks, level, box, found, instance=number, class_name=known)
            document = drawn.to_json()
            document["class"] = called or (known if instance else document["class"])
            return {**told, "object": document}

        return self._add(REDRAW, content, found)

    def undo(self, of: int | None = None) -> Correction:
        """The newest correction that is not undone, or that of a number; an undo may be undone, too."""

        def content(edited: EditableMap, log: EditLog) -> Content:
            active = [edit.id for edit in log.active]
            if of is None and not active:
                raise UsageError(f"{self.root}: there is no correction to undo")
            if of is not None and of not in [edit.id for edit in log.entries]:
                raise UsageError(f"{self.root}: there is no correction {of}; see `seg2d3d edit {self.root} list`")
            if of in log.undone:
                raise UsageError(f"{self.root}: {of} is undone already; `seg2d3d edit {self.root} list` says by which number")
            return {"of": active[-1] if of is None else of}

        return self._add(UNDO, content)

    def show(self, wanted: bool) -> Correction:
        """Whether the map shows its corrections; the log stays. ``show(True)`` also does them again."""
        findings = Findings()
        with changed_copy(self.root, made_anew=()) as new:
            store, path = new.store, new.store.root / "config.yaml"
            config = load_config(file=path if path.exists() else None, overrides={"association.edits": wanted})
            store.write_config(config)
            if wanted:
                counts = replay(store, findings)
            else:
                lift(store)
                counts = {**EditableMap(store).counts, "edits": 0, "edits_lost": 0}
                findings.add(EDITS_HIDDEN, count=len(EditLog(store.root).active), **ASKED_OFF)
            self._finish(store, counts, findings)
            new.publish()
        return Correction(None, (), findings.list())

    def _add(
        self, operation: str, content: Callable[[EditableMap, EditLog], Content], findings: Findings | None = None
    ) -> Correction:
        findings = Findings() if findings is None else findings
        with changed_copy(self.root, made_anew=()) as new:
            self._check()
            geometry = self._models()
            store, path = new.store, new.store.root / "config.yaml"
            if path.exists() and not load_config(file=path).association.edits:
                raise UsageError(
                    f"{self.root}: shows no corrections (association.edits is false); `seg2d3d edit {self.root} show` first"
                )
            log = EditLog(store.root)
            document = content(EditableMap(store, geometry), log)
            edit = log.append(operation, document, self._author)
            try:
                if operation == UNDO:
                    ids: Sequence[int] = ()
                    counts = replay(store, findings, geometry.models)
                else:
                    counts, applied = replay_last(store, findings, geometry)
                    ids = applied.ids
            except NotFound as reason:
                raise DataError(f"{self.root}: {edit.in_words}: nothing comes of it: {reason}; nothing was changed") from reason
            self._finish(store, counts, findings)
            new.publish()
        return Correction(edit, ids, findings.list())

    def _finish(self, store: MapStore, counts: Mapping[str, int], findings: Findings) -> None:
        former = store.read_metrics().get("counts", {})
        store.update_metrics({"counts": {**former, **counts}, "truth": None})  # it was measured on other labels
        add_findings(store, [f for f in findings.list() if f.kind in TOLD], instead_of=TOLD)

    def _divided(self, edited: EditableMap, log: EditLog, instance: int, line: Content) -> Content:
        """What the log says of a split, after it was tried: which side is the larger one, and keeps the number."""
        drawn = line["line"] if "line" in line else line["above"]
        ends = np.array([drawn["from"], drawn["to"]], float)
        if not np.isfinite(ends).all() or float(np.linalg.norm(ends[1] - ends[0])) < LINE_SHORTEST:
            raise UsageError("the line needs two ends that are different places")
        if "line" in line and line["line"]["image"] not in edited.geometry.sight_of:
            raise UsageError(f"{line['line']['image']}: is no image of the map's model; draw the line in one that is")
        document = {**_told(edited, [instance]), "new": edited.free_id(log.next_id), **line}
        sides = _sides(edited, instance, document)
        if min(sides) == 0:
            raise UsageError(f"the line does not pass through instance {instance}: all of it lies on one side")
        return {**document, "keeps": "left" if sides[0] >= sides[1] else "right"}

    def _models(self) -> Geometry:
        folder = self.root / "sparse"
        read = [*sorted(folder.glob("*/*")), *(self.root / name for name in ("prompts.json", "granularity.json"))]
        state = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in read)
        if self._geometry is None or state != self._read:
            self._geometry, self._prompts, self._read = Geometry(self.root), None, state
        return self._geometry

    def _session(self) -> PromptSession:
        if self._prompts is None:
            self._prompts = PromptSession(self.root, models=self._models().models)
        return self._prompts


def _some(instances: Sequence[int]) -> list[int]:
    if not instances:
        raise UsageError("no instance is named; say which ones")
    return sorted(set(instances))


def _told(edited: EditableMap, ids: Sequence[int]) -> Content:
    """How the log tells of instances."""
    document: Content = {"instances": [reference(edited, i) for i in ids]}
    component = edited.items[ids[0]].get("component", 0) if ids else 0
    model = next((model for model in edited.geometry.models if model.component == component), None)
    if model is not None and ids:
        document["frame"] = frame_anchor(model, _middle(edited, ids))
    return document


def _middle(edited: EditableMap, ids: Sequence[int]) -> np.ndarray:
    """(3,) between the boxes of instances, or the cameras that see them."""
    boxes = [box["center"] for i in ids if "center" in (box := edited.items.get(i, {}).get("box3d") or {})]
    if not boxes:
        of = edited.geometry.sight_of
        boxes = [of[name].view.center for name in edited.images_of(ids) if name in of] or [np.zeros(3)]
    return np.mean(np.array(boxes, float), axis=0)


def _sides(edited: EditableMap, instance: int, content: Content) -> tuple[int, int]:
    """How much of an instance lies left and right of a line: points, or where it has hardly any, pixels."""
    from seg2d3d_ros.editing.dividing import dividing_plane, right_of
    from seg2d3d_ros.geometry.masks import region_of

    plane = dividing_plane(edited, content)
    if plane is None:
        raise DataError("the line cannot be placed in the world: too few cameras of one model lie around it")
    points = edited.clouds.get("points.ply")
    if points is not None and (rows := points["instance"] == instance).sum() >= 10:
        right = plane.right(np.stack([points[axis][rows] for axis in "xyz"], axis=1).astype(float)) > 0
        return int((~right).sum()), int(right.sum())
    left_pixels = right_pixels = 0
    for name in edited.images_of([instance]):
        labels = edited.labels(name)
        region = None if labels is None else region_of(labels == instance)
        side = None if region is None else right_of(plane, region, edited.geometry.sight_of.get(name))
        if region is not None and side is not None:
            right_pixels += int((region.pixels & side).sum())
            left_pixels += int((region.pixels & ~side).sum())
    return left_pixels, right_pixels


def _checked(text: str, what: str) -> str:
    """Raises ``UsageError`` for what is no name."""
    try:
        words(text, what)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return text.strip()
