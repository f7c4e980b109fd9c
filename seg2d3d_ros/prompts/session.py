"""Prompts to a map that is open: clicks, boxes and places in the world in, the object in all views and clouds out.

session = PromptSession(Path("MAP"))
answer = session.ask([Click("front_17803", (412.5, 230.5))])
answer.regions["left_17804"].box
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg2d3d_ros.association.solve import stacked_xyz
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.mapstore.files.prompts_file import Click, read_prompts
from seg2d3d_ros.mapstore.files.tree_file import read_tree
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredLabels, StoredMasks
from seg2d3d_ros.prompts.carrying import RegionCarrier
from seg2d3d_ros.prompts.choosing import Choice, PlacedClick, choose
from seg2d3d_ros.prompts.lifting import Lift, lift
from seg2d3d_ros.prompts.sights import Sight, sights
from seg2d3d_ros.prompts.things import FlatThings, Things, TreeThings
from seg2d3d_ros.reconstruction.model_io import read_models

DENSE = "dense.ply"


@dataclass(frozen=True)
class Answer:
    """What the clicks show.

    Attributes:
        choice: the things that it was made of.
        regions: by keyframe name, its pixels in every view that sees it.
        carried: the views among them that have no whole mask of it.
        lifts: of each click; None where nothing tells its place.
    """

    choice: Choice
    regions: Mapping[str, Region]
    carried: frozenset[str]
    lifts: tuple[Lift | None, ...]


class PromptSession:
    """A map, read once; each ``ask`` then takes a fraction of a second.

    Raises:
        DataError: it has no model with poses, or no mask of anything.
    """

    def __init__(self, root: Path) -> None:
        self.store = MapStore(root)
        models = read_models(self.store.root)
        if not any(model.posed and len(model.point_ids) for model in models):
            raise DataError(
                f"{root}: has no model in sparse/, so that a click reaches no other image; finish the map (--resume)"
            )
        self.models, self.xyz = models, stacked_xyz(models)
        self.sights = sights(models)
        self.things = self._read_things()
        self._place = {sight.name: k for k, sight in enumerate(self.sights)}
        self._carrier = RegionCarrier(self.sights, self.things)
        dense = self.store.root / DENSE
        cloud = read_points(dense, CLOUD_POINT) if dense.exists() else np.empty(0, CLOUD_POINT)
        self._dense = np.stack([cloud[axis] for axis in "xyz"], axis=1).astype(float)

    def _read_things(self) -> Things:
        tree = read_tree(self.store.root)
        if tree is not None and tree.nodes:
            config_classes = self._class_names()
            return TreeThings(tree.nodes, StoredMasks(self.store, config_classes))
        prompts = read_prompts(self.store.root)
        tracks = self.store.read_tracks() if prompts is None else prompts.tracks
        points = self.store.read_points()
        ids = {int(i): frozenset(points["point_id"][points["instance"] == i].tolist()) for i in np.unique(points["instance"])}
        labels = StoredLabels(self.store)
        images = () if prompts is None else prompts.images
        base = {name: under for name in images if (under := self.store.read_unprompted(name)) is not None}
        return FlatThings(tracks, _Under(labels, base), ids)

    def _class_names(self) -> tuple[str, ...]:
        from seg2d3d_ros.config import load_config

        path = self.store.root / "config.yaml"
        return load_config(file=path).segmentation.prompts if path.exists() else ("object",)

    def ask(
        self, clicks: Sequence[Click], level: str = "fine", box: tuple[str, tuple[float, float, float, float]] | None = None
    ) -> Answer:
        """The object that clicks, and a box ``x0 y0 x1 y1`` in a keyframe, mean.

        Args:
            level: as for ``choose``.

        Raises:
            UsageError: there is no such keyframe, or a pixel outside it.
            DataError: no object is known there.
        """
        placed = [self._placed(click) for click in clicks]
        fits = self._fits(*box) if box is not None else None
        choice = choose(placed, self.sights, self.things, level, fits)
        if choice is None:
            raise DataError(self._nothing(clicks, placed, box))
        regions, carried = {}, set()
        for k, sight in enumerate(self.sights):
            region, was_carried = self._drawn(choice, k)
            if region is not None:
                regions[sight.name] = region
                if was_carried:
                    carried.add(sight.name)
        if not regions:
            raise DataError(self._nothing(clicks, placed, box))
        lifts = tuple(None if p.xyz is None else Lift(p.xyz, p.confidence) for p in placed)
        return Answer(choice, regions, frozenset(carried), lifts)

    def _drawn(self, choice: Choice, k: int) -> tuple[Region | None, bool]:
        found = [self._carrier.region(i, k) for i in choice.include]
        if len(found) == 1 and not choice.exclude:
            return found[0]
        camera = self.sights[k].view.camera
        pixels = np.zeros(self.things.shape(self.sights[k].name) or (camera.height, camera.width), bool)
        for region, _ in found:
            if region is not None:
                pixels[region.window] |= region.pixels
        for i in choice.exclude:
            region, _ = self._carrier.region(i, k)
            if region is not None:
                pixels[region.window] &= ~region.pixels
        return region_of(pixels), any(carried for region, carried in found if region is not None)

    def camera(self, name: str) -> Camera:
        """Of a keyframe."""
        return self._sight(name).view.camera

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
        found = lift(sight, xy, sorted(there, key=lambda region: region.area), self._dense)
        place, confidence = (None, 0.0) if found is None else (found.xyz, found.confidence)
        return PlacedClick(click.image, xy, place, confidence, click.positive)

    def _fits(self, name: str, box: tuple[float, float, float, float]) -> dict[int, float]:
        """Of the things that a keyframe shows, how well the box of each fits a box that was drawn."""
        self._sight(name)
        found = {}
        for i in self.things.shown(name):
            region = self.things.region(i, name)
            if region is not None:
                found[i] = _box_overlap(region.box, box)
        return {i: value for i, value in found.items() if value >= 0.3}

    def _nothing(self, clicks: Sequence[Click], placed: Sequence[PlacedClick], box: object) -> str:
        where = next((f"{c.image} at {c.xy[0]:g},{c.xy[1]:g}" for c in clicks if c.image is not None and c.positive), None)
        if where is None:
            where = "the box" if box is not None else "the place " + ",".join(f"{v:g}" for v in clicks[0].xyz or ())
        lost = any(p.xyz is None for p in placed if p.positive)
        cause = (
            "no 3D point lies near, as of sky or glass"
            if lost
            else "no mask there or in another view that sees the place holds it"
        )
        return (
            f"{where}: no object is known there: {cause}; click on another part of the object or in another image, or make the "
            "map with masks of everything (--segmenter everything)"
        )


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


def _box_overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / max(sum(areas) - width * height, 1e-9)
