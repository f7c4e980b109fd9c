"""Gradients in full or in mixed precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class Arithmetic:
    """Full or mixed precision on one device, with scaled losses where float16 needs them.

    Attributes:
        device: a torch device's name.
        name: of the type that matrices are multiplied in.
    """

    def __init__(self, device: str, precision: str):
        import torch

        kind = device.partition(":")[0]
        half = precision == "half" or (precision == "auto" and kind == "cuda")
        brain = kind == "cpu" or (kind == "cuda" and torch.cuda.is_bf16_supported())
        self.device, self._kind = device, kind
        self._half = (torch.bfloat16 if brain else torch.float16) if half else None
        self.name = str(self._half).removeprefix("torch.") if half else "float32"
        self._scaler = torch.amp.GradScaler(kind) if half and not brain else None  # type: ignore[attr-defined, unused-ignore]

    def context(self) -> Any:
        """The context in which losses are computed."""
        import torch

        return torch.autocast(self._kind, self._half or torch.bfloat16, enabled=self._half is not None)

    def descend(self, total: Any, optimiser: Any, model: Any, clip: float) -> float | None:
        """Gradients and one step of the optimiser: the gradient's norm before it was clipped; None = no number."""
        import torch

        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if self._scaler is None:
            total.backward()
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, clip))
            if not math.isfinite(norm):
                return None
            optimiser.step()
            return norm
        # A gradient that is too large for float16 makes the scaler leave the step out and halve its factor, which is its work.
        self._scaler.scale(total).backward()
        self._scaler.unscale_(optimiser)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, clip))
        self._scaler.step(optimiser)
        self._scaler.update()
        lost = not math.isfinite(norm) and self._scaler.get_scale() < 1e-3
        return None if lost else norm if math.isfinite(norm) else 0.0

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep."""
        return {} if self._scaler is None else {name: float(value) for name, value in self._scaler.state_dict().items()}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from what ``state`` gave."""
        if self._scaler is not None and state:
            counts = ("growth_interval", "_growth_tracker")
            self._scaler.load_state_dict({name: int(v) if name in counts else v for name, v in state.items()})
