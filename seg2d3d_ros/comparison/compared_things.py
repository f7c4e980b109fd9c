"""The things that are compared: shapes in plan, in metres of one projected system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import WITHOUT_PLACE, footprint
from seg2d3d_ros.export.libraries import needed

SAMPLES = 16
"""Places along the edge of a thing that stand for it."""


@dataclass(frozen=True)
class ComparedThing:
    """One thing of a map or a register.

    Attributes:
        name: its id there.
        kind: its class; "" = unknown.
        shape: shapely geometry in plan.
        edge: (n, 2) places along the side that is seen from the street; of a register's thing, whose side nobody told, along
            all of its outline.
        covariance: (2, 2) of its position in metres², east and north; None = unknown.
    """

    name: str
    kind: str
    shape: Any
    edge: np.ndarray
    covariance: np.ndarray | None = None


def things_of(contents: Contents) -> list[ComparedThing]:
    """The chosen instances of a map that have a box; ``contents`` are in a projected system."""
    shapely = needed("shapely", "a comparison")
    centers = contents.models[0].centers
    row = {name: k for k, name in enumerate(contents.models[0].names)}
    things = []
    for item in contents.placed:
        ring = footprint(item)
        if ring is None:
            contents.findings.add(WITHOUT_PLACE, str(item["id"]), of=len(contents.placed))
            continue
        seen = [row[observed["image"]] for observed in item["observations"] if observed["image"] in row]
        viewer = centers[seen].mean(axis=0) if seen else None
        covariance = item.get("covariance")
        things.append(
            ComparedThing(
                str(item["id"]),
                str(item["class"]),
                shapely.Polygon(contents.coordinates.transform(ring)[:, :2]),
                contents.coordinates.transform(front(ring, viewer))[:, :2],
                None if covariance is None else np.array(covariance)[:2, :2],
            )
        )
    return things


def front(ring: np.ndarray, viewer: np.ndarray | None) -> np.ndarray:
    """(SAMPLES, 3) places along the longer side of a box's ring (5, 3) that faces the viewer (3,)."""
    sides = [(ring[k], ring[k + 1]) for k in (0, 2)]  # a box's first side is its longer one
    if viewer is not None:
        sides.sort(key=lambda side: float(np.linalg.norm((side[0] + side[1])[:2] / 2 - viewer[:2])))
    start, end = sides[0]
    share = (np.arange(SAMPLES) + 0.5)[:, None] / SAMPLES
    return np.asarray(start + share * (end - start))


def outline_samples(shape: Any) -> np.ndarray:
    """(n, 2) places along the outline of any geometry."""
    shapely = needed("shapely", "a comparison")
    line = shapely.boundary(shape) if shapely.get_dimensions(shape) == 2 else shape
    if shapely.get_dimensions(shape) == 0 or line.length == 0:
        return np.asarray(shapely.get_coordinates(shape), float)
    return np.asarray(
        shapely.get_coordinates(shapely.line_interpolate_point(line, np.linspace(0, 1, 2 * SAMPLES), normalized=True))
    )


def centers_of(things: Sequence[ComparedThing]) -> np.ndarray:
    """(N, 2) centroids."""
    shapely = needed("shapely", "a comparison")
    return np.asarray(shapely.get_coordinates(shapely.centroid([thing.shape for thing in things]))).reshape(-1, 2)
