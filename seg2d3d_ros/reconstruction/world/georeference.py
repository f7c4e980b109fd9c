"""Put a model into metres east-north-up by the GPS positions of its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.geometry.up import Up, Z, rotation_between, up_of_cameras
from seg2d3d_ros.geometry.vertical.verticals import EVIDENCE

MIN_POSITIONS = 4
MAX_UNCERTAINTY = 0.15
"""Largest relative standard error of scale and heading with which a model is called georeferenced."""
CAUCHY = 3.0
"""Standard deviations where the loss turns from square to logarithmic: at 1 half of the good positions' weight is lost."""
TUKEY = 6.0
"""Standard deviations from which on a position has no weight: without outliers, 95 % of the efficiency of least squares."""
MEDIAN_DISTANCE = {3: 1.5382, 2: 1.1774}
"""Median length of a vector of three, and of two, standard normal numbers."""
FEW = 20
"""Below so many positions their scatter is too uncertain to call them better than they claim."""
HOPELESS = 250.0
"""Squared standard deviations that speak against a vertical beyond which positions are not asked about it."""
MAX_STEPS = 150
"""Of the refinement: thirty are usual; a start on the wrong side of the vertical creeps."""
ENOUGH = 200
"""Positions, evenly along the drive, by which the two ways up are compared."""
TRIALS = 500
DISAGREE = 3.0
"""Standard deviations from a known scale at which the scale of the positions is tried, too."""


@dataclass(frozen=True)
class Scale:
    """Metres per unit of a model: ``factor``, with a relative standard deviation ``sigma``."""

    factor: float
    sigma: float


@dataclass(frozen=True)
class Fit:
    """A similarity to the GPS positions, or the reason why there is none in ``problem``.

    Attributes:
        used: number of positions that fit.
        residual: their root mean square distance in metres.
        distances: (N,) of all positions in their claimed standard deviations; None where nothing was fitted.
        strain: squared standard deviations by which the vertical and a known scale are missed.
        either_way_up: whether positions and all else would be as well satisfied by another way up.
    """

    similarity: Similarity | None
    used: int = 0
    residual: float = float("nan")
    problem: str = ""
    distances: np.ndarray | None = field(default=None, compare=False, repr=False)
    strain: float = 0.0
    either_way_up: bool = False


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


def _scatter(distances: np.ndarray, heights: np.ndarray) -> float:
    """How many times their claimed standard deviation positions really scatter about a fit of seven unknowns."""
    count, measured = len(distances), int(np.where(heights, 3, 2).sum())
    typical = np.where(heights, MEDIAN_DISTANCE[3], MEDIAN_DISTANCE[2])
    found = float(np.median(distances / typical)) * np.sqrt(measured / max(measured - 7, 1))
    return max(found, 0.1 if count >= FEW else 1.0)


@dataclass(frozen=True)
class _Aligned:
    """A local optimum: of what scale, rotation (3, 3) and offset (3,) it is, and what speaks against it."""

    scale: float
    rotation: np.ndarray
    offset: np.ndarray
    distances: np.ndarray
    others: float
    scatter: float

    def cost(self, scatter: float) -> float:
        """Squared standard deviations of the positions, which scatter so many times as much as they claim, and of the rest."""
        return float(_tukey(self.distances / scatter).sum()) + self.others


def _align(
    centers: np.ndarray,
    positions: np.ndarray,
    measured: np.ndarray,
    sigma: np.ndarray,
    scale: float,
    start: np.ndarray,
    up: Up,
    known_scale: Scale | None,
) -> _Aligned:
    """The optimum that is reached from a scale and a rotation (3, 3).

    Args:
        centers: (N, 3) around their mean.
        positions: (N, 3) metres.
        measured: (N, 3) 1 where a coordinate counts.
        sigma: (N,) metres.
        scale, start: where to begin.
        up, known_scale: as in ``fit_similarity``.
    """
    shift = np.median(positions - scale * centers @ start.T, axis=0)
    heights = measured[:, 2] == 1.0

    def unpack(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        return scale * float(np.exp(x[0])), Rotation.from_rotvec(x[1:4]).as_matrix() @ start, shift + x[4:7]

    def distances(x: np.ndarray) -> np.ndarray:
        s, rotation, offset = unpack(x)
        return np.linalg.norm((s * centers @ rotation.T + offset - positions) * measured, axis=1) / sigma

    def others(x: np.ndarray) -> np.ndarray:
        s, rotation, _ = unpack(x)
        stretch = [] if known_scale is None else [np.log(s / known_scale.factor) / known_scale.sigma]
        return np.concatenate([up.residuals(rotation.T @ Z), stretch])

    def residuals(x: np.ndarray, loss: Callable[[np.ndarray], np.ndarray], scatter: float) -> np.ndarray:
        return np.concatenate([np.sqrt(loss(distances(x) / scatter)), others(x)])

    steps = [0.1, 0.1, 0.1, 0.1, *(3 * [float(np.median(sigma))])]
    x = least_squares(residuals, np.zeros(7), x_scale=steps, args=(_cauchy, 1.0), max_nfev=MAX_STEPS).x
    scatter = _scatter(distances(x), heights)
    x = least_squares(residuals, x, x_scale=steps, args=(_tukey, scatter), max_nfev=MAX_STEPS).x
    return _Aligned(*unpack(x), distances(x), float((others(x) ** 2).sum()), scatter)


def fit_similarity(
    camera_from_world: Pose,
    positions: np.ndarray,
    sigma: np.ndarray,
    seed: int = 0,
    known_scale: Scale | None = None,
    up: Up | None = None,
    heights: np.ndarray | None = None,
) -> Fit:
    """The similarity from model to metres that fits most GPS positions and keeps the cameras upright.

    Positions alone leave the tilt about a straight street open; the cameras' own upright direction closes it. Outliers
    are found by RANSAC over heading, scale and shift, and the whole is refined with a Cauchy loss, which also tells how far
    the positions really scatter; then with Tukey's biweight at that scatter, so that outliers no longer pull and the
    others count almost as in least squares (an MM-estimate: Yohai, High breakdown-point and high efficiency robust
    estimates for regression, Annals of Statistics 1987).

    Args:
        camera_from_world: (N,) poses in the model's frame.
        positions: (N, 3) metres east, north, up.
        sigma: (N,) standard deviations in metres.
        seed: of the RANSAC.
        known_scale: of the model, where a rig or odometry tell it.
        up: the vertical of the model's frame, by all of its images; None = by these. It pulls by its own uncertainty, so
            that positions good enough to tell the slope of a street decide.
        heights: (N,) bool, of which positions the third coordinate is measured, so that the others pull east and north
            only; None = of all. Where it is of none, the cameras' mean height is that of the positions.
    """
    if len(positions) < MIN_POSITIONS:
        return Fit(None, problem=f"only {len(positions)} images of the model have a GPS position, {MIN_POSITIONS} are needed")
    centers = camera_from_world.origin
    heights = np.ones(len(positions), bool) if heights is None else heights
    measured = np.ones((len(positions), 3))
    measured[:, 2] = heights if heights.any() else 1e-6
    up = up or up_of_cameras(camera_from_world)
    upright = rotation_between(up.direction, Z)
    a, _ = _upright_ransac(centers @ upright.T, positions, sigma, seed)
    scale = abs(a)
    if not np.isfinite(scale) or scale <= 0:
        return Fit(None, problem="all images stand in one place")
    heading = Rotation.from_euler("z", float(np.angle(a))).as_matrix() @ upright
    origin = centers.mean(0)

    def aligned(start: float) -> _Aligned:
        return _align(centers - origin, positions, measured, sigma, start, heading, up, known_scale)

    if known_scale is None:
        best = aligned(scale)
    else:
        best = aligned(known_scale.factor)
        if abs(np.log(scale / known_scale.factor)) > DISAGREE * known_scale.sigma:
            # Far from the known scale positions have no pull, wrong or right: where they agree on another one, they may win.
            other = aligned(scale)
            scatter = min(best.scatter, other.scatter)
            best = min(best, other, key=lambda found: found.cost(scatter))
    s, rotation = best.scale, best.rotation
    similarity = Similarity(s, rotation, best.offset - s * rotation @ origin)
    apart = np.linalg.norm((similarity.apply(centers) - positions) * measured, axis=1)
    good = apart < 3.5 * np.maximum(sigma, np.median(apart))
    residual = float(np.sqrt(np.mean(apart[good] ** 2)))
    noise = max(float(np.median(sigma[good])), residual / np.sqrt(np.where(heights, 3, 2)[good].mean()))
    spread = float(np.sqrt(np.linalg.eigvalsh(np.atleast_2d(np.cov(positions[good].T, bias=True))).max()))
    uncertainty = noise / (np.sqrt(good.sum()) * max(spread, 1e-9))
    if good.sum() < max(MIN_POSITIONS, 0.5 * len(positions)):
        problem = f"only {int(good.sum())} of {len(positions)} GPS positions fit the model"
        return Fit(None, problem=problem, distances=apart / sigma, strain=best.others)
    if uncertainty > MAX_UNCERTAINTY:
        return Fit(
            None,
            problem=f"the GPS positions spread over {spread:.1f} m only, with errors of {noise:.1f} m: "
            "scale and direction cannot be told from noise",
            distances=apart / sigma,
            strain=best.others,
        )
    return Fit(similarity, int(good.sum()), residual, distances=apart / sigma, strain=best.others)


def fit_upright(
    camera_from_world: Pose,
    positions: np.ndarray,
    sigma: np.ndarray,
    seed: int,
    known_scale: Scale | None,
    verticals: Sequence[Up],
    heights: np.ndarray,
) -> Fit:
    """``fit_similarity`` where several verticals are possible: with the one that positions and all else speak for most.

    Positions along a bend tell which way is up: to cameras upside down a bend to the left is one to the right.

    Args:
        camera_from_world, positions, sigma, seed, known_scale, heights: see ``fit_similarity``.
        verticals: at least one, the likeliest first.
    """

    def fit(which: np.ndarray, up: Up) -> Fit:
        poses = camera_from_world[which]
        return fit_similarity(poses, positions[which], sigma[which], seed, known_scale, up, heights[which])

    everyone = np.arange(len(positions))
    some = everyone[:: max(len(positions) // ENOUGH, 1)]
    likely = [up for up in verticals if up.against - verticals[0].against < HOPELESS]
    fits = [fit(some, up) for up in likely]
    tried = [(fit.distances, fit.strain, up.against) for fit, up in zip(fits, likely, strict=True) if fit.distances is not None]
    best, either = 0, False
    if len(tried) == len(fits) > 1:
        scatter = min(_scatter(distances, heights[some]) for distances, _, _ in tried)
        costs = [float(_tukey(distances / scatter).sum()) + strain + against for distances, strain, against in tried]
        best = int(np.argmin(costs))
        either = bool(sorted(costs)[1] - costs[best] < 2 * EVIDENCE)
    return replace(fits[best] if len(some) == len(everyone) else fit(everyone, likely[best]), either_way_up=either)
