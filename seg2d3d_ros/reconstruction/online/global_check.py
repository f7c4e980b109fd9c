"""The second opinion on an online map: a global solution of the same pairs, which does not depend on the order of arrival.

It is asked for now and then, and where the map contradicts strong pairs; it takes the place of the submaps where it is better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.geometry.similarity import fit_points
from seg2d3d_ros.progress import Stopwatch
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.features.matching import PairTable
from seg2d3d_ros.reconstruction.features.pairs import RICH_MATCHES
from seg2d3d_ros.reconstruction.online.background_solver import BackgroundSolver
from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.thresholds import PLENTY
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.reconstruction.world.msac import msac_scores
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

log = logging.getLogger(__name__)

FIRST_CHECK = 12
CHECK_GROWTH = 3.0
"""A check is due at 12 images and whenever there are three times as many: all together cost half of the last one."""
DOUBT_GROWTH = 1.2
"""The same where new images contradict the map by strong pairs, as they do where a loop closes."""
FINAL_GROWTH = 1.25
"""A whole map is compared once more in the end when it has grown by this factor since the last comparison."""
DOUBTFUL_PAIRS = 2
"""Strong pairs that a submap must contradict before an image is called a doubt."""
DOUBTFUL_IMAGES = 3
"""Doubts that call for a global solution before its time."""
WORSE = 0.97
"""A global solution must reach at least this share of the MSAC score of the submaps at hand. The score cannot tell more: a
model that bends itself to wrong matches fits some more of them than a straight one does."""
GPS_BETTER = 0.8
"""A solution is straighter by GPS when its residual is this share of the other's."""


@dataclass(frozen=True)
class Standing:
    """What speaks for a set of models.

    Attributes:
        images: registered.
        score: MSAC score over the verified matches, see ``msac_scores``.
        gps: rms distance to the GPS positions in metres after the robust fit; NaN without.
    """

    images: int
    score: float
    gps: float = float("nan")


def prefer_global(challenger: Standing, incumbent: Standing) -> bool:
    """Whether a global solution takes the place of the online one.

    It must lose no image. The straighter one by GPS wins where GPS can tell; else the global one unless its MSAC score is
    clearly lower, because no order of arrival has bent it.
    """
    if challenger.images < incumbent.images:
        return False
    if challenger.gps < GPS_BETTER * incumbent.gps or incumbent.gps < GPS_BETTER * challenger.gps:
        return challenger.gps < incumbent.gps and challenger.score > WORSE**2 * incumbent.score
    return challenger.score >= WORSE * incumbent.score


class GlobalCheck:
    """Compares the submaps of a mapper with global solutions.

    Args:
        mapper: its submaps are replaced where a global solution is better.
        tried: the pairs.
        database: matches and keypoints.
        config: of the global solutions.
        anchor: of all images and their locator, what is known of where they were taken.
        watch: gets the stages ``global solution`` and ``mapping``.

    Attributes:
        checked: registered images when the last check began.
    """

    def __init__(
        self,
        mapper: OnlineMapper,
        tried: PairTable,
        database: FeatureDatabase,
        config: ReconstructionConfig,
        anchor: Callable[[Sequence[ImageRow], Locator], Anchor],
        watch: Stopwatch,
    ) -> None:
        self._mapper, self._tried, self._database = mapper, tried, database
        self._config, self._anchor, self._watch = config, anchor, watch
        self._solver = BackgroundSolver(config.threads)
        self.checked = 0
        self._seen = 0
        self._doubts = 0

    @property
    def findings(self) -> list[Finding]:
        """What the last global solution doubts of calibrations and mounts."""
        return self._solver.findings

    def due(self, images: int) -> bool:
        """Whether a map of this many registered images, which there may be reason to doubt, asks for a check."""
        growth = DOUBT_GROWTH if self._doubts >= DOUBTFUL_IMAGES else CHECK_GROWTH
        return not self._solver.started and images >= max(FIRST_CHECK, growth * self.checked)

    def doubt(self, image_id: int) -> None:
        """Count a new image if its submap fits less than half of the matches of several strong pairs of it."""
        submap = next((m for m in self._mapper.submaps if image_id in m.registered), None)
        if submap is None:
            return
        registered = submap.registered
        strong = {o: n for o, n in self._tried.of(image_id).items() if n >= PLENTY and o in registered}
        pairs = [(min(image_id, o), max(image_id, o)) for o in strong]
        scores = msac_scores(submap.reconstruction, pairs, self._database.inlier_matches, self._xy)
        contradicted = scores < 0.5 * np.fromiter(strong.values(), float, len(strong))
        self._doubts += int(contradicted.sum()) >= DOUBTFUL_PAIRS

    def update(
        self, rows: Sequence[ImageRow], locator: Locator, checkpoint: Callable[[], None], *, final: bool = False
    ) -> bool:
        """Begin a global solution where one is due, and let one that has ended take over if it is better; whether it did.

        Args:
            rows: all images of the map.
            locator: where they were.
            checkpoint: called between steps; it may raise.
            final: wait for the answer, and ask once more if the last one knew too little.
        """
        registered = len(self._mapper.registered)
        with self._watch("global solution"):
            outgrown = final and self._outgrown()
            if outgrown and self._solver.running:
                self._solver.take(wait=checkpoint)  # of fewer images: the one to come knows more
            if self.due(registered) or outgrown:
                ids = [row.image_id for row in rows if row.image_id in self._mapper.graph]
                self.checked, self._seen, self._doubts = registered, len(ids), 0
                task = MapperTask.of(self._database, rows, self._config, self._anchor(rows, locator))
                self._solver.start(task, ids, self._tried.rows())
            answer = self._solver.take(wait=checkpoint if final else None)
        if not answer:
            return False
        with self._watch("mapping"):
            return self.consider(answer, locator, checkpoint)

    def _outgrown(self) -> bool:
        """Whether the last check knew too little for the last word: too few of the images, or not how parts hang together."""
        images = len(self._mapper.graph)
        whole = len(self._mapper.submaps) == 1 and not self._mapper.waiting
        return images > (FINAL_GROWTH * self._seen if whole else self._seen)

    def consider(self, answer: Sequence[pycolmap.Reconstruction], locator: Locator, checkpoint: Callable[[], None]) -> bool:
        """Let global solutions take the place of the submaps if they are better once they, too, hold what came meanwhile."""
        former, before = self._mapper.submaps, self._standing(locator)
        self._mapper.submaps = [self._mapper.adopt(reconstruction) for reconstruction in answer]
        try:
            self._mapper.grow(checkpoint)
            self._mapper.relax(checkpoint)
            after = self._standing(locator)
            swap = prefer_global(after, before)
        except BaseException:
            self._mapper.submaps = former
            raise
        log.info("global solution %s: %s, online: %s", "taken" if swap else "left", after, before)
        if not swap:
            self._mapper.submaps = former
            return False
        for submap in self._mapper.submaps:
            _carry_frame(submap, former)
        return True

    def _standing(self, locator: Locator) -> Standing:
        submaps = self._mapper.submaps
        if not submaps:
            return Standing(0, 0.0)
        pairs = [(first, second) for first, second, _ in self._tried.rows(at_least=RICH_MATCHES // 2).tolist()]
        scores = [msac_scores(m.reconstruction, pairs, self._database.inlier_matches, self._xy).sum() for m in submaps]
        return Standing(len(self._mapper.registered), float(sum(scores)), locator.fit(submaps[0].reconstruction).residual)

    def _xy(self, image_id: int) -> np.ndarray:
        return self._database.keypoints(image_id)[:, :2]


def _carry_frame(submap: Submap, former: Sequence[Submap]) -> None:
    """Put a new submap into the world frame of the former one that it has most images in common with."""
    for old in sorted(former, key=lambda m: -len(m.registered & submap.registered)):
        similarity = fit_points(*common_points(submap.reconstruction, old.reconstruction))
        if similarity is not None:
            submap.transform(similarity)
            submap.frame = old.frame
            return


def common_points(source: pycolmap.Reconstruction, target: pycolmap.Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) and (N, 3): the points of two models that a keypoint has in both, each pair once."""
    pairs: set[tuple[int, int]] = set()
    for image_id in set(source.reg_image_ids()) & set(target.reg_image_ids()):
        there = _points(target.image(image_id))
        pairs.update((p, there[k]) for k, p in _points(source.image(image_id)).items() if k in there)
    ordered = sorted(pairs)
    first = np.array([source.point3D(a).xyz for a, _ in ordered]).reshape(-1, 3)
    second = np.array([target.point3D(b).xyz for _, b in ordered]).reshape(-1, 3)
    return first, second


def _points(image: pycolmap.Image) -> dict[int, int]:
    return dict(
        zip(image.get_observation_point2D_idxs(), (p.point3D_id for p in image.get_observation_points2D()), strict=True)
    )
