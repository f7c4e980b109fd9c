"""The losses of Unified-Lift (Zhu et al., CVPR 2025; arXiv 2503.14029), over points in masks instead of pixels.

``f`` are unit identity features of points in masks. Masks of several images are looked at together; what compares masks
compares those of one image alone, because numbers of masks mean nothing beyond their image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    import torch

LEAST_SPREAD, SPREAD_OFFSET = 0.5, 10.0
"""Temperatures of masks lie in [.5, 1]; the logarithm's offset keeps that of small masks from being large."""
FILTER_SCALE, FILTER_LEAST = 0.1, 0.1
"""The temperatures of the filter of noisy labels: much sharper."""


def centroids(
    f: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, masks: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(M, D) mean feature of each mask, (M,) its weight, and (M,) how widely its features spread around it."""
    import torch

    total = torch.zeros(masks, dtype=f.dtype).index_add_(0, mask, weight)
    mean = torch.zeros(masks, f.shape[1], dtype=f.dtype).index_add_(0, mask, f * weight[:, None])
    mean = mean / total.clamp_min(1e-6)[:, None]
    gap = (f - mean[mask]).norm(dim=1) * weight
    spread = torch.zeros(masks, dtype=f.dtype).index_add_(0, mask, gap)
    return mean, total, spread / (total.clamp_min(1e-6) * torch.log(total + SPREAD_OFFSET))


def own_mask_logits(
    f: torch.Tensor, mean: torch.Tensor, temperature: torch.Tensor, image: torch.Tensor, image_of_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarity of each entry to each mask of its own image over the mask's temperature.

    Args:
        f: (N, D), ``mean`` (M, D), ``temperature`` (M,).
        image: (N,) and ``image_of_mask`` (M,) int64, ascending; each image from 0 on has masks.

    Returns:
        (N, most masks of an image), −inf where an image has fewer, and (images,) the first mask of each image.
    """
    import torch

    masks, entries = torch.bincount(image_of_mask), torch.bincount(image, minlength=int(image_of_mask.max()) + 1)
    most, scaled = int(masks.max()), (mean / temperature[:, None]).split(masks.tolist())
    blocks = [mine @ own.T for mine, own in zip(f.split(entries.tolist()), scaled, strict=True)]
    padded = [torch.nn.functional.pad(block, (0, most - block.shape[1]), value=-math.inf) for block in blocks]
    return torch.cat(padded), torch.cumsum(masks, 0) - masks


def contrastive(
    logits: torch.Tensor, own: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, total: torch.Tensor
) -> torch.Tensor:
    """Cross entropy of each entry against the masks of its image, each mask counting alike.

    Args:
        own: (N,) the column of each entry's mask in ``logits``; ``mask`` (N,) its place in ``total`` (M,).
    """
    import torch

    each = torch.nn.functional.cross_entropy(logits, own, reduction="none")
    return (each * weight / total.clamp_min(1e-6)[mask]).sum() / max(len(total), 1)


def map_masks(likelihood: torch.Tensor, mask: np.ndarray, weight: np.ndarray, masks: np.ndarray, *, mean: bool) -> np.ndarray:
    """(m,) the code of each of one image's masks, no two alike: the assignment with the largest sum of likelihoods.

    Summed over a mask's entries, a large mask keeps its code before small ones ("area-aware"); with ``mean`` each mask counts
    alike, as in Panoptic Lifting.

    Args:
        likelihood: (n, L) of the codes at the image's entries, which lie in the masks ``mask`` (n,) with ``weight`` (n,).
        masks: (m,) the image's masks, ascending.
    """
    table = np.zeros((len(masks), likelihood.shape[1]))
    place = np.searchsorted(masks, mask)
    np.add.at(table, place, likelihood.numpy() * weight[:, None])
    if mean:
        table /= np.maximum(np.bincount(place, weight, len(masks)), 1e-6)[:, None]
    rows, columns = linear_sum_assignment(-table)
    code = np.full(len(masks), -1, np.int64)
    code[rows] = columns
    return code


def confident(
    f: torch.Tensor,
    mean: torch.Tensor,
    spread: torch.Tensor,
    image: torch.Tensor,
    image_of_mask: torch.Tensor,
    mask: torch.Tensor,
    threshold: float,
) -> torch.Tensor:
    """(N,) bool: entries whose feature is like that of their own mask, more than by ``threshold``: the label of the others is
    taken for noise of the mask's border."""
    temperature = (FILTER_SCALE * spread).clamp(FILTER_LEAST, 1.0)
    logits, first = own_mask_logits(f, mean, temperature, image, image_of_mask)
    return logits.softmax(dim=1).gather(1, (mask - first[image])[:, None])[:, 0] > threshold
