"""Where models come from and where they run, as the configuration says it, and getting them before anything else is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.networks.weights import Model, find_model, how_to_get, models_dir, require


@dataclass(frozen=True)
class NetworkSettings:
    """What every stage that runs models is told.

    Attributes:
        folder: of the models' weights; empty = the usual one (``models_dir``).
        allow_download: fetch what is missing.
        device, precision, batch: see ``Runtime``.
    """

    folder: str = ""
    allow_download: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch: int = 0

    def find(self, names: Sequence[str]) -> list[Model]:
        """Where these models are, or have to go. Raises ``UsageError`` for what is no model's name."""
        return [find_model(name, models_dir(self.folder)) for name in names]

    def obtain(self, names: Sequence[str], packages: Mapping[str, str]) -> list[Model]:
        """These models with their weights on this machine, fetched where that is allowed. Nothing here imports torch.

        Args:
            packages: modules that they need, and what these are called in pip.

        Raises:
            UsageError: packages or weights are missing; it says the way out.
            DataError: a download did not succeed.
        """
        models = self.find(names)
        if self.allow_download:
            from seg2d3d_ros.networks.download import download

            require([], packages)
            for place, model in enumerate(models):
                if not model.present:
                    try:
                        download(model)
                    except DataError as error:
                        others = [how_to_get(other) for other in models[place + 1 :] if not other.present]
                        raise DataError("\n".join([str(error), *others])) from error
            models = self.find(names)
        require(models, packages)
        return models

    def runtime(self, findings: Findings) -> Runtime:
        """Runs models as these settings say; ``findings`` gets what it had to give up."""
        return Runtime(self.device, self.precision, self.batch, findings)
