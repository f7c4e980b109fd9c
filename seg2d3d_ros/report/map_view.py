"""The map from above: one SVG for each set of components that share a coordinate frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import up_of_cameras
from seg2d3d_ros.palette import hex_color
from seg2d3d_ros.report.content import Content
from seg2d3d_ros.report.plan import PlanView, nice_length, plan_axes, window
from seg2d3d_ros.report.raster import draw_points
from seg2d3d_ros.report.words import count, data_uri, escape, ink
from seg2d3d_ros.types import SparseModel

WIDTH = 1000
PIXELS = 1800
MAX_PLANS = 4
MAX_LABELS = 100
MAX_NAMED_CAMERAS = 400


def map_section(content: Content) -> str:
    """HTML of the plans; a sentence where there is nothing to draw."""
    groups = _frames(content.models)
    if not groups and not len(content.points):
        return "<p>There is no 3D model to draw.</p>"
    parts = [_figure(content, models, alone=len(groups) <= 1) for models in (groups or [[]])[:MAX_PLANS]]
    if len(groups) > MAX_PLANS:
        rest = sum(len(m.names) for group in groups[MAX_PLANS:] for m in group)
        parts.append(
            f"<p>Not drawn: {count(len(groups) - MAX_PLANS, 'smaller component')} with {count(rest, 'image')} together.</p>"
        )
    return "".join(parts)


def _frames(models: Sequence[SparseModel]) -> list[list[SparseModel]]:
    """Components that can be drawn together: those in east-north-up of one datum; every other one is on its own."""
    groups: dict[object, list[SparseModel]] = {}
    for model in models:
        key = model.frame.datum if model.frame.kind == "enu" else ("alone", model.component)
        groups.setdefault(key, []).append(model)
    return list(groups.values())


def _figure(content: Content, models: Sequence[SparseModel], *, alone: bool) -> str:
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
    underlay = data_uri(draw_points(plan, xyz, instance, (PIXELS, round(PIXELS * height / WIDTH))), "png")
    canvas = _Canvas(plan, height)
    drawn = [
        f'<image href="{underlay}" width="{WIDTH}" height="{height}"/>',
        _footprints(canvas, xyz, instance),
        _cameras(canvas, models),
        _labels(canvas, xyz, instance, {item.id: item.class_name for item in content.instances}),
        _scale_bar(canvas) if kind in ("metric", "enu") else "",
        _north_arrow(canvas) if kind == "enu" else "",
    ]
    images = sum(len(model.names) for model in models)
    outside = int((~plan.holds(plan(xyz))).sum())
    words = [count(images, "camera"), count(len(xyz), "point"), _FRAME_WORDS.get(kind, kind)]
    if outside:
        words.append(f"{count(outside, 'far point')} outside the picture")
    legend = "A dot is a camera, its wedge opens to where it looks."
    if (instance != 0).any():
        legend += " Coloured points belong to the instance with that number, grey ones to none."
    names = ", ".join(str(model.component) for model in models)
    title = "" if alone else f"Component {names}: "
    return (
        f'<figure class="plan scroll"><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="The map from above" style="--aspect:{WIDTH / height:.4f}">{"".join(drawn)}</svg>'
        f"<figcaption>{escape(title + '; '.join(words))}. {legend}</figcaption></figure>"
    )


_FRAME_WORDS = {
    "enu": "metres east, north, up; the arrow points north",
    "metric": "metres; origin and direction are the model's own",
    "arbitrary": "without a scale, since nothing gave a distance; up is estimated from the cameras",
}


def make_plan(models: Sequence[SparseModel], xyz: np.ndarray, instance: np.ndarray, kind: str) -> PlanView:
    """The view from above of points (N, 3) and the models' cameras; ``kind`` as in ``WorldFrame``.

    North is up, unless that would stand a long street on end: then the street runs across and north lies to the right.
    """
    centers = np.concatenate([np.empty((0, 3)), *(model.centers for model in models)])
    centers = centers[np.isfinite(centers).all(axis=1)]
    labelled, others = xyz[instance != 0], xyz[instance == 0]

    def along(axes: np.ndarray) -> PlanView:
        return PlanView(axes, *window(centers @ axes.T, labelled @ axes.T, others @ axes.T))

    spine = centers if len(centers) > 1 else xyz
    if kind != "enu":
        return along(plan_axes(up_of_cameras(Pose.stack([pose for model in models for pose in model.pose])).direction, spine))
    plan = along(np.eye(3)[:2])
    width, height = plan.high - plan.low
    if height <= 1.1 * width:
        return plan
    axes = plan_axes(np.array([0.0, 0.0, 1.0]), spine)
    return along(axes if axes[0, 1] > 0 else -axes)


class _Canvas:
    """PlanView coordinates to SVG units (y down)."""

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
    order = usable[np.argsort(instance[usable], kind="stable")]
    ids, starts = np.unique(instance[order], return_index=True)
    parts = np.split(order, starts[1:])
    pairs = sorted(zip(ids.tolist(), parts, strict=True), key=lambda pair: -len(pair[1])) if len(ids) else []
    return {instance_id: _core(canvas(xy[rows])) for instance_id, rows in pairs}


def _footprints(canvas: _Canvas, xyz: np.ndarray, instance: np.ndarray) -> str:
    shapes = []
    for instance_id, xy in _per_instance(canvas, xyz, instance).items():
        if len(xy) >= 3:
            hull = cv2.convexHull(xy.astype(np.float32))[:, 0]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in hull)
            shapes.append(f'<polygon class=footprint points="{path}" fill="{hex_color(instance_id)}"/>')
    return "".join(shapes)


def _camera_size(xy: np.ndarray) -> float:
    """Length of a camera's symbol in SVG units: about the usual distance to the next camera, so that rows stay readable."""
    if len(xy) < 2:
        return 20.0
    nearest = cKDTree(xy).query(xy, k=2)[0][:, 1]
    return float(np.clip(0.9 * np.median(nearest[np.isfinite(nearest)]), 4, 20))


def _cameras(canvas: _Canvas, models: Sequence[SparseModel]) -> str:
    total = sum(len(model.names) for model in models)
    size = _camera_size(np.concatenate([np.empty((0, 2)), *(canvas(canvas.plan(m.centers)) for m in models)]))
    shapes = []
    for model in models:
        place = canvas(canvas.plan(model.centers))
        heading = canvas.plan(model.camera_from_world[:, 2, :3]) * [1, -1]
        for name, (x, y), (dx, dy) in zip(model.names, place.tolist(), heading.tolist(), strict=True):
            if not (-size < x < WIDTH + size and -size < y < canvas.height + size):
                continue
            length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
            dx, dy = dx / length * size, dy / length * size
            left, right = (x + dx - dy * 0.45, y + dy + dx * 0.45), (x + dx + dy * 0.45, y + dy - dx * 0.45)
            title = f"<title>{escape(name)}</title>" if total <= MAX_NAMED_CAMERAS else ""
            shapes.append(
                f'<path d="M{x:.1f} {y:.1f}L{left[0]:.1f} {left[1]:.1f}L{right[0]:.1f} {right[1]:.1f}Z">{title}</path>'
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size / 6:.1f}"/>'
            )
    return f"<g class=cameras>{''.join(shapes)}</g>"


def _labels(canvas: _Canvas, xyz: np.ndarray, instance: np.ndarray, classes: Mapping[int, str]) -> str:
    """Ids on their colour. Where one would cover another it moves aside and a line leads to its place."""
    taken: list[tuple[float, float, float, float]] = []
    lines, shapes = [], []
    for instance_id, xy in list(_per_instance(canvas, xyz, instance).items())[:MAX_LABELS]:
        x, y = np.median(xy, axis=0).tolist()
        text = str(instance_id)
        width, height = 12 + 9.5 * len(text), 22
        for radius in range(0, 84, 12):
            turns = 1 if radius == 0 else 12
            boxes = []
            for turn in range(turns):
                cx, cy = x + radius * np.cos(2 * np.pi * turn / turns), y - radius * np.sin(2 * np.pi * turn / turns)
                boxes.append((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
            free = [box for box in boxes if _free(box, taken, canvas.height)]
            if free:
                break
        else:
            continue
        x0, y0, x1, y1 = free[0]
        taken.append(free[0])
        color = hex_color(instance_id)
        if radius:
            middle = f"{(x0 + x1) / 2:.1f} {(y0 + y1) / 2:.1f}"
            lines.append(f'<path class=lead d="M{x:.1f} {y:.1f}L{middle}" stroke="{color}"/>')
        shapes.append(
            f'<a href="#instance-{instance_id}">'
            f"<title>{escape(classes.get(instance_id, 'instance'))} {instance_id}</title>"
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{width:.1f}" height="{height}" rx="5" fill="{color}"/>'
            f'<text x="{(x0 + x1) / 2:.1f}" y="{y0 + 16:.1f}" fill="{ink(instance_id)}">{text}</text></a>'
        )
    return f"<g class=ids>{''.join(lines + shapes)}</g>"


def _free(box: tuple[float, ...], taken: Sequence[tuple[float, ...]], height: float) -> bool:
    x0, y0, x1, y1 = box
    if x0 < 0 or y0 < 0 or x1 > WIDTH or y1 > height:
        return False
    return all(x1 + 1 < a or c + 1 < x0 or y1 + 1 < b or d + 1 < y0 for a, b, c, d in taken)


def _scale_bar(canvas: _Canvas) -> str:
    metres = nice_length(WIDTH / canvas.scale / 4)
    length, y = metres * canvas.scale, canvas.height - 22
    words = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m" if metres >= 1 else f"{metres * 100:g} cm"
    return (
        f'<g class=scale><path d="M24 {y - 7}V{y}H{24 + length:.1f}V{y - 7}"/>'
        f'<text x="{24 + length / 2:.1f}" y="{y - 7}">{words}</text></g>'
    )


def _north_arrow(canvas: _Canvas) -> str:
    x, y = WIDTH - 48, 48
    north = canvas.plan.axes[:, 1]
    angle = np.degrees(np.arctan2(north[0], north[1]))
    letter = np.array([x, y]) + 34 * np.array([north[0], -north[1]]) / max(float(np.hypot(*north)), 1e-9)
    return (
        f'<g class=north><path d="M{x} {y - 20}L{x + 10} {y + 12}L{x} {y + 5}L{x - 10} {y + 12}Z" '
        f'transform="rotate({angle:.1f} {x} {y})"/><text x="{letter[0]:.1f}" y="{letter[1] + 5:.1f}">N</text></g>'
    )
