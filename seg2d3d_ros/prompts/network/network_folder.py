"""The folder of a trained network: what it needs to be opened, and by which base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.networks.training.weights_folder import load_into, read_description, read_weights
from seg2d3d_ros.prompts.network.base_model import BaseSam, obtain_base
from seg2d3d_ros.prompts.network.place_network import PlaceNetwork

KIND, VERSION = "prompts", 1
"""Of ``config.json``; a change of the codes or of what the decoder's tokens mean is another version."""


def described(base: BaseSam) -> dict[str, Any]:
    """What ``config.json`` says of the base model."""
    return {"base": {"name": base.name, "sha256": base.digest}}


def open_network(folder: Path, settings: NetworkSettings, findings: Findings, base: str = "") -> tuple[PlaceNetwork, BaseSam]:
    """A trained network and its base model, which is fetched where the settings allow it.

    Args:
        folder: that ``seg2d3d train prompts`` wrote.
        base: where the base model lies; empty = by the name that it had.

    Raises:
        UsageError: no such folder, or packages or the base model's weights are missing.
        DataError: damaged, of another kind or version, or the base model is not the one that it was trained on.
    """
    facts = read_description(folder, KIND, VERSION).get("base")
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key), str) for key in ("name", "sha256")):
        raise DataError(f"{folder}/config.json: does not say which base model the network needs; it is damaged, train it anew")
    model = obtain_base(base or facts["name"], settings, findings)
    if model.digest != facts["sha256"]:
        raise DataError(
            f"{folder}: was trained on {facts['name']} with weights of sha256 {facts['sha256'][:12]}…; those of {model.name} "
            f"are {model.digest[:12]}…: take the same base model (--base), or train the network on this one"
        )
    state, _ = read_weights(folder, KIND, VERSION)
    network = PlaceNetwork(model.decoder(), model.width)
    load_into(network.weights, state, folder)
    model.runtime.place(network.weights.eval())
    return network, model
