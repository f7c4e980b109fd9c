"""Queries that are the superpoints themselves, refined against all superpoints: after SegDINO3D (Apache-2.0) and SPFormer.

Each layer lets a query look at the superpoints inside the mask that the layer before predicted (masked cross-attention: Cheng
et al., CVPR 2022), then at the other queries. After each layer, and before the first, heads say what a query's object is:
whether it is one, its mask over the superpoints, how good the mask is, and its box. A mask is the product of the query's and
the superpoints' features, and a term of place: an ellipsoid about the box's centre, which keeps far things that look alike
apart (SegDINO3D modulates its attention by boxes to the same end).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 6
INSIDE, SHARPNESS = 2.0, 4.0
"""Of the ellipsoids at the start: their term in the middle, and one over their radius where the term has fallen by 1."""


@dataclass
class Prediction:
    """What Q queries say of S superpoints.

    Attributes:
        mask: (Q, S) logits.
        object: (Q,) logits: whether this query stands for an object.
        score: (Q,) logits of the mask's expected IoU.
        box: (Q, 6) centre and size, in units of the tile's radius.
        text: (Q, D) of length 1, None where no text was learnt.
    """

    mask: Tensor
    object: Tensor
    score: Tensor
    box: Tensor
    text: Tensor | None


class PositionCode(nn.Module):
    """(N, 3) places → (N, width): sines and cosines, mixed."""

    def __init__(self, width: int):
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(3 + 6 * FREQUENCIES, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, place: Tensor) -> Tensor:
        """Codes of places in units of a tile's radius."""
        factors = torch.pi * 2.0 ** torch.arange(FREQUENCIES, device=place.device)
        angle = (place[:, :, None] * factors).flatten(1)
        code: Tensor = self.mix(torch.cat([place, angle.sin(), angle.cos()], dim=-1))
        return code


class Attention(nn.Module):
    """Several heads over (N, width) queries and (M, width) others, with positions; what ``hidden`` (N, M) marks is not seen."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, query: Tensor, other: Tensor, query_code: Tensor, code: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(N, width)."""

        def parts(tensor: Tensor) -> Tensor:
            return tensor.view(len(tensor), self.heads, -1).transpose(0, 1)

        q, k, v = parts(self.query(query + query_code)), parts(self.key(other + code)), parts(self.value(other))
        found = functional.scaled_dot_product_attention(q, k, v, attn_mask=None if hidden is None else ~hidden)
        out: Tensor = self.out(found.transpose(0, 1).reshape(len(query), -1))
        return out


class DecoderLayer(nn.Module):
    """Masked attention to superpoints, attention among queries, channels; norms come first."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.cross, self.among = Attention(width, heads), Attention(width, heads)
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, query: Tensor, superpoint: Tensor, query_code: Tensor, code: Tensor, hidden: Tensor) -> Tensor:
        """(Q, width) refined queries."""
        query = query + self.cross(self.norms[0](query), superpoint, query_code, code, hidden)
        normed = self.norms[1](query)
        query = query + self.among(normed, normed, query_code, query_code)
        refined: Tensor = query + self.channels(self.norms[2](query))
        return refined


class QueryDecoder(nn.Module):
    """(S, channels) superpoint features → a prediction before and after each layer.

    Args:
        text: size of a text-image model's vectors; 0 = none.
    """

    def __init__(self, channels: int, width: int, heads: int, layers: int, text: int):
        super().__init__()
        self.begin = nn.Sequential(nn.Linear(channels, width), nn.LayerNorm(width))
        self.position = PositionCode(width)
        self.mask_feature = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(DecoderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.mask = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.object, self.score = nn.Linear(width, 1), nn.Linear(width, 1)
        self.offset = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 6))
        self.axes = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 5))
        self.text = nn.Linear(width, text) if text else None
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, feature: Tensor, center: Tensor) -> list[Prediction]:
        """Predictions of all layers; the last one counts.

        Args:
            feature: (S, channels).
            center: (S, 3) in units of the tile's radius.
        """
        code = self.position(center)
        superpoint = self.begin(feature)
        target = self.mask_feature(superpoint + code)
        query, query_code = superpoint, code
        found = [self._predict(query, target, center)]
        for layer in self.layers:
            hidden = found[-1].mask.detach() < 0
            hidden = hidden & ~hidden.all(dim=1, keepdim=True)  # a query that sees nothing sees all
            query = layer(query, superpoint, query_code, code, hidden)
            found.append(self._predict(query, target, center))
            query_code = self.position(found[-1].box[:, :3].detach())
        return found

    def _predict(self, query: Tensor, target: Tensor, center: Tensor) -> Prediction:
        normed = self.norm(query)
        offset = self.offset(normed)
        box = torch.cat([center + offset[:, :3], functional.softplus(offset[:, 3:])], dim=1)
        mask = self.mask(normed) @ target.T / target.shape[1] ** 0.5 + self._near(normed, box[:, :3], center) + self.bias
        text = None if self.text is None else functional.normalize(self.text(normed), dim=-1)
        return Prediction(mask, self.object(normed)[:, 0], self.score(normed)[:, 0], box, text)

    def _near(self, query: Tensor, middle: Tensor, center: Tensor) -> Tensor:
        """(Q, S) how far inside a query's ellipsoid a superpoint lies: ``INSIDE`` in its middle, 0 on it, negative outside."""
        axes = self.axes(query)
        plane = axes[:, :4].view(-1, 2, 2) + torch.eye(2, device=axes.device) * SHARPNESS
        away = center[None] - middle[:, None]
        level = torch.einsum("qij,qsj->qsi", plane, away[..., :2]).square().sum(-1)
        height = ((axes[:, 4:] + 1) * away[..., 2]).square()
        return INSIDE - (level + height).clamp(max=20.0)
