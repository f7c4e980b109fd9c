"""Three stages of training: single views with their fragments, labels that all views agree on, whole streets.

After the curriculum of granularity-consistent mask tracking (arXiv 2511.00785): each stage begins with the weights of the one
before. In stages 1 and 2 every view counts for itself (``network.instance_loss``), with its own masks in stage 1 and with the
objects of the association in stage 2; in stage 3 all points that any view sees are labelled together, and boxes are learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.learning.cloud_tiles import Tile, cut_tile, superpoint_labels
from seg2d3d_ros.learning.learning_scene import LearningScene, ViewLabels
from seg2d3d_ros.networks.training.training_options import TrainingOptions
from seg2d3d_ros.progress import Progress

STAGES = (1, 2, 3)
STAGE_NAMES = {1: "stage 1: single views", 2: "stage 2: consistent views", 3: "stage 3: whole streets"}


@dataclass(frozen=True)
class CurriculumOptions:
    """What is learnt from, beside the figures of the training.

    Attributes:
        radius: of a tile, metres.
        voxel: metres between the points that the network sees; the data set's, which superpoints are made of, are denser.
        views: that a step takes of a tile, at most.
        least: points that a view must see of an object in a tile for it to count.
        no_colour, no_image: shares of the steps without colours and without image features, so that clouds without them are
            labelled, too.
        partition: see ``instance_loss.view_loss``.
        width, heads, layers: of the decoder.
    """

    radius: float = 12.0
    voxel: float = 0.5
    views: int = 4
    least: int = 5
    no_colour: float = 0.2
    no_image: float = 0.3
    partition: bool = True
    width: int = 64
    heads: int = 4
    layers: int = 2


class CurriculumLoss:
    """The loss of a stage: ``networks.training.trainer.Loss``.

    Args:
        scenes: to draw tiles from; large streets are drawn more often.
    """

    def __init__(self, scenes: Sequence[LearningScene], stage: int, options: CurriculumOptions):
        self._scenes, self._stage, self._options = list(scenes), stage, options
        labelled = [np.flatnonzero(scene.instance > 0) for scene in scenes]
        if not any(len(points) for points in labelled):
            raise DataError("no street of the data set has a labelled point; make it from maps with masks")
        size = np.array([len(points) for points in labelled], float)
        self._labelled, self._share = labelled, size / size.sum()
        self._views = [list(self._labels_of(scene)) for scene in scenes]

    def _labels_of(self, scene: LearningScene) -> Sequence[ViewLabels]:
        return [scene.whole()] if self._stage == 3 else list(scene.by_view(own=self._stage == 1))

    def draw(self, random: np.random.Generator) -> tuple[int, Tile] | None:
        """A random tile around a labelled point, and the number of its street."""
        number = int(random.choice(len(self._scenes), p=self._share))
        scene = self._scenes[number]
        middle = scene.xyz[random.choice(self._labelled[number]), :2] + random.normal(0, 3.0, 2)
        rgb = None if random.random() < self._options.no_colour else scene.rgb
        image = None if not scene.image_model or random.random() < self._options.no_image else scene.image
        radius, voxel = self._options.radius, self._options.voxel
        tile = cut_tile(scene.xyz, rgb, scene.normal, scene.superpoint, middle, radius, voxel, random, image)
        return None if tile is None else (number, tile)

    def __call__(self, model: Any, step: int, random: np.random.Generator) -> Mapping[str, Any]:
        """Terms of one tile's loss, over some of its views and all layers of the decoder."""
        import torch

        from seg2d3d_ros.learning.network.instance_loss import view_loss

        drawn = self.draw(random)
        if drawn is None:
            return {}
        number, tile = drawn
        scene, views = self._scenes[number], self._views[number]
        chosen = []
        for k in random.permutation(len(views)):
            labels = superpoint_labels(tile, views[k], len(scene.xyz), self._options.least)
            if len(labels.label):
                chosen.append(labels)
            if len(chosen) == self._options.views:
                break
        if not chosen:
            return {}
        predictions = model(tile)
        device = predictions[0].mask.device
        center = torch.from_numpy(tile.center).to(device) if self._stage == 3 else None
        total: dict[str, Any] = {}
        for labels in chosen:
            text = torch.from_numpy(_text_of(scene, labels.label)).to(device) if len(scene.text) and self._stage > 1 else None
            for found in predictions:
                terms = view_loss(found, labels, random, partition=self._options.partition, center=center, text=text)
                for name, value in terms.items():
                    total[name] = total.get(name, 0.0) + value / (len(chosen) * len(predictions))
        return total


def _text_of(scene: LearningScene, label: np.ndarray) -> np.ndarray:
    """(M, D) the vectors of instances, NaN where there is none."""
    vectors = np.full((len(label), scene.text.shape[1]), np.nan, np.float32)
    for row, instance in enumerate(label.tolist()):
        if len(mine := np.flatnonzero(scene.text_instance == instance)):
            vectors[row] = scene.text[mine[0]]
    return vectors


def train_stages(
    scenes: Sequence[LearningScene],
    voxel: float,
    folder: Path,
    stages: Sequence[int],
    training: TrainingOptions,
    options: CurriculumOptions,
    *,
    text: int = 0,
    image: int = 0,
    resume: bool = False,
    progress: Progress | None = None,
    findings: Findings | None = None,
) -> Path:
    """Train the stages one after the other, each in a folder of its own below ``folder``, which gets the last one's weights.

    A stage that is not the first of all begins with the weights of the stage before it where these lie in ``folder``.

    Returns:
        ``folder``, where the last stage's weights are the model.

    Raises:
        UsageError: no such stage; otherwise as ``trainer.train``.
    """
    import torch

    from seg2d3d_ros.learning.network.instance_network import KIND, VERSION, build_network
    from seg2d3d_ros.networks.training.trainer import train
    from seg2d3d_ros.networks.training.weights_folder import MODEL, copy_weights, load_into, read_weights

    if not stages or set(stages) - set(STAGES):
        raise UsageError(f"stages {list(stages)}: choose 1, 2, 3 or all")
    sizes = {"width": options.width, "heads": options.heads, "layers": options.layers, "text": text, "image": image}
    for stage in stages:
        torch.manual_seed(training.seed)
        model = build_network(sizes)
        before = stage_folder(folder, stage - 1)
        begun_with = None
        if (before / MODEL).is_file():
            load_into(model, read_weights(before, KIND, VERSION)[0], before)
            begun_with = before.name
        config = {
            "network": sizes,
            "stage": stage,
            "begun_with": begun_with,
            "voxel": voxel,
            "streets": [scene.name for scene in scenes],
            "text_model": next((scene.text_model for scene in scenes if scene.text_model), "") if text else "",
            "image_model": next((scene.image_model for scene in scenes if scene.image_model), "") if image else "",
            "curriculum": asdict(options),
        }
        train(
            model,
            CurriculumLoss(scenes, stage, options),
            stage_folder(folder, stage),
            training if stage == 1 else replace(training, seed=training.seed + stage - 1),
            kind=KIND,
            version=VERSION,
            config=config,
            resume=resume,
            stage=STAGE_NAMES[stage],
            progress=progress,
            findings=findings,
        )
        copy_weights(stage_folder(folder, stage), folder)
    return folder


def stage_folder(folder: Path, stage: int) -> Path:
    """Where a stage's weights lie."""
    return folder / f"stage{stage}"
