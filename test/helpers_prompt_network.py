"""A small SAM whose random encoder tells colours apart, and a map of painted house fronts to train the prompts' network on."""

from pathlib import Path

import numpy as np
from helpers_level_map import labelled
from helpers_levels import HEIGHT, WIDTH, picture, things

from seg2d3d_ros.images import encode_png

COLOURS = {0: (150, 90, 60), 1: (60, 120, 150), 2: (30, 30, 40)}


def write_small_sam(folder: Path, seed: int = 0, side: int = 64, patch: int = 8, width: int = 64) -> Path:
    """In transformers' format. As transformers initialises it, its encoder would answer zeros."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel

    torch.manual_seed(seed)
    vision = {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": side, "patch_size": patch,
              "output_channels": width, "mlp_dim": width, "window_size": 4, "global_attn_indexes": [0],
              "num_pos_feats": width // 2}  # fmt: skip
    prompt = {"hidden_size": width, "image_size": side, "patch_size": patch, "mask_input_channels": 4,
              "image_embedding_size": side // patch}  # fmt: skip
    decoder = {"hidden_size": width, "mlp_dim": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2,
               "iou_head_hidden_dim": 16, "iou_head_depth": 2}  # fmt: skip
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))
    for name, weights in model.named_parameters():
        if weights.ndim > 1 and "embed" not in name.rpartition(".")[2]:
            torch.nn.init.normal_(weights, std=weights[0].numel() ** -0.5)
    model.save_pretrained(folder)
    SamImageProcessor(size={"longest_edge": side}, pad_size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def painted_map(root: Path) -> Path:
    """The map of ``helpers_level_map``, with pictures in which houses, storeys and windows have colours."""
    store, _, _ = labelled(root)
    rng = np.random.default_rng(0)
    houses = [thing.id for thing in things() if thing.level == 0]
    shade = {t.id: rng.integers(-25, 25, 3) + np.array([70, 0, -60]) * (t.id < houses[1]) for t in things()}
    for k, record in enumerate(store.read_keyframes()):
        image = np.full((HEIGHT, WIDTH, 3), (170, 200, 230), np.uint8)
        for thing in things():  # a whole comes before its parts
            region = picture(thing, k)
            if region is not None:
                colour = np.clip(np.array(COLOURS[thing.level]) + shade[thing.id], 0, 255)
                image[region.window][region.pixels] = colour
        store.image_path(record).write_bytes(encode_png(image))
    return root
