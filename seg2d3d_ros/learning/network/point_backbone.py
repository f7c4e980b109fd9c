"""A U-shaped network on points: neighbourhoods gathered by index at four levels, no operator of its own.

Each level mixes a point's neighbours with weights that depend on where they lie, channel by channel (as PointConv does: Wu, Qi
and Fuxin, CVPR 2019), then all channels of the point; coarser levels are means of their points, and their features come back
down beside those that went up (U-Net).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

WIDTHS = (32, 48, 64, 96)


class PointLevel:
    """Tensors of one level: see ``learning.point_pyramid.Level``; ``coarser`` = points of the next level."""

    def __init__(self, near: Tensor, offset: Tensor, parent: Tensor, coarser: int):
        self.near, self.offset, self.parent, self.coarser = near, offset, parent, coarser

    def up(self, feature: Tensor) -> Tensor:
        """(M, C) means of the features (N, C) of the points that each coarser one stands for."""
        return group_mean(feature, self.parent, self.coarser)


def group_mean(feature: Tensor, group: Tensor, count: int) -> Tensor:
    """(count, C) mean of the rows (N, C) of each group (N,)."""
    total = feature.new_zeros((count, feature.shape[1])).index_add(0, group, feature)
    size = feature.new_zeros(count).index_add(0, group, feature.new_ones(len(group)))
    return total / size.clamp(min=1)[:, None]


class NeighbourBlock(nn.Module):
    """(N, C) features → (N, C): neighbours mixed, then channels, beside the features themselves."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, width))
        self.norm = nn.LayerNorm(width)
        self.channels = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, feature: Tensor, level: PointLevel) -> Tensor:
        """Mix each point's neighbours."""
        length = level.offset.norm(dim=-1, keepdim=True)
        weight = self.weight(torch.cat([level.offset, length], dim=-1))
        normed = self.norm(feature)
        mixed = (normed[level.near] * weight).mean(dim=1)
        mixed_feature: Tensor = feature + self.channels(torch.cat([normed, mixed], dim=-1))
        return mixed_feature


class PointBackbone(nn.Module):
    """(N, channels) → (N, ``WIDTHS[0]``)."""

    def __init__(self, channels: int):
        super().__init__()
        self.begin = nn.Linear(channels, WIDTHS[0])
        self.down = nn.ModuleList(NeighbourBlock(width) for width in WIDTHS)
        self.widen = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(WIDTHS))
        self.narrow = nn.ModuleList(nn.Linear(a + b, a) for a, b in pairwise(WIDTHS))
        self.back = nn.ModuleList(NeighbourBlock(width) for width in WIDTHS[:-1])

    def forward(self, feature: Tensor, levels: list[PointLevel]) -> Tensor:
        """Features of the first level's points."""
        kept = []
        feature = self.begin(feature)
        for number, level in enumerate(levels):
            feature = self.down[number](feature, level)
            if number + 1 < len(levels):
                kept.append(feature)
                feature = self.widen[number](level.up(feature))
        for number in reversed(range(len(kept))):
            level = levels[number]
            feature = self.narrow[number](torch.cat([kept[number], feature[level.parent]], dim=-1))
            feature = self.back[number](feature, level)
        return feature
