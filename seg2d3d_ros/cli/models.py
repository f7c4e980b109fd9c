"""``seg2d3d models``: what can find objects or keypoints here, what it takes, and where its files are or have to go."""

from __future__ import annotations

import argparse

from seg2d3d_ros.cli.output.telling import tell_result
from seg2d3d_ros.networks.download import download
from seg2d3d_ros.networks.weights import KNOWN, find_model, models_dir
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.sections.words_config import WordsConfig

_TITLES = {
    "detector": "boxes for a text: segmentation.detector_model (grounded_sam)",
    "masks": "masks for boxes or points: segmentation.mask_model (grounded_sam, everything)",
    "panoptic": "fixed classes: segmentation.panoptic_model (panoptic)",
    "features": "keypoints and their matches: reconstruction.features_model (superpoint)",
    "words": "instances by words: words.model (find, classify)",
    "pictures": "image features for networks of your own (dataset --image-model)",
    "concepts": "masks for a text: segmentation.concept_model (sam3)",
}

INTERRUPTED = "what was loaded so far is kept, and the same command goes on"
EXAMPLES = (
    "seg2d3d models",
    "seg2d3d models --download IDEA-Research/grounding-dino-tiny facebook/sam-vit-base",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """List, or download."""
    parser.add_argument(
        "--download", nargs="+", default=[], metavar="MODEL", help="names from the list, or owner/name[@revision] on the Hub"
    )
    parser.add_argument(
        "--dir", default="", metavar="DIR", help="folder of models; default: $SEG2D3D_MODELS, else ~/.cache/seg2d3d_ros/models"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list, or fetch what was asked for."""
    folder = models_dir(args.dir)
    if args.download:
        for name in args.download:
            model = find_model(name, folder)
            if model.present:
                tell_result(f"{name} is there: {model.path}")
            else:
                download(model)
                tell_result(f"{name}: {model.path}")
        return 0
    segmenters = set(vars(SegmentationConfig()).values())
    chosen = segmenters | {ReconstructionConfig().features_model, WordsConfig().model}
    tell_result(f"models are kept in {folder} (or found in the Hugging Face cache); * = the default")
    for role, title in _TITLES.items():
        tell_result(f"\n{title}")
        for known in (model for model in KNOWN if model.role == role):
            model = find_model(known.name, folder)
            star = "*" if known.name in chosen else " "
            state = "present" if model.present else "missing"
            tell_result(f" {star} {known.name:<58}{known.megabytes:>6} MB  {state}  {known.licence}")
            tell_result(f"     {model.path}")
    missing = [known.name for known in KNOWN if known.name in segmenters and not find_model(known.name, folder).present]
    if missing:
        tell_result("\nTo get the defaults of the segmenters: seg2d3d models --download " + " ".join(missing))
    return 0
