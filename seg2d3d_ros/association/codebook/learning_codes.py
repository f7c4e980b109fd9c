"""Learn a codebook of objects: unit vectors, each the feature that the points of one object have.

How many codes there must be is found. Masks of one image have different codes, so where two masks of an image show parts of one
object, a second code is drawn to the object's features. At the end of each epoch such duplicates, and codes that stand for no
object (``kept_codes``), begin anew at a random place as spare ones; while fewer codes are spare than an image has masks, more
are added. At the end, spare codes are dropped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.association.codebook.codebook_losses import centroids, confident, map_masks
from seg2d3d_ros.association.codebook.learning_features import EntryBatch, batches
from seg2d3d_ros.association.codebook.mask_entries import MaskEntries

if TYPE_CHECKING:
    import torch

CLASSIFICATION, CONCENTRATION = 1e-4, 1.0
EPOCHS, RATE = 15, 0.03
SHARPNESS = 10.0
"""Of the likelihoods of codes: with unit vectors alone they would be nearly even."""
DUPLICATE = 0.2
"""Codes are duplicates where the likelihood of the one, at the place of the other, is more than this share of both."""
LEAST_OWN = 0.5
"""Share of a code's entries in masks of its own, below which it stands for a part of what masks show."""


def learn_codes(
    features: torch.Tensor,
    entries: MaskEntries,
    *,
    mean: bool,
    concentration: bool,
    threshold: float,
    seed: int,
    epochs: int = EPOCHS,
) -> torch.Tensor:
    """(L, D) float32 codes of length 1.

    Args:
        features: (P, D) of length 1; they are not changed.
        mean: map masks to codes by mean instead of summed likelihoods.
        concentration: draw codes to the features that they stand for.
        threshold: of the filter of noisy labels; 0 = no filter.
    """
    import torch

    random = np.random.default_rng(seed)
    masks = np.unique(np.stack([np.repeat(np.arange(len(entries.starts) - 1), np.diff(entries.starts)), entries.mask]), axis=1)
    spare = int(np.bincount(masks[0]).max(initial=0))
    if spare == 0:
        return features[:0]
    codes = _random_codes(2 * spare, features.shape[1], random)
    for _ in range(epochs):
        codes = codes.clone().requires_grad_()
        steps = torch.optim.Adam([codes], lr=RATE)
        for batch in batches(entries, random):
            loss = code_loss(codes, features, batch, mean=mean, concentration=concentration, threshold=threshold)
            if loss is not None:
                steps.zero_grad()
                loss.backward()
                steps.step()
        kept = kept_codes(codes.detach(), features, entries)
        # Codes in use go first; those that begin anew, and what is added, stand behind them.
        codes = torch.cat([kept, _random_codes(max(len(codes) - len(kept), spare), features.shape[1], random)])
    return kept


def code_loss(
    codes: torch.Tensor, features: torch.Tensor, batch: EntryBatch, *, mean: bool, concentration: bool, threshold: float
) -> torch.Tensor | None:
    """Classification and concentration for the masks of a batch; None where no label is to be trusted."""
    import torch

    f = features[batch.point]
    unit = torch.nn.functional.normalize(codes, dim=1)
    scores = SHARPNESS * f @ unit.detach().T
    center, _, spread = centroids(f, batch.mask, batch.weight, len(batch.image_of_mask))
    target = torch.from_numpy(_mapped(scores, batch, mean=mean))[batch.mask]
    kept = target >= 0
    if threshold > 0.0:
        kept &= confident(f, center, spread, batch.image, batch.image_of_mask, batch.mask, threshold)
    if not kept.any():
        return None
    wrong = kept & (scores.argmax(dim=1) != target)
    entropy = torch.nn.functional.cross_entropy(SHARPNESS * f[wrong] @ unit.T, target[wrong], reduction="sum")
    loss = CLASSIFICATION * entropy / kept.sum() / math.log(max(len(codes), 2))
    if concentration:
        loss = loss + CONCENTRATION * (unit[target[kept]] - f[kept]).norm(dim=1).mean()
    return loss


def _mapped(scores: torch.Tensor, batch: EntryBatch, *, mean: bool) -> np.ndarray:
    """(m,) the code of each mask, no two of an image alike."""
    import torch

    likelihood = scores.softmax(dim=1)
    image_of_mask, mask, weight = batch.image_of_mask.numpy(), batch.mask.numpy(), batch.weight.numpy()
    code = np.full(len(image_of_mask), -1, np.int64)
    for image in np.unique(image_of_mask):
        mine, here = np.flatnonzero(batch.image.numpy() == image), np.flatnonzero(image_of_mask == image)
        code[here] = map_masks(likelihood[torch.from_numpy(mine)], mask[mine], weight[mine], here, mean=mean)
    return code


def kept_codes(codes: torch.Tensor, features: torch.Tensor, entries: MaskEntries) -> torch.Tensor:
    """(K, D) of length 1, those of most entries first: the codes that stand for objects.

    Of duplicates, the code that is nearest to more entries stays. A mask is a code's own where most of it has that code.
    Codes whose points lie mostly in masks of others stand for parts; the one with the smallest share goes, until none is left.
    """
    import torch

    unit = torch.nn.functional.normalize(codes, dim=1)
    likeness = features @ unit.T
    votes = np.bincount(likeness.argmax(dim=1).numpy()[entries.point], entries.weight, len(unit))
    share = 1.0 / (1.0 + np.exp(SHARPNESS * (1.0 - (unit @ unit.T).numpy())))
    kept: list[int] = []
    for code in np.argsort(-votes, kind="stable").tolist():
        if votes[code] > 0 and not (share[code, kept] > DUPLICATE).any():
            kept.append(code)
    while len(kept) > 1:
        own = _own_shares(likeness[:, kept].argmax(dim=1).numpy()[entries.point], entries, len(kept))
        if own.min() >= LEAST_OWN:
            break
        kept.pop(int(own.argmin()))
    return unit[kept]


def _own_shares(code: np.ndarray, entries: MaskEntries, count: int) -> np.ndarray:
    """(count,) the share of each code's entries that lie in masks of which it holds most; (N,) ``code`` of each entry."""
    size = (int(entries.mask.max()) + 1, count)
    table = np.bincount(entries.mask * count + code, entries.weight, size[0] * count).reshape(size)
    own = np.where(np.arange(count) == table.argmax(axis=1)[:, None], table, 0.0).sum(axis=0)
    return np.asarray(own / np.maximum(table.sum(axis=0), 1e-9))


def _random_codes(count: int, dimensions: int, random: np.random.Generator) -> torch.Tensor:
    import torch

    codes = random.standard_normal((count, dimensions))
    return torch.from_numpy((codes / np.linalg.norm(codes, axis=1, keepdims=True)).astype(np.float32))
