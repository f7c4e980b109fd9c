"""Learn an identity feature for each point from masks: alike within a mask, unlike those of the other masks of its image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.codebook.codebook_losses import centroids, contrastive, own_mask_logits
from seg2d3d_ros.association.codebook.mask_entries import MaskEntries

if TYPE_CHECKING:
    import torch

DIMENSIONS = 16
LEAST_SPREAD, SPREAD_SCALE = 0.5, 10.0
EPOCHS, IMAGES_PER_STEP = 40, 16
RATE = 0.05
"""The paper's figures, a rate of 5e-4 and a weight of 1e-6, are for 30,000 steps on one image each, among other losses that
move the same Gaussians. Here nothing else moves the features, and a few hundred steps suffice."""
WARMING, ORIGINAL = 4, 0.3


@dataclass(frozen=True)
class EntryBatch:
    """The entries of some images, n, and their masks, m, as tensors.

    Attributes:
        point, mask, image: (n,) int64; ``mask`` and ``image`` count from 0 within the batch, in the order in which they come.
        weight: (n,) float32.
        image_of_mask: (m,) int64.
    """

    point: torch.Tensor
    mask: torch.Tensor
    image: torch.Tensor
    weight: torch.Tensor
    image_of_mask: torch.Tensor

    @classmethod
    def of(cls, entries: MaskEntries, images: np.ndarray) -> EntryBatch:
        """The entries of these images."""
        import torch

        rows, owner = entries.of_images(images)
        begins = (
            np.diff(entries.mask[rows], prepend=-1) != 0
        )  # entries of one mask stand together, the images' one after the other
        mask, image_of_mask = np.cumsum(begins) - 1, owner[begins]
        arrays = (entries.point[rows], mask, owner, entries.weight[rows], image_of_mask)
        return cls(*(torch.from_numpy(values) for values in arrays))


def batches(entries: MaskEntries, random: np.random.Generator) -> Iterator[EntryBatch]:
    """All images with entries once, in random order."""
    images = random.permutation(np.flatnonzero(np.diff(entries.starts)))
    for first in range(0, len(images), IMAGES_PER_STEP):
        yield EntryBatch.of(entries, images[first : first + IMAGES_PER_STEP])


def learn_features(entries: MaskEntries, points: int, *, norm: bool, seed: int, epochs: int = EPOCHS) -> torch.Tensor:
    """(P, 16) float32 features of length 1.

    Args:
        points: how many there are; those in no mask keep a random feature.
        norm: pull the lengths of features towards 1, so that steps turn all of them equally fast.
    """
    import torch

    features = _first_features(entries, points, seed).requires_grad_()
    steps = torch.optim.Adam([features], lr=RATE)
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        for batch in batches(entries, random):
            raw = features[batch.point]
            f = torch.nn.functional.normalize(raw, dim=1)
            mean, total, spread = centroids(f, batch.mask, batch.weight, len(batch.image_of_mask))
            temperature = (SPREAD_SCALE * spread.detach()).clamp(LEAST_SPREAD, 1.0)
            logits, first = own_mask_logits(f, mean, temperature, batch.image, batch.image_of_mask)
            loss = contrastive(logits, batch.mask - first[batch.image], batch.mask, batch.weight, total)
            if norm:
                loss = loss + ((raw.norm(dim=1) - 1.0) ** 2).mean()
            steps.zero_grad()
            loss.backward()
            steps.step()
    return torch.nn.functional.normalize(features.detach(), dim=1)


def _first_features(entries: MaskEntries, points: int, seed: int) -> torch.Tensor:
    """(P, 16) random features, made alike by the masks a few times over: what shares masks begins in one place."""
    import torch

    shape = (int(entries.mask.max(initial=-1)) + 1, points)
    held = sparse.csr_matrix((entries.weight, (entries.mask, entries.point)), shape)
    of_point, of_mask = (np.maximum(np.asarray(held.sum(axis=axis)).ravel(), 1e-6)[:, None] for axis in (0, 1))
    features = np.random.default_rng(seed).standard_normal((points, DIMENSIONS))
    for _ in range(WARMING):
        features = (held.T @ (held @ features / of_mask)) / of_point + ORIGINAL * features
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    return torch.from_numpy(features.astype(np.float32))
