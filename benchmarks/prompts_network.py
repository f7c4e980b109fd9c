"""Train the prompts' network on simulated streets with a small encoder, and draw what it is told and what it answers.

    python benchmarks/prompts_network.py WORK [--seeds 51 52 53] [--steps 4000] [--picture JPG --of 61]

For each seed WORK/<seed> is a street of ``seg2d3d simulate --levels`` and WORK/<seed>-map its map (made where they are
missing). WORK/base is a SAM of 180,000 weights that nobody trained: its encoder is random. WORK/network is what ``seg2d3d train
prompts`` makes of both, learning from the streets' truth. ``benchmarks/prompts.py WORK --network WORK/network`` measures it on
streets that it has not seen. On a GPU the same is done with SAM's own weights: name them by ``--base``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from prompts import prepare, trained

from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.prompts.network.pointmap import SceneScale
from seg2d3d_ros.prompts.session import PromptSession

SIDE, PATCH, WIDTH = 192, 8, 32
"""Pixels along the longer side of what the encoder sees, of a cell of its grid, and channels."""


def small_base(folder: Path) -> Path:
    """A SAM in transformers' format whose random encoder tells patches apart."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel

    torch.manual_seed(0)
    vision = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": SIDE, "patch_size": PATCH,
              "output_channels": WIDTH, "mlp_dim": 128, "window_size": 8, "global_attn_indexes": [1],
              "num_pos_feats": WIDTH // 2}  # fmt: skip
    prompt = {"hidden_size": WIDTH, "image_size": SIDE, "patch_size": PATCH, "mask_input_channels": 16,
              "image_embedding_size": SIDE // PATCH}  # fmt: skip
    decoder = {"hidden_size": WIDTH, "mlp_dim": 4 * WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
               "iou_head_hidden_dim": WIDTH, "iou_head_depth": 3}  # fmt: skip
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))
    for name, weights in model.named_parameters():  # as transformers initialises it, the encoder answers zeros
        if weights.ndim > 1 and "embed" not in name.rpartition(".")[2]:
            torch.nn.init.normal_(weights, std=weights[0].numel() ** -0.5)
    model.save_pretrained(folder)
    SamImageProcessor(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def picture(work: Path, seed: int, path: Path, images: int = 4) -> None:
    """One click, the places that the network is told of (a colour per axis), and its masks."""
    folder, out = prepare(work, seed)
    session = PromptSession(out)
    network = trained(session, work / "network", str(work / "base"))
    names = [sight.name for sight in session.sights if sight.name.startswith("left")]
    name = names[len(names) // 2]
    camera = session.sights[session._place[name]].view.camera
    click = Click(name, (camera.width * 0.5, camera.height * 0.5))
    answer = session.ask([click], "coarse", network=network)
    others = [n for n in sorted(answer.regions, key=lambda n: -answer.regions[n].area) if n != name]
    shown = [name, *others[:: max(1, len(others) // (images - 1))][: images - 1]]
    cells = [network.encoded.places(session._place[n]) for n in shown]
    scale = SceneScale.of(
        np.concatenate([item.xyz[item.known] for item in cells]),
        np.concatenate([item.confidence[item.known] for item in cells]),
    )
    told, masks = [], []
    for n, item in zip(shown, cells, strict=True):
        photo = decode_rgb((folder / "images" / f"{n}.jpg").read_bytes())
        places = scale.normalized(item.xyz)
        side = round(len(places) ** 0.5)
        colour = np.where(np.isfinite(places), 0.5 + 0.25 * places, 1.0).reshape(side, side, 3)
        rows = round(side * photo.shape[0] / photo.shape[1])
        colour = (255 * np.clip(colour, 0, 1)[:rows]).astype(np.uint8)
        told.append(cv2.resize(colour, (400, 267), interpolation=cv2.INTER_NEAREST))
        tint = photo // 2
        if n in answer.regions:
            region = answer.regions[n]
            tint[region.window][region.pixels] = photo[region.window][region.pixels] // 2 + np.array([120, 90, 0], np.uint8)
        if n == name:
            cv2.drawMarker(tint, tuple(map(int, click.xy)), (255, 40, 40), cv2.MARKER_CROSS, 40, 5)
        masks.append(cv2.resize(tint, (400, 267), interpolation=cv2.INTER_AREA))
    board = np.vstack([np.hstack(told), np.hstack(masks)])
    cv2.imwrite(str(path), board[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for streets, maps, base and network")
    parser.add_argument("--seeds", type=int, nargs="+", default=[51, 52, 53], metavar="N", help="streets to learn from")
    parser.add_argument("--steps", type=int, default=4000, metavar="N")
    parser.add_argument("--picture", type=Path, metavar="JPG", help="only draw what the trained network answers")
    parser.add_argument("--of", type=int, default=61, metavar="N", help="the street of the picture")
    args = parser.parse_args()
    if args.picture:
        picture(args.work, args.of, args.picture)
        return
    from seg2d3d_ros.cli.main import main as seg2d3d

    made = [prepare(args.work, seed) for seed in args.seeds]
    truths = [part for folder, _ in made for part in ("--truth", folder)]
    options = ["--base", small_base(args.work / "base"), "--out", args.work / "network", "--steps", args.steps]
    seg2d3d(["train", "prompts", *map(str, [*(out for _, out in made), *truths, *options, "--learning-rate", 2e-3])])


if __name__ == "__main__":
    main()
