"""Two submaps become one: the smaller is moved onto the larger as a whole, and only the images along its border are adjusted.

Registering the smaller submap's images one by one costs a registration and a local adjustment each; moving it costs one fit.
"""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np

from seg2d3d_ros.arrays import take
from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.online.submap_links import Links, find_links, fit_links

log = logging.getLogger(__name__)

RETRY_LINKS = 1.3
"""A merge that was refused is tried again when there are this many times the links there were."""
WORTH = ("arbitrary", "metric", "enu")
"""Kinds of world frame, the one that is kept last."""
BORDER_IMAGES = 12
"""Images of either submap along their border that are adjusted after a merge."""


def merge(source: Submap, target: Submap, options: MapperOptions, min_points: int, seed: int) -> bool:
    """Let ``target`` take in all of ``source`` where their common points agree on how; whether it did.

    The world frame is the target's, unless the source's says more (metres, or a place on Earth). A point keeps the id that it
    has in the source; where it is a point of the target, its observations go over to that one. Images in both keep the
    target's pose. ``source`` is of no more use afterwards; where the merge is refused nothing has changed.

    Args:
        source: the smaller submap.
        target: the larger.
        options: of the adjustment along the border.
        min_points: points that must agree.
        seed: of the fit.
    """
    links = find_links(target.graph, source.reconstruction, target.reconstruction)
    if len(links) < max(min_points, RETRY_LINKS * target.refused.get(source.number, 0)):
        return False
    fit = fit_links(links, source.reconstruction, target.reconstruction, min_points, seed)
    if fit is None:
        target.refused[source.number] = source.refused[target.number] = len(links)
        log.info("submaps of %d and %d images do not fit by %d links", len(target), len(source), len(links))
        return False
    similarity, agree = fit
    bring_together(source, target, similarity)
    log.info("a submap of %d images takes in one of %d by %d of %d links", len(target), len(source), agree.sum(), len(agree))
    good = take(links, agree)
    absorb(source, target, good)
    target.adjust_locally(_border_images(good), options)
    return True


def bring_together(source: Submap, target: Submap, target_from_source: Similarity) -> None:
    """Move one of two submaps into the world frame of the other: of the one whose frame says more, else of the target."""
    if WORTH.index(source.frame.kind) > WORTH.index(target.frame.kind):
        target.transform(target_from_source.inverse())
        target.frame, target.located = source.frame, source.located
    else:
        source.transform(target_from_source)


def absorb(source: Submap, target: Submap, links: Links | None = None) -> None:
    """Let ``target`` take in ``source``, which lies in its world frame already.

    Args:
        source: of no more use afterwards.
        target: gets frames and points.
        links: which points are the same; None = none are.
    """
    _take_frames(source.reconstruction, target.reconstruction)
    _take_points(source, target, links)
    target.adjusted += source.adjusted  # each part has been adjusted as a whole
    target.touched |= source.registered
    target.forget_failures()
    target.rebuild()


def _take_frames(source: pycolmap.Reconstruction, target: pycolmap.Reconstruction) -> None:
    """Register the frames of ``source`` in ``target``, with cameras as they are there where the target does not use them."""
    used = {target.image(i).camera_id for i in target.reg_image_ids()}
    for camera_id in sorted({source.image(i).camera_id for i in source.reg_image_ids()} - used):
        target.camera(camera_id).params = list(source.camera(camera_id).params)
    there = set(target.reg_frame_ids())
    for frame_id in sorted(source.reg_frame_ids()):
        if frame_id not in there:
            target.frame(frame_id).rig_from_world = source.frame(frame_id).rig_from_world
            target.register_frame(frame_id)


def _take_points(source: Submap, target: Submap, links: Links | None) -> None:
    votes: dict[int, Counter[int]] = {}
    for p, q in zip(links.source_points.tolist(), links.target_points.tolist(), strict=True) if links else ():
        votes.setdefault(p, Counter())[q] += 1
    model = target.reconstruction
    free: dict[int, np.ndarray] = {}
    keep_ids = source.numbered or not target.numbered
    for p, point in sorted(source.reconstruction.points3D.items()):
        elements: dict[int, int] = {}
        for element in point.track.elements:
            i = int(element.image_id)
            if i not in free:
                image = model.image(i)
                free[i] = np.ones(image.num_points2D(), bool)
                free[i][np.array(image.get_observation_point2D_idxs(), np.int64)] = False
            if free[i][element.point2D_idx]:
                elements.setdefault(i, int(element.point2D_idx))
        if p in votes:
            q = min(votes[p].items(), key=lambda item: (-item[1], item[0]))[0]
            inside = {e.image_id for e in model.point3D(q).track.elements}
            for i, k in elements.items():
                if i not in inside:
                    model.add_observation(q, pycolmap.TrackElement(i, k))
                    free[i][k] = False
        elif len(elements) >= 2:
            track = pycolmap.Track()
            for i, k in elements.items():
                track.add_element(i, k)
                free[i][k] = False
            if keep_ids and not model.exists_point3D(p):
                fresh = pycolmap.Point3D()
                fresh.xyz, fresh.color, fresh.error, fresh.track = point.xyz, point.color, point.error, track
                model.add_point3D_with_id(p, fresh)
            else:
                model.add_point3D(point.xyz, track, point.color)


def _border_images(links: Links) -> list[int]:
    """The images along the border, those with most links first; from both sides."""
    found: list[int] = []
    for images in (links.source_images, links.target_images):
        ids, counts = np.unique(images, return_counts=True)
        found += ids[np.lexsort((ids, -counts))][:BORDER_IMAGES].tolist()
    return list(dict.fromkeys(found))
