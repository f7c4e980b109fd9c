"""The whole network: a tile in, what its superpoints as queries say out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from seg2d3d_ros.learning.cloud_tiles import CHANNELS, Tile
from seg2d3d_ros.learning.network.point_backbone import WIDTHS, PointBackbone, PointLevel, group_mean
from seg2d3d_ros.learning.network.query_decoder import Prediction, QueryDecoder

KIND, VERSION = "instance network", 1
"""What a trained folder's config.json says; the version grows with every change of layout or of what a tile holds."""


class InstanceNetwork(nn.Module):
    """Points → superpoints → queries.

    Args:
        width, heads, layers: of the decoder.
        text: size of a text-image model's vectors; 0 = class-agnostic.
        image: values of the image features that points may bring; where there are none, zeros and a flag stand for them.
    """

    def __init__(self, width: int = 64, heads: int = 4, layers: int = 3, text: int = 0, image: int = 0):
        super().__init__()
        self.sizes = {"width": width, "heads": heads, "layers": layers, "text": text, "image": image}
        self.image = image
        self.backbone = PointBackbone(CHANNELS + (image + 1 if image else 0))
        self.decoder = QueryDecoder(WIDTHS[0] + CHANNELS, width, heads, layers, text)

    def forward(self, tile: Tile) -> list[Prediction]:
        """Predictions of all layers of the decoder."""
        device = self.decoder.bias.device

        def tensor(array: Any) -> Tensor:
            return torch.from_numpy(array).to(device)

        feature = tensor(tile.feature)
        inputs = feature
        if self.image:
            given = feature.new_full((len(feature), self.image), torch.nan) if tile.image is None else tensor(tile.image)
            there = given.isfinite().all(dim=1, keepdim=True)
            inputs = torch.cat([feature, given.where(there, 0.0), there.to(feature)], dim=1)
        levels = [
            PointLevel(tensor(level.near), tensor(level.offset), tensor(level.parent), len(coarser))
            for level, coarser in zip(tile.levels, [item.xyz for item in tile.levels[1:]] + [()], strict=True)
        ]
        point = torch.cat([self.backbone(inputs, levels), feature], dim=1)
        pooled = group_mean(point, tensor(tile.superpoint), tile.superpoints)
        predictions: list[Prediction] = self.decoder(pooled, tensor(tile.center))
        return predictions


def build_network(sizes: Mapping[str, Any]) -> InstanceNetwork:
    """The network of sizes as ``InstanceNetwork.sizes`` has them."""
    return InstanceNetwork(**{name: int(value) for name, value in sizes.items()})
