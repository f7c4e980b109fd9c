"""Steps of a training: reproducible, saved as they go, and gone on with after a kill as if nothing had been.

What is random in a step depends on the seed and the step's number alone: its random numbers are seeded anew at its begin. So
neither the number of draws before it nor a kill changes what it computes, and the weights after a kill and ``resume`` equal
those of an undisturbed training: bit for bit on a CPU, and up to the order in which a GPU adds numbers up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.networks.runtime import choose_device, out_of_memory
from seg2d3d_ros.networks.training.figures_log import FiguresLog
from seg2d3d_ros.networks.training.mixed_precision import Arithmetic
from seg2d3d_ros.networks.training.optimiser_state import optimiser_tensors, restore_optimiser
from seg2d3d_ros.networks.training.training_options import TrainingOptions
from seg2d3d_ros.networks.training.weights_folder import (
    CHECKPOINT,
    CONFIG,
    MODEL,
    describe,
    load_into,
    read_description,
    read_tensors,
    write_tensors,
)
from seg2d3d_ros.progress import Progress

NOTHING_TO_LEARN = Kind(
    "training_steps_empty",
    "training steps without anything to learn from",
    cause="the parts of the data that were drawn hold no label",
    remedy="look at the data card: leave out maps whose masks hold few points, or take larger tiles",
)

Loss = Callable[[Any, int, np.random.Generator], Mapping[str, Any]]
"""``loss(model, step, random)``: the terms of a step's loss by name, scalar tensors on the model's device, which are added up;
empty where there is nothing to learn from. All that is random comes from ``random`` or torch's own generators."""


@dataclass(frozen=True)
class Training:
    """What was made: the steps done in this call, and seconds they took."""

    steps: int
    seconds: float


def train(
    model: Any,
    loss: Loss,
    folder: Path,
    options: TrainingOptions,
    *,
    kind: str,
    version: int,
    config: Mapping[str, Any],
    resume: bool = False,
    stage: str = "training",
    progress: Progress | None = None,
    findings: Findings | None = None,
) -> Training:
    """Train ``model`` in place and leave its weights in ``folder``.

    Args:
        model: a module on the CPU, with the weights to begin with; it is moved to the device. Parameters that do not require
            a gradient stay as they are.
        folder: made where it is missing; gets config.json, checkpoint.safetensors, model.safetensors and figures.
        kind, version: what the model is and the version of its layout, for who loads it.
        config: all else that the weights depend on; JSON values. Loading must be able to build the model from it.
        resume: go on where the folder's checkpoint stands; without a checkpoint, begin.
        stage: the name that ``progress`` shows.

    Raises:
        UsageError: the folder holds a training and ``resume`` is False, or one with another configuration.
        DataError: the loss became NaN (the last checkpoint is kept), a damaged checkpoint, a full disk or memory.
    """
    import torch

    facts = json.loads(json.dumps({"kind": kind, "version": version, "config": dict(config), "training": options.computed()}))
    begin = _begin(folder, facts, resume=resume)
    device = choose_device(options.device)
    model.to(device)
    optimiser = torch.optim.AdamW(_groups(model, options.weight_decay), lr=options.learning_rate)
    arithmetic = Arithmetic(device, options.precision)
    step = 0
    if begin is not None:
        state, noted = begin
        load_into(model, _part(state, "model."), folder / CHECKPOINT)
        restore_optimiser(optimiser, _part(state, "optimiser."), folder / CHECKPOINT)
        arithmetic.restore(noted.get("scaler", {}))
        step = int(noted["step"])
    else:
        describe(folder, kind, version, config, {**options.computed(), "device": device, "precision": arithmetic.name})

    figures = FiguresLog(folder, step)

    def save() -> None:
        figures.flush()  # before the step that it belongs to is done for good
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"optimiser.{name}": tensor for name, tensor in optimiser_tensors(optimiser).items()}
        write_tensors(folder / CHECKPOINT, tensors, {**facts, "step": step, "scaler": arithmetic.state()})

    first, started = step, time.monotonic()
    saved = started
    empty = 0
    try:
        model.train()
        while step < options.steps:
            terms = _step(model, loss, optimiser, arithmetic, options, step, folder)
            empty += not terms
            figures.add(step, terms)
            step += 1
            if progress is not None:
                progress(stage, step, options.steps)
            if time.monotonic() - saved >= options.save_seconds and step < options.steps:
                save()
                saved = time.monotonic()
        if step > first or begin is None:
            save()
    finally:
        figures.close()
    if findings is not None:
        findings.add(NOTHING_TO_LEARN, count=empty, of=step - first)
    model.eval()
    write_tensors(folder / MODEL, model.state_dict(), facts)
    return Training(step - first, time.monotonic() - started)


def _begin(folder: Path, facts: Mapping[str, Any], *, resume: bool) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The checkpoint to go on from, None to begin."""
    there = (folder / CHECKPOINT).is_file() or (folder / MODEL).is_file()
    if not resume:
        if there:
            raise UsageError(f"{folder}: holds a training already; go on with --resume, or choose another folder")
        return None
    if (folder / CONFIG).is_file():
        read_description(folder, facts["kind"], facts["version"])
    if not there:
        return None
    state, noted = read_tensors(folder / CHECKPOINT)
    if changed := _changes({**noted.get("config", {}), **noted.get("training", {})}, {**facts["config"], **facts["training"]}):
        raise UsageError(
            f"{folder}: its training has another configuration ({changed}); give the same options and data, or another --out"
        )
    if not isinstance(noted.get("step"), int):
        raise DataError(f"{folder / CHECKPOINT}: does not say its step; remove the folder and train anew")
    return state, noted


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return ", ".join(f"{name} {str(before.get(name))[:40]} → {str(now.get(name))[:40]}" for name in names[:3])


def _step(
    model: Any,
    loss: Loss,
    optimiser: Any,
    arithmetic: Arithmetic,
    options: TrainingOptions,
    step: int,
    folder: Path,
) -> dict[str, float]:
    """One step: the figures of it, empty where there was nothing to learn from."""
    import torch

    sequence = np.random.SeedSequence([options.seed, step])
    torch.manual_seed(int(sequence.generate_state(1)[0]))  # also CUDA's
    rate = options.rate(step)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    try:
        with arithmetic.context():
            terms = loss(model, step, np.random.default_rng(sequence))
        if not terms:
            return {}
        values = {name: float(term.detach()) for name, term in terms.items()}
        total = torch.stack([term.float() for term in terms.values()]).sum()
        if not bool(torch.isfinite(total)):
            raise _no_number(folder, step, "loss", values)
        norm = arithmetic.descend(total, optimiser, model, options.clip)
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise DataError(
            f"the memory of {arithmetic.device} does not suffice for step {step}; take smaller parts of the data or a smaller "
            f"network, and go on with --resume where they allow it ({folder} keeps the last checkpoint)"
        ) from error
    if norm is None:
        raise _no_number(folder, step, "gradient", values)
    return {**values, "loss": sum(values.values()), "gradient": norm, "rate": rate}


def _no_number(folder: Path, step: int, what: str, terms: Mapping[str, float]) -> DataError:
    kept = "no checkpoint was made before"
    if (folder / CHECKPOINT).is_file():
        kept = f"{folder / CHECKPOINT} keeps step {read_tensors(folder / CHECKPOINT)[1].get('step')}, the last good one"
    shown = ", ".join(f"{name} {value:.3g}" for name, value in terms.items())
    return DataError(
        f"the {what} of step {step} is no number ({shown}); {kept}. Go on with --resume --precision full, or train anew "
        "with a lower --learning-rate; values in the data that are far too large do this, too"
    )


def _groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learnt:
        raise UsageError("the model has no weights that could be learnt")
    matrices = [parameter for parameter in learnt if parameter.ndim > 1]
    others = [parameter for parameter in learnt if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _part(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def steps_done(folder: Path) -> int:
    """How many steps the checkpoint in ``folder`` has behind it; 0 where there is none.

    Raises:
        DataError: a damaged checkpoint.
    """
    if not (folder / CHECKPOINT).is_file():
        return 0
    return int(read_tensors(folder / CHECKPOINT)[1].get("step", 0))
