"""What the report says of a map in words: headline, figures, what went in, advice, files. Plain text, no HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seg2d3d_ros.report.content import Content
from seg2d3d_ros.report.words import count, duration, file_size


def headline(content: Content) -> str:
    """The result in one sentence."""
    images = content.image_count
    if not images:
        return "This map is still empty: no image went in."
    placed = f"{len(content.registered):,} of {count(images, 'image')} registered"
    if not content.models:
        return f"No 3D model: {placed}."
    by_class = Counter(item.class_name for item in content.instances)
    if not by_class:
        found = "no instances" if content.segmented else "reconstruction only"
        result = f"{placed}, {count(len(content.points), 'point')}, {found}"
    else:
        kinds = " and ".join(f"{count(n, 'instance')} of “{name}”" for name, n in by_class.most_common(3))
        rest = f" and {len(by_class) - 3} more classes" if len(by_class) > 3 else ""
        result = f"{placed}, {kinds}{rest} with {count(content.labelled_points, 'point')}"
    return f"{result}; it took {duration(content.seconds)}." if content.timings else f"{result}."


def tiles(content: Content) -> dict[str, str]:
    """The main figures by their name."""
    counts = content.metrics.get("counts") or {}
    figures = {
        "Images registered": f"{len(content.registered):,} / {content.image_count:,}",
        "Points in points.ply": f"{len(content.points):,}",
    }
    strays = counts.get("stray_points", 0)
    if strays:
        figures["Far strays left out"] = f"{strays:,}"
    if content.segmented:
        figures |= {"Instances": f"{len(content.instances):,}", "Labelled points": f"{content.labelled_points:,}"}
    if counts.get("segments"):
        figures["Segments linked"] = f"{counts.get('segments_with_instance', 0):,} / {counts['segments']:,}"
    if counts.get("missed_views"):
        drawn = f" ({counts['recovered_views']:,} recovered)" if "recovered_views" in counts else ""
        figures["Missed by the detector"] = f"{count(counts['missed_views'], 'view')}{drawn}"
    if content.models and (sigma := content.models[0].frame.scale_sigma):
        figures["Scale known to"] = f"{100 * sigma:.2g} %"
    if len(content.models) > 1:
        figures["Components"] = f"{len(content.models):,}"
    return figures


def folders(content: Content) -> list[str]:
    """The folders that most images lie in; none where they came as a stream."""
    paths = [Path(record.image) for record in content.records]
    return [folder for folder, _ in Counter(str(path.parent) for path in paths if path.is_absolute()).most_common(3)]


def inputs(content: Content) -> dict[str, str]:
    """What went in, by name: images, positions, prompts, method."""
    get = content.config.get
    found = {"Images": f"{content.image_count:,}"}
    if names := sorted({record.camera_name for record in content.records if record.camera_name}):
        found["Cameras"] = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
    prompts = get("segmentation.prompts") or ()
    segmenter = str(get("segmentation.segmenter") or "not stated")
    return {
        **found,
        "GPS": _gps(content),
        "Prompts": ", ".join(f"“{prompt}”" for prompt in ([prompts] if isinstance(prompts, str) else prompts)) or "none",
        "Masks from": _SEGMENTERS.get(segmenter, segmenter),
        "Association": f"method “{get('association.method', 'not stated')}”",
        "Reconstruction": f"mapper “{get('reconstruction.mapper', 'not stated')}”",
    }


_SEGMENTERS = {
    "label_images": "label images in a directory",
    "coco": "a COCO JSON file",
    "grounded_sam": "Grounded SAM, by text",
    "panoptic": "a panoptic model, by class",
    "everything": "SAM, any object",
    "sam3": "SAM 3, by text",
    "topic": "a ROS topic",
    "none": "nowhere: reconstruction only",
}


def _gps(content: Content) -> str:
    fixes = sum(record.geo is not None for record in content.records)
    kind, datum = content.frame.get("kind"), content.frame.get("datum") or {}
    if not fixes:
        return "none; the map has no place on Earth" if kind != "enu" else "used"
    given = f"positions for {fixes:,} of {count(len(content.records), 'image')}"
    if kind != "enu":
        return f"{given}, not used: too few of them, too close together, or not fitting the model"
    place = ""
    if {"latitude", "longitude", "altitude"} <= set(datum):
        place = f"; datum {datum['latitude']:.6f}°, {datum['longitude']:.6f}°, {datum['altitude']:.1f} m (WGS84)"
    return f"{given}; the map is in metres east, north and up{place}{_distances(content.metrics.get('positions') or {})}"


def _distances(positions: Mapping[str, Any]) -> str:
    """How far the images lie from their positions, as metrics.json has it."""
    if not positions.get("images"):
        return ""
    by_camera = positions.get("cameras") or {}
    each = ", ".join(f"{name} {metres:.2f} m" for name, metres in by_camera.items()) if len(by_camera) > 1 else ""
    off = f"; {positions['off']} positions are off" if positions.get("off") else ""
    return (
        f"; images lie {positions['rms']:.2f} m (rms) from their positions, which claim {positions['claimed']:.2f} m"
        f"{f' ({each})' if each else ''}{off}"
    )


def cameras(content: Content) -> list[tuple[tuple[str, ...], int]]:
    """Intrinsics, as solved for registered images, else as given: the table's cells, and how many images have them.

    The cells are camera, pixels, model, parameters, and whether these are given, estimated or a guess.
    """
    solved = {name: camera for model in content.models for name, camera in zip(model.names, model.cameras, strict=True)}
    given = {record.name: record for record in content.records}
    groups: Counter[tuple[str, ...]] = Counter()
    for name in sorted(set(solved) | set(given)):
        record = given.get(name)
        camera = solved.get(name) or (record.camera if record else None)
        if camera is None:
            continue
        known = record is not None and record.camera is not None and record.camera.calibrated
        origin = "given" if known else "estimated" if name in solved else "a guess"
        parameters = ", ".join(f"{p:.5g}" for p in camera.params)
        label = record.camera_name if record else ""
        groups[label, f"{camera.width}\u00a0×\u00a0{camera.height}", camera.model, parameters, origin] += 1
    return groups.most_common()


_FILES = (
    ("points.ply", "the labelled cloud, coloured by instance; grey = none", "CloudCompare, MeshLab, Open3D"),
    ("points_rgb.ply", "the same in the photographs' colours, far strays included", "CloudCompare, MeshLab, Open3D"),
    ("overlays", "the labels of each image on its photograph", "any image viewer"),
    ("cloud.ply", "the LiDAR's points with the same labels", "CloudCompare, MeshLab, Open3D"),
    ("dense.ply", "a denser labelled cloud, from the images", "CloudCompare, MeshLab, Open3D"),
    ("labels", "one 16-bit PNG per image: the instance id of each pixel", "any program that reads 16-bit PNG"),
    ("tracks.json", "each instance and the images and boxes where it is seen", "any JSON reader"),
    ("sparse", "the COLMAP models: cameras, poses, points", "COLMAP (File › Import model), pycolmap"),
    ("database.db", "features and matches", "COLMAP, sqlite3"),
    ("segments", "the masks as the segmenter gave them", "any program that reads 16-bit PNG"),
    ("keyframes", "the keyframes' image files", "any image viewer"),
    ("keyframes.json", "what went in: cameras, times, positions", "any JSON reader"),
    ("metrics.json", "counts, times, warnings, measurements", "any JSON reader"),
    ("config.yaml", "the effective configuration, usable with --params", "any text editor"),
)


def files(root: Path) -> list[tuple[str, str, str, str]]:
    """What lies in a map directory and what opens it: name, meaning, programs, size or number of entries."""
    rows = []
    for name, meaning, program in _FILES:
        path = root / name
        if path.is_dir():
            entries = sum(1 for _ in path.iterdir())
            if entries:
                rows.append((f"{name}/", meaning, program, count(entries, "entry", "entries")))
        elif path.exists():
            rows.append((name, meaning, program, file_size(path.stat().st_size)))
    return rows
