"""Parameters of clouds: a LiDAR's, and dense depth."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param


@dataclass(frozen=True)
class CloudConfig:
    """Labels carried to a LiDAR's cloud, and dense depth."""

    interval: float = param(
        0.2, "scans closer in time to the last one are left out; 0 = all are used", unit="s", low=0.0, high=60.0
    )
    voxel: float = param(
        0.05,
        "of the points in a cube of this side one is kept, for each stretch of the drive; 0 = all",
        unit="m",
        low=0.0,
        high=10.0,
    )
    max_range: float = param(40.0, "between a camera and the points that it labels", unit="m", low=1.0, high=1000.0)
    max_gap: float = param(
        3.0, "a scan is placed between keyframes at most this far apart; others are left out", unit="s", low=0.01, high=3600.0
    )
    model: str = param(
        "", "folder of a trained model: cloud_node labels the LiDAR's points by it instead of the keyframes' masks"
    )
    densify: bool = param(False, "run, bag: also compute a denser labelled cloud from the images (dense.ply)")
    dense_width: int = param(480, "width of the images that the denser cloud is computed from", unit="px", low=64, high=8192)
