"""Which query answers for which object: one each, and only one whose own superpoint lies in the object.

After OneFormer3D (Kolodiazhnyi et al., CVPR 2024) and SegDINO3D.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

OUTSIDE = 1e6
"""Cost of a query whose superpoint lies outside."""


def mask_costs(logits: Tensor, inside: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(Q, M) binary cross-entropy and dice loss of each query's mask against each object's.

    Args:
        logits: (Q, s).
        inside: (M, s) 0 or 1.
        weight: (s,) of the superpoints.
    """
    total = weight.sum().clamp(min=1e-6)
    positive = functional.softplus(-logits) * weight
    negative = functional.softplus(logits) * weight
    entropy = (positive @ inside.T + negative @ (1 - inside).T) / total
    share = logits.sigmoid() * weight
    overlap = share @ inside.T
    dice = 1 - (2 * overlap + 1) / (share.sum(1)[:, None] + (inside * weight).sum(1)[None] + 1)
    return entropy, dice


@torch.no_grad()
def match(objectness: Tensor, logits: Tensor, inside: Tensor, weight: Tensor, own: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Queries and objects that belong together (m,), (m,).

    Args:
        objectness: (Q,) logits.
        own: (M, Q) bool, whether each query's own superpoint lies in each object.
    """
    entropy, dice = mask_costs(logits, inside, weight)
    cost = entropy + dice - 0.5 * objectness.sigmoid()[:, None]
    table = torch.where(own.T, cost, OUTSIDE).cpu().numpy()
    query, target = linear_sum_assignment(table)
    allowed = table[query, target] < OUTSIDE
    return query[allowed], target[allowed]
