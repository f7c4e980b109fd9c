"""A vision transformer of some thousand weights, as files on disk."""

from __future__ import annotations

from pathlib import Path


def write_dinov2(folder: Path, seed: int = 0) -> Path:
    """A DINOv2 with random weights, and no preprocessor's file."""
    import torch
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=56, patch_size=14, num_labels=0
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder
