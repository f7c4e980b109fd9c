"""Streets of houses that words describe (colour × material × kind), maps of them, and a small text-image model trained on them.

The façades have the simulator's textures. Everything comes from seeds: those of training and of the maps differ.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import cv2
import helpers_checkpoints
import numpy as np

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.language.instance_crops import cut_out
from seg2d3d_ros.language.text_image_model import TEMPLATES
from seg2d3d_ros.language.word_search import NEUTRAL
from seg2d3d_ros.mapstore.directory.marker import WHOLE, mark
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.simulation.scene.textures import bricks, plaster
from seg2d3d_ros.types import Keyframe

COLORS = {"red": (168, 62, 50), "yellow": (205, 175, 80), "blue": (72, 104, 165), "green": (84, 128, 82)}
MATERIALS = ("brick", "plaster")
KINDS = ("house", "tower", "shop")
NAMES = [" ".join(words) for words in itertools.product(COLORS, MATERIALS, KINDS)]
SIDE = 48
"""Pixels that the model sees."""
GREY = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
DATUM = {"latitude": 55.7, "longitude": 13.2, "altitude": 40.0}


def front(rng: np.random.Generator, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A front (H, W, 3) uint8, and which pixels are its own, (H, W) bool."""
    color, material, kind = name.split()
    width, height = {"house": (72, 84), "tower": (34, 112), "shop": (100, 52)}[kind]
    width, height = (int(side * rng.uniform(0.9, 1.1)) for side in (width, height))
    tone = np.clip(np.array(COLORS[color]) * rng.uniform(0.85, 1.15) + rng.normal(0, 6, 3), 5, 250)
    wall = (bricks if material == "brick" else plaster)(rng, height, width, tuple(tone), 60.0)
    if material == "brick":  # joints that are seen at this size
        step = max(6, height // 9)
        wall[::step] = wall[1::step] = 205.0
    own = np.ones((height, width), bool)
    if kind == "house":
        eaves = int(0.36 * height)
        gable = np.abs(np.arange(width) - width / 2)[None] < np.arange(eaves)[:, None] / eaves * width / 2
        own[:eaves] = gable
        wall[:eaves][gable] = (92, 58, 46)
    elif kind == "tower":
        for x in range(0, width, max(2, width // 3)):
            own[:8, x : x + width // 6] = False
    else:
        cv2.rectangle(wall, (5, int(0.4 * height)), (width - 6, height - 4), (30, 36, 44), -1)
        cv2.rectangle(wall, (0, int(0.18 * height)), (width - 1, int(0.32 * height)), (240, 238, 230), -1)
    for y in range(int(0.42 * height), height - 14, 22) if kind != "shop" else ():
        for x in range(6, width - 12, 18):
            cv2.rectangle(wall, (x, y), (x + 9, y + 13), (40, 46, 56), -1)
    return np.clip(wall, 0, 255).astype(np.uint8), own


def scene(rng: np.random.Generator, names: dict[int, str], zoom: float = 1.0, blur: float = 0.0):
    """A row of fronts, by instance id, before sky and pavement: the picture (H, W, 3) uint8 and its labels (H, W) uint16."""
    image = np.empty((170, 40 + 130 * len(names), 3), np.float32)
    image[:] = np.linspace([150, 180, 215], [205, 214, 222], len(image))[:, None]
    image[140:] = 112 + rng.normal(0, 8, (30, image.shape[1], 1))
    labels = np.zeros(image.shape[:2], np.uint16)
    for place, (number, name) in enumerate(names.items()):
        picture, own = front(rng, name)
        x, y = 25 + 130 * place + int(rng.integers(0, 12)), 146 - len(picture)
        window = slice(y, y + len(picture)), slice(x, x + picture.shape[1])
        image[window][own] = picture[own]
        labels[window][own] = number
    size = round(zoom * image.shape[1]), round(zoom * image.shape[0])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    image = cv2.GaussianBlur(image, (0, 0), blur) if blur else image
    return np.clip(image, 0, 255).astype(np.uint8), labels


def boxes_of(labels: np.ndarray) -> dict[int, list[int]]:
    """``x0 y0 x1 y1`` of each id."""
    found = {}
    for number in np.unique(labels[labels > 0]).tolist():
        rows, columns = np.nonzero(labels == number)
        found[number] = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
    return found


def write_words_map(root: Path, seed: int = 5, names: list[str] = NAMES) -> dict[int, str]:
    """A map of these instances, four to a place, each place seen in three images; returns their names by id.

    In the map they are all of class ``object``; instance k stands at (10 k, 0, 3) metres east, north, up.
    """
    rng, store = np.random.default_rng(seed), MapStore(root)
    truth = {10 + k: name for k, name in enumerate(names)}
    observations: dict[int, list] = {number: [] for number in truth}
    records = []
    for place in range(0, len(truth), 4):
        shown = dict(list(truth.items())[place : place + 4])
        for view, (zoom, blur) in enumerate(((1.0, 0.0), (1.4, 0.0), (1.5, 3.0))):
            image, labels = scene(rng, shown, zoom, blur)
            name = f"front_{place:03d}{view}"
            camera = Camera("PINHOLE", image.shape[1], image.shape[0], (300.0, 300.0, image.shape[1] / 2, image.shape[0] / 2))
            keyframe = Keyframe(name, "front", len(records), encode_png(image), camera, None, f"{name}.png")
            records.append(KeyframeRecord.of(keyframe, store.write_image(keyframe).relative_to(root)))
            cv2.imwrite(str(_made(root / "labels") / f"{name}.png"), labels)
            for number, box in boxes_of(labels).items():
                observations[number].append({"image": name, "segment": number, "box": box, "score": 0.9})
    instances = [
        {
            "id": number, "class": "object", "score": 0.9, "points": 100, "component": 0,
            "box3d": {"center": [10.0 * number, 0.0, 3.0], "size": [8.0, 4.0, 6.0], "quaternion_xyzw": [0.0, 0.0, 0.0, 1.0]},
            "observations": seen,
        }
        for number, seen in observations.items()
    ]  # fmt: skip
    store.write_keyframes(records)
    write_json(root / "tracks.json", {"instances": instances, "frame": {"kind": "enu", "datum": DATUM}})
    mark(root, WHOLE)
    return truth


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_model(folder: Path, kind: str) -> Path:
    """A CLIP or SigLIP of 100,000 weights as files on disk, with random weights."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    spoken = {word for text in (*NAMES, *NEUTRAL, *(template.format("") for template in TEMPLATES)) for word in text.split()}
    words = [*special, *sorted(spoken)]
    size = helpers_checkpoints.write_tokenizer(folder, words)
    body = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**body, "vocab_size": size, "max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    picture = {**body, "image_size": SIDE, "patch_size": 12}
    if kind == "clip":
        config = t.CLIPConfig(
            text_config={**text, "projection_dim": 32}, vision_config={**picture, "projection_dim": 32}, projection_dim=32
        )
        t.CLIPModel(config).save_pretrained(folder)
        t.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, **GREY).save_pretrained(
            folder
        )
    else:
        model = t.SiglipModel(t.SiglipConfig(text_config={**text, "projection_size": 48}, vision_config=picture))
        model.logit_scale.data.fill_(np.log(10.0))  # as its paper begins; the class draws it at random
        model.save_pretrained(folder)
        t.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, **GREY).save_pretrained(folder)
    return folder


@cache
def training_crops(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, S, S, 3) uint8 with and without background, and the index of each one's name."""
    rng = np.random.default_rng(seed)
    pictures, names = [], []
    for _ in range(count):
        order = rng.permutation(len(NAMES))
        for start in range(0, len(NAMES), 4):
            shown = {int(k) + 1: NAMES[k] for k in order[start : start + 4]}
            image, labels = scene(rng, shown, rng.uniform(0.7, 1.5), rng.choice([0.0, 1.0]))
            for number, box in boxes_of(labels).items():
                crop = cut_out(image, labels, number, tuple(box), SIDE, np.full(3, 128, np.uint8))
                pictures += [crop.whole, crop.alone]
                names += [number - 1] * 2
    return np.array(pictures), np.array(names)


def train(folder: Path, kind: str, *, steps: int, crops: int = 12) -> None:
    """Train the model in ``folder`` on crops of its own streets: each picture beside all names and the neutral words."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    model = (t.CLIPModel if kind == "clip" else t.SiglipModel).from_pretrained(folder).train()
    tokenizer, processor = t.AutoTokenizer.from_pretrained(folder), t.AutoImageProcessor.from_pretrained(folder)
    pictures, names = training_crops(crops)
    pixels = processor(images=list(pictures), return_tensors="pt")["pixel_values"]
    rng, answers = np.random.default_rng(2), torch.from_numpy(names)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    options = {"padding": "max_length", "max_length": 16, "return_tensors": "pt"}
    texts = [tokenizer([template.format(name) for name in (*NAMES, *NEUTRAL)], **options) for template in TEMPLATES]

    def unit(answer):
        return torch.nn.functional.normalize(getattr(answer, "pooler_output", answer), dim=-1)

    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(0, len(pixels), 64))
        batch = pixels[rows] * rng.uniform(0.9, 1.1) + rng.uniform(-0.1, 0.1)
        batch = batch.flip(-1) if rng.random() < 0.5 else batch
        tokens = texts[int(rng.integers(len(texts)))]
        given = {name: tokens[name] for name in (("input_ids", "attention_mask") if kind == "clip" else ("input_ids",))}
        logits = unit(model.get_image_features(pixel_values=batch.float())) @ unit(model.get_text_features(**given)).T
        loss = torch.nn.functional.cross_entropy(logits * model.logit_scale.exp(), answers[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
