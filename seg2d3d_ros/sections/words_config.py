"""Parameters: instances found and named by words."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param


@dataclass(frozen=True)
class WordsConfig:
    """Instances found and named by words (``find``, ``classify``, words_node)."""

    model: str = param(
        "google/siglip2-base-patch16-224",
        "the text-image model, a CLIP or SigLIP; a folder, or an id that `seg2d3d models` lists",
    )
    views: int = param(6, "pictures of an instance that its embedding is made of, the largest ones", low=1, high=100)
    margin: float = param(
        0.1,
        "classify: the best name must be ahead of the next one, and of words that fit everything, by so much",
        unit="probability",
        low=0.0,
        high=1.0,
    )
