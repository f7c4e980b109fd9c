"""AdamW's state as tensors by name: parameter number and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError


def optimiser_tensors(optimiser: Any) -> dict[str, Any]:
    """``<parameter number>.<name>`` → tensor."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, kept in state.items() for name, tensor in kept.items()}


def restore_optimiser(optimiser: Any, tensors: Mapping[str, Any], source: Path) -> None:
    """Give the optimiser its state again; groups and rates stay its own.

    Raises:
        DataError: the state of other parameters.
    """
    state: dict[int, dict[str, Any]] = {}
    try:
        for name, tensor in tensors.items():
            number, _, kept = name.partition(".")
            state.setdefault(int(number), {})[kept] = tensor
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        for place, kept_of in state.items():
            if any(tensor.ndim and tensor.shape != parameters[place].shape for tensor in kept_of.values()):
                raise ValueError("shapes")
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    except (ValueError, IndexError, KeyError) as error:
        raise DataError(f"{source}: its optimiser's state is not this model's; remove the folder and train anew") from error
