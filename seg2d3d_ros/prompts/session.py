"""Prompts to a map that is open: clicks, boxes and places in the world in, the object in all views and clouds out.

session = PromptSession(Path("MAP"))
answer = session.ask([Click("front_17803", (412.5, 230.5))])
answer.regions["left_17804"].box
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from seg2d3d_ros.association.solve import stacked_xyz
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import Region, overlap, region_of
from seg2d3d_ros.mapstore.files.prompts_file import Click, read_prompts
from seg2d3d_ros.mapstore.files.tree_file import read_tree
from seg2d3d_ros.mapstore.files.unedited_file import beneath
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredLabels, StoredMasks
from seg2d3d_ros.prompts.carrying import RegionCarrier
from seg2d3d_ros.prompts.choosing import Choice, PlacedClick, choose
from seg2d3d_ros.prompts.lifting import Lift, lift
from seg2d3d_ros.prompts.masking.mask_sources import MaskSource, box_overlap
from seg2d3d_ros.prompts.masking.refining import Refiner
from seg2d3d_ros.prompts.sights import Sight, sights
from seg2d3d_ros.prompts.things import FlatThings, Things, TreeThings
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.types import SparseModel

DENSE = "dense.ply"
SAME = 0.5
"""Intersection over union, in the views of both, from which on a refined answer is still the same thing."""


class ClickNetwork(Protocol):
    """A trained network that answers instead of the map's masks."""

    def masks(self, clicks: Sequence[PlacedClick], level: str) -> tuple[dict[str, Region], list[str]]:
        """The object's pixels by keyframe name, and the keyframes that were asked and show nothing of it.

        Args:
            clicks: those without a place are left out.
            level: as for ``choose``: of the masks that agree with most clicks.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """What the clicks show.

    Attributes:
        choice: the things that it was made of.
        regions: by keyframe name, its pixels in every view that sees it.
        carried: the views among them that have no whole mask of it.
        lifts: of each click; None where nothing tells its place.
        asked: the views that the mask model was asked about; empty without a model.
        disagreeing: the views among them in which the model and the votes of the others disagreed to the end: the region is the
            votes', or, where the views agreed on nothing, that of the map's own masks.
        empty: views that a network was asked about and that show nothing of it.
    """

    choice: Choice
    regions: Mapping[str, Region]
    carried: frozenset[str]
    lifts: tuple[Lift | None, ...]
    asked: frozenset[str] = frozenset()
    disagreeing: frozenset[str] = frozenset()
    empty: tuple[str, ...] = ()


class PromptSession:
    """A map, read once; each ``ask`` then takes a fraction of a second, and the time of the mask model where there is one.

    Args:
        source: of a mask model, which refines what the map's own masks say.
        models: of the map; None = those in ``sparse/``, which a map that grows gets only when it is finalized.

    Attributes:
        models, sights, things: of the map.
        xyz: (N, 3) all of its points.
        dense: (M, 3) its dense cloud, perhaps empty.

    Raises:
        DataError: it has no model with poses, or no mask of anything.
    """

    def __init__(self, root: Path, source: MaskSource | None = None, models: Sequence[SparseModel] | None = None) -> None:
        self.store = MapStore(root)
        models = read_models(self.store.root) if models is None else list(models)
        if not any(model.posed and len(model.point_ids) for model in models):
            raise DataError(
                f"{root}: has no model in sparse/, so that a click reaches no other image; finish the map (--resume)"
            )
        self.models, self.xyz = models, stacked_xyz(models)
        self.sights = sights(models)
        self.things = self._read_things()
        self._place = {sight.name: k for k, sight in enumerate(self.sights)}
        self._carrier = RegionCarrier(self.sights, self.things)
        shapes = {sight.name: self.shape(sight.name) for sight in self.sights}
        self._refiner = None if source is None else Refiner(self.sights, shapes, source)
        dense = self.store.root / DENSE
        cloud = read_points(dense, CLOUD_POINT) if dense.exists() else np.empty(0, CLOUD_POINT)
        self.dense = np.stack([cloud[axis] for axis in "xyz"], axis=1).astype(float)

    def _read_things(self) -> Things:
        tree = read_tree(self.store.root)
        if tree is not None and tree.nodes:
            config_classes = self._class_names()
            return TreeThings(tree.nodes, StoredMasks(self.store, config_classes))
        prompts = read_prompts(self.store.root)
        laid = prompts is not None and prompts.laid
        tracks, points = beneath(self.store.root, self.store.read_tracks(), "points.ply", self.store.read_points())
        tracks = prompts.tracks if prompts is not None and laid else tracks
        ids = {int(i): frozenset(points["point_id"][points["instance"] == i].tolist()) for i in np.unique(points["instance"])}
        labels = StoredLabels(self.store)
        base = {name: under for name in labels if (under := self.store.read_unedited(name)) is not None}
        images = prompts.images if prompts is not None and laid else ()
        base |= {name: under for name in images if (under := self.store.read_unprompted(name)) is not None}
        return FlatThings(tracks, _Under(labels, base), ids)

    def _class_names(self) -> tuple[str, ...]:
        from seg2d3d_ros.config import load_config

        path = self.store.root / "config.yaml"
        return load_config(file=path).segmentation.prompts if path.exists() else ("object",)

    def ask(
        self,
        clicks: Sequence[Click],
        level: str = "fine",
        box: tuple[str, tuple[float, float, float, float]] | None = None,
        network: ClickNetwork | None = None,
    ) -> Answer:
        """The object that clicks, and a box ``x0 y0 x1 y1`` in a keyframe, mean.

        Args:
            level: as for ``choose``.
            network: makes the masks, instead of those of the map; it takes no box.

        Raises:
            UsageError: there is no such keyframe, or a pixel outside it, or a box for a network.
            DataError: no object is known there.
        """
        placed = [self._placed(click) for click in clicks]
        lifts = tuple(None if p.xyz is None else Lift(p.xyz, p.confidence) for p in placed)
        if network is not None:
            if box is not None:
                raise UsageError("a box says nothing to the trained network; give clicks, or ask without --network")
            drawn, empty = network.masks(placed, level)
            if not drawn:
                raise DataError(self._nothing(clicks, placed, box, len(empty)))
            return Answer(Choice(()), drawn, frozenset(), lifts, empty=tuple(empty))
        fits = self._fits(*box) if box is not None else None
        answer = self._known(placed, level, fits, lifts)
        if self._refiner is not None:
            answer = self._refined(self._refiner, placed, answer)
        if not answer.regions:
            raise DataError(self._nothing(clicks, placed, box))
        return answer

    def _known(
        self, placed: Sequence[PlacedClick], level: str, fits: dict[int, float] | None, lifts: tuple[Lift | None, ...]
    ) -> Answer:
        """What the map's own masks say; without regions where they say nothing."""
        choice = choose(placed, self.sights, self.things, level, fits)
        regions, carried = {}, set()
        for k, sight in enumerate(self.sights if choice is not None else ()):
            region, was_carried = self._drawn(choice or Choice(()), k)
            if region is not None:
                regions[sight.name] = region
                if was_carried:
                    carried.add(sight.name)
        return Answer(choice or Choice(()), regions, frozenset(carried), lifts)

    def _refined(self, refiner: Refiner, placed: Sequence[PlacedClick], known: Answer) -> Answer:
        """The answer with what a mask model says of it."""
        base = {self._place[name]: region for name, region in known.regions.items()}
        found = refiner.refine(placed, base, frozenset(self._place[name] for name in known.carried))

        def names(places: Iterable[int]) -> frozenset[str]:
            return frozenset(self.sights[k].name for k in places)

        if not found.regions:
            return replace(known, asked=names(found.asked), disagreeing=names(found.asked))
        regions = {self.sights[k].name: region for k, region in found.regions.items()}
        common = regions.keys() & known.regions.keys()
        alike = bool(common) and np.mean([overlap(regions[name], known.regions[name]) for name in common]) >= SAME
        choice = known.choice if alike else Choice(())
        return Answer(choice, regions, names(found.carried), known.lifts, names(found.asked), names(found.disagreeing))

    def _drawn(self, choice: Choice, k: int) -> tuple[Region | None, bool]:
        found = [self._carrier.region(i, k) for i in choice.include]
        if len(found) == 1 and not choice.exclude:
            return found[0]
        pixels = np.zeros(self.shape(self.sights[k].name), bool)
        for region, _ in found:
            if region is not None:
                pixels[region.window] |= region.pixels
        for i in choice.exclude:
            region, _ = self._carrier.region(i, k)
            if region is not None:
                pixels[region.window] &= ~region.pixels
        return region_of(pixels), any(carried for region, carried in found if region is not None)

    def shape(self, name: str) -> tuple[int, int]:
        """Rows and columns of a keyframe's masks."""
        camera = self._sight(name).view.camera
        return self.things.shape(name) or (camera.height, camera.width)

    def _sight(self, name: str) -> Sight:
        if name not in self._place:
            known = {record.name for record in self.store.read_keyframes()}
            why = "was not registered in the model" if name in known else "is no keyframe of the map"
            raise UsageError(
                f"{name}: {why}, so that a click there has no place; give one of {', '.join(list(self._place)[:3])}, …"
            )
        return self.sights[self._place[name]]

    def _placed(self, click: Click) -> PlacedClick:
        if click.image is None:
            return PlacedClick("", np.full(2, np.nan), np.array(click.xyz, float), 1.0, click.positive)
        sight, xy = self._sight(click.image), np.array(click.xy, float)
        if not sight.view.camera.inside(xy[None])[0]:
            camera = sight.view.camera
            raise UsageError(
                f"--click {xy[0]:g},{xy[1]:g}: outside {click.image}, which is {camera.width}×{camera.height} pixels"
            )
        there = [
            r for i in self.things.holding(click.image, xy[None])[0] if (r := self.things.region(i, click.image)) is not None
        ]
        found = lift(sight, xy, sorted(there, key=lambda region: region.area), self.dense)
        place, confidence = (None, 0.0) if found is None else (found.xyz, found.confidence)
        return PlacedClick(click.image, xy, place, confidence, click.positive)

    def _fits(self, name: str, box: tuple[float, float, float, float]) -> dict[int, float]:
        """Of the things that a keyframe shows, how well the box of each fits a box that was drawn."""
        self._sight(name)
        found = {}
        for i in self.things.shown(name):
            region = self.things.region(i, name)
            if region is not None:
                found[i] = box_overlap(region.box, box)
        return {i: value for i, value in found.items() if value >= 0.3}

    def _nothing(self, clicks: Sequence[Click], placed: Sequence[PlacedClick], box: object, asked: int = 0) -> str:
        where = next((f"{c.image} at {c.xy[0]:g},{c.xy[1]:g}" for c in clicks if c.image is not None and c.positive), None)
        if where is None:
            where = "the box" if box is not None else "the place " + ",".join(f"{v:g}" for v in clicks[0].xyz or ())
        lost = any(p.xyz is None for p in placed if p.positive)
        if asked and not lost:
            return (
                f"{where}: the network finds nothing there in any of the {asked} views that see the place; click on another "
                "part of the object, or ask without --network"
            )
        cause = (
            "no 3D point lies near, as of sky or glass"
            if lost
            else "no mask there or in another view that sees the place holds it"
        )
        return (
            f"{where}: no object is known there: {cause}; click on another part of the object or in another image, or make the "
            "map with masks of everything (--segmenter everything)"
        )


def check_level(level: str) -> None:
    """Refuse what ``PromptSession.ask`` takes for no level.

    Raises:
        UsageError: it is none.
    """
    if level not in ("auto", "fine", "coarse") and not level.isdecimal():
        raise UsageError(f"--level {level}: give auto, fine, coarse, or a level of the tree: 0, 1, …")


class _Under(Mapping[str, np.ndarray]):
    """Label images as they are without prompts."""

    def __init__(self, labels: StoredLabels, base: Mapping[str, np.ndarray]) -> None:
        self._labels, self._base = labels, base

    def __getitem__(self, name: str) -> np.ndarray:
        return self._base[name] if name in self._base else self._labels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)
