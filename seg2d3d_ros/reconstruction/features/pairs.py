"""Which pairs of images are worth matching: all where few, else the likely ones by appearance, position and time.

Appearance: VLAD (Jégou et al., Aggregating local descriptors into a compact image representation, CVPR 2010) with
intra-normalisation and square-rooting over 64 words that are learnt from the images at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from scipy import sparse
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from seg2d3d_ros.reconstruction.database import ImageRow

WORDS = 64
VLAD_FEATURES = 1000
TIME_NEIGHBOURS = 2
RICH_PARTNERS = 5
RICH_MATCHES = 60
"""An image with ``RICH_PARTNERS`` partners of at least ``RICH_MATCHES`` verified matches needs no more of them."""


def learn_words(descriptors: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """(64, 128) float32 visual words from (N_i, 128) descriptors of several images."""
    share = max(1, 40000 // max(1, len(descriptors)))
    sample = np.concatenate([d[:share] for d in descriptors]).astype(np.float32)
    words, _ = kmeans2(sample, min(WORDS, len(sample)), iter=10, minit="points", seed=seed)
    return words.astype(np.float32)


def vlad(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """(words × 128,) float32 of unit length (or zero where there are no descriptors)."""
    if len(descriptors) == 0:
        return np.zeros(words.size, np.float32)
    values = descriptors.astype(np.float32)
    nearest = np.argmin((words**2).sum(1) - 2.0 * values @ words.T, axis=1)
    member = sparse.csr_matrix((np.ones(len(values), np.float32), (nearest, np.arange(len(values)))), (len(words), len(values)))
    residual = member @ values - np.asarray(member.sum(1)) * words
    residual /= np.maximum(np.linalg.norm(residual, axis=1, keepdims=True), 1e-12)
    residual = np.sign(residual) * np.sqrt(np.abs(residual))
    return (residual / max(float(np.linalg.norm(residual)), 1e-12)).ravel()


class PlaceRecognition:
    """Likeness between images. Words are learnt at first use and again whenever the number of images has doubled."""

    def __init__(self, descriptors: Callable[[int, int], np.ndarray], seed: int) -> None:
        self._descriptors = descriptors
        self._seed = seed
        self._words: np.ndarray | None = None
        self._learnt_from = 0
        self._vectors: dict[int, np.ndarray] = {}

    def similarity(self, image_ids: Sequence[int]) -> np.ndarray:
        """(n, n) float32 cosines between the images' VLAD vectors, in the order given."""
        self._learn(image_ids)
        matrix = np.stack([self._vectors[i] for i in image_ids])
        return matrix @ matrix.T

    def ranked(self, image_id: int, others: Sequence[int]) -> list[int]:
        """``others`` by their likeness to one image, the most alike first; costs no more than one look at each."""
        self._learn([*others, image_id])
        likeness = np.array([float(self._vectors[i] @ self._vectors[image_id]) for i in others])
        return [others[k] for k in np.argsort(-likeness, kind="stable")]

    def _learn(self, image_ids: Sequence[int]) -> None:
        """Words where there are none or too old ones, and vectors of all these images."""
        if self._words is None or len(image_ids) >= 2 * self._learnt_from:
            self._words = learn_words([self._descriptors(i, VLAD_FEATURES) for i in image_ids], self._seed)
            self._learnt_from, self._vectors = len(image_ids), {}
        for i in image_ids:
            if i not in self._vectors:
                self._vectors[i] = vlad(self._descriptors(i, VLAD_FEATURES), self._words)


def _time_partners(rows: Sequence[ImageRow]) -> dict[int, list[int]]:
    """Per image (index): the neighbours in time of its camera, and the images of other cameras at that moment."""
    partners: dict[int, list[int]] = {i: [] for i in range(len(rows))}
    by_camera: dict[str, list[int]] = {}
    by_stamp: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        if row.stamp_ns > 0:
            by_camera.setdefault(row.camera_name, []).append(i)
            by_stamp.setdefault(row.stamp_ns, []).append(i)
    for members in by_camera.values():
        ordered = sorted(members, key=lambda i: rows[i].stamp_ns)
        for step in range(1, TIME_NEIGHBOURS + 1):
            for first, second in zip(ordered, ordered[step:], strict=False):
                partners[first].append(second)
                partners[second].append(first)
    for members in by_stamp.values():
        if len({rows[i].camera_name for i in members}) > 1:
            for i in members:
                partners[i].extend(j for j in members if rows[j].camera_name != rows[i].camera_name)
    return partners


def candidate_pairs(
    rows: Sequence[ImageRow],
    positions: Mapping[int, np.ndarray],
    recognition: PlaceRecognition,
    max_pairs: int,
    poor: Collection[int] = (),
) -> set[tuple[int, int]]:
    """Pairs of image ids (smaller first) to match.

    Args:
        rows: the images; those without features are left out.
        positions: image id -> (3,) metres, for the images with a GPS position.
        recognition: asked only when not all pairs are taken.
        max_pairs: partners that each image in ``poor`` asks for, the others half as many. All pairs are taken of so few
            images that this makes no difference.
        poor: image ids that found too few good partners so far.
    """
    rows = [row for row in rows if row.features > 0]
    ids = [row.image_id for row in rows]
    if len(rows) <= max_pairs + 1:
        return {(min(a, b), max(a, b)) for i, a in enumerate(ids) for b in ids[i + 1 :]}
    wanted = _time_partners(rows)
    located = [i for i, row in enumerate(rows) if row.image_id in positions]
    if len(located) > 1:
        points = np.stack([positions[ids[i]] for i in located])
        count = min(len(located), max_pairs // 8 + 2)
        _, near = cKDTree(points).query(points, k=count)
        for i, row_near in zip(located, near.reshape(len(located), -1), strict=True):
            wanted[i].extend(located[j] for j in row_near if located[j] != i)
    likeness = recognition.similarity(ids)
    np.fill_diagonal(likeness, -np.inf)
    ranked = np.argsort(-likeness, axis=1, kind="stable")
    pairs: set[tuple[int, int]] = set()
    for i in range(len(rows)):
        count = max_pairs if ids[i] in poor else max(1, max_pairs // 2)
        chosen = list(dict.fromkeys(wanted[i]))[:count]
        for j in ranked[i]:
            if len(chosen) >= count:
                break
            if j != i and j not in chosen:
                chosen.append(int(j))
        pairs.update((min(ids[i], ids[j]), max(ids[i], ids[j])) for j in chosen)
    return pairs


def partners_of(
    row: ImageRow,
    rows: Sequence[ImageRow],
    positions: Mapping[int, np.ndarray],
    recognition: PlaceRecognition,
    count: int,
) -> list[int]:
    """Ids of the images to match a new one with, the likeliest first: neighbours in time and position, then by appearance.

    Args:
        row: the new image.
        rows: the images that are there already, without features or not.
        positions: image id -> (3,) metres, for the images with a GPS position.
        recognition: asked only when not all are taken.
        count: how many; all are taken where there are not many more.
    """
    rows = [r for r in rows if r.features > 0 and r.image_id != row.image_id]
    ids = [r.image_id for r in rows]
    if len(ids) <= count:
        return ids
    chosen: list[int] = []
    if row.stamp_ns > 0:
        own = [r for r in rows if r.camera_name == row.camera_name and r.stamp_ns > 0]
        before = sorted((r for r in own if r.stamp_ns <= row.stamp_ns), key=lambda r: (-r.stamp_ns, r.image_id))
        after = sorted((r for r in own if r.stamp_ns > row.stamp_ns), key=lambda r: (r.stamp_ns, r.image_id))
        chosen += [r.image_id for r in before[:TIME_NEIGHBOURS] + after[:TIME_NEIGHBOURS]]
        chosen += [r.image_id for r in rows if r.stamp_ns == row.stamp_ns and r.camera_name != row.camera_name]
    if row.image_id in positions:
        located = [i for i in ids if i in positions]
        if located:
            away = np.linalg.norm(np.stack([positions[i] for i in located]) - positions[row.image_id], axis=1)
            chosen += [located[k] for k in np.argsort(away, kind="stable")[: count // 4 + 1]]
    chosen += recognition.ranked(row.image_id, ids)
    return list(dict.fromkeys(chosen))[:count]


def poor_images(rows: Sequence[ImageRow], pairs: np.ndarray) -> set[int]:
    """Image ids with too few good partners among ``pairs`` (M, 3: image id, image id, verified matches)."""
    good = pairs[pairs[:, 2] >= RICH_MATCHES]
    partners = Counter(good[:, :2].ravel().tolist())
    return {row.image_id for row in rows if partners[row.image_id] < RICH_PARTNERS}
