"""Small checkpoints of the real model classes with random weights, as files on disk, and a tokenizer that a page holds."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "a", "building", "car", "red", "house", "tree", "##s"]


def write_tokenizer(folder: Path, words: list[str] = WORDS) -> int:
    """A BERT tokenizer with these words, the first five of which are BERT's own; returns its size."""
    from transformers import BertTokenizer, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    cls = BertTokenizerFast if BertTokenizerFast is not None else BertTokenizer
    cls(vocab=str(folder / "vocab.txt"), vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    return len(words)


def _swin(**more):
    from transformers import SwinConfig

    return SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, patch_size=4, **more
    )


def write_grounding_dino(folder: Path, *, safe: bool = True) -> Path:
    """A Grounding DINO of a few thousand weights, with tokenizer and image processor (images become 64 pixels)."""
    import torch
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoImageProcessor

    torch.manual_seed(0)
    size = write_tokenizer(folder)
    text = BertConfig(
        vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=256,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=_swin(out_features=["stage2", "stage3", "stage4"]), text_config=text, num_queries=12, d_model=32,
        encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, num_feature_levels=4,
    )  # fmt: skip
    model = GroundingDinoForObjectDetection(config)
    if safe:
        model.save_pretrained(folder)
    else:
        config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    return folder


def write_sam(folder: Path) -> Path:
    """A SAM in transformers' format that sees 64 pixels."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel

    torch.manual_seed(0)
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 16,
              "output_channels": 16, "mlp_dim": 16, "window_size": 2, "global_attn_indexes": [0],
              "num_pos_feats": 8}  # fmt: skip
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4, "image_embedding_size": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
               "iou_head_hidden_dim": 16, "iou_head_depth": 2}  # fmt: skip
    SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)).save_pretrained(folder)
    SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def write_sam2(folder: Path) -> Path:
    """A SAM 2 whose folder says ``sam2_video``, as the published ones do."""
    import torch
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model
    from transformers.models.sam2.configuration_sam2 import (
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[64, 64], window_positional_embedding_background_size=[2, 2],
        blocks_per_stage=[1, 1, 1, 1], embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 2, 2, 2], global_attention_blocks=[],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=16,
    )  # fmt: skip
    prompt = Sam2PromptEncoderConfig(hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4)
    decoder = Sam2MaskDecoderConfig(
        hidden_size=16, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=16, iou_head_depth=2
    )
    Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)).save_pretrained(
        folder
    )
    Sam2ImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, "model_type": "sam2_video"}))
    return folder


def write_lightglue(folder: Path) -> Path:
    """A LightGlue of two layers with a small SuperPoint, whose scores are far below those of trained ones.

    Its attention is switched off and its projections are rotations, so that it matches equal descriptors.
    """
    import torch
    from transformers import LightGlueConfig, LightGlueForKeypointMatching, SuperPointConfig

    torch.manual_seed(0)
    detector = SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 16, 16],
        decoder_hidden_size=32,
        descriptor_decoder_dim=64,
        keypoint_threshold=0.0,
        nms_radius=4,
    )
    config = LightGlueConfig(
        keypoint_detector_config=detector, descriptor_dim=64, num_hidden_layers=2, num_attention_heads=2, filter_threshold=0.0
    )
    model = LightGlueForKeypointMatching(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "keypoint_detector" in name:
                (torch.nn.init.kaiming_normal_ if weights.ndim > 1 else torch.nn.init.zeros_)(weights)
            elif ".self_mlp.fc2" in name or ".cross_mlp.fc2" in name:
                weights.zero_()
            elif "final_projection.weight" in name:
                weights.copy_(12 * torch.linalg.qr(torch.randn(64, 64))[0])
            elif "final_projection.bias" in name or "matchability.weight" in name:
                weights.zero_()
            elif "matchability.bias" in name:
                weights.fill_(5.0)
            elif "token_confidence" in name:
                weights.fill_(-1.0)
    model.save_pretrained(folder)
    return folder


CLASSES = {0: "road", 1: "building, edifice", 2: "car"}


def write_mask2former(folder: Path) -> Path:
    """A Mask2Former of three classes."""
    import torch
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor

    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=_swin(out_features=["stage1", "stage2", "stage3", "stage4"]), feature_size=32, mask_feature_size=32,
        hidden_dim=32, encoder_feedforward_dim=16, dim_feedforward=16, encoder_layers=1, decoder_layers=2,
        num_attention_heads=2, num_queries=8, id2label=CLASSES, label2id={v: k for k, v in CLASSES.items()},
    )  # fmt: skip
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}, num_labels=3).save_pretrained(folder)
    return folder


def write_oneformer(folder: Path) -> Path:
    """A OneFormer of three classes whose image processor names a file of classes that is not there."""
    import torch
    from transformers import CLIPTokenizer, OneFormerConfig, OneFormerForUniversalSegmentation, OneFormerImageProcessor

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\n")
    vocab.update({"th": len(vocab), "the</w>": len(vocab) + 1})
    (folder / "vocab.json").write_text(json.dumps(vocab))
    files = {"vocab": str(folder / "vocab.json"), "merges": str(folder / "merges.txt")}
    legacy = {"vocab_file": files["vocab"], "merges_file": files["merges"]}
    CLIPTokenizer(**files, **legacy).save_pretrained(folder)
    config = OneFormerConfig(
        backbone_config=_swin(out_features=["stage1", "stage2", "stage3", "stage4"]), num_queries=8, hidden_dim=32, conv_dim=32,
        mask_dim=32, encoder_feedforward_dim=16, dim_feedforward=16, encoder_layers=1, decoder_layers=2, query_dec_layers=1,
        num_attention_heads=2, task_seq_len=24, max_seq_len=24, text_encoder_width=16, text_encoder_context_length=24,
        text_encoder_num_layers=1, text_encoder_vocab_size=len(vocab), text_encoder_n_ctx=4, is_training=False,
        id2label=CLASSES, label2id={v: k for k, v in CLASSES.items()},
    )  # fmt: skip
    OneFormerForUniversalSegmentation(config).save_pretrained(folder)
    (folder / "table").mkdir()
    table = {str(k): {"name": v, "isthing": 0} for k, v in CLASSES.items()}
    (folder / "table" / "street_panoptic.json").write_text(json.dumps(table))
    processor = OneFormerImageProcessor(
        repo_path=str(folder / "table"), class_info_file="street_panoptic.json", num_text=4, num_labels=3,
        size={"shortest_edge": 64, "longest_edge": 128},
    )  # fmt: skip
    processor.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "repo_path": "nobody/nothing", "class_info_file": "nothing.json"}))
    for name in (folder / "table").iterdir():
        name.unlink()
    (folder / "table").rmdir()
    return folder


def write_sam3(folder: Path, queries: int = 6) -> Path:
    """A SAM 3 that sees 56 pixels; its text encoder is CLIP's with the words of ``write_oneformer``."""
    import torch
    from transformers import CLIPTokenizer, Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = {"vocab": str(folder / "vocab.json"), "merges": str(folder / "merges.txt")}
    tokenizer = CLIPTokenizer(**files, vocab_file=files["vocab"], merges_file=files["merges"])
    small = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    detr = {**small, "num_layers": 1}
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                **small, "model_type": "sam3_vit_model", "num_hidden_layers": 2, "image_size": 56, "pretrain_image_size": 28,
                "patch_size": 14, "window_size": 2, "global_attn_indexes": [1],
            },
            "fpn_hidden_size": 32, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            **small, "model_type": "clip_text_model", "vocab_size": len(words), "projection_dim": 16, "num_hidden_layers": 1,
            "max_position_embeddings": 32, "eos_token_id": len(words) - 1, "bos_token_id": len(words) - 2,
        },
        geometry_encoder_config=detr, detr_encoder_config=detr, detr_decoder_config={**detr, "num_queries": queries},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )  # fmt: skip
    Sam3Model(config).save_pretrained(folder)
    images = Sam3ImageProcessor(size={"height": 56, "width": 56}, mask_size={"height": 16, "width": 16})
    Sam3Processor(images, tokenizer).save_pretrained(folder)
    return folder


def write_meta_sam(path: Path) -> Path:
    """A checkpoint for ``sam_model_registry["vit_b"]``, as ``small_registry`` makes it."""
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(sam_model_registry["vit_b"]().state_dict(), path)
    return path


def small_registry(monkeypatch) -> None:
    """SAM's own builder with one layer instead of twelve: 60 MB instead of 375 MB, all else is real."""
    import importlib

    builder = importlib.import_module("segment_anything.build_sam")

    def small(checkpoint=None):
        return builder._build_sam(768, 1, 12, [], checkpoint)

    monkeypatch.setitem(builder.sam_model_registry, "vit_b", small)
