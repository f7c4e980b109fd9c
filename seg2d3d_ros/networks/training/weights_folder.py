"""The folder of a trained model: its weights, what made them, and where its training stands. Nothing in it is pickled.

``config.json`` says what the model is and how it is trained, ``model.safetensors`` holds the finished weights,
``checkpoint.safetensors`` model, optimiser and step of the last checkpoint: one file, so that a kill between two leaves no
halves that do not fit. States of random numbers are not needed: each step seeds its own (``trainer``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import seg2d3d_ros
from seg2d3d_ros.disk.atomic import replacing, write_bytes, write_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.networks.checkpoints import read_config, read_state

CONFIG, MODEL, CHECKPOINT = "config.json", "model.safetensors", "checkpoint.safetensors"
_FACTS = "seg2d3d"
"""The key under which a checkpoint's metadata holds its facts."""


def write_tensors(path: Path, tensors: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> None:
    """Write tensors by name, and JSON facts beside them, as one safetensors file: whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path, SafetensorError) as temporary:
        save_file(plain, temporary, metadata={_FACTS: json.dumps(facts or {})})


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors by name, on the CPU, and the facts beside them.

    Raises:
        DataError: no such file, a truncated one, or one that is no safetensors file (a pickle, say).
    """
    from safetensors import safe_open

    if not path.is_file():
        raise DataError(
            f"{path}: no such file; the training has not come to its first checkpoint, or the folder is another one"
        )
    state = read_state(path)
    with safe_open(path, "pt") as opened:
        noted = (opened.metadata() or {}).get(_FACTS, "{}")
    try:
        facts = json.loads(noted)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise DataError(f"{path}: its header is not one that this software writes; take another checkpoint")
    return state, facts


def describe(folder: Path, kind: str, version: int, config: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """Write ``config.json``: the effective configuration beside the weights."""
    made_by = f"seg2d3d_ros {seg2d3d_ros.__version__}"
    document = {"kind": kind, "version": version, "made_by": made_by, **config, "training": dict(training)}
    write_json(folder / CONFIG, document)


def read_description(folder: Path, kind: str, version: int) -> dict[str, Any]:
    """The content of ``config.json``.

    Args:
        folder: of a trained model.
        kind: what the model must be, a word that its training chose.
        version: of the layout of its weights.

    Raises:
        UsageError: no folder of a model.
        DataError: a model of another kind or version, or a damaged file.
    """
    path = folder / CONFIG
    if not path.is_file():
        beside = ", ".join(sorted(p.name for p in folder.iterdir())[:3]) if folder.is_dir() else ""
        held = f"it holds {beside}" if beside else "it is a file" if folder.is_file() else "it is empty or not there"
        raise UsageError(
            f"{folder}: no folder of a trained model ({held}); give the folder that --out of `seg2d3d train` named"
        )
    document = read_config(path)
    if document.get("kind") != kind:
        raise DataError(f"{folder}: a model of kind {str(document.get('kind'))[:40]!r}, needed is {kind!r}; take another model")
    if document.get("version") != version:
        raise DataError(
            f"{folder}: version {str(document.get('version'))[:20]} of its kind, this software reads version {version}; "
            "train it anew, or take the release that made it "
            f"({str(document.get('made_by', 'unknown'))[:60]})"
        )
    return document


def read_weights(folder: Path, kind: str, version: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights by name and ``config.json``'s content of a finished training; errors as for ``read_description``."""
    document = read_description(folder, kind, version)
    path = folder / MODEL
    if not path.is_file():
        others = sorted(p.name for suffix in ("*.pt", "*.pth", "*.bin", "*.pkl", "*.ckpt") for p in folder.glob(suffix))
        if others:
            raise DataError(f"{folder}: {others[0]} is no {MODEL}; pickled weights are not read, since they can hold a program")
        state = "its training has not ended: go on with --resume" if (folder / CHECKPOINT).is_file() else "train it first"
        raise DataError(f"{folder}: holds no {MODEL}; {state}")
    return read_tensors(path)[0], document


def copy_weights(source: Path, target: Path) -> None:
    """Put finished weights and their description into another folder, in place of those that it has."""
    for name in (MODEL, CONFIG):
        write_bytes(target / name, (source / name).read_bytes())


def load_into(model: Any, state: Mapping[str, Any], source: Path) -> None:
    """Give a module its weights.

    Raises:
        DataError: names or shapes that are not the module's, or weights that are no numbers.
    """
    import torch

    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = sorted(name for name in wanted.keys() | state.keys() if wanted.get(name) != _shape(state.get(name)))
    if wrong:
        raise DataError(f"{source}: {len(wrong)} weights do not fit the model, e.g. {wrong[0]}; it belongs to another model")
    if bad := [name for name, t in state.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]:
        raise DataError(f"{source}: {len(bad)} weights hold values that are no numbers, e.g. {bad[0]}; take another checkpoint")
    model.load_state_dict(dict(state))


def _shape(tensor: Any) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)
