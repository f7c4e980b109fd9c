"""``simulate``: a street with ground truth as a folder of images, masks, poses, GPS and a rosbag."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.disk.atomic import write_bytes, write_json, write_text
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.images import encode_jpeg, read_labels, write_labels
from seg2d3d_ros.mapstore.files.masks_file import masks_document
from seg2d3d_ros.mapstore.point_cloud import write_points
from seg2d3d_ros.simulation.bag_writer import Shot, write_bag
from seg2d3d_ros.simulation.detector import DETECTORS, DetectorQuality, detect
from seg2d3d_ros.simulation.drive import ANTENNA, CAMERA_NAMES, START_NS, Carrier, Drive, Stop, base_from_camera, make_camera
from seg2d3d_ros.simulation.exposure import expose, exposure_drift, sunshine_drift
from seg2d3d_ros.simulation.furniture_detector import FURNITURE_DETECTORS, FurnitureQuality, detect_furniture
from seg2d3d_ros.simulation.gnss import DATUM, RECEIVERS, gps_csv, received, simulate_fixes
from seg2d3d_ros.simulation.level_detector import detect_levels
from seg2d3d_ros.simulation.levels import LEVELS, HouseLevels
from seg2d3d_ros.simulation.lidar_scanner import FRAME, base_from_lidar, sweeps
from seg2d3d_ros.simulation.scenario import SCENES, SLIVER, Scenario, scenario
from seg2d3d_ros.simulation.scene.furniture import KINDS, Fixture
from seg2d3d_ros.simulation.scene.render import Scene
from seg2d3d_ros.simulation.scene.street import FAR_HOUSE, Street, build_street
from seg2d3d_ros.simulation.scene.texture_atlas import TextureAtlas
from seg2d3d_ros.simulation.true_cloud import FILE as CLOUD_FILE
from seg2d3d_ros.simulation.true_cloud import true_cloud

log = logging.getLogger(__name__)

IGNORE = 65535
THIN_SLIVER = 0.00006
"""The same for street furniture."""
CLASSES = ("building", *KINDS)
"""The classes in the bag count from 1 in this order."""
MAX_BUILDINGS = 500
MAX_WORKERS = 8


@dataclass(frozen=True)
class Picture:
    """One image to be made: its name is ``<camera>_<stamp ns>``."""

    camera: str
    stop: Stop
    drift: float
    sunshine: float
    seeds: np.random.SeedSequence

    @property
    def name(self) -> str:
        """The stem of all its files."""
        return f"{self.camera}_{self.stop.stamp_ns}"


def check_arguments(
    buildings: int,
    keyframes: int,
    cameras: int,
    detector: str,
    width: int,
    height: int,
    miss: float | None = None,
    scene: str = "typical",
    length: float | None = None,
) -> None:
    """Raise ``UsageError`` for anything that makes no street."""
    if not 2 <= buildings <= MAX_BUILDINGS:
        raise UsageError(f"--buildings {buildings}: choose 2 to {MAX_BUILDINGS}")
    if not 1 <= cameras <= len(CAMERA_NAMES):
        raise UsageError(f"--cameras {cameras}: choose 1 (front), 2 (front, left) or 3 (front, left, right)")
    if not 2 * cameras <= keyframes <= 100_000:
        raise UsageError(f"--keyframes {keyframes}: choose at least {2 * cameras}, so that each camera sees both directions")
    if detector not in DETECTORS:
        raise UsageError(f"--detector {detector}: choose {', '.join(DETECTORS)}")
    if scene not in SCENES:
        raise UsageError(f"--scene {scene}: choose {' or '.join(SCENES)}")
    if length is not None and not 2.5 * buildings + 10 <= length <= 25 * buildings + 10:
        raise UsageError(
            f"--length {length:g}: choose {2.5 * buildings + 10:g} to {25 * buildings + 10:g} m for {buildings} houses"
        )
    if miss is not None and not 0 <= miss <= 1:
        raise UsageError(f"--miss {miss}: choose a share between 0 and 1")
    if not (64 <= width <= 8192 and 48 <= height <= 8192):
        raise UsageError(f"--width {width} --height {height}: choose a size between 64×48 and 8192×8192")


def simulate(
    out: Path,
    *,
    seed: int,
    buildings: int = 10,
    keyframes: int = 96,
    cameras: int = 3,
    detector: str = "typical",
    width: int = 960,
    height: int = 640,
    bag: bool = True,
    miss: float | None = None,
    lidar: bool = False,
    levels: bool = False,
    furniture: bool = False,
    scene: str = "typical",
    length: float | None = None,
    cloud: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make a street below ``out`` and return ``out``; the same arguments give the same bytes.

    Args:
        out: a new or empty folder.
        seed: of everything random.
        buildings: houses to be mapped, on both sides together; they set the street's length.
        keyframes: images of all cameras together, half of them in each direction, but for ``hard``, which goes one way.
        cameras: 1 = front, 2 = front and left, 3 = front, left and right.
        detector: quality of ``segments/`` and of the GPS: clean, typical or hard.
        width, height: of the images in pixels.
        bag: also write ``street.mcap``.
        miss: share of the houses that the detector misses in an image, in place of its quality's; small ones up to twice as
            often.
        lidar: also write a LiDAR's scans, with the true owner of each point, into the bag.
        levels: also write the truth of storeys and of their parts, ``levels.json``, and ``masks/``: what a detector finds that
            cuts each house at a level of its own choice in each image.
        furniture: rows of street furniture are to be mapped, too; ``truth/objects.json`` has their places.
        scene: typical, or hard: rows of plain houses that look alike, seen in one pass, with sun and shade; on foot with
            one camera, from a survey vehicle with more.
        length: of the street in metres; None = by the number of houses.
        cloud: also write ``truth/cloud.ply``, a dense cloud of what stands, in the frame of ``truth_poses.txt``, with the true
            owner of each point.
        progress: called with (images done, images in all).

    Raises:
        UsageError: arguments that make no street, or ``out`` holds files.
    """
    out = Path(out)
    check_arguments(buildings, keyframes, cameras, detector, width, height, miss, scene, length)
    if seed < 0:
        raise UsageError(f"--seed {seed}: choose 0 or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is not an empty folder; choose a new one")
    if lidar and not bag:
        raise UsageError("the LiDAR's scans are written into the bag: leave --no-bag or --lidar out")
    street_seeds, drive_seeds, gps_seeds, picture_seeds, drift_seeds, lidar_seeds, cloud_seeds = np.random.SeedSequence(
        seed
    ).spawn(7)
    setting = scenario(scene, cameras)
    style, carrier = setting.style, setting.carrier
    street = build_street(street_seeds, buildings, style, length, furniture)
    names = CAMERA_NAMES[:cameras]
    drive = Drive(np.random.default_rng(drive_seeds), street.length, -(-keyframes // cameras), carrier)
    drifts = [style.exposure * exposure_drift(np.random.default_rng(s), len(drive.stops)) for s in drift_seeds.spawn(cameras)]
    sunshine = sunshine_drift(np.random.default_rng(drift_seeds.spawn(1)[0]), len(drive.stops), style.clouds)
    pictures = [
        (camera, stop, drifts[c][stop.index], sunshine[stop.index]) for stop in drive.stops for c, camera in enumerate(names)
    ][:keyframes]
    plan = [Picture(*facts, seeds) for facts, seeds in zip(pictures, picture_seeds.spawn(keyframes), strict=True)]
    camera = make_camera(width, height, carrier)
    log.info("rendering %d images of a street of %d houses, %.0f m long", len(plan), buildings, street.length)
    known = HouseLevels(street.houses, max((item.id for item in street.fixtures), default=0)) if levels else None
    quality = setting.detected_by(DETECTORS[detector])
    quality = quality if miss is None else replace(quality, miss=miss)
    facts = _render_all(out, street, plan, camera, setting, quality, FURNITURE_DETECTORS[detector], known, progress)
    if known is not None:
        write_json(out / "levels.json", known.to_json())
    write_json(out / "segments" / "segments.json", facts)
    write_json(out / "camera.json", {"model": camera.model, "width": width, "height": height, "params": list(camera.params)})
    enu_from_street = Pose(Rotation.from_euler("Z", street.heading).as_matrix(), np.zeros(3))
    write_text(out / "truth_poses.txt", _poses(plan, enu_from_street, carrier))
    if furniture:
        write_json(out / "truth" / "objects.json", objects_document(street.fixtures, plan, enu_from_street, carrier))
    if cloud:
        places = [p.stop.street_from_base @ base_from_camera(p.camera, carrier) for p in plan]
        points = true_cloud(street, make_camera(-(-width // 2), -(-height // 2), carrier), places, cloud_seeds)
        xyz = enu_from_street.apply(np.stack([points[axis] for axis in "xyz"], axis=1).astype(float))
        points["x"], points["y"], points["z"] = xyz.T
        write_points(out / "truth" / CLOUD_FILE, points)
    base_from_sensor = {name: base_from_camera(name, carrier) for name in names}
    if lidar:
        base_from_sensor[FRAME] = base_from_lidar()
    base_from_sensor["gps"] = Pose(np.eye(3), np.array(ANTENNA))
    write_json(out / "rig.json", {"frame": "base_link", "sensors": {k: _pose_facts(v) for k, v in base_from_sensor.items()}})
    fixes = simulate_fixes(
        np.random.default_rng(gps_seeds),
        lambda time: (enu_from_street @ drive.pose(time) @ base_from_sensor["gps"]).translation,
        drive.end_time,
        drive.leg_times,
        RECEIVERS[detector],
    )
    series = received(fixes)
    rows = [(f"{p.name}.jpg", series.at(p.stop.stamp_ns - START_NS)) for p in plan]
    write_text(out / "gps.csv", gps_csv([(name, fix) for name, fix in rows if fix is not None]))
    if bag:
        stamped = [(START_NS + round(fix.time * 1e9), fix) for fix in fixes]
        scans = sweeps(street, drive, lidar_seeds) if lidar else ()
        write_bag(out / "street.mcap", _shots(out, plan, facts), camera, stamped, base_from_sensor, START_NS, scans)
    return out


def _render_all(
    out: Path,
    street: Street,
    plan: list[Picture],
    camera: Camera,
    setting: Scenario,
    quality: DetectorQuality,
    furniture_quality: FurnitureQuality,
    levels: HouseLevels | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, dict[str, dict[str, object]]]:
    """Write images, truth, segments and, where ``levels`` are given, theirs; returns the content of ``segments.json``."""
    atlas = TextureAtlas(street.textures)
    kinds = {fixture.id: fixture.kind for fixture in street.fixtures}

    def make(picture: Picture) -> tuple[str, dict[str, dict[str, object]]]:
        stop = picture.stop
        moving = street.movers_at(stop.time, stop.leg, stop.since, float(stop.street_from_base.translation[0]))
        scene = Scene(street.mesh, moving, atlas, street.sun, picture.sunshine)
        street_from_camera = stop.street_from_base @ base_from_camera(picture.camera, setting.carrier)
        color, labels = scene.render(camera, street_from_camera)
        sensor_seed, detector_seed, level_seed = picture.seeds.spawn(3)
        pixels = expose(
            np.random.default_rng(sensor_seed), color, picture.drift, picture.camera != "front", setting.style.noise
        )
        write_bytes(out / "images" / f"{picture.name}.jpg", encode_jpeg(pixels, 92))
        write_labels(out / "truth" / f"{picture.name}.png", truth_labels(labels, setting.sliver, kinds))
        rng = np.random.default_rng(detector_seed)
        segments, facts = detect(np.where(np.isin(labels, list(kinds)), 0, labels), quality, rng)
        if kinds:
            segments, more = detect_furniture(labels, kinds, furniture_quality, rng, segments)
            facts = {**{i: fact for i, fact in facts.items() if (segments == i).any()}, **more}
        write_labels(out / "segments" / f"{picture.name}.png", segments)
        if levels is not None:
            truth = levels.labels(labels, scene.surface(camera, street_from_camera))
            for level, item in zip(LEVELS[1:], truth[1:], strict=True):
                write_labels(out / f"truth_{level}s" / f"{picture.name}.png", truth_labels(item, setting.sliver))
            masks = detect_levels(picture.name, truth, levels, np.random.default_rng(level_seed))
            write_json(out / "masks" / f"{picture.name}.json", masks_document(masks, ("object",)))
        return picture.name, {str(i): fact for i, fact in facts.items()}

    facts = {}
    with ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1)) as pool:
        for done, (name, found) in enumerate(pool.map(make, plan), 1):
            facts[name] = found
            if progress:
                progress(done, len(plan))
    return facts


def truth_labels(labels: np.ndarray, sliver: float = SLIVER, things: Collection[int] = ()) -> np.ndarray:
    """(H, W) uint16 truth: persistent ids; houses beyond the street and slivers are ``IGNORE``.

    Args:
        sliver: share of the image below which a house is ``IGNORE``.
        things: labels of street furniture, which may be smaller.
    """
    truth = labels.astype(np.uint16)
    ids, areas = np.unique(truth, return_counts=True)
    least = np.array([THIN_SLIVER if i in things else sliver for i in ids.tolist()]) * truth.size
    slivers = ids[(areas < np.maximum(10.0 if things else 20.0, least)) & (ids != 0)]
    truth[np.isin(truth, slivers) | (labels == FAR_HOUSE)] = IGNORE
    return truth


def objects_document(
    fixtures: Iterable[Fixture], plan: list[Picture], enu_from_street: Pose, carrier: Carrier
) -> dict[str, object]:
    """Where each thing and each camera is, in metres in one frame (``evaluation.positions``)."""
    found = [
        {"id": f.id, "class": f.kind, "position": enu_from_street.apply(np.array([f.foot]))[0].round(4).tolist()}
        for f in fixtures
    ]
    cameras = {
        p.name: (enu_from_street @ p.stop.street_from_base @ base_from_camera(p.camera, carrier)).translation.round(4).tolist()
        for p in plan
    }
    return {"objects": found, "cameras": cameras}


def _poses(plan: list[Picture], enu_from_street: Pose, carrier: Carrier) -> str:
    latitude, longitude, altitude = DATUM
    lines = [
        "# name qw qx qy qz tx ty tz : world_from_camera (unit quaternion, then the camera's centre in metres)",
        "# camera: x right, y down, z forward; world: east, north, up of the datum",
        f"# datum (WGS84 latitude longitude altitude): {latitude} {longitude} {altitude}",
    ]
    for picture in plan:
        pose = enu_from_street @ picture.stop.street_from_base @ base_from_camera(picture.camera, carrier)
        values = " ".join(f"{value:.9f}" for value in (*np.roll(pose.quaternion, 1), *pose.translation))
        lines.append(f"{picture.name}.jpg {values}")
    return "\n".join(lines) + "\n"


def _pose_facts(base_from_sensor: Pose) -> dict[str, list[float]]:
    return {
        "base_from_sensor_quaternion_wxyz": np.roll(base_from_sensor.quaternion, 1).tolist(),
        "base_from_sensor_translation": base_from_sensor.translation.tolist(),
    }


def _shots(out: Path, plan: list[Picture], facts: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Iterator[Shot]:
    for picture in plan:
        jpeg = (out / "images" / f"{picture.name}.jpg").read_bytes()
        labels = read_labels(out / "segments" / f"{picture.name}.png")
        classes = {int(i): 1 + CLASSES.index(str(fact["class"])) for i, fact in facts[picture.name].items()}
        yield Shot(picture.camera, picture.stop.stamp_ns, jpeg, labels, classes)
