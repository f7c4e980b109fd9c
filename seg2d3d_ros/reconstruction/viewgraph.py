"""Which images hang together: before mapping by verified matches, after mapping by common 3D points."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from seg2d3d_ros.colmap import pycolmap

MIN_IMAGES = 2
"""Registered images of a model that is worth anything."""
COMMON_POINTS = 12
"""Distinct points, each seen by at least three images, that two parts of a model must share to be one model."""


def components(pairs: np.ndarray, image_ids: Sequence[int], min_matches: int) -> list[list[int]]:
    """Image ids of each connected part of the view graph, the largest first; ties by the smallest id.

    Args:
        pairs: (M, 3) image id, image id, verified matches.
        image_ids: the images.
        min_matches: pairs with fewer are no edge.
    """
    ids = np.array(sorted(image_ids), np.int64)
    edges = pairs[pairs[:, 2] >= min_matches]
    edges = edges[np.isin(edges[:, 0], ids) & np.isin(edges[:, 1], ids)]
    rows, columns = np.searchsorted(ids, edges[:, 0]), np.searchsorted(ids, edges[:, 1])
    graph = sparse.coo_matrix((np.ones(len(edges)), (rows, columns)), (len(ids), len(ids)))
    _, labels = csgraph.connected_components(graph, directed=False)
    groups = [ids[labels == label].tolist() for label in np.unique(labels)]
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def partners(pairs: np.ndarray, members: Sequence[int]) -> list[list[int]]:
    """Per image of ``members``: its verified matches with each of the others, of the pairs (M, 3) that were tried."""
    inside = pairs[np.isin(pairs[:, 0], members) & np.isin(pairs[:, 1], members)]
    found: dict[int, list[int]] = {member: [] for member in members}
    for first, second, matches in inside.tolist():
        found[first].append(matches)
        found[second].append(matches)
    return list(found.values())


def by_size(model: pycolmap.Reconstruction) -> tuple[int, int]:
    """The key to sort models by: the largest first, by registered images, then by points."""
    return -model.num_reg_images(), -model.num_points3D()


def visibility(model: pycolmap.Reconstruction) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Image ids (K,) and which points each sees: (K, P) CSR of 0/1."""
    ids = np.array(sorted(model.reg_image_ids()), np.int64)
    images: list[int] = []
    points: list[int] = []
    for column, point in enumerate(model.points3D.values()):
        seen = {element.image_id for element in point.track.elements}
        images.extend(seen)
        points.extend([column] * len(seen))
    rows = np.searchsorted(ids, np.array(images, np.int64))
    return ids, sparse.csr_matrix((np.ones(len(rows), np.int64), (rows, points)), (len(ids), len(model.points3D)))


def rigid_parts(model: pycolmap.Reconstruction, common: int = COMMON_POINTS) -> list[list[int]]:
    """Image ids of the parts of a model that hang together firmly, the largest first.

    Two images, and then two groups, belong together when they share ``common`` points that three or more images see:
    only such points carry scale from one to the other. (In a model of two images there are none: it stays whole.)
    """
    ids, seen = visibility(model)
    if len(ids) < 3:
        return [ids.tolist()]
    seen = seen[:, np.asarray(seen.sum(0)).ravel() >= 3]
    labels = np.arange(len(ids))
    while True:
        groups = labels.max() + 1
        member = sparse.csr_matrix((np.ones(len(ids), np.int64), (labels, np.arange(len(ids)))), (groups, len(ids)))
        reached = (member @ seen).astype(bool).astype(np.int64)
        shared = (reached @ reached.T).tocoo()
        strong = (shared.data >= common) & (shared.row != shared.col)
        graph = sparse.coo_matrix((np.ones(int(strong.sum())), (shared.row[strong], shared.col[strong])), (groups, groups))
        count, merged = csgraph.connected_components(graph, directed=False)
        if count == groups:
            break
        labels = merged[labels]
    parts = [ids[labels == label].tolist() for label in range(groups)]
    return sorted(parts, key=lambda part: (-len(part), part[0]))


def keep_images(model: pycolmap.Reconstruction, kept: Sequence[int]) -> pycolmap.Reconstruction:
    """A copy of ``model`` with only these images registered, and only points that two of them see."""
    part = copy.deepcopy(model)
    kept_set = set(kept)
    for image_id in list(part.reg_image_ids()):
        if image_id not in kept_set:
            part.deregister_frame(part.image(image_id).frame_id)
    for point_id, point in list(part.points3D.items()):
        if point.track.length() < 2:
            part.delete_point3D(point_id)
    return part


def only_images(model: pycolmap.Reconstruction, posed: Sequence[int]) -> pycolmap.Reconstruction:
    """The model, or, where it has other images too, one of these images alone, each a frame of its own."""
    if set(posed) == set(model.images):
        return model
    part: pycolmap.Reconstruction = pycolmap.Reconstruction()
    for image_id in sorted(posed):
        old = model.image(image_id)
        camera = model.camera(old.camera_id)
        if not part.exists_camera(camera.camera_id):
            part.add_camera(camera)
            rig = pycolmap.Rig(rig_id=camera.camera_id)
            rig.add_ref_sensor(camera.sensor_id)
            part.add_rig(rig)
        keypoints = np.array([p.xy for p in old.points2D], np.float64).reshape(-1, 2)
        image = pycolmap.Image(name=old.name, keypoints=keypoints, camera_id=camera.camera_id, image_id=image_id)
        frame = pycolmap.Frame(frame_id=image_id, rig_id=camera.camera_id, rig_from_world=old.cam_from_world())
        frame.add_data_id(image.data_id)
        image.frame_id = image_id
        part.add_frame(frame)
        part.add_image(image)
        part.register_frame(image_id)
    kept = set(posed)
    for _, point in sorted(model.points3D.items()):
        seen = [element for element in point.track.elements if element.image_id in kept]
        if len(seen) >= 2:
            track = pycolmap.Track()
            for element in seen:
                track.add_element(element.image_id, element.point2D_idx)
            part.add_point3D(point.xyz, track, point.color)
    part.update_point_3d_errors()
    return part
