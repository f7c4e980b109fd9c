"""Parameters of superpoints: the small pieces of surface that a cloud is made of."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param


@dataclass(frozen=True)
class SuperpointConfig:
    """Superpoints of a cloud."""

    complete: bool = param(False, "cloud.ply, dense.ply: count the votes of the views over superpoints, not over single points")
    neighbours: int = param(8, "of each point, so many nearest ones may share its superpoint", low=1, high=64)
    scale: float = param(
        0.3,
        "the larger, the larger the superpoints: how much their surface may bend, and their colour change",
        low=0.0,
        high=1000.0,
    )
    least_points: int = param(
        20, "smaller superpoints become part of a neighbour, unless a border lies between", low=1, high=100000
    )
    by_color: float = param(
        0.5, "what the difference of black and white counts; surfaces at right angles count 1", low=0.0, high=100.0
    )
    by_gap: float = param(
        0.05, "what neighbours count for each time that they are farther apart than usual around them", low=0.0, high=100.0
    )
    by_border: float = param(
        1.0, "what neighbours count that all views put into different objects; where half do, they are cut", low=0.0, high=100.0
    )
