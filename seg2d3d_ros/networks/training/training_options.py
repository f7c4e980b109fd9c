"""How a network is trained: what every training has to know, whatever it learns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from seg2d3d_ros.errors import UsageError

PRECISIONS = ("auto", "full", "half")
RUN_ONLY = ("device", "precision", "save_seconds")
"""What may change between the parts of one training: where and how it runs, not what it computes."""


@dataclass(frozen=True)
class TrainingOptions:
    """Figures of one training.

    Attributes:
        steps: how many there are.
        learning_rate: the highest; it rises to it over ``warmup`` and falls to 0 as (1 - progress)^``power`` after it.
        weight_decay: AdamW's, for matrices; biases and scales of norms have none.
        power: of the fall.
        warmup: share of the steps.
        clip: largest norm of the gradient; a larger one is scaled down.
        seed: all that is random depends on it and on the step alone.
        save_seconds: between checkpoints; a kill costs at most so much work. 0 = after every step.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ….
        precision: ``half`` = mixed (bfloat16 where the GPU has it, float16 with scaled losses elsewhere; bfloat16 on a CPU);
            ``auto`` = ``half`` on CUDA, ``full`` elsewhere.
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    power: float = 0.9
    warmup: float = 0.05
    clip: float = 10.0
    seed: int = 0
    save_seconds: float = 60.0
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        positive = {"steps": self.steps, "learning_rate": self.learning_rate, "clip": self.clip}
        for name, value in positive.items():
            if not value > 0:
                raise UsageError(f"training: {name} is {value}; it must be more than 0")
        if not 0 <= self.warmup < 1 or self.weight_decay < 0 or self.save_seconds < 0 or self.seed < 0:
            raise UsageError("training: warmup lies in [0, 1), and weight_decay, save_seconds and seed are not negative")
        if self.precision not in PRECISIONS:
            raise UsageError(f"training: precision {self.precision!r}; write {', '.join(PRECISIONS)}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, 0-based."""
        rising = max(round(self.warmup * self.steps), 1)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return float(self.learning_rate * (1 - (step - rising) / max(self.steps - rising, 1)) ** self.power)

    def computed(self) -> dict[str, Any]:
        """What the resulting weights depend on."""
        return {name: value for name, value in asdict(self).items() if name not in RUN_ONLY}
