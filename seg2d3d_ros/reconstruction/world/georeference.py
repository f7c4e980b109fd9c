"""Put a model into metres east-north-up by the GPS positions of its images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

MIN_POSITIONS = 4
MAX_UNCERTAINTY = 0.15
"""Largest relative standard error of scale and heading with which a model is called georeferenced."""
TILT_SIGMA = np.deg2rad(3.0)
"""How far the mean upright direction of the cameras may be off."""
CAUCHY = 3.0
"""Standard deviations where the loss turns from square to logarithmic: at 1 half of the good positions' weight is lost."""
TUKEY = 6.0
"""Standard deviations from which on a position says nothing: without outliers, 95 % of the efficiency of least squares."""
MEDIAN_DISTANCE = 1.5382
"""Median length of a vector of three standard normal numbers."""
FEW = 20
"""Below so many positions their scatter is too uncertain to call them better than they claim."""
TRIALS = 500


@dataclass(frozen=True)
class Similarity:
    """``target = scale * rotation @ source + translation``."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transform (N, 3) points."""
        return self.scale * points @ self.rotation.T + self.translation


@dataclass(frozen=True)
class Unit:
    """How long a model's unit is: ``metres``, with a relative standard deviation ``sigma``."""

    metres: float
    sigma: float


@dataclass(frozen=True)
class Fit:
    """A similarity to the GPS positions, or the reason why there is none in ``problem``."""

    similarity: Similarity | None
    used: int = 0
    residual: float = float("nan")
    problem: str = ""


def up_direction(camera_from_world: np.ndarray) -> np.ndarray:
    """(3,) unit vector that points up, from (K, 3, 4) poses of cameras held roughly upright.

    Image rows are horizontal more reliably than the optical axis is: the vector is perpendicular to the cameras' x axes
    (least squares), with their mean -y axis as a weak prior that decides where all headings are alike.
    """
    x, y = camera_from_world[:, 0, :3], camera_from_world[:, 1, :3]
    prior = 0.1
    up = np.linalg.solve(x.T @ x + prior * len(x) * np.eye(3), -prior * y.sum(0))
    return up / np.linalg.norm(up)


def _rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) smallest rotation from one unit vector to another."""
    axis = np.cross(source, target)
    cosine = float(source @ target)
    if cosine < -1 + 1e-9:
        side = np.eye(3)[np.argmin(np.abs(source))]
        axis = np.cross(source, side)
        axis /= np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    return Rotation.from_rotvec(axis / max(np.linalg.norm(axis), 1e-12) * np.arccos(np.clip(cosine, -1, 1))).as_matrix()


def _upright_ransac(source: np.ndarray, target: np.ndarray, sigma: np.ndarray, seed: int) -> tuple[complex, complex]:
    """``target_xy = a * source_xy + b`` as complex numbers (scale and heading in a), by pairs of positions, robustly."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, len(source), (2, TRIALS))
    p, q = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    base = p[second] - p[first]
    usable = np.abs(base) > 1e-9 * max(float(np.abs(p - p.mean()).max()), 1e-12)
    first, second, base = first[usable], second[usable], base[usable]
    if len(base) == 0:
        return 0j, 0j
    a = (q[second] - q[first]) / base
    b = q[first] - a * p[first]
    distance = np.abs(a[:, None] * p + b[:, None] - q) / sigma
    best = int(np.argmin(np.minimum(distance, 3.0).sum(1)))
    return complex(a[best]), complex(b[best])


def _cauchy(distance: np.ndarray) -> np.ndarray:
    return CAUCHY**2 * np.log1p((distance / CAUCHY) ** 2)


def _tukey(distance: np.ndarray) -> np.ndarray:
    return TUKEY**2 / 3 * (1 - np.maximum(1 - (distance / TUKEY) ** 2, 0.0) ** 3)


def _scatter(distances: np.ndarray) -> float:
    """How many times their claimed standard deviation positions really scatter about a fit of seven unknowns."""
    count = len(distances)
    found = float(np.median(distances)) / MEDIAN_DISTANCE * np.sqrt(3 * count / max(3 * count - 7, 1))
    return max(found, 0.1 if count >= FEW else 1.0)


def fit_similarity(
    camera_from_world: np.ndarray, positions: np.ndarray, sigma: np.ndarray, seed: int = 0, unit: Unit | None = None
) -> Fit:
    """The similarity from model to metres that explains most GPS positions and keeps the cameras upright.

    Positions alone leave the tilt about a straight street open; the cameras' own upright direction closes it. Outliers
    are found by RANSAC over heading, scale and shift, and the whole is refined with a Cauchy loss, which also tells how far
    the positions really scatter; then with Tukey's biweight at that scatter, so that outliers no longer pull and the
    others count almost as in least squares (an MM-estimate: Yohai, High breakdown-point and high efficiency robust
    estimates for regression, Annals of Statistics 1987).

    Args:
        camera_from_world: (N, 3, 4) poses in the model's frame.
        positions: (N, 3) metres east, north, up.
        sigma: (N,) standard deviations in metres.
        seed: of the RANSAC.
        unit: of the model, where a rig or odometry tell it.
    """
    if len(positions) < MIN_POSITIONS:
        return Fit(None, problem=f"only {len(positions)} images of the model have a GPS position, {MIN_POSITIONS} are needed")
    centers = -np.einsum("kji,kj->ki", camera_from_world[:, :, :3], camera_from_world[:, :, 3])
    upright = _rotation_between(up_direction(camera_from_world), np.array([0.0, 0.0, 1.0]))
    a, _ = _upright_ransac(centers @ upright.T, positions, sigma, seed)
    scale = abs(a)
    if not np.isfinite(scale) or scale <= 0:
        return Fit(None, problem="all images stand in one place")
    if unit is not None:
        scale = unit.metres
    start = Rotation.from_euler("z", float(np.angle(a))).as_matrix() @ upright
    origin = centers.mean(0)
    shift = np.median(positions - scale * (centers - origin) @ start.T, axis=0)

    def unpack(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        return scale * float(np.exp(x[0])), Rotation.from_rotvec(x[1:4]).as_matrix() @ start, shift + x[4:7]

    def distances(x: np.ndarray) -> np.ndarray:
        s, rotation, offset = unpack(x)
        return np.linalg.norm(s * (centers - origin) @ rotation.T + offset - positions, axis=1) / sigma

    def residuals(x: np.ndarray, loss: Callable[[np.ndarray], np.ndarray], scatter: float) -> np.ndarray:
        s, rotation, _ = unpack(x)
        tilt = (rotation @ upright.T @ np.array([0.0, 0.0, 1.0]))[:2] / TILT_SIGMA
        stretch = [] if unit is None else [np.log(s / unit.metres) / unit.sigma]
        return np.concatenate([np.sqrt(loss(distances(x) / scatter)), tilt, stretch])

    steps = [0.1, 0.1, 0.1, 0.1, *(3 * [float(np.median(sigma))])]
    x = least_squares(residuals, np.zeros(7), x_scale=steps, args=(_cauchy, 1.0)).x
    x = least_squares(residuals, x, x_scale=steps, args=(_tukey, _scatter(distances(x)))).x
    s, rotation, offset = unpack(x)
    similarity = Similarity(s, rotation, offset - s * rotation @ origin)
    apart = np.linalg.norm(similarity.apply(centers) - positions, axis=1)
    good = apart < 3.5 * np.maximum(sigma, np.median(apart))
    residual = float(np.sqrt(np.mean(apart[good] ** 2)))
    noise = max(float(np.median(sigma[good])), residual / np.sqrt(3))
    spread = float(np.sqrt(np.linalg.eigvalsh(np.atleast_2d(np.cov(positions[good].T, bias=True))).max()))
    uncertainty = noise / (np.sqrt(good.sum()) * max(spread, 1e-9))
    if good.sum() < max(MIN_POSITIONS, 0.5 * len(positions)):
        return Fit(None, problem=f"only {int(good.sum())} of {len(positions)} GPS positions fit the model")
    if uncertainty > MAX_UNCERTAINTY:
        return Fit(
            None,
            problem=f"the GPS positions spread over {spread:.1f} m only, with errors of {noise:.1f} m: "
            "scale and direction cannot be told from noise",
        )
    return Fit(similarity, int(good.sum()), residual)
