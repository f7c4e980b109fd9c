"""Pictures and texts -> vectors that point the same way where they say the same: CLIP (arXiv 2103.00020) and SigLIP
(arXiv 2303.15343, 2502.14786) through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.networks.checkpoints import load_pretrained, read_config
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.networks.runtime import LazyModel, Runtime
from seg2d3d_ros.networks.weights import Model

TEMPLATES = ("{}", "a photo of a {}", "a photo of a {} in a street")
"""What is asked is asked in all these ways, and the mean counts (section 3.1.4 of CLIP's paper)."""
KINDS = ("clip", "siglip")
"""Types of model, as ``config.json`` names them; SigLIP 2 of a fixed resolution is of the second."""
_BATCH = 32
"""Pictures at once; one is small beside those that the segmenters see."""


class TextImageModel(LazyModel):
    """A CLIP or SigLIP from a folder of transformers, with weights in safetensors.

    Args:
        model: found with ``find_model``.

    Attributes:
        name: what the user called it, with its revision.
        fingerprint: changes when the weights on disk change.

    Raises:
        DataError: a model of another kind, or with weights that are pickled.
    """

    def __init__(self, model: Model, runtime: Runtime):
        super().__init__(model.path, runtime)
        self.name = f"{model.name}@{model.revision}" if model.revision else model.name
        self.fingerprint = model.fingerprint
        self._kind = str(read_config(model.path / "config.json").get("model_type"))
        if self._kind not in KINDS:
            raise DataError(f"{model.path}: a model of type {self._kind!r}; words need one of {' or '.join(KINDS)}")
        if not any(model.path.glob("model*.safetensors")):
            raise DataError(
                f"{model.path}: refused: holds no model.safetensors, and other files of weights can hold programs; "
                "take a model that has it (`seg2d3d models`)"
            )

    def _read(self) -> Any:
        import transformers

        self._tokenizer = load_pretrained(transformers.AutoTokenizer, self._path)
        self._processor = load_pretrained(transformers.AutoImageProcessor, self._path)
        return load_pretrained(transformers.CLIPModel if self._kind == "clip" else transformers.SiglipModel, self._path)

    @property
    def side(self) -> int:
        """Width and height in pixels of what the model sees."""
        self.load()
        return int(self._model.config.vision_config.image_size)

    @property
    def neutral(self) -> np.ndarray:
        """(3,) uint8 RGB: the colour that the model sees as zero."""
        self.load()
        mean = getattr(self._processor, "image_mean", None) or (0.5, 0.5, 0.5)
        return np.rint(np.asarray(mean, float) * 255).astype(np.uint8)

    @property
    def scale(self) -> float:
        """By what similarities are multiplied before they are compared as logits; learned with the model."""
        self.load()
        return float(self._model.logit_scale.detach().exp())

    def images(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """(N, D) float32 unit vectors of N pictures (S, S, 3) uint8 RGB."""
        self.load()
        return np.array(self._runtime.map(self._images, pictures, batch=_BATCH), np.float32).reshape(len(pictures), -1)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D) float32 unit vectors of N texts, each the mean over ``TEMPLATES``.

        Raises:
            UsageError: a text without words, or longer than the model reads.
        """
        self.load()
        plain = [" ".join(text.lower().split()) for text in texts]
        if not all(any(c.isalnum() for c in text) for text in plain):
            raise UsageError(f"no words to look for in {', '.join(map(repr, texts))}")
        sentences = [template.format(text) for text in plain for template in TEMPLATES]
        limit = int(self._model.config.text_config.max_position_embeddings)
        for sentence in sentences:
            if (length := len(self._tokenizer(sentence)["input_ids"])) > limit:
                raise UsageError(f"{sentence!r} has {length} tokens, the model reads {limit}: say it in fewer words")
        found = np.array(self._runtime.map(self._texts, sentences, batch=_BATCH), np.float32)
        return normalized(found.reshape(len(texts), len(TEMPLATES), -1).mean(axis=1))

    def _images(self, pictures: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        inputs = self._processor(images=list(pictures), return_tensors="pt")
        return self._unit(self._model.get_image_features(pixel_values=inputs["pixel_values"].to(self._runtime.device)))

    def _texts(self, sentences: Sequence[str]) -> Sequence[np.ndarray]:
        limit = int(self._model.config.text_config.max_position_embeddings)
        # SigLIP was trained on texts that are filled up, and without a mask that says so.
        tokens = self._tokenizer(list(sentences), padding="max_length", max_length=limit, return_tensors="pt")
        names = ("input_ids", "attention_mask") if self._kind == "clip" else ("input_ids",)
        return self._unit(self._model.get_text_features(**{name: tokens[name].to(self._runtime.device) for name in names}))

    def _unit(self, answer: Any) -> Sequence[np.ndarray]:
        # transformers 4 answers with the vectors themselves.
        vectors = getattr(answer, "pooler_output", answer)
        self._runtime.check(vectors)
        return list(normalized(vectors.float().cpu().numpy()))


def normalized(vectors: np.ndarray) -> np.ndarray:
    """(N, D) vectors, each with length 1; zeros stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12), np.float32)


def obtain_model(name: str, settings: NetworkSettings, findings: Findings) -> TextImageModel:
    """The text-image model of that name, whose weights are fetched where the settings allow it. Nothing here imports torch.

    Raises:
        UsageError: packages or weights are missing; it says the way out.
        DataError: a download did not succeed, or the model is of another kind.
    """
    packages = {"torch": "torch", "torchvision": "torchvision", "transformers": "transformers", "safetensors": "safetensors"}
    (model,) = settings.obtain([name], packages)
    if model.path.is_file() or not Path(model.path).is_dir():
        raise UsageError(f"{model.path}: no folder with a model of transformers")
    return TextImageModel(model, settings.runtime(findings))
