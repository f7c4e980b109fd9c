"""Where a block lies by itself: its fit to its positions, carried to the city's datum, and how well it knows its scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seg2d3d_ros.city.drives.stored_drive import CityKeyframe
from seg2d3d_ros.city.joining.block_content import BlockContent
from seg2d3d_ros.city.joining.block_graph import PlacedBlock
from seg2d3d_ros.geometry.similarity import Similarity, weighted_similarity
from seg2d3d_ros.geometry.wgs84 import choose_datum, from_enu, to_enu

Datum = tuple[float, float, float]
ARM = 1000.0
"""Metres between the points by which two datums are compared."""
LEAST_SIGMA = 0.01


def city_datum(keyframes: Mapping[str, CityKeyframe]) -> Datum | None:
    """The origin of the city's frame, the same however it is cut; None where no keyframe has a position."""
    positions = [keyframe.record.geo for _, keyframe in sorted(keyframes.items()) if keyframe.record.geo is not None]
    return choose_datum(positions) if positions else None


def city_from_enu(datum: Datum, city: Datum) -> Similarity:
    """From metres east, north, up of one datum to those of the city's: a rigid motion."""
    corners = ARM * np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    there = to_enu(from_enu(corners, datum), city)
    found = weighted_similarity(corners, there, np.ones(4))
    assert found is not None, "four corners have one similarity"
    return Similarity(1.0, found.rotation, there[0])


def placed_block(content: BlockContent, keyframes: Mapping[str, CityKeyframe], datum: Datum | None) -> PlacedBlock:
    """What a block knows of itself; it is georeferenced where its own frame is."""
    centers, frame = content.model.centers, content.model.frame
    geo = [keyframes[name].record.geo if name in keyframes else None for name in content.model.names]
    located = np.array([g is not None for g in geo], bool)
    sigmas = np.array([max(g.sigma, LEAST_SIGMA) for g in geo if g is not None], np.float64)
    own = city_from_enu(frame.datum, datum) if frame.kind == "enu" and frame.datum and datum else None
    return PlacedBlock(
        content.name,
        len(content.model.names),
        np.median(centers, axis=0),
        centers[located] if own is not None else np.zeros((0, 3)),
        sigmas if own is not None else np.zeros(0),
        own,
        frame.scale_sigma if frame.kind != "arbitrary" else None,
    )
