"""The objects that somebody asked for, when labels, tracks and points are made anew: they are drawn over them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.mapstore.files.prompts_file import Prompted, read_prompts
from seg2d3d_ros.mapstore.files.unedited_file import read_unedited
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.prompts.laying import forget_beneath, lay
from seg2d3d_ros.prompts.sights import sights
from seg2d3d_ros.types import SparseModel

OTHER_SIZE = Kind(
    "prompted_masks_lost",
    "masks of prompted objects that the labels do not show any more",
    cause="their images are gone from the map, or have another size",
    remedy="click on these objects again in images that are there",
)
NOT_SHOWN = Kind(
    "prompts_not_shown_yet",
    "images that were labelled anew without the objects that somebody asked for",
    cause="a live map draws these when it is solved as a whole",
    remedy="call finalize",
    level=NOTE,
)
RELAID = Kind(
    "prompts_laid_again",
    "objects that somebody asked for, drawn over new labels",
    cause="the association was done anew, and their masks were kept; {covered} of its instances lie wholly beneath them",
    remedy="prompt them again (--instance ID) where the new objects are better",
    level=NOTE,
)


class KeptPrompts:
    """The prompts of a map directory that an association writes.

    Attributes:
        next_id: the lowest id that no prompted object has.
        findings: of the last update.
    """

    def __init__(self, store: MapStore) -> None:
        self._store = store
        self._stored = read_prompts(store.root)
        objects = () if self._stored is None else self._stored.objects
        self.next_id = 1 + max((item.id for item in objects), default=0)
        self.findings = Findings()

    def tracks_beneath(self) -> dict[str, Any]:
        """tracks.json as it is without them, and without people's corrections, which lie on top."""
        if self._stored is not None and self._stored.laid:
            return dict(self._stored.tracks)
        unedited = read_unedited(self._store.root)
        return self._store.read_tracks() if unedited is None else dict(unedited.tracks)

    def follow(self, models: Sequence[SparseModel], labels: Collection[str], *, full: bool) -> None:
        """After an update that wrote the label images of some keyframes.

        Args:
            full: everything was made anew.
        """
        self._stored = read_prompts(self._store.root)  # prompt_node adds to them while the map grows
        if self._stored is None:
            return
        self.findings.clear()
        if full:
            lay_again(self._store.root, models, self.findings)
        else:
            hidden = sorted(self._stored.images & set(labels))
            self.findings.add(NOT_SHOWN, *hidden, count=len(hidden))


def lay_again(root: Path, models: Sequence[SparseModel], findings: Findings) -> None:
    """After labels, tracks and points were made anew: draw the objects that somebody asked for over them.

    Args:
        models: that they were made of.
        findings: gets what was drawn again, and masks that cannot be.

    Raises:
        DataError: a full disk, or a damaged file.
    """
    former = read_prompts(root)
    if former is None or not former.objects:
        return
    store = MapStore(root)
    there = sights(models)
    forget_beneath(store.root)
    names = {sight.name: (sight.view.camera.height, sight.view.camera.width) for sight in there}
    lost, objects = 0, []
    for item in former.objects:
        kept = {name: value for name, value in item.regions.items() if names.get(name) == value[1]}
        lost += len(item.regions) - len(kept)
        if kept:
            objects.append(Prompted(**{**vars(item), "regions": kept}))
    findings.add(OTHER_SIZE, count=lost, of=sum(len(item.regions) for item in former.objects))
    before = {item["id"] for item in store.read_tracks()["instances"]}
    lay(store, objects, None, there, models[0].up.direction)
    covered = len(before - {item["id"] for item in store.read_tracks()["instances"]})
    findings.add(RELAID, *(str(item.id) for item in objects), of=len(former.objects), covered=covered)
