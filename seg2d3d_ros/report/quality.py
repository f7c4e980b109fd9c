"""How good a map is by what can be told without the truth: registration, residuals, positions, coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seg2d3d_ros.geometry.wgs84 import to_enu
from seg2d3d_ros.report.charts import Chart, bar_each, histogram
from seg2d3d_ros.report.content import Content
from seg2d3d_ros.report.words import certainty, count

WEAKEST = 8


@dataclass(frozen=True)
class Quality:
    """What the quality page shows.

    Attributes:
        figures: (what, value, what it means), in the order of the page.
        cameras: (camera, images, how many of them are registered).
        charts: distributions and rows of bars.
        weakest: (caption, 3D points that the image sees, mean reprojection error in pixels), the fewest points first.
    """

    figures: Sequence[tuple[str, str, str]] = ()
    cameras: Sequence[tuple[str, int, int]] = ()
    charts: Sequence[Chart] = ()
    weakest: Sequence[tuple[str, int, float]] = ()


@dataclass
class _Page:
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)

    def add(self, what: str, value: str, meaning: str) -> None:
        self.figures.append((what, value, meaning))

    def draw(self, chart: Chart | None) -> None:
        if chart is not None:
            self.charts.append(chart)


def quality(content: Content) -> Quality:
    """Everything that the map tells of its own quality."""
    page = _Page()
    images = content.image_count
    if not images:
        return Quality()
    placed = len(content.registered)
    page.add("Images registered", f"{100 * placed / images:.0f} %", f"{placed:,} of {images:,} have a position and an attitude")
    _residuals(content, page)
    _positions(content, page)
    _coverage(content, page)
    return Quality(page.figures, _registration(content), page.charts, _weakest(content))


def _registration(content: Content) -> list[tuple[str, int, int]]:
    offered = Counter(record.camera_name or "unnamed" for record in content.records)
    placed = Counter(record.camera_name or "unnamed" for record in content.records if record.name in content.registered)
    return [(camera, images, placed[camera]) for camera, images in sorted(offered.items())]


def _residuals(content: Content, page: _Page) -> None:
    error = np.concatenate([np.empty(0), *(model.error for model in content.models)])
    error = error[np.isfinite(error) & (error >= 0)]
    views = np.concatenate([np.empty(0), *(np.bincount(m.obs_point, minlength=len(m.point_ids)) for m in content.models)])
    views = views[views > 0]
    if len(error):
        median, most = np.percentile(error, [50, 95])
        page.add(
            "Reprojection error", f"{median:.2f} px", f"median of {count(len(error), 'point')}; 95 % are below {most:.2f} px"
        )
        page.draw(histogram("Reprojection error of the 3D points", "pixels", error, "points"))
    if len(views):
        page.add("Images a point is seen in", f"{views.mean():.1f}", "on average; two are the least, more make a place surer")
    sigma = content.models[0].frame.scale_sigma if content.models else None
    if content.metric and sigma is not None:
        page.add("Scale", f"{100 * sigma:.2g} %", f"{certainty(sigma)}: 100 m in the map may be {100 * sigma:.2g} m off")


def _positions(content: Content, page: _Page) -> None:
    """Of a georeferenced map, how far the images lie from the positions that they were given."""
    if content.datum is None:
        return
    given = {record.name: record.geo for record in content.records if record.geo is not None}
    names = [name for model in content.models for name in model.names if name in given]
    if not names:
        return
    centers = {name: center for model in content.models for name, center in zip(model.names, model.centers, strict=True)}
    stamp = {record.name: (record.stamp_ns, record.name) for record in content.records}
    names.sort(key=lambda name: stamp[name])
    off = np.stack([centers[name] for name in names]) - to_enu([given[name] for name in names], content.datum)
    level, height = np.linalg.norm(off[:, :2], axis=1), off[:, 2]
    usable = np.isfinite(level)
    if not usable.any():
        return
    rms, most = float(np.sqrt(np.mean(level[usable] ** 2))), float(level[usable].max())
    meaning = f"root mean square over {count(int(usable.sum()), 'image')}; the largest is {most:.2f} m"
    page.add("Horizontal distance to GPS", f"{rms:.2f} m", meaning)
    if np.isfinite(height).any():
        up = height[np.isfinite(height)]
        mean = f"{round(float(up.mean()), 2) + 0.0:+.2f}"
        page.add("Vertical distance to GPS", f"{np.sqrt(np.mean(up**2)):.2f} m", f"root mean square; {mean} m on average")
    claimed = (content.metrics.get("positions") or {}).get("claimed")
    line = (float(claimed), f"claimed {claimed:.2f} m") if isinstance(claimed, int | float) else None
    words = [f"{content.caption(name)}: {metres:.2f} m" for name, metres in zip(names, level.tolist(), strict=True)]
    shown = [k for k in range(len(names)) if usable[k]]
    title = "Horizontal distance of each image to its GPS position, metres"
    page.draw(bar_each(title, "images in order of capture", level[shown].tolist(), [words[k] for k in shown], line))


def _coverage(content: Content, page: _Page) -> None:
    """Masks and missed views: an estimate of the coverage that an evaluation against the truth would measure."""
    counts = content.metrics.get("counts") or {}
    if not content.segmented or not content.instances:
        return
    masked = sum(len(item.images) - len(item.recovered) for item in content.instances)
    drawn, missed = counts.get("recovered_views") or 0, counts.get("missed_views")
    if isinstance(missed, int) and (of := masked + max(missed, drawn)):
        meaning = f"{masked:,} of {count(of, 'view')} that should show an instance, by the 3D model, have a mask of it"
        if drawn:
            meaning += f"; {count(drawn, 'view')} without one {'was' if drawn == 1 else 'were'} filled in from 3D"
        page.add("Coverage, estimated", f"{100 * masked / of:.0f} %", meaning)
    if segments := counts.get("segments"):
        linked = counts.get("segments_with_instance", 0)
        page.add("Masks linked", f"{100 * linked / segments:.0f} %", f"{linked:,} of {segments:,} masks belong to an instance")
    views = np.array([len(item.images) for item in content.instances])
    meaning = f"median over {count(len(views), 'instance')}; {int((views <= 2).sum()):,} are seen in one or two only"
    page.add("Images an instance is seen in", f"{np.median(views):g}", meaning)
    page.draw(histogram("Images in which an instance is seen", "images", views, "instances"))


def _weakest(content: Content) -> list[tuple[str, int, float]]:
    rows = []
    for model in content.models:
        points = np.bincount(model.obs_keyframe, minlength=len(model.names))
        total = np.bincount(model.obs_keyframe, weights=model.error[model.obs_point], minlength=len(model.names))
        if points.any():
            mean = total / np.maximum(points, 1)
            rows += [(content.caption(name), int(points[k]), float(mean[k])) for k, name in enumerate(model.names)]
    return sorted(rows, key=lambda row: row[1])[:WEAKEST]
