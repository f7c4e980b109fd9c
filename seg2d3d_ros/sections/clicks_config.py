"""Parameters: objects that somebody asks for by clicks."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param


@dataclass(frozen=True)
class ClicksConfig:
    """Objects that somebody asks for by clicks (``prompt``, prompt_node)."""

    model: str = param(
        "",
        "the mask model that is asked in every view that sees the object, a SAM or SAM 2; a .pth file, a folder, or an id that "
        "`seg2d3d models` lists; empty = none, the map's own masks answer",
    )
    level: str = param(
        "fine",
        "which of the things that agree with all clicks and lie in each other: fine = the smallest, coarse = the largest, "
        "auto = the instance of the map, or a level of the tree: 0, 1, …",
    )
