"""How alike images look, by VLAD vectors.

VLAD: Jégou et al., Aggregating local descriptors into a compact image representation, CVPR 2010; with
intra-normalisation and square-rooting over 64 words that are learnt from the images at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from scipy.cluster.vq import kmeans2

WORDS = 64
VLAD_FEATURES = 1000


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
