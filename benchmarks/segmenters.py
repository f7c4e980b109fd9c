"""Time and memory of the models of docs/segmenters.md: true sizes from their configurations, random weights, real adapters.

    python benchmarks/segmenters.py [--models NAME …] [--out FILE.json] [--device cpu]

Each model is written to a scratch folder by one process, and loaded and run by another one, whose peak memory is its own.
Random weights cost as much as trained ones; what is found means nothing. Processor seconds are given beside wall seconds,
since they hardly change when other work shares the machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT, BOXES = 1920, 1080, 10
SWIN = {
    "tiny": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7, "image_size": 224},
    "base": {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": 12, "image_size": 384},
    "large": {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12, "image_size": 384},
}
SAM = {
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "global_attn_indexes": [2, 5, 8, 11]},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "global_attn_indexes": [5, 11, 17, 23]},
    "huge": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "global_attn_indexes": [7, 15, 23, 31]},
}
HIERA = {  # width, blocks, global blocks, heads, windows, background of the position embedding
    "tiny": (96, [1, 2, 7, 2], [5, 7, 9], 1, [8, 4, 14, 7], [7, 7]),
    "small": (96, [1, 2, 11, 2], [7, 10, 13], 1, [8, 4, 14, 7], [7, 7]),
    "base-plus": (112, [2, 3, 16, 3], [12, 16, 20], 2, [8, 4, 14, 7], [14, 14]),
    "large": (144, [2, 6, 36, 4], [23, 33, 43], 2, [8, 4, 16, 8], [7, 7]),
}


def write_dino(folder: Path, size: str) -> None:
    """Grounding DINO with a vocabulary of a few words."""
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        SwinConfig,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "building"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    backbone = SwinConfig(**SWIN[size], out_features=["stage2", "stage3", "stage4"])
    GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=backbone, text_config=BertConfig())).save_pretrained(
        folder
    )
    GroundingDinoImageProcessor().save_pretrained(folder)


def write_meta(folder: Path, kind: str) -> None:
    """A checkpoint of the segment_anything package."""
    import torch
    from segment_anything import sam_model_registry

    torch.save(sam_model_registry[kind]().state_dict(), folder / "sam.pth")


def write_sam(folder: Path, size: str) -> None:
    """SAM in transformers' format."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamVisionConfig

    width = SAM[size]["hidden_size"]
    vision = SamVisionConfig(**SAM[size], mlp_dim=4 * width)
    SamModel(SamConfig(vision_config=vision)).save_pretrained(folder)
    SamImageProcessor().save_pretrained(folder)


def write_sam2(folder: Path, size: str) -> None:
    """SAM 2.1."""
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model
    from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig

    width, blocks, everywhere, heads, windows, background = HIERA[size]
    widths = [width * 2**k for k in range(4)]
    backbone = Sam2HieraDetConfig(
        hidden_size=width,
        num_attention_heads=heads,
        blocks_per_stage=blocks,
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads * 2**k for k in range(4)],
        window_size_per_stage=windows,
        global_attention_blocks=everywhere,
        window_positional_embedding_background_size=background,
    )
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1])
    Sam2Model(Sam2Config(vision_config=vision)).save_pretrained(folder)
    Sam2ImageProcessor().save_pretrained(folder)


def write_mask2former(folder: Path, size: str) -> None:
    """Mask2Former with the 19 classes of Cityscapes."""
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    names = {k: f"class {k}" for k in range(18)} | {18: "building"}
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(**SWIN[size], out_features=["stage1", "stage2", "stage3", "stage4"]),
        num_queries=200 if size == "large" else 100,
        id2label=names,
        label2id={v: k for k, v in names.items()},
    )
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(num_labels=19).save_pretrained(folder)


def write_oneformer(folder: Path, size: str) -> None:
    """OneFormer with a vocabulary of letters; its text encoder works in training only."""
    from transformers import (
        CLIPTokenizer,
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
        SwinConfig,
    )

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = {"vocab": str(folder / "vocab.json"), "merges": str(folder / "merges.txt")}
    CLIPTokenizer(**files, vocab_file=files["vocab"], merges_file=files["merges"]).save_pretrained(folder)
    names = {k: f"class {k}" for k in range(149)} | {149: "building"}
    config = OneFormerConfig(
        backbone_config=SwinConfig(**SWIN[size], out_features=["stage1", "stage2", "stage3", "stage4"]),
        num_queries=250 if size == "large" else 150,
        is_training=False,
        id2label=names,
        label2id={v: k for k, v in names.items()},
    )
    OneFormerForUniversalSegmentation(config).save_pretrained(folder)
    (folder / "table.json").write_text(json.dumps({str(k): {"name": v, "isthing": 0} for k, v in names.items()}))
    processor = OneFormerImageProcessor(repo_path=str(folder), class_info_file="table.json", num_text=134, num_labels=150)
    processor.save_pretrained(folder)


def run_dino(folder: Path, runtime: Any, image: np.ndarray) -> Iterator[None]:
    """One image."""
    from seg2d3d_ros.segmentation.models.grounding_dino import GroundingDino

    model = GroundingDino(folder, runtime)
    model.load()
    yield
    while True:
        model.detect([image], ["building"], 0.0)
        yield


def run_masks(folder: Path, runtime: Any, image: np.ndarray) -> Iterator[None]:
    """One image with ten boxes."""
    from seg2d3d_ros.segmentation.models.mask_models import HubSam, MetaSam

    model = MetaSam(folder / "sam.pth", runtime) if (folder / "sam.pth").exists() else HubSam(folder, runtime)
    boxes = np.array([[180 * k, 100, 180 * k + 160, 900] for k in range(BOXES)], np.float32)
    model.load()
    yield
    while True:
        model.from_boxes([image], [boxes])
        yield


def run_everything(folder: Path, runtime: Any, image: np.ndarray) -> Iterator[None]:
    """One image with the grid of the default parameters."""
    from seg2d3d_ros.segmentation.models.everything import grid
    from seg2d3d_ros.segmentation.models.mask_models import MetaSam

    model = MetaSam(folder / "sam.pth", runtime)
    model.load()
    yield
    while True:
        model.from_points(image, grid(WIDTH, HEIGHT, 32), -np.inf)  # random weights rate themselves at random
        yield


def run_panoptic(folder: Path, runtime: Any, image: np.ndarray) -> Iterator[None]:
    """One image, all queries that find anything."""
    from seg2d3d_ros.segmentation.models.panoptic import Network

    model = Network(folder, runtime)
    model.load()
    yield
    while True:
        model.infer(image, lambda label, score: True)
        yield


MODELS: dict[str, tuple[Callable, str, Callable]] = {
    "grounding-dino-tiny": (write_dino, "tiny", run_dino),
    "grounding-dino-base": (write_dino, "base", run_dino),
    "sam_vit_b": (write_meta, "vit_b", run_masks),
    "sam_vit_l": (write_meta, "vit_l", run_masks),
    "sam_vit_h": (write_meta, "vit_h", run_masks),
    "sam_vit_b, everything": (write_meta, "vit_b", run_everything),
    "sam-vit-base": (write_sam, "base", run_masks),
    **{f"sam2.1-hiera-{size}": (write_sam2, size, run_masks) for size in HIERA},
    "mask2former-swin-tiny": (write_mask2former, "tiny", run_panoptic),
    "mask2former-swin-large": (write_mask2former, "large", run_panoptic),
    "oneformer-swin-tiny": (write_oneformer, "tiny", run_panoptic),
    "oneformer-swin-large": (write_oneformer, "large", run_panoptic),
}


def write(name: str, folder: Path) -> None:
    """Make a model's files."""
    import torch

    torch.manual_seed(0)
    make, size, _ = MODELS[name]
    make(folder, size)


def measure(name: str, folder: Path, device: str, repeat: int, queue: Any) -> None:
    """Load and run a model, and tell what it took."""
    from seg2d3d_ros.networks.runtime import Runtime

    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    runtime = Runtime(device)
    steps = MODELS[name][2](folder, runtime, image)
    start = time.perf_counter()
    next(steps)
    loaded = time.perf_counter() - start
    wall, processor = [], []
    for _ in range(repeat):
        start, begin = time.perf_counter(), time.process_time()
        next(steps)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - begin)
    files = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".pth", ".safetensors"))
    queue.put(
        {
            "model": name,
            "device": runtime.device,
            "weights_mb": round(files / 1e6),
            "load_s": round(loaded, 1),
            "wall_s": round(min(wall), 1),
            "processor_s": round(min(processor), 1),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        }
    )


def main() -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS), metavar="NAME")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    for name in args.models:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            writer = context.Process(target=write, args=(name, folder))
            writer.start()
            writer.join()
            queue = context.Queue()
            reader = context.Process(target=measure, args=(name, folder, args.device, args.repeat, queue))
            reader.start()
            reader.join()
            rows.append(queue.get(timeout=10))
        print(json.dumps(rows[-1]), flush=True)
        if args.out:
            args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
