"""The loss of a prediction against one view's partial labels (view-wise instance partition: OVSeg3R, arXiv 2509.23541).

Only the queries and superpoints that the view sees take part: what it does not see is unknown, and no prediction beyond it is
wrong. Weights of the terms are SegDINO3D's. Beside the one query that is matched to an object, some others of its superpoints
learn its mask, too (one-to-many matching as an aid: H-DETR, Jia et al., CVPR 2023), which makes the masks converge sooner; only
the matched one learns to stand for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seg2d3d_ros.learning.cloud_tiles import SuperpointLabels
from seg2d3d_ros.learning.network.query_decoder import Prediction
from seg2d3d_ros.learning.network.query_matching import mask_costs, match

NO_OBJECT = 0.1
"""Weight of a query that stands for none."""
AIDS = 8
"""Further queries of an object that learn its mask."""


@dataclass(frozen=True)
class TermWeights:
    """Weights of the loss's terms."""

    object: float = 0.5
    mask: float = 1.0
    dice: float = 1.0
    score: float = 0.5
    box: float = 0.5
    aid: float = 1.0
    text: float = 0.5


WEIGHTS = TermWeights()


def view_loss(
    found: Prediction,
    labels: SuperpointLabels,
    random: np.random.Generator,
    *,
    partition: bool = True,
    center: Tensor | None = None,
    text: Tensor | None = None,
) -> dict[str, Tensor]:
    """Terms of the loss, weighted.

    Args:
        partition: False = the view's labels are taken for those of the whole tile, and what it does not see for background,
            only to show what the partition is worth.
        center: (S, 3) of the superpoints where whole objects are labelled: then boxes are learnt, too.
        text: (M, D) vectors of the objects, NaN where there is none.
    """
    device = found.mask.device
    seen, inside, weight = _targets(labels, found.mask.shape[1], device, partition=partition)
    logits = found.mask[seen][:, seen].float()
    objectness, quality = found.object[seen].float(), found.score[seen].float()
    own = inside > 0.5
    query, target = match(objectness, logits, inside, weight, own)
    stands = torch.zeros_like(objectness)
    stands[query] = 1
    importance = torch.where(stands > 0, 1.0, NO_OBJECT)
    entropy = functional.binary_cross_entropy_with_logits(objectness, stands, importance, reduction="sum") / importance.sum()
    terms = {"object": WEIGHTS.object * entropy}
    if len(query) == 0:
        return terms
    terms |= _mask_terms(logits[query], inside[target], weight)
    overlap = _iou(logits[query].detach(), inside[target], weight)
    terms["score"] = WEIGHTS.score * functional.mse_loss(quality[query].sigmoid(), overlap)
    aid_query, aid_target = _aids(own.cpu().numpy(), query, random)
    if len(aid_query):
        aids = _mask_terms(logits[aid_query], inside[aid_target], weight)
        terms["aid"] = WEIGHTS.aid * (aids["mask"] + aids["dice"])
    if center is not None:
        box = torch.stack([_box(center[seen], mine > 0.5) for mine in inside[target]])
        terms["box"] = WEIGHTS.box * (found.box[seen][query].float() - box).abs().sum(1).mean()
    if text is not None and found.text is not None:
        wanted = text[target]
        there = torch.isfinite(wanted).all(dim=1)
        if bool(there.any()):
            same = (found.text[seen][query][there].float() * wanted[there]).sum(1)
            terms["text"] = WEIGHTS.text * (1 - same).mean()
    return terms


def _targets(labels: SuperpointLabels, count: int, device: torch.device, *, partition: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The superpoints that take part (s,), which of them are in each object (M, s), and their weights (s,)."""
    if partition:
        seen, inside, weight = labels.seen, labels.inside, labels.weight
    else:
        seen = np.arange(count)
        inside = np.zeros((len(labels.inside), count), bool)
        inside[:, labels.seen] = labels.inside
        weight = np.ones(count, np.float32)
    return (
        torch.from_numpy(seen).to(device),
        torch.from_numpy(inside.astype(np.float32)).to(device),
        torch.from_numpy(weight).to(device),
    )


def _mask_terms(logits: Tensor, inside: Tensor, weight: Tensor) -> dict[str, Tensor]:
    entropy, dice = mask_costs(logits, inside, weight)
    return {"mask": WEIGHTS.mask * entropy.diagonal().mean(), "dice": WEIGHTS.dice * dice.diagonal().mean()}


def _iou(logits: Tensor, inside: Tensor, weight: Tensor) -> Tensor:
    share = (logits > 0).float() * weight
    overlap = (share * inside).sum(1)
    return overlap / (share.sum(1) + (inside * weight).sum(1) - overlap).clamp(min=1e-6)


def _aids(own: np.ndarray, matched: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Some queries of each object beside the matched ones: queries and objects (n,)."""
    queries, targets = [], []
    for target, mine in enumerate(own):
        others = np.setdiff1d(np.flatnonzero(mine), matched)
        chosen = random.choice(others, min(AIDS, len(others)), replace=False)
        queries.append(chosen)
        targets.append(np.full(len(chosen), target))
    return np.concatenate(queries).astype(int), np.concatenate(targets).astype(int)


def _box(center: Tensor, mine: Tensor) -> Tensor:
    places = center[mine]
    low, high = places.amin(0), places.amax(0)
    return torch.cat([(low + high) / 2, high - low])
