"""Every image at the chosen granularity: one label a pixel, the node's id, whatever the level of the masks there.

An image's own masks of a chosen node are taken as they are, and so are those of its parts, together. Where a node should be
seen and its masks there leave most of it out, because the image was cut at another level or the segmenter missed it, its masks
of other views are carried over by the surface of its points (``association.masks.transfer``), within the masks of what it is
part of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import sparse

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.masks.missed import MissedView, find_missed
from seg2d3d_ros.association.masks.recovered_masks import Recovered
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.association.solve import describe, stacked_xyz
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.granularity.mask_points import MaskPoints
from seg2d3d_ros.granularity.object_tree import ObjectTree
from seg2d3d_ros.types import Incidence, Instances, Placements, Segments, SparseModel

WHOLE = 0.8
"""Of a node's visible points in an image, so many in the masks of its parts show it whole."""
LEAST_LEFT = 0.25
"""Of a carried region, less than this on pixels that no mask of another object has is a rim."""
RAGGED = 0.01
"""Of the image's width: how far a part may reach beyond the mask of its whole, whose border is ragged."""


@dataclass(frozen=True)
class FlatChoice:
    """One granularity for all images.

    Attributes:
        segments: by keyframe name; the ids of segments are those of nodes.
        carried: by keyframe name, regions of nodes that masks of other views showed there.
    """

    segments: Mapping[str, Segments]
    carried: Mapping[str, Sequence[Recovered]]


def flatten(
    models: Sequence[SparseModel],
    points: MaskPoints,
    tree: ObjectTree,
    chosen: np.ndarray,
    masks: Mapping[str, OverlappingMasks],
) -> FlatChoice:
    """Draw the chosen nodes, (N,) bool of the tree's, into all keyframes that have masks."""
    return _Drawing(models, points, tree, chosen, masks).choice()


class _Drawing:
    def __init__(
        self,
        models: Sequence[SparseModel],
        points: MaskPoints,
        tree: ObjectTree,
        chosen: np.ndarray,
        masks: Mapping[str, OverlappingMasks],
    ) -> None:
        self._models, self._points, self._tree, self._masks = models, points, tree, masks
        self._position = {int(i): k for k, i in enumerate(tree.ids.tolist())}
        self._above = _ancestor(tree, chosen)
        self._chosen = chosen
        self._rows = places(points.view, len(points.names))
        self._class_of = _classes(points, tree)
        self._whole = {name: self._own(k, name) for k, name in enumerate(points.names) if name in masks}

    def choice(self) -> FlatChoice:
        whole = self._whole
        incidence, instances = self._known(whole)
        transfer = Transfer(self._models, incidence, instances, lambda name: whole[name].astype(np.uint16))
        missing: dict[str, list[MissedView]] = {}
        for item in find_missed(self._models, (), incidence, instances):
            if item.name in whole:
                missing.setdefault(item.name, []).append(item)
        segments, carried = {}, {}
        for k, name in enumerate(self._points.names):
            if name in whole:
                segments[name], carried[name] = self._image(k, name, whole[name].copy(), missing.get(name, ()), transfer)
        return FlatChoice(segments, {name: items for name, items in carried.items() if items})

    def _own(self, k: int, name: str) -> np.ndarray:
        """(H, W) int32 ids of the chosen nodes whose own masks the keyframe has; of two the smaller mask wins."""
        return self._paint(name, [(int(s), int(self._tree.of_mask[s])) for s in self._rows[k] if self._is_chosen(int(s))])

    def _is_chosen(self, mask: int) -> bool:
        node = int(self._tree.of_mask[mask])
        return node >= 0 and bool(self._chosen[node])

    def _paint(self, name: str, shown: Sequence[tuple[int, int]]) -> np.ndarray:
        """(H, W) int32 ids of the nodes that masks show, given as pairs; the smaller mask wins."""
        labels = np.zeros(self._masks[name].shape, np.int32)
        for mask, node in sorted(shown, key=lambda item: -int(self._points.areas[item[0]])):
            region = self._masks[name].region(int(self._points.index[mask]))
            labels[region.window][region.pixels] = self._tree.ids[node]
        return labels

    def _image(
        self, k: int, name: str, labels: np.ndarray, missing: Sequence[MissedView], transfer: Transfer
    ) -> tuple[Segments, list[Recovered]]:
        """The flat labels of one keyframe, and what was carried there."""
        of_mask, above = self._tree.of_mask, self._above
        below = [(int(s), int(above[of_mask[s]])) for s in self._rows[k] if of_mask[s] >= 0 and not self._is_chosen(int(s))]
        parts = self._paint(name, [(s, node) for s, node in below if node >= 0])
        labels = np.where(labels > 0, labels, parts)
        carried: list[Recovered] = []
        taken = labels.copy()
        for item in missing:
            node = self._position[item.instance]
            mine = taken == item.instance
            u, v = np.floor(item.xy).astype(np.intp).T
            if mine[v, u].mean() >= WHOLE:
                continue
            region = transfer.region(item)
            region = None if region is None else self._within(k, name, node, region)
            if region is None:
                continue
            free = region.pixels & (taken[region.window] == 0)
            if free.sum() < LEAST_LEFT * (region.pixels & ~mine[region.window]).sum():
                continue
            drawn = region_of(free, *region.box[:2])
            if drawn is not None:
                taken[drawn.window][drawn.pixels] = item.instance
                carried.append(Recovered(item.instance, item.class_id, drawn, item.confidence))
        ids = np.setdiff1d(labels, [0]).astype(np.uint16)
        nodes = [self._position[i] for i in ids.tolist()]
        scores = self._tree.stability[nodes].astype(np.float32)
        return Segments(name, labels.astype(np.uint16), ids, self._class_of[nodes], np.clip(scores, 0.0, 1.0)), carried

    def _within(self, k: int, name: str, node: int, region: Region) -> Region | None:
        """The part of a region inside the masks that the keyframe has of what the node is part of, if it has any."""
        up = int(self._tree.parent[node])
        while up >= 0:
            whole = [int(s) for s in self._rows[k] if self._tree.of_mask[s] == up]
            if whole:
                limit = np.zeros(self._masks[name].shape, np.uint8)
                for mask in whole:
                    piece = self._masks[name].region(int(self._points.index[mask]))
                    limit[piece.window] |= piece.pixels
                size = 2 * max(1, round(RAGGED * limit.shape[1])) + 1
                grown = cv2.dilate(limit, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
                return region_of(region.pixels & (grown[region.window] > 0), *region.box[:2])
            up = int(self._tree.parent[up])
        return region

    def _known(self, whole: Mapping[str, np.ndarray]) -> tuple[Incidence, Instances]:
        """The chosen nodes as instances, shown by their own masks."""
        points, tree = self._points, self._tree
        rows: list[tuple[int, int]] = []
        segment = np.full(len(points.keyframe), -1, np.int32)
        for k, mine in enumerate(places(points.keyframe, len(points.names))):
            labels = whole.get(points.names[k])
            if labels is None:
                continue
            height, width = labels.shape
            u, v = np.clip(np.floor(points.xy[mine]).astype(np.intp), 0, [width - 1, height - 1]).T
            ids = np.unique(labels)
            ids = ids[ids > 0]
            here = labels[v, u]
            segment[mine] = np.where(here > 0, len(rows) + np.searchsorted(ids, here), -1)
            rows += [(k, int(i)) for i in ids]
        view, ids = np.array(rows, np.int64).reshape(-1, 2).T
        nodes = np.array([self._position[i] for i in ids.tolist()], np.int64)
        seen = np.flatnonzero(points.observed)
        unseen = np.flatnonzero(~points.observed)
        held = seen[segment[seen] >= 0]
        count = points.held.shape[1]

        def placed(chosen: np.ndarray) -> Placements:
            places_of = points.keyframe[chosen].astype(np.int32), segment[chosen], points.point[chosen].astype(np.int32)
            return Placements(*places_of, points.xy[chosen].astype(np.float32))

        incidence = Incidence(
            sparse.csr_matrix((np.ones(len(held), np.float32), (segment[held], points.point[held])), (len(rows), count)),
            points.visible.astype(bool),
            points.names,
            view.astype(np.int32),
            ids.astype(np.uint16),
            self._class_of[nodes],
            np.ones(len(rows), np.float32),
            np.arange(count),
            placed(held),
            placed(unseen),
        )
        xyz = stacked_xyz(self._models)
        instances = describe(incidence, xyz, ids.astype(np.int32))
        owner = np.zeros(count, np.int32)
        for node in sorted(np.flatnonzero(self._chosen).tolist(), key=lambda node: -int(tree.sizes[node])):
            owner[tree.member.indices[tree.member.indptr[node] : tree.member.indptr[node + 1]]] = tree.ids[node]
        owner[~np.isin(owner, instances.ids)] = 0
        return incidence, replace(instances, point_instance=owner, point_confidence=(owner > 0).astype(np.float32))


def _ancestor(tree: ObjectTree, chosen: np.ndarray) -> np.ndarray:
    """(N,) int64 the chosen node that each is or lies in; -1 = it lies above all that were chosen."""
    result = np.full(len(tree), -1, np.int64)
    for k, parent in enumerate(tree.parent.tolist()):
        result[k] = k if chosen[k] else result[parent] if parent >= 0 else -1
    return result


def _classes(points: MaskPoints, tree: ObjectTree) -> np.ndarray:
    """(N,) int32 the class of most of each node's masks."""
    result = np.ones(len(tree), np.int32)
    mine = tree.of_mask >= 0
    for k, rows in enumerate(places(tree.of_mask[mine], len(tree))):
        if len(rows):
            result[k] = np.bincount(points.classes[mine][rows]).argmax()
    return result
