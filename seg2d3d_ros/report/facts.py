"""The report's parts in words and tables: headline, what went in, warnings, times, files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from seg2d3d_ros.report.content import Content
from seg2d3d_ros.report.words import count, duration, escape, file_size, table

MAX_CAMERA_ROWS = 12
MAX_NAMES = 200


def headline(content: Content) -> str:
    """The result in one sentence (plain text)."""
    images = _images(content)
    if not images:
        return "This map is still empty: no image went in."
    placed = f"{len(content.registered):,} of {count(images, 'image')} registered"
    if not content.models:
        return f"No 3D model: {placed}."
    by_class = Counter(item.class_name for item in content.instances)
    labelled = int((content.points["instance"] != 0).sum())
    if not by_class:
        found = "no instances" if _segmented(content) else "reconstruction only"
        result = f"{placed}, {count(len(content.points), 'point')}, {found}"
    else:
        kinds = " and ".join(f"{count(n, 'instance')} of “{name}”" for name, n in by_class.most_common(3))
        rest = f" and {len(by_class) - 3} more classes" if len(by_class) > 3 else ""
        result = f"{placed}, {kinds}{rest} with {count(labelled, 'point')}"
    return f"{result}; it took {duration(content.seconds)}." if content.timings else f"{result}."


def tiles(content: Content) -> str:
    """The main figures."""
    counts = content.metrics.get("counts") or {}
    facts = [
        ("Images registered", f"{len(content.registered):,} / {_images(content):,}"),
        ("3D points", f"{len(content.points):,}"),
    ]
    if _segmented(content):
        labelled = int((content.points["instance"] != 0).sum())
        facts += [("Instances", f"{len(content.instances):,}"), ("Labelled points", f"{labelled:,}")]
    if counts.get("segments"):
        facts.append(("Segments linked", f"{counts.get('segments_with_instance', 0):,} / {counts['segments']:,}"))
    if counts.get("missed_views"):
        drawn = f" ({counts['recovered_views']:,} recovered)" if "recovered_views" in counts else ""
        facts.append(("Missed by the detector", f"{count(counts['missed_views'], 'view')}{drawn}"))
    if len(content.models) > 1:
        facts.append(("Components", f"{len(content.models):,}"))
    return "<dl class=tiles>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts) + "</dl>"


def inputs(content: Content) -> str:
    """What went in: source, images, positions, prompts, method, cameras."""
    get = content.config.get
    rows = {"Source": _source(content), "Images": f"{_images(content):,}"}
    if cameras := sorted({record.camera_name for record in content.records if record.camera_name}):
        rows["Cameras"] = ", ".join(escape(name) for name in cameras[:20]) + (" …" if len(cameras) > 20 else "")
    rows["GPS"] = escape(_gps(content))
    prompts = get("segmentation.prompts") or ()
    rows["Prompts"] = ", ".join(f"“{escape(p)}”" for p in ([prompts] if isinstance(prompts, str) else prompts)) or "none"
    segmenter = str(get("segmentation.segmenter") or "not stated")
    rows["Masks from"] = escape(_SEGMENTERS.get(segmenter, segmenter))
    rows["Association"] = f"method “{escape(get('association.method', 'not stated'))}”"
    rows["Reconstruction"] = f"mapper “{escape(get('reconstruction.mapper', 'not stated'))}”"
    listing = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items())
    return f"<dl class=facts>{listing}</dl>{_cameras(content)}"


_SEGMENTERS = {
    "label_images": "label images in a directory",
    "coco": "a COCO JSON file",
    "grounded_sam": "Grounded SAM, by text",
    "panoptic": "a panoptic model, by class",
    "everything": "SAM, any object",
    "topic": "a ROS topic",
    "none": "nowhere: reconstruction only",
}


def _images(content: Content) -> int:
    """All images that were offered, those that could not be read included."""
    listed = (content.metrics.get("counts") or {}).get("images", 0)
    names = {record.name for record in content.records} | set(content.unregistered) | content.registered
    return max(len(names), int(listed))


def _segmented(content: Content) -> bool:
    return content.config.get("segmentation.segmenter") != "none"


def _source(content: Content) -> str:
    folders = Counter(str(Path(record.image).parent) for record in content.records if Path(record.image).is_absolute())
    if folders:
        return " ".join(f"<code>{escape(folder)}</code>" for folder, _ in folders.most_common(3))
    return "a stream; its keyframes are kept in <code>keyframes/</code>" if content.records else "nothing yet"


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
    return f"{given}; the map is in metres east, north and up{place}"


def _cameras(content: Content) -> str:
    """Intrinsics: as solved for registered images, else as given."""
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
    if not groups:
        return ""
    rows = [(*map(escape, key), f"{n:,}") for key, n in groups.most_common(MAX_CAMERA_ROWS)]
    listing = table(("camera", "pixels", "model", "parameters (COLMAP's order)", "calibration", "images"), rows, (5,))
    more = f"<p class=soft>and {len(groups) - MAX_CAMERA_ROWS} more</p>" if len(groups) > MAX_CAMERA_ROWS else ""
    return f"<details open><summary>Intrinsics</summary>{listing}{more}</details>"


def advice(content: Content) -> list[str]:
    """What a person should know or do, in words; HTML-free."""
    words = [str(w) for w in content.metrics.get("warnings") or []] + list(content.damage)
    images, placed = _images(content), len(content.registered)
    if not images:
        words.append(
            "No image went in. Give 'seg2d3d run' a folder with JPEG or PNG files, or 'seg2d3d bag' a bag with cameras."
        )
    elif not content.models:
        words.append(
            "No two images could be brought together in 3D. They must overlap by more than half, be sharp, and be taken "
            "from different places."
        )
    elif not content.instances and _segmented(content):
        words.append(
            "The 3D model is there, but no instance was found. Check that segments/ holds masks for the registered images, "
            "and that association.min_points and association.min_images are not too strict for so few images."
        )
    elif placed < 0.8 * images:
        words.append(f"{images - placed:,} of {images:,} images are not in the map; the reasons are listed below.")
    if len(content.models) > 1 and not any("component" in w for w in words):
        sizes = ", ".join(str(len(model.names)) for model in content.models[:8])
        words.append(f"The images fall into {len(content.models)} components that share no points ({sizes} … images).")
    return list(dict.fromkeys(words))


def warnings(content: Content) -> str:
    """The advice as HTML, then images without a pose, grouped by reason."""
    listed = "".join(f"<li>{escape(word)}</li>" for word in advice(content))
    shown = f"<ul class=warnings>{listed}</ul>" if listed else ""
    reasons: dict[str, list[str]] = {}
    for name, reason in sorted(content.unregistered.items()):
        reasons.setdefault(reason, []).append(name)
    rows = []
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        rows.append((str(len(names)), escape(reason), f"<code>{escape(', '.join(names[:MAX_NAMES]))}</code>{more}"))
    if rows:
        shown += f"<h3>Images that are not in the map</h3>{table(('images', 'why', 'which'), rows, (0,))}"
    return shown or "<p>None: every image is in the map.</p>"


def timings(content: Content) -> str:
    """A bar for each stage."""
    stages = content.timings
    if not stages:
        return ""
    longest = max(max(stages.values()), 1e-9)
    bars = "".join(
        f"<span>{escape(stage.replace('_', ' '))}</span><span><i style='width:{max(100 * s / longest, 0):.1f}%'></i></span>"
        f"<b>{duration(s)}</b>"
        for stage, s in stages.items()
    )
    return f"<div class=bars>{bars}<span>together</span><span></span><b>{duration(content.seconds)}</b></div>"


def configuration(content: Content) -> str:
    """Every parameter in effect, folded away."""
    if not content.config:
        return ""
    rows = [
        (f"<code>{escape(key)}</code>", escape(", ".join(map(str, value)) if isinstance(value, list | tuple) else value))
        for key, value in content.config.items()
    ]
    return f"<details><summary>{count(len(rows), 'parameter')}</summary>{table(('parameter', 'value'), rows)}</details>"


_FILES = (
    ("points.ply", "the labelled cloud: x y z, colour, instance, confidence", "CloudCompare, MeshLab, Open3D"),
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


def files(content: Content) -> str:
    """What lies where and what opens it."""
    root = content.store.root
    rows = []
    for name, meaning, program in _FILES:
        path = root / name
        if path.is_dir():
            entries = sum(1 for _ in path.iterdir())
            if entries:
                rows.append((f"<code>{name}/</code>", meaning, program, count(entries, "entry", "entries")))
        elif path.exists():
            rows.append((f"<code>{name}</code>", meaning, program, file_size(path.stat().st_size)))
    return f"<p>In <code>{escape(root.resolve())}</code>:</p>" + table(("file", "what", "opens with", "size"), rows, (3,))
