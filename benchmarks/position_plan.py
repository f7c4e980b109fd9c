"""Draw a map's images and their positions from above, for docs/vehicle.md and for your own eyes.

    python benchmarks/position_plan.py MAP OUT.png

Dots are positions as they were given, crosses are the images where the map has them; a line joins the two. In a right map the
lines are as short as the positions claim, and point in all directions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry import wgs84
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models


def draw(root: Path, out: Path) -> None:
    """Write the picture of one map."""
    from matplotlib.figure import Figure

    models = [model for model in read_models(root) if model.frame.kind == "enu" and model.frame.datum is not None]
    if not models:
        raise DataError(f"{root}: the map is not in the frame of its positions")
    geo = {record.name: record.geo for record in MapStore(root).read_keyframes() if record.geo is not None}
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for model in models:
        centers = dict(zip(model.names, Pose.from_matrix(model.camera_from_world).origin, strict=True))
        names = [name for name in model.names if name in geo]
        given = wgs84.to_enu([geo[name] for name in names], model.frame.datum)
        mapped = np.array([centers[name] for name in names])
        axes.plot(*np.stack([given[:, :2], mapped[:, :2]]).transpose(2, 0, 1), color="tab:red", linewidth=0.8)
        axes.plot(given[:, 0], given[:, 1], "o", color="tab:gray", markersize=3, label="position")
        axes.plot(mapped[:, 0], mapped[:, 1], "x", color="tab:blue", markersize=4, label="image in the map")
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel("east [m]")
    axes.set_ylabel("north [m]")
    axes.legend(*list(zip(*dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True)).items(), strict=True))[::-1])
    figure.savefig(out, dpi=110)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("map", type=Path, metavar="MAP")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    args = parser.parse_args()
    draw(args.map, args.out)


if __name__ == "__main__":
    main()
