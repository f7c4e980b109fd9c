"""Who makes the blocks of a city."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Workers:
    """Who makes the blocks.

    Attributes:
        count: processes of Ray on this machine; 0 = this process, one block after the other.
        address: of a Ray cluster, whose machines see the city's directory under the same path; empty = this machine.
        cpus: of a cluster, for each block.
    """

    count: int = 0
    address: str = ""
    cpus: int = 1

    @property
    def on_ray(self) -> bool:
        """Whether Ray is needed."""
        return bool(self.count or self.address)

    @property
    def threads(self) -> int:
        """Of each worker: the cores of this machine are shared among them."""
        return self.cpus if self.address else max(1, (os.cpu_count() or 1) // max(1, self.count))
