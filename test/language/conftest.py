"""One small text-image model of each kind, trained once."""

from __future__ import annotations

import helpers_words
import pytest


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folders of a CLIP and a SigLIP that know the words of ``helpers_words``."""
    for name in ("torch", "torchvision", "transformers", "safetensors"):
        pytest.importorskip(name)
    root = tmp_path_factory.mktemp("text_image_models")
    for kind in ("clip", "siglip"):
        helpers_words.train(helpers_words.write_model(root / kind, kind), kind, steps=220, crops=10)
    return root


@pytest.fixture(scope="session")
def street(tmp_path_factory):
    """A map of 24 instances that the model has not seen, and their names by id; tests that change it copy it."""
    root = tmp_path_factory.mktemp("street") / "map"
    return root, helpers_words.write_words_map(root)
