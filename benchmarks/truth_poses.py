"""The true poses of a simulated street's images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.geometry.pose import Pose


def read_truth_poses(street: Path) -> dict[str, Pose]:
    """``truth_poses.txt`` of a folder of ``seg2d3d simulate`` as {stem: world_from_camera}."""
    lines = [line.split() for line in (street / "truth_poses.txt").read_text().splitlines() if not line.startswith("#")]
    values = {Path(name).stem: np.array(rest, float) for name, *rest in lines}
    return {stem: Pose.from_quaternion(np.roll(v[:4], -1), v[4:]) for stem, v in values.items()}
