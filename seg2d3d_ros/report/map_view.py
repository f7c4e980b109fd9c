"""The map from above: one drawing for each set of components that share a coordinate frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import places
from seg2d3d_ros.export.gis.features import footprint
from seg2d3d_ros.report.content import Content
from seg2d3d_ros.report.plan import PlanView, make_plan, nice_length
from seg2d3d_ros.report.raster import draw_points
from seg2d3d_ros.report.words import count
from seg2d3d_ros.types import SparseModel
from seg2d3d_ros.viewer.scene import frames

WIDTH = 1000
PIXELS = 1800
MAX_PLANS = 4
MAX_LABELS = 100
MAX_NAMED_CAMERAS = 400
FARTHEST_STEP = 12.0
"""A step that is so many times as long as the usual one is no part of a camera's way."""


class CameraMark(NamedTuple):
    """A camera's place, and the triangle that opens to where it looks; an empty name is not shown."""

    name: str
    x: float
    y: float
    wedge: str


class IdTag(NamedTuple):
    """An instance's id on its colour; ``lead`` is the line to its place where the tag had to move aside."""

    id: int
    class_name: str
    x: float
    y: float
    width: float
    height: float
    lead: str


@dataclass(frozen=True)
class Drawing:
    """What ``templates/map.html`` draws of one plan, in SVG units (y down).

    ``points``: a PNG that lies below everything. ``footprints``: (instance id, corners of its outline). ``paths``: the way of
    each camera, in order of capture. ``scale_bar``: a round length, and as many units. ``north``: degrees that the arrow is
    turned by, x and y of its letter.
    """

    width: int
    height: int
    points: bytes
    footprints: Sequence[tuple[int, str]]
    paths: Sequence[str]
    cameras: Sequence[CameraMark]
    camera_radius: float
    tags: Sequence[IdTag]
    scale_bar: tuple[str, float] | None
    north: tuple[float, float, float] | None
    caption: str


def draw_plans(content: Content) -> tuple[list[Drawing], str]:
    """The drawings of the largest components; and in words, what was not drawn."""
    groups = frames(content.models)
    if not groups and not len(content.points):
        return [], ""
    drawings = [_draw(content, models, alone=len(groups) <= 1) for models in (groups or [[]])[:MAX_PLANS]]
    images = sum(len(model.names) for group in groups[MAX_PLANS:] for model in group)
    left_out = f"{count(len(groups) - MAX_PLANS, 'smaller component')} with {count(images, 'image')} together"
    return drawings, f"Not drawn: {left_out}." if images else ""


def _draw(content: Content, models: Sequence[SparseModel], *, alone: bool) -> Drawing:
    points = content.points
    if not alone:
        ids = np.concatenate([model.point_ids for model in models])
        points = points[np.isin(points["point_id"], ids)]
    xyz = np.stack([points[axis].astype(np.float64) for axis in "xyz"], axis=1)
    finite = np.isfinite(xyz).all(axis=1)
    xyz, instance = xyz[finite], points["instance"][finite]
    kind = models[0].frame.kind if models else str(content.frame.get("kind", "arbitrary"))
    plan = make_plan(models, xyz, instance, kind)
    height = round(WIDTH * float((plan.high - plan.low)[1] / (plan.high - plan.low)[0]))
    canvas = _Canvas(plan, height)

    camera_size = _camera_size(np.concatenate([np.empty((0, 2)), *(canvas(plan(model.centers)) for model in models)]))
    outlines = _per_instance(canvas, xyz, instance)
    title = "" if alone else f"Component {', '.join(str(model.component) for model in models)}: "
    return Drawing(
        width=WIDTH,
        height=height,
        points=draw_points(plan, xyz, instance, (PIXELS, round(PIXELS * height / WIDTH))),
        footprints=list(_footprints(canvas, content, outlines)),
        paths=list(_paths(canvas, content, models)),
        cameras=list(_cameras(canvas, content, models, camera_size)),
        camera_radius=round(camera_size / 6, 1),
        tags=list(_tags(outlines, height, {item.id: item.class_name for item in content.instances})),
        scale_bar=_scale_bar(canvas) if kind in ("metric", "enu") else None,
        north=_north_arrow(canvas) if kind == "enu" else None,
        caption=title + _caption(plan, models, xyz, instance, kind),
    )


def _caption(plan: PlanView, models: Sequence[SparseModel], xyz: np.ndarray, instance: np.ndarray, kind: str) -> str:
    images, outside = sum(len(model.names) for model in models), int((~plan.holds(plan(xyz))).sum())
    words = [count(images, "camera"), count(len(xyz), "point"), _FRAME_WORDS.get(kind, kind)]
    if outside:
        words.append(f"{count(outside, 'far point')} outside the picture")
    legend = "A dot is a camera, its wedge opens to where it looks, the line is its way."
    if (instance != 0).any():
        legend += (
            " Coloured points belong to the instance with that number, grey ones to none; outlines are the boxes' footprints."
        )
    return f"{'; '.join(words)}. {legend}"


_FRAME_WORDS = {
    "enu": "metres east, north, up; the arrow points north",
    "metric": "metres; origin and direction are the model's own",
    "arbitrary": "without a scale, since nothing gave a distance; up is estimated from the cameras",
}


class _Canvas:
    """Plan coordinates to SVG units (y down)."""

    def __init__(self, plan: PlanView, height: int):
        self.plan, self.height = plan, height
        self.scale = WIDTH / float((plan.high - plan.low)[0])

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        out = (xy - self.plan.low) * self.scale
        out[:, 1] = self.height - out[:, 1]
        return out


def _core(xy: np.ndarray) -> np.ndarray:
    """The bulk of an instance's points: near the median, then the inner part along and across the longest extent."""
    distance = np.linalg.norm(xy - np.median(xy, axis=0), axis=1)
    near = xy[distance <= 3 * np.median(distance) + 1e-9]
    if len(near) < 8:
        return near
    turned = near @ np.linalg.eigh(np.cov(near.T))[1]
    low, high = np.percentile(turned, [6, 94], axis=0)
    return near[((turned >= low) & (turned <= high)).all(axis=1)]


def _per_instance(canvas: _Canvas, xyz: np.ndarray, instance: np.ndarray) -> dict[int, np.ndarray]:
    """The bulk of each instance's visible points in SVG units, the largest instance first."""
    xy = canvas.plan(xyz)
    usable = np.flatnonzero(canvas.plan.holds(xy) & (instance != 0))
    ids, place = np.unique(instance[usable], return_inverse=True)
    parts = sorted(zip(ids.tolist(), places(place, len(ids)), strict=True), key=lambda part: -len(part[1]))
    return {instance_id: _core(canvas(xy[usable[mine]])) for instance_id, mine in parts}


def _footprints(canvas: _Canvas, content: Content, outlines: Mapping[int, np.ndarray]) -> Iterator[tuple[int, str]]:
    """The lower face of an instance's box; of one without a box, the convex hull of the bulk of its points."""
    boxes = {item.id: footprint(item.document) for item in content.instances}
    for instance_id, xy in outlines.items():
        ring = boxes.get(instance_id)
        if ring is not None:
            yield instance_id, _corners(canvas(canvas.plan(ring[:4])))
        elif len(xy) >= 3:
            yield instance_id, _corners(cv2.convexHull(xy.astype(np.float32))[:, 0])


def _corners(xy: np.ndarray) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)


def _paths(canvas: _Canvas, content: Content, models: Sequence[SparseModel]) -> Iterator[str]:
    """Lines through the places of each camera in order of capture, broken where it was carried elsewhere."""
    records = {record.name: record for record in content.records if record.stamp_ns > 0}
    for model in models:
        ways: dict[str, list[tuple[int, int]]] = {}
        for k, name in enumerate(model.names):
            if name in records:
                ways.setdefault(records[name].camera_name, []).append((records[name].stamp_ns, k))
        place = canvas(canvas.plan(model.centers))
        for way in ways.values():
            xy = place[[k for _, k in sorted(way)]]
            steps = np.linalg.norm(np.diff(xy, axis=0), axis=1)
            if len(steps) == 0 or not np.isfinite(steps).all():
                continue
            far = np.flatnonzero(steps > FARTHEST_STEP * max(float(np.median(steps)), 1.0)) + 1
            yield "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in part) for part in np.split(xy, far) if len(part) > 1)


def _camera_size(xy: np.ndarray) -> float:
    """Length of a camera's symbol in SVG units: about the usual distance to the next camera, so that rows stay readable."""
    if len(xy) < 2:
        return 20.0
    nearest = cKDTree(xy).query(xy, k=2)[0][:, 1]
    return float(np.clip(0.9 * np.median(nearest[np.isfinite(nearest)]), 4, 20))


def _cameras(canvas: _Canvas, content: Content, models: Sequence[SparseModel], size: float) -> Iterator[CameraMark]:
    named = sum(len(model.names) for model in models) <= MAX_NAMED_CAMERAS
    for model in models:
        place = canvas(canvas.plan(model.centers))
        heading = canvas.plan(model.camera_from_world[:, 2, :3]) * [1, -1]
        for name, (x, y), (dx, dy) in zip(model.names, place.tolist(), heading.tolist(), strict=True):
            if not (-size < x < WIDTH + size and -size < y < canvas.height + size):
                continue
            length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
            dx, dy = dx / length * size, dy / length * size
            left, right = (x + dx - dy * 0.45, y + dy + dx * 0.45), (x + dx + dy * 0.45, y + dy - dx * 0.45)
            wedge = f"M{x:.1f} {y:.1f}L{left[0]:.1f} {left[1]:.1f}L{right[0]:.1f} {right[1]:.1f}Z"
            yield CameraMark(content.caption(name) if named else "", round(x, 1), round(y, 1), wedge)


def _tags(outlines: Mapping[int, np.ndarray], height: int, classes: Mapping[int, str]) -> Iterator[IdTag]:
    """Where one tag would cover another it moves aside and a line leads to its place."""
    taken: list[tuple[float, float, float, float]] = []
    for instance_id, xy in list(outlines.items())[:MAX_LABELS]:
        x, y = np.median(xy, axis=0).tolist()
        size = 12 + 9.5 * len(str(instance_id)), 22
        for radius in range(0, 84, 12):
            turns = 2 * np.pi * np.arange(12 if radius else 1) / 12
            boxes = [_around(x + radius * np.cos(turn), y - radius * np.sin(turn), *size) for turn in turns]
            free = [box for box in boxes if _free(box, taken, height)]
            if free:
                break
        else:
            continue
        x0, y0, x1, y1 = free[0]
        taken.append(free[0])
        lead = f"M{x:.1f} {y:.1f}L{(x0 + x1) / 2:.1f} {(y0 + y1) / 2:.1f}" if radius else ""
        yield IdTag(instance_id, classes.get(instance_id, "instance"), round(x0, 1), round(y0, 1), *size, lead)


def _around(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _free(box: tuple[float, ...], taken: Sequence[tuple[float, ...]], height: float) -> bool:
    x0, y0, x1, y1 = box
    if x0 < 0 or y0 < 0 or x1 > WIDTH or y1 > height:
        return False
    return all(x1 + 1 < a or c + 1 < x0 or y1 + 1 < b or d + 1 < y0 for a, b, c, d in taken)


def _scale_bar(canvas: _Canvas) -> tuple[str, float]:
    metres = nice_length(WIDTH / canvas.scale / 4)
    words = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m" if metres >= 1 else f"{metres * 100:g} cm"
    return words, metres * canvas.scale


def _north_arrow(canvas: _Canvas) -> tuple[float, float, float]:
    """It stands 48 units from the upper right corner."""
    north = canvas.plan.axes[:, 1]
    x, y = np.array([WIDTH - 48, 48]) + 34 * np.array([north[0], -north[1]]) / max(float(np.hypot(*north)), 1e-9)
    return float(np.degrees(np.arctan2(north[0], north[1]))), float(x), float(y)
