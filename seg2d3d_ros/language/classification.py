"""Names for instances after the drive: each gets the label that its pictures are most like, if one is clearly ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.language.text_image_model import TextImageModel
from seg2d3d_ros.language.word_search import NEUTRAL
from seg2d3d_ros.mapstore.files.embeddings_file import Embeddings

INSTANCES_UNNAMED = Kind(
    "instances_unnamed",
    "instances that keep the name they had",
    cause="no label is ahead of the others, and of words that fit everything, by {margin}",
    remedy="labels that differ more, or that name what these are; words.margin lets closer ones count",
)


@dataclass(frozen=True)
class Naming:
    """What an instance is called.

    Attributes:
        id: of the instance.
        former: its class so far.
        label: the label that fits best.
        probability: of that label beside the others and ``NEUTRAL``, by the model's own scale.
        margin: by how much that is more than the next one.
        clear: whether the margin suffices; else the instance keeps ``former``.
    """

    id: int
    former: str
    label: str
    probability: float
    margin: float
    clear: bool

    @property
    def class_name(self) -> str:
        """What it is called from now on."""
        return self.label if self.clear else self.former

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        figures = {"probability": round(self.probability, 4), "margin": round(self.margin, 4)}
        return {"id": self.id, "class": self.class_name, "former": self.former, "label": self.label, **figures}


def name_instances(
    labels: Sequence[str],
    tracks: Mapping[str, Any],
    embeddings: Embeddings,
    model: TextImageModel,
    margin: float,
    findings: Findings,
) -> list[Naming]:
    """The best label of each instance that has an embedding, by id.

    Args:
        tracks: the content of tracks.json.
        embeddings: of its instances, by the same model.
        margin: 0 … 1, see ``WordsConfig``.
        findings: gets the instances that none is clearly best for.

    Raises:
        UsageError: as ``name_vectors``.
    """
    classes = {int(item["id"]): str(item["class"]) for item in tracks["instances"]}
    rows = [row for row, number in enumerate(embeddings.ids.tolist()) if number in classes]
    vectors = {int(embeddings.ids[row]): embeddings.vectors[row] for row in rows}
    return name_vectors(labels, vectors, model, margin, findings, formers=classes)


def name_vectors(
    labels: Sequence[str],
    vectors: Mapping[int, np.ndarray],
    model: TextImageModel,
    margin: float,
    findings: Findings,
    *,
    formers: Mapping[int, str] | None = None,
) -> list[Naming]:
    """The best label of each instance that has a vector (D,), in their order.

    Args:
        formers: what the instances are called so far; None = nothing.

    Raises:
        UsageError: no label, one that is given twice, or one that has no words or too many.
    """
    if not labels:
        raise UsageError("no labels: name what the instances may be, e.g. --label house --label shop")
    if len({label.casefold() for label in labels}) < len(labels):
        raise UsageError(f"the same label twice: {', '.join(labels)}")
    if not vectors:
        return []
    words = [*labels, *(word for word in NEUTRAL if word not in {label.casefold() for label in labels})]
    logits = model.scale * (np.array(list(vectors.values()), float) @ model.texts(words).astype(float).T)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    named = []
    for number, share in zip(vectors, shares, strict=True):
        best = int(share[: len(labels)].argmax())
        ahead = float(share[best] - np.delete(share, best).max())
        clear = ahead > 0 and ahead >= margin
        named.append(Naming(number, (formers or {}).get(number, ""), labels[best], float(share[best]), ahead, clear))
    if unclear := [item for item in named if not item.clear]:
        findings.add(INSTANCES_UNNAMED, *(str(item.id) for item in unclear), of=len(named), margin=f"{margin:g}")
    return named
