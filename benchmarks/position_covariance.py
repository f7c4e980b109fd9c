"""Whether objects are where their covariance says: maps of simulated streets, positions with several kinds of noise, truth.

    seg2d3d simulate S921 --seed 921 --buildings 8 --keyframes 36 --width 640 --height 427 --no-bag
    seg2d3d run S921/images --camera S921/camera.json --gps S921/gps.csv --segmenter none --label building --out M921
    python benchmarks/position_covariance.py S921:M921 …

Features and matches are those of the map; its model is laid over fresh positions of each kind of noise, which then pull at
it. Of these every coordinate claims ``SIGMA`` metres: ``image`` = independent for each image, ``moment`` = the same for all
images of a moment, ``walk`` = 90 % of it correlated over ``SECONDS``, as a receiver's between houses is, ``shift`` = 90 % of
it the same for the whole drive, ``modest`` = independent, half of what is claimed, ``none`` = no positions: then the model is
adjusted to its keypoints alone, and the covariance is against the map's own cameras, which are laid over their true places.

An object is the points whose keypoints lie on one house by the true masks. Its position is the middle of the lower face of
the box around them, and its truth is that of the box around the same points as the true cameras' rays place them: the
keypoints are those of the map, so that their noise, which the covariance has, is in both.

Printed per kind: objects, the share that the 95 % ellipse (in plan) and ellipsoid hold, the median distance to the truth, and
the median of what the covariance says (root of its trace).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2
from truth_poses import read_truth_poses

from seg2d3d_ros.association.judging.place_covariance import with_place_covariances
from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes, oriented_box
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity, weighted_similarity
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.geometry.wgs84 import GeoPosition, from_enu, to_enu
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.reconstruction.adjustment import robust_options, whole_model
from seg2d3d_ros.reconstruction.certainty.solved_covariance import ModelEvidence, solved_covariance
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.reconstruction.model_io import open_model, read_frame, sparse_model
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.simulation.gnss import DATUM
from seg2d3d_ros.types import Instances, SparseModel

SIGMA, SECONDS = 1.0, 6.0
KINDS = ("image", "moment", "walk", "shift", "modest", "none")
IGNORE = 65535
AGREE = 0.8
"""Share of a point's keypoints on one house that makes it the house's."""
LEAST = 30
"""Points that make an object."""
ITERATIONS = 25


def fixes(truth: dict[str, Pose], kind: str, seed: int) -> dict[str, GeoPosition]:
    """Image name -> position of its camera with noise."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    shift, state, before, found, same = rng.normal(size=3), rng.normal(size=3), 0, {}, np.zeros(3)
    for name in sorted(truth, key=lambda name: (int(name.rpartition("_")[2]), name)):
        stamp = int(name.rpartition("_")[2])
        if stamp != before:
            keep = np.exp(-(stamp - before) / 1e9 / SECONDS)
            state, same = keep * state + np.sqrt(1 - keep**2) * rng.normal(size=3), rng.normal(size=3)
        fresh = rng.normal(size=3)
        before = stamp
        error = {
            "image": fresh,
            "moment": same,
            "walk": 0.9 * state + np.sqrt(0.19) * fresh,
            "shift": 0.9 * shift + np.sqrt(0.19) * fresh,
            "modest": 0.5 * fresh,
        }[kind]
        place = from_enu(truth[name].translation + SIGMA * error, DATUM)[0]
        found[name] = replace(place, covariance=np.eye(3) * SIGMA**2)
    return found


@dataclass(frozen=True)
class Objects:
    """The points of a street's largest model: which house each is of, and where it is.

    Attributes:
        point_ids: (P,) ascending.
        owner: (P,) int32 house of each, 0 = none.
        true: (P, 3) where the true rays of its keypoints meet best.
    """

    point_ids: np.ndarray
    owner: np.ndarray
    true: np.ndarray


def objects_of(street: Path, model: SparseModel) -> Objects:
    """By the true masks and poses."""
    truth = read_truth_poses(street)
    count = len(model.point_ids)
    of_keypoint = np.zeros(len(model.obs_point), np.int64)
    information, pull = np.zeros((count, 3, 3)), np.zeros((count, 3))
    for k, name in enumerate(model.names):
        mine = np.flatnonzero(model.obs_keyframe == k)
        labels = read_labels(street / "truth" / f"{name}.png")
        column, row = np.floor(model.obs_xy[mine]).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < labels.shape[1]) & (row < labels.shape[0])
        of_keypoint[mine[inside]] = labels[row[inside], column[inside]]
        rays = model.cameras[k].rays(model.obs_xy[mine].astype(float)) @ truth[name].rotation.T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        np.add.at(information, model.obs_point[mine], across)
        np.add.at(pull, model.obs_point[mine], across @ truth[name].translation)
    true = np.linalg.solve(information + 1e-9 * np.eye(3), pull[..., None])[..., 0]
    owner, share = np.zeros(count, np.int32), np.zeros(count)
    seen = np.maximum(np.bincount(model.obs_point, minlength=count), 1)
    for house in np.setdiff1d(of_keypoint, [0, IGNORE]).tolist():
        here = np.bincount(model.obs_point[of_keypoint == house], minlength=count) / seen
        owner, share = np.where(here > share, house, owner).astype(np.int32), np.maximum(here, share)
    owner[share < AGREE] = 0
    sizes = np.bincount(owner)
    owner[sizes[owner] < LEAST] = 0
    return Objects(model.point_ids, owner, true)


def foot(xyz: np.ndarray) -> np.ndarray:
    """(3,) middle of the lower face of the box around points (N, 3)."""
    center, size, _ = oriented_box(xyz, Z)
    return center - Z * size[2] / 2


def judged(street: Path, root: Path, positions: dict[str, GeoPosition]) -> list[dict[str, Any]] | None:
    """Of each object the error of its position and what is said of it; None where the map is not as positions should have it.

    The map is laid over the positions, which then pull at it, as the online reconstruction does (``online/locating.py``).
    """
    config, findings = ReconstructionConfig(threads=1), Findings()
    model, (_, _, names) = open_model(root / "sparse" / "0"), read_frame(root / "sparse" / "0")
    objects = objects_of(street, sparse_model(model, names))
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(root / "database.db", Path(scratch) / "database.db")
        database = FeatureDatabase(Path(scratch) / "database.db")
        rows = [replace(row, geo=positions.get(row.name)) for row in database.images()]
        by_id, fixed = {row.image_id: row for row in rows}, database.calibrated_cameras().keys()
        locator = Locator(database, rows, config, mounts={})
        frame = locator.georeference(model, None, findings)
        if (frame.kind == "enu") != bool(positions):
            return None
        options = robust_options(pycolmap.LossFunctionType.CAUCHY, ITERATIONS, 1)
        if positions:
            pulled = adjust_with_positions(model, locator.at_cameras(model), locator.sigmas, options, fixed, locator.heights)
            model = model if pulled is None else pulled
            frame = locator.georeference(model, None, Findings())
        else:
            alone = whole_model(model, fixed)
            alone.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
            pycolmap.create_default_bundle_adjuster(options, alone, model).solve()
        covariance = solved_covariance(model, ModelEvidence(locator, by_id, frame, fixed, True, True, None), 1, findings)
        database.close()
    if covariance is None:
        return None
    sparse = sparse_model(model, names, frame=frame)
    place = np.searchsorted(objects.point_ids, sparse.point_ids).clip(max=len(objects.point_ids) - 1)
    there = objects.point_ids[place] == sparse.point_ids
    owner = np.where(there, objects.owner[place], 0).astype(np.int32)
    true = objects.true[place]
    ids = np.unique(objects.owner[objects.owner > 0]).astype(np.int32)
    boxes = OrientedBoxes.none(len(ids))
    for k, i in enumerate(ids.tolist()):
        boxes.center[k], boxes.size[k], boxes.rotation[k] = oriented_box(sparse.xyz[owner == i], sparse.up.direction)
    found = with_place_covariances([sparse], {0: covariance}, bare_instances(ids, owner, boxes))
    if positions:
        latitude, longitude, altitude = frame.datum or DATUM
        origin = to_enu([GeoPosition(latitude, longitude, altitude)], DATUM)[0]
        true_from_map: Similarity | None = Similarity(1.0, np.eye(3), origin)
    else:
        poses = read_truth_poses(street)
        target = np.array([poses[name].translation for name in sparse.names])
        true_from_map = weighted_similarity(sparse.centers, target, np.ones(len(target)))
    assert true_from_map is not None, "cameras in one place"
    turn = true_from_map.scale * true_from_map.rotation
    judgement = []
    for k in np.flatnonzero(found.boxes.located).tolist():
        mine = true[(owner == ids[k]) & np.isfinite(true).all(axis=1)]
        error = true_from_map.apply(found.boxes.foot[k : k + 1])[0] - foot(mine)
        said = turn @ found.boxes.covariance[k] @ turn.T
        judgement.append(
            {
                "plan": float(error[:2] @ np.linalg.solve(said[:2, :2], error[:2])),
                "space": float(error @ np.linalg.solve(said, error)),
                "error": float(np.linalg.norm(error)),
                "sigma": float(np.sqrt(np.trace(said))),
                "points": len(mine),
                "vector": error.tolist(),
                "covariance": said.tolist(),
            }
        )
    return judgement


def bare_instances(ids: np.ndarray, owner: np.ndarray, boxes: OrientedBoxes) -> Instances:
    """Instances of which nothing is known but their points and boxes."""
    none = np.empty(0, np.int32)
    scores = np.ones(len(ids), np.float32)
    return Instances(none, owner, np.ones(len(owner), np.float32), ids, np.ones(len(ids), np.int32), scores, boxes)


def main() -> None:
    """Place, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streets", nargs="+", metavar="STREET:MAP", help="folders of `seg2d3d simulate` and of their maps")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--draws", type=int, default=1, help="of each kind of noise on a street")
    parser.add_argument("--rows", type=Path, help="write every object's error and covariance there, as JSON")
    args = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in args.kinds}
    for both in args.streets:
        street, root = map(Path, both.split(":"))
        number = zlib.crc32((street / "truth_poses.txt").read_bytes())
        for kind in args.kinds:
            for draw in range(1 if kind == "none" else args.draws):
                positions = {} if kind == "none" else fixes(read_truth_poses(street), kind, number + draw)
                rows = judged(street, root, positions)
                if rows is None:
                    print(f"{street} {kind}: the map has no place, or no covariance, and is not judged", flush=True)
                    continue
                found[kind] += [{**row, "street": str(street), "draw": draw} for row in rows]
        if args.rows:
            args.rows.write_text(json.dumps(found))
    print("kind     objects  ellipse  ellipsoid  error  sigma")
    for kind, rows in found.items():
        if rows:
            plan = np.mean([row["plan"] <= chi2.ppf(0.95, 2) for row in rows])
            space = np.mean([row["space"] <= chi2.ppf(0.95, 3) for row in rows])
            error, sigma = (float(np.median([row[name] for row in rows])) for name in ("error", "sigma"))
            print(f"{kind:8s} {len(rows):7d}  {plan:7.3f}  {space:9.3f}  {error:5.3f}  {sigma:5.3f}")


if __name__ == "__main__":
    main()
