"""Faults put into a good drive: is the map still right, or does a warning name the cause?

    python benchmarks/faults.py MAP… [--rig FILE] [--modes batch online] [--seeds 1 2] [--faults focal clock …]

Each MAP is a map directory of a drive with good positions of its images and, for the faults of mounts, known mounts (TF, or
``--rig``). Its features and matches are used; what the positions said is the truth. Faults, at places that a seed chooses:

    none            nothing: no warning may name a cause
    doppelganger    eight pairs of images from the beginning and the end of the drive match as if they showed one place
    mount           a camera's mount is turned by 10 degrees about the vertical
    clock           the positions are those of the next image of the same camera
    one_clock       the positions of one camera are those of its next image
    swapped         the mounts of two cameras are exchanged
    focal           a camera's calibration has half its focal length
    unrectified     the images are as the lens makes them, but K is of P, without distortion
    rectified       the images are rectified, but K and D are those of the lens
    fisheye         the images are of a fisheye, whose coefficients are given as those of plumb_bob
    binned          K is for images half the size: binning is applied twice
    roi             K is for the whole sensor, of which the images are a part that begins at an eighth of width and height

*right*: at least 90 % of the images that the map without a fault has, the same shape (rms after the best rigid motion at most
twice as large, or 0.3 m), and the same scale to 3 %. *named*: a warning of a kind that names this cause. All else is *silent*.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry import wgs84
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import fit_points
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.database_check import PAIR_BASE
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.rigs.rig_file import configured_mounting
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

CAUSES = {
    "none": set(),
    "doppelganger": {"map_contradicted", "positions_off"},
    "mount": {"mounts_not_used", "mounts_corrected", "mounts_not_held"},
    "clock": {"map_contradicted", "positions_off"},
    "one_clock": {"map_contradicted", "positions_off", "mounts_not_used"},
    "swapped": {"mounts_not_used", "mounts_corrected", "mounts_not_held"},
    **{
        lens: {"calibration_doubted", "calibration_implausible"}
        for lens in ("focal", "unrectified", "rectified", "fisheye", "binned", "roi")
    },
}
"""Fault -> codes of the findings that name it."""
RIGHT_RMS, RIGHT_SCALE, RIGHT_SHARE = 0.3, 0.03, 0.9
DOUBLES, PATCH = 8, 60


@dataclass(frozen=True)
class Drive:
    """A copy of a map's database that faults may be put into."""

    path: Path
    rows: list[ImageRow]
    mounts: dict[str, Pose]
    rng: np.random.Generator

    def sql(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        """Change the database."""
        connection = sqlite3.connect(self.path)
        with connection:
            for text, values in statements:
                connection.execute(text, values)
        connection.close()

    @property
    def by_camera(self) -> dict[str, list[ImageRow]]:
        """Camera name -> its images in the order of time."""
        names = sorted({row.camera_name for row in self.rows})
        return {n: sorted((r for r in self.rows if r.camera_name == n), key=lambda r: (r.stamp_ns, r.name)) for n in names}


def set_mount(drive: Drive, camera: str, mount: Pose) -> None:
    """As TF would say it."""
    values = (camera, repr(mount.matrix.tolist()))
    drive.sql(("INSERT OR REPLACE INTO seg2d3d_mounts VALUES (?, ?)", values))


def stored_keypoints(path: Path, image_id: int) -> np.ndarray:
    """(N, 4) float32, as ``FeatureDatabase`` has them."""
    connection = sqlite3.connect(path)
    rows, columns, data = connection.execute(
        "SELECT rows, cols, data FROM keypoints WHERE image_id = ?", (image_id,)
    ).fetchone()
    connection.close()
    return np.frombuffer(data, np.float32).reshape(rows, columns)


def doppelganger(drive: Drive) -> str:
    """Pictures of one patch of points, from the beginning and from the end of the drive."""
    ordered = sorted(drive.rows, key=lambda r: (r.stamp_ns, r.name))
    third = len(ordered) // 3
    colmap = pycolmap.Database.open(drive.path)
    cameras = {row.image_id: colmap.read_camera(row.camera_id) for row in drive.rows}
    keypoints = {row.image_id: stored_keypoints(drive.path, row.image_id) for row in drive.rows}
    told = []
    for _ in range(DOUBLES):
        first, second = ordered[int(drive.rng.integers(third))], ordered[-1 - int(drive.rng.integers(third))]
        a, b = sorted((first.image_id, second.image_id))
        here = np.column_stack([drive.rng.uniform(-4, 4, (PATCH, 2)), drive.rng.uniform(6, 15, PATCH)])
        turn = Rotation.from_rotvec(drive.rng.normal(0, 0.15, 3)).as_matrix()
        places = []
        for image_id, xyz in ((a, here), (b, here @ turn.T + drive.rng.normal(0, 0.5, 3))):
            xy = np.asarray(cameras[image_id].img_from_cam(xyz)) + drive.rng.normal(0, 0.3, (PATCH, 2))
            old = keypoints[image_id]
            rows = np.zeros((PATCH, old.shape[1]), np.float32)
            rows[:, :2], rows[:, 2:3] = xy, 2.0
            keypoints[image_id] = np.vstack([old, rows])
            places.append(np.arange(len(old), len(old) + PATCH))
        matches = np.column_stack(places).astype(np.uint32)
        points = [keypoints[i][:, :2].astype(np.float64) for i in (a, b)]
        geometry = pycolmap.estimate_calibrated_two_view_geometry(cameras[a], points[0], cameras[b], points[1], matches)
        if colmap.exists_two_view_geometry(a, b):
            colmap.delete_two_view_geometry(a, b)
        colmap.write_two_view_geometry(a, b, geometry)
        told.append(f"{first.name}~{second.name}")
    colmap.close()
    for image_id, rows in keypoints.items():
        more = len(rows) - next(r.features for r in drive.rows if r.image_id == image_id)
        if more:
            connection = sqlite3.connect(drive.path)  # SQLite's || would make text of bytes
            (descriptors,) = connection.execute("SELECT data FROM descriptors WHERE image_id = ?", (image_id,)).fetchone()
            (colors,) = connection.execute("SELECT colors FROM seg2d3d_images WHERE image_id = ?", (image_id,)).fetchone()
            connection.close()
            count, more_descriptors, more_colors = len(rows), descriptors + bytes(128 * more), colors + bytes(3 * more)
            drive.sql(
                ("UPDATE keypoints SET rows = ?, data = ? WHERE image_id = ?", (count, rows.tobytes(), image_id)),
                ("UPDATE descriptors SET rows = ?, data = ? WHERE image_id = ?", (count, more_descriptors, image_id)),
                ("UPDATE seg2d3d_images SET features = ?, colors = ? WHERE image_id = ?", (count, more_colors, image_id)),
            )
    return told[0] + ", …"


def mount(drive: Drive) -> str:
    """One mount turned about the vertical."""
    camera = str(drive.rng.choice(sorted(drive.mounts)))
    angle = float(drive.rng.choice([-10.0, 10.0]))
    old = drive.mounts[camera]
    set_mount(drive, camera, Pose(Rotation.from_euler("z", angle, degrees=True).as_matrix() @ old.rotation, old.translation))
    return f"{camera} by {angle:+.0f}°"


def swapped(drive: Drive) -> str:
    """Two mounts exchanged."""
    a, b = (str(name) for name in drive.rng.choice(sorted(drive.mounts), 2, replace=False))
    set_mount(drive, a, drive.mounts[b])
    set_mount(drive, b, drive.mounts[a])
    return f"{a} and {b}"


def shift_clock(drive: Drive, cameras: list[str]) -> None:
    """The positions of these cameras become those of their next images."""
    changes = []
    for camera in cameras:
        rows = drive.by_camera[camera]
        connection = sqlite3.connect(drive.path)
        geo = [connection.execute("SELECT geo FROM seg2d3d_images WHERE name = ?", (r.name,)).fetchone()[0] for r in rows]
        connection.close()
        late = zip(rows, [*geo[1:], geo[-1]], strict=True)
        changes += [("UPDATE seg2d3d_images SET geo = ? WHERE name = ?", (text, row.name)) for row, text in late]
    drive.sql(*changes)


def clock(drive: Drive) -> str:
    """All positions late."""
    shift_clock(drive, list(drive.by_camera))
    return "all"


def one_clock(drive: Drive) -> str:
    """The positions of one camera late."""
    camera = str(drive.rng.choice(sorted(drive.by_camera)))
    shift_clock(drive, [camera])
    return camera


def verify_again(drive: Drive, cameras: list[str]) -> None:
    """The pairs of images of these cameras, by the cameras as they are in the database now."""
    mine = {row.image_id for camera in cameras for row in drive.by_camera[camera]}
    colmap = pycolmap.Database.open(drive.path)
    calibrations = {row.image_id: colmap.read_camera(row.camera_id) for row in drive.rows}
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = 0
    handle = sqlite3.connect(drive.path)
    pair_ids = handle.execute("SELECT pair_id FROM two_view_geometries WHERE rows > 0").fetchall()
    handle.close()
    for a, b in [divmod(pair_id, PAIR_BASE) for (pair_id,) in pair_ids]:
        if (a in mine or b in mine) and colmap.exists_matches(a, b):
            points = [colmap.read_keypoints(i)[:, :2].astype(np.float64) for i in (a, b)]
            geometry = pycolmap.estimate_calibrated_two_view_geometry(
                calibrations[a], points[0], calibrations[b], points[1], colmap.read_matches(a, b), options
            )
            colmap.delete_two_view_geometry(a, b)
            colmap.write_two_view_geometry(a, b, geometry)
    colmap.close()


def recalibrate(drive: Drive, cameras: list[str], change: Callable[[Camera], tuple[Camera, Camera]]) -> None:
    """Let cameras have another lens, and another calibration.

    Args:
        change: of a camera as it is, gives the lens that the images are to be of, and what is told of it.
    """
    for name in cameras:
        rows = drive.by_camera[name]
        for camera_id in sorted({row.camera_id for row in rows}):
            colmap = pycolmap.Database.open(drive.path)
            old = Camera.from_colmap(colmap.read_camera(camera_id))
            lens, told = change(old)
            believed = told.to_colmap()
            believed.camera_id = camera_id
            colmap.update_camera(believed)
            colmap.close()
            if lens != old:
                for row in rows:
                    keypoints = stored_keypoints(drive.path, row.image_id).copy()
                    moved = lens.project(old.rays(keypoints[:, :2].astype(np.float64)))
                    keypoints[:, :2] = np.where(np.isfinite(moved), moved, keypoints[:, :2])
                    values = keypoints.astype(np.float32).tobytes(), row.image_id
                    drive.sql(("UPDATE keypoints SET data = ? WHERE image_id = ?", values))
    verify_again(drive, cameras)


def one_camera(drive: Drive) -> list[str]:
    """By chance."""
    return [str(drive.rng.choice(sorted(drive.by_camera)))]


def focal(drive: Drive) -> str:
    """Half a focal length of one camera, and its pairs verified with it."""
    cameras = one_camera(drive)

    def halved(old: Camera) -> tuple[Camera, Camera]:
        return old, replace(old, params=(*(f / 2 for f in old.params[:2]), *old.params[2:]))

    recalibrate(drive, cameras, halved)
    return cameras[0]


def of_all(change: Callable[[Camera], tuple[Camera, Camera]]) -> Callable[[Drive], str]:
    """The same mistake with all cameras, as one reader of calibrations makes it."""

    def fault(drive: Drive) -> str:
        recalibrate(drive, list(drive.by_camera), change)
        return "all"

    return fault


def barrel(old: Camera) -> Camera:
    """A usual wide lens with the view of a pinhole camera."""
    fx, fy, cx, cy = old.params
    return Camera("OPENCV", old.width, old.height, (1.1 * fx, 1.1 * fy, cx, cy, -0.15, 0.02, 0.0, 0.0))


def fisheye(old: Camera) -> tuple[Camera, Camera]:
    """Equidistant, with usual coefficients."""
    params = (*old.params, -0.03, 0.005, -0.003, 0.0005)
    of = old.width, old.height
    return Camera("OPENCV_FISHEYE", *of, params), Camera("OPENCV", *of, params)


def binned(old: Camera) -> tuple[Camera, Camera]:
    """K for half the size."""
    return old, replace(old, params=tuple(value / 2 for value in old.params))


def roi(old: Camera) -> tuple[Camera, Camera]:
    """The principal point as if the image began at the sensor's corner."""
    fx, fy, cx, cy = old.params
    return old, replace(old, params=(fx, fy, cx + old.width / 8, cy + old.height / 8))


FAULTS: dict[str, Callable[[Drive], str]] = {
    "none": lambda drive: "",
    "doppelganger": doppelganger,
    "mount": mount,
    "clock": clock,
    "one_clock": one_clock,
    "swapped": swapped,
    "focal": focal,
    "unrectified": of_all(lambda old: (barrel(old), old)),
    "rectified": of_all(lambda old: (old, barrel(old))),
    "fisheye": of_all(fisheye),
    "binned": of_all(binned),
    "roi": of_all(roi),
}


def prepare(source: Path, folder: Path, rig: str, seed: int) -> Drive:
    """A copy of a map's database, with the mounts of a rig file in it."""
    here, there = sqlite3.connect(f"file:{source / 'database.db'}?mode=ro", uri=True), sqlite3.connect(folder / "database.db")
    here.backup(there)
    here.close()
    there.close()
    database = FeatureDatabase(folder / "database.db")
    given = configured_mounting(rig)
    rows, mounts = database.images(), dict(given.mounts if given else database.mounts())
    database.close()
    drive = Drive(folder / "database.db", rows, mounts, np.random.default_rng(seed))
    for name, pose in mounts.items():
        set_mount(drive, name, pose)
    return drive


def judge(found: Reconstruction, truth: dict[str, np.ndarray]) -> tuple[int, float, float]:
    """Images in the largest model, rms in metres after the best rigid motion, and how many times too large it is."""
    if not found.models:
        return 0, float("inf"), float("nan")
    model = found.models[0]
    where = [(k, truth[name]) for k, name in enumerate(model.names) if name in truth]
    here, there = model.centers[[k for k, _ in where]], np.array([place for _, place in where])
    similarity = fit_points(here, there)
    here, there = here - here.mean(0), there - there.mean(0)
    turned = Rotation.align_vectors(there, here)[0].apply(here)
    scale = 1.0 / similarity.scale if similarity is not None else float("nan")
    return len(model.names), float(np.sqrt(((turned - there) ** 2).sum(1).mean())), scale


def run(source: Path, rig: str, mode: str, fault: str, seed: int) -> tuple[str, tuple[int, float, float], set[str], float]:
    """What was done, how good the map is, the codes of its warnings, and the seconds that it took."""
    folder = Path(tempfile.mkdtemp(prefix="faults_"))
    try:
        drive = prepare(source, folder, rig, seed)
        known = [row for row in drive.rows if row.geo is not None]
        datum = wgs84.choose_datum([row.geo for row in known if row.geo is not None])
        places = wgs84.to_enu([row.geo for row in known if row.geo is not None], datum)
        truth = {row.name: place for row, place in zip(known, places, strict=True) if np.isfinite(place).all()}
        done = FAULTS[fault](drive)
        start = time.perf_counter()
        reconstructor = open_reconstructor(folder, replace(ReconstructionConfig(), mode=mode, threads=1))
        found = reconstructor.solve()
        reconstructor.close()
        codes = {finding.kind.code for finding in found.findings if finding.kind.level != "note"}
        return done, judge(found, truth), codes, time.perf_counter() - start
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Print one line for each fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("maps", type=Path, nargs="+")
    parser.add_argument("--rig", default="auto")
    parser.add_argument("--modes", nargs="+", default=["batch", "online"], choices=["batch", "online"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    wanted = parser.parse_args()
    total, good = 0, 0
    for source in wanted.maps:
        for mode in wanted.modes:
            _, best, _, _ = run(source, wanted.rig, mode, "none", 0)
            print(f"{source.name} {mode}: {best[0]} images, rms {best[1]:.3f} m, scale {best[2]:.3f}", flush=True)
            for fault in wanted.faults:
                for seed in wanted.seeds:
                    done, (images, rms, scale), codes, seconds = run(source, wanted.rig, mode, fault, seed)
                    same = rms < max(RIGHT_RMS, 2 * best[1]) and abs(scale - 1) < RIGHT_SCALE
                    verdicts = {"right": same and images >= RIGHT_SHARE * best[0], "named": bool(codes & CAUSES[fault])}
                    total, good = total + 1, good + any(verdicts.values())
                    verdict = " ".join(word for word, holds in verdicts.items() if holds) or "SILENT"
                    figures = f"{images:4d} {rms:8.3f} m ×{scale:.3f} {verdict:12s} {seconds:4.0f} s"
                    told = " ".join(sorted(codes)) or "no warning"
                    print(f"  {fault:13s}{seed} {done:32.32s} {figures}  {told}", flush=True)
    print(f"{good} of {total} right or named")


if __name__ == "__main__":
    main()
