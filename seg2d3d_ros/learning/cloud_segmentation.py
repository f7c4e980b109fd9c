"""A cloud → instances, by a trained network: tile by tile, superpoint by superpoint, and joined where tiles overlap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.learning.cloud_tiles import Tile, cut_tile
from seg2d3d_ros.learning.image_features import PlaceFeatures
from seg2d3d_ros.learning.joining import JoinedObjects, TileObject, join_objects
from seg2d3d_ros.learning.scene_building import Cloud, PreparedCloud, prepare_cloud
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.superpoints.partition import partition

MIN_SCORE = 0.25
"""Objects that are less sure are left out."""
MAX_OVERLAP = 0.4
"""Of two objects of one tile with a larger IoU, the less sure one is the same."""
STEP = 1.0
"""Distance of tiles' middles, in units of their radius."""
CHECKED = 8
"""Points of a cloud beyond this number of voxels from any prepared one have no label."""


@dataclass(frozen=True)
class SegmentedCloud:
    """Labels of N points.

    Attributes:
        instance: (N,) int32, 0 = none.
        confidence: (N,) float32, how sure the instance is; 0 = none.
        superpoint: (N,) int32, -1 where a point is no place.
        text: (I, D) float32 of length 1: instance ``i + 1``'s vector in the space of the text-image model that the network
            learnt from; None where it learnt from none.
    """

    instance: np.ndarray
    confidence: np.ndarray
    superpoint: np.ndarray
    text: np.ndarray | None = None


class CloudSegmenter:
    """A trained network that labels clouds.

    Args:
        folder: of ``seg2d3d train``, or of one of its stages.
        device: see ``networks.runtime.choose_device``.

    Attributes:
        voxel: metres between the points that superpoints are made of.
        radius: metres, of a tile.
        text_model: name of the text-image model whose vectors the network learnt; empty = none.
        image_model: name of the model whose image features it learnt to use; empty = none.

    Raises:
        UsageError, DataError: no model, a damaged one, one of another kind or version, or torch is missing.
    """

    def __init__(self, folder: Path, device: str = "auto", findings: Findings | None = None):
        from seg2d3d_ros.networks.weights import TORCH, require

        require([], TORCH)
        from seg2d3d_ros.learning.network.instance_network import KIND, VERSION, build_network
        from seg2d3d_ros.networks.runtime import choose_device
        from seg2d3d_ros.networks.training.weights_folder import load_into, read_weights

        self._findings = Findings() if findings is None else findings
        state, document = read_weights(folder, KIND, VERSION)
        try:
            network = build_network(document["network"])
            self.voxel = float(document["voxel"])
            self.text_model, self.image_model = str(document["text_model"]), str(document["image_model"])
            learnt = document["curriculum"]
            self.radius, self._tile_voxel, self._least = float(learnt["radius"]), float(learnt["voxel"]), int(learnt["least"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder}: its config.json lacks what the network needs ({error}); train it anew") from error
        load_into(network, state, folder)
        self._model = network.to(choose_device(device)).eval()

    def segment(self, cloud: Cloud, progress: Progress | None = None, features: PlaceFeatures | None = None) -> SegmentedCloud:
        """Label a cloud of any extent.

        Args:
            features: gives the image features of places in the cloud's frame, by ``image_model``; None = there are no pictures.

        Raises:
            DataError: no point of it is a place.
        """
        prepared = prepare_cloud(cloud, self.voxel, self._findings)
        superpoint = partition(prepared.xyz.astype(np.float64), rgb=prepared.rgb, normals=prepared.normal)
        image = None if features is None else features(cloud.xyz[prepared.row])
        joined = self.joined_objects(prepared, superpoint, progress, image)
        return self._spread(cloud, prepared, superpoint, joined)

    def joined_objects(
        self,
        prepared: PreparedCloud,
        superpoint: np.ndarray,
        progress: Progress | None = None,
        image: np.ndarray | None = None,
    ) -> JoinedObjects:
        """The objects of a prepared cloud whose points lie in these superpoints (n,), with image features (n, F) or none."""
        size = np.bincount(superpoint)
        found: list[list[TileObject]] = []
        middles = tile_middles(prepared.xyz, self.radius * STEP)
        for done, middle in enumerate(middles, 1):
            tile = cut_tile(
                prepared.xyz, prepared.rgb, prepared.normal, superpoint, middle, self.radius, self._tile_voxel, image=image
            )
            if tile is not None:
                found.append(self._objects(tile, superpoint))
            if progress is not None:
                progress("tiles", done, len(middles))
        return join_objects(found, size)

    def _objects(self, tile: Tile, superpoint: np.ndarray) -> list[TileObject]:
        """What the network finds in a tile, the surest first."""
        import torch

        with torch.inference_mode():
            found = self._model(tile)[-1]
            mask = found.mask.float().sigmoid().cpu().numpy()
            score = (found.object.float().sigmoid() * found.score.float().sigmoid()).sqrt().cpu().numpy()
            text = None if found.text is None else found.text.float().cpu().numpy()
        if not np.isfinite(mask).all() or not np.isfinite(score).all():
            raise DataError("the network's answer is no number: its weights are damaged, or the cloud's values far too large")
        size = np.bincount(tile.superpoint, minlength=tile.superpoints)
        ids = np.empty(tile.superpoints, np.int64)
        ids[tile.superpoint] = superpoint[tile.point]
        inside = mask > 0.5
        kept: list[TileObject] = []
        rows: list[np.ndarray] = []
        for query in np.argsort(-score, kind="stable"):
            mine = inside[query]
            if score[query] < MIN_SCORE:
                break
            if size[mine].sum() < self._least or any(_overlap(mine, other, size) > MAX_OVERLAP for other in rows):
                continue
            sure = float(mask[query][mine] @ size[mine] / size[mine].sum())
            rows.append(mine)
            middle = size[mine] @ tile.center[mine, :2] / size[mine].sum()
            central = max(1 - float(middle @ middle), 0.0)  # what a tile's border cuts, the next tile sees whole
            words = None if text is None else text[query]
            kept.append(TileObject(ids[mine], mask[query][mine], ids, float(score[query]) * sure * central, words))
        return kept

    def _spread(self, cloud: Cloud, prepared: PreparedCloud, superpoint: np.ndarray, joined: JoinedObjects) -> SegmentedCloud:
        """Labels of all points of a cloud: those of the nearest prepared point."""
        finite = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))
        tree = cKDTree(cloud.xyz[prepared.row] - prepared.origin)
        _, near = tree.query(cloud.xyz[finite] - prepared.origin, distance_upper_bound=CHECKED * self.voxel)
        there = near < tree.n
        finite, near = finite[there], near[there]
        count = len(cloud.xyz)
        labels, sure, pieces = np.zeros(count, np.int32), np.zeros(count, np.float32), np.full(count, -1, np.int32)
        mine = superpoint[near]
        labels[finite], sure[finite], pieces[finite] = joined.instance[mine], joined.confidence[mine], mine
        return SegmentedCloud(labels, sure, pieces, joined.text)


def _overlap(first: np.ndarray, second: np.ndarray, size: np.ndarray) -> float:
    """IoU of two sets of superpoints (S,) bool."""
    both = float(size[first & second].sum())
    return both / max(float(size[first | second].sum()), 1.0)


def tile_middles(xyz: np.ndarray, step: float) -> np.ndarray:
    """(T, 2) middles of tiles that cover a cloud: of a square grid, those with points around them."""
    cell = np.floor(xyz[:, :2] / step).astype(np.int64)
    return (np.unique(cell, axis=0) + 0.5) * step
