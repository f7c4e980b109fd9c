"""Whether the images agree with the calibration of their cameras: what it becomes when it is free, and what that explains."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import EXAMPLES, Findings, Kind
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.reconstruction.adjustment import MAX_ERROR, PLAUSIBLE, robust_options, whole_model
from seg2d3d_ros.reconstruction.viewgraph import keep_images
from seg2d3d_ros.reconstruction.world.position_priors import adjust_to_priors

CALIBRATION_DOUBTED = Kind(
    "calibration_doubted",
    "cameras whose calibration the images contradict",
    cause="left free it becomes another: {change}",
    remedy="check which calibration belongs to which camera; for which image size it is (binning and scaling count once); the "
    "lens model (a fisheye is `equidistant`, not `plumb_bob`); and that K and D serve images as the camera gives them, P "
    "rectified ones; the map was made with the calibration as given",
)
ITERATIONS = 50
"""A vehicle that looks where it drives hardly constrains its focal length: it creeps."""
PER_CAMERA = 25
"""Images of each camera that are asked."""
POINTS = 250
"""Points that each of these images sees at least, if there are so many: a lens has a dozen unknowns."""
SETTLED = 1e-5
"""Relative change of the cost at which an adjustment ends."""
MIN_IMAGES = 4
"""A camera with fewer images tells nothing of its calibration."""
EXPLAINS = 1.12
"""A calibration that is left free must lower its camera's reprojection error by this factor to tell of a wrong one: 1.00 to
1.02 where it is right …"""
MOVED = 0.03
"""… and move pixels by this share of the image's longer side: small errors of lenses do less, and harm little."""
BENT = 0.015
"""… or change what distortion does to a pixel by this share, which a focal length can hide in the middle of the picture."""
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE")
STRAIGHT = 0.3
"""Images are called rectified, or raw, where of the distortions as given and as found one is so small a share of the other."""


SAME_LENS = 1.05
"""Focal lengths of one lens, as images tell them, differ by less than this factor."""


@dataclass(frozen=True)
class SelfCalibration:
    """What became of one camera when its intrinsics were left free.

    Attributes:
        focal: factor of its focal length.
        moved: largest distance that a ray's pixel moved, as a share of the longer side.
        held, freed: robust mean reprojection error in pixels with the calibration as given, and left free.
        size: longer side in pixels.
        bent: largest distance that distortion moves a pixel as given, and left free, as shares of the longer side.
    """

    focal: float
    moved: float
    held: float
    freed: float
    size: int
    bent: tuple[float, float] = (0.0, 0.0)

    def contradicts(self, *, positions: bool) -> bool:
        """Whether the images contradict the calibration; ``positions`` tell how far cameras moved, and so the focal length."""
        if positions and max(self.focal, 1.0 / self.focal) > PLAUSIBLE:
            return True
        other_lens = self.moved > MOVED or abs(self.bent[0] - self.bent[1]) > BENT
        return other_lens and self.held > EXPLAINS * self.freed

    @property
    def text(self) -> str:
        """In words."""
        likely = min((0.5, 2.0), key=lambda factor: abs(np.log(self.focal / factor)))
        words = f"focal length {100 * (self.focal - 1):+.0f} %"
        if abs(np.log(self.focal / likely)) < np.log(PLAUSIBLE):
            words += f" (as of images {'half' if likely < 1 else 'twice'} the size)"
        given, free = self.bent
        if max(given, free) > MOVED and free < STRAIGHT * given:
            words += ", hardly any distortion (as of rectified images, with the K and D of raw ones)"
        elif max(given, free) > MOVED and given < STRAIGHT * free:
            words += ", and a distortion (as of raw images, with the P of rectified ones)"
        lens = f", pixels move by up to {self.moved * self.size:.0f}"
        return f"{words}{lens}, reprojection error {self.held:.2f} to {self.freed:.2f} pixels"


def doubt_calibrations(
    models: Sequence[pycolmap.Reconstruction],
    cameras: Collection[int],
    names: Mapping[int, str],
    threads: int,
    findings: Findings,
    priors: Sequence[pycolmap.PosePrior] = (),
    sigma: float = 0.0,
) -> None:
    """Name the calibrated cameras whose intrinsics become others, and explain the images better, when they are free.

    Args:
        models: not changed; in the positions' frame where there are priors.
        cameras: ids of the calibrated cameras.
        names: camera id -> the camera's name; cameras without one are not doubted.
        threads: 0 = all cores.
        findings: gets the cameras.
        priors: positions of the images, if they are known.
        sigma: their typical standard deviation in metres.
    """
    told: dict[str, str] = {}
    focal: dict[str, tuple[float, float]] = {}
    doubted = set(cameras) & names.keys()
    for model in models:
        for camera_id, result in self_calibrations(model, doubted, threads, priors, sigma).items():
            if result.contradicts(positions=bool(priors)):
                given = float(np.mean(Camera.from_colmap(model.camera(camera_id)).focal_lengths))
                told.setdefault(names[camera_id], result.text)
                focal.setdefault(names[camera_id], (given, given * result.focal))
    if told:
        pairs = [f"{one} and {other} look exchanged: each has the other's focal length" for one, other in exchanged(focal)]
        shown = [*pairs, *(f"{name}: {text}" for name, text in told.items())]
        change = "; ".join(shown[:EXAMPLES])
        findings.add(CALIBRATION_DOUBTED, *list(told)[:EXAMPLES], count=len(told), of=len(set(names.values())), change=change)


def exchanged(focal: Mapping[str, tuple[float, float]]) -> list[tuple[str, str]]:
    """Pairs of cameras of which each, left free, becomes what the other was given.

    Args:
        focal: by camera, its focal length in pixels as given, and left free.
    """

    def alike(one: float, other: float) -> bool:
        return abs(np.log(one / other)) < np.log(SAME_LENS)

    return [
        (one, other)
        for one, other in itertools.combinations(sorted(focal), 2)
        if alike(focal[one][1], focal[other][0])
        and alike(focal[other][1], focal[one][0])
        and not alike(focal[one][0], focal[other][0])
    ]


def self_calibrations(
    model: pycolmap.Reconstruction,
    cameras: Collection[int],
    threads: int,
    priors: Sequence[pycolmap.PosePrior] = (),
    sigma: float = 0.0,
) -> dict[int, SelfCalibration]:
    """What becomes of each of these cameras (ids) that has enough images; see ``doubt_calibrations``."""
    images = {i: model.image(i).camera_id for i in model.reg_image_ids()}
    counts = {c: sum(camera_id == c for camera_id in images.values()) for c in cameras}
    cameras = {c for c in cameras if counts[c] >= MIN_IMAGES}
    if not cameras:
        return {}
    part = keep_images(model, _asked(model, images, cameras))
    _thin(part)
    there = set(part.reg_image_ids())
    known = [prior for prior in priors if prior.corr_data_id.id in there]
    _adjust(part, known, sigma, part.cameras, threads)
    before = {c: Camera.from_colmap(part.camera(c)) for c in cameras}
    held = _errors(part)
    for camera_id in cameras:
        _allow_distortion(part.camera(camera_id))
    _adjust(part, known, sigma, set(part.cameras) - cameras, threads)
    freed = _errors(part)
    found = {}
    for camera_id, given in before.items():
        free = Camera.from_colmap(part.camera(camera_id))
        focal = float(np.mean(free.focal_lengths) / np.mean(given.focal_lengths))
        size = max(given.width, given.height)
        bent = _bent(given) / size, _bent(free) / size
        found[camera_id] = SelfCalibration(focal, _moved(given, free) / size, held[camera_id], freed[camera_id], size, bent)
    return found


def _allow_distortion(camera: pycolmap.Camera) -> None:
    """Give a pinhole camera the lens of which it is the case without distortion: images that are not rectified show it."""
    given = Camera.from_colmap(camera)
    if given.model in PINHOLES:
        camera.model = pycolmap.CameraModelId.OPENCV
        camera.params = [*given.focal_lengths, *given.principal_point, 0.0, 0.0, 0.0, 0.0]


def _asked(model: pycolmap.Reconstruction, images: Mapping[int, int], cameras: Collection[int]) -> list[int]:
    """Ids of images in whole frames, so many of each camera that see much in common.

    Args:
        model: see above.
        images: image id -> camera id, of all that are registered.
        cameras: camera ids.
    """
    frame_of = {i: model.image(i).frame_id for i in images}
    frames: set[int] = set()
    for camera_id in sorted(cameras):
        own = [i for i, c in images.items() if c == camera_id]
        if sum(frame_of[i] in frames for i in own) < PER_CAMERA:
            frames |= {frame_of[i] for i in _neighbours(model, own)}
    return sorted(i for i in images if frame_of[i] in frames)


def _thin(model: pycolmap.Reconstruction) -> None:
    """Leave ``POINTS`` points in each image, those with the longest tracks."""
    tracks = {number: [e.image_id for e in point.track.elements] for number, point in model.points3D.items()}
    seen: Counter[int] = Counter()
    for number, images in sorted(tracks.items(), key=lambda item: (-len(item[1]), item[0])):
        if all(seen[i] >= POINTS for i in images):
            model.delete_point3D(number)
        else:
            seen.update(images)


def _neighbours(model: pycolmap.Reconstruction, own: Sequence[int]) -> set[int]:
    """``PER_CAMERA`` of these images (ids) that see much in common."""
    if len(own) <= PER_CAMERA:
        return set(own)
    seen = {i: {p.point3D_id for p in model.image(i).get_observation_points2D()} for i in own}
    first = max(own, key=lambda i: len(seen[i]))
    chosen, points = {first}, set(seen[first])
    while len(chosen) < PER_CAMERA:
        best = max((i for i in own if i not in chosen), key=lambda i: len(seen[i] & points))
        chosen.add(best)
        points |= seen[best]
    return chosen


def _adjust(
    model: pycolmap.Reconstruction,
    priors: Sequence[pycolmap.PosePrior],
    sigma: float,
    fixed: Collection[int],
    threads: int,
) -> None:
    options = robust_options(pycolmap.LossFunctionType.CAUCHY, ITERATIONS, threads)
    options.ceres.solver_options.function_tolerance = SETTLED
    if priors:
        options.refine_sensor_from_rig = True
        options.refine_extra_params = False
        adjust_to_priors(model, priors, options, fixed, sigma, pycolmap.LossFunctionType.HUBER)
        options.refine_extra_params = True
        adjust_to_priors(model, priors, options, fixed, sigma, pycolmap.LossFunctionType.HUBER)
        return
    config = whole_model(model, fixed)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()


def _errors(model: pycolmap.Reconstruction) -> dict[int, float]:
    """Camera id -> mean reprojection error in pixels, each counted up to ``MAX_ERROR``."""
    points = {point_id: point.xyz for point_id, point in model.points3D.items()}
    sums: dict[int, list[np.ndarray]] = {}
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        seen = [(p.xy, points[p.point3D_id]) for p in image.get_observation_points2D()]
        if seen:
            xy, xyz = (np.array(column) for column in zip(*seen, strict=True))
            pose = image.cam_from_world().matrix()
            pixels = Camera.from_colmap(model.camera(image.camera_id)).project(xyz @ pose[:, :3].T + pose[:, 3])
            errors = np.nan_to_num(np.linalg.norm(pixels - xy, axis=1), nan=MAX_ERROR)
            sums.setdefault(image.camera_id, []).append(np.minimum(errors, MAX_ERROR))
    return {c: float(np.concatenate(sums[c]).mean()) if c in sums else 0.0 for c in model.cameras}


def _bent(camera: Camera) -> float:
    """Pixels that distortion moves by at most, over the picture but for its rim."""
    straight = Camera("PINHOLE", camera.width, camera.height, (*camera.focal_lengths, *camera.principal_point))
    return _moved(straight, camera)


def _moved(given: Camera, free: Camera) -> float:
    """Pixels by which the image of a ray moves at most, over the picture but for its rim."""
    x, y = np.meshgrid(np.linspace(0.1, 0.9, 9) * given.width, np.linspace(0.1, 0.9, 9) * given.height)
    pixels = np.column_stack([x.ravel(), y.ravel()])
    rays = given.rays(pixels)
    moved = np.linalg.norm(free.project(rays) - pixels, axis=1)
    return float(np.max(moved[np.isfinite(moved)], initial=0.0))
