"""Names for the instances of a cloud that a trained network labelled: by words, without any image."""

from __future__ import annotations

from collections.abc import Sequence

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.language.classification import Naming, name_vectors
from seg2d3d_ros.language.text_image_model import TextImageModel
from seg2d3d_ros.learning.cloud_segmentation import SegmentedCloud

WORDS_OF_ANOTHER_MODEL = Kind(
    "words_of_another_model",
    "instances named by another text-image model than the network learnt from",
    cause="it learnt vectors of {learnt}, and {model} reads the labels; names mean nothing unless both are the same weights",
    remedy="leave --words-model out, or take the model of the maps that the network learnt from",
)


def name_cloud(
    labels: Sequence[str], found: SegmentedCloud, learnt: str, model: TextImageModel, margin: float, findings: Findings
) -> list[Naming]:
    """The best label of each instance of a cloud.

    Args:
        learnt: name of the text-image model that the network learnt from.
        model: reads the labels.
        margin: see ``WordsConfig``.
        findings: gets instances that no label is clearly best for, and a model that is another one.

    Raises:
        UsageError: labels that make no sense, or a model whose vectors are of another size.
    """
    if found.text is None or len(found.text) == 0:
        return []
    if (size := model.texts(labels[:1]).shape[1]) != found.text.shape[1]:
        raise UsageError(
            f"{model.name}: its vectors have {size} values, the network learnt {found.text.shape[1]} of {learnt}; "
            "take the text-image model of the maps that it learnt from"
        )
    if model.name != learnt:
        findings.add(WORDS_OF_ANOTHER_MODEL, count=len(found.text), of=len(found.text), learnt=learnt, model=model.name)
    return name_vectors(labels, dict(enumerate(found.text, 1)), model, margin, findings)
