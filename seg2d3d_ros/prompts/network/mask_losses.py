"""What a wrong mask costs: focal loss (Lin et al., ICCV 2017) and Dice, weighted as MV-SAM does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ALPHA, GAMMA = 0.9, 1.5
FOCAL, DICE = 1.0, 0.05


def mask_losses(logits: torch.Tensor, truth: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(K,) weighted focal and Dice losses of K masks.

    Args:
        logits: (K, N) of cells.
        truth: (K, N) in [0, 1].
        counted: (K, N) 1 where a cell is judged, 0 where the image does not reach.
    """
    from torchvision.ops import sigmoid_focal_loss

    logits = logits.float()
    focal = sigmoid_focal_loss(logits, truth, ALPHA, GAMMA, reduction="none")
    area = counted.sum(dim=1).clamp(min=1.0)
    chance = logits.sigmoid() * counted
    common = (chance * truth).sum(dim=1)
    dice = 1 - (2 * common + 1) / (chance.sum(dim=1) + truth.sum(dim=1) + 1)
    return FOCAL * (focal * counted).sum(dim=1) / area, DICE * dice
