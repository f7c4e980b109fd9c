"""The file of a LiDAR's cloud: thinned, and whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from seg2d3d_ros.lidar.labeller import one_per_voxel
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, PointWriter, read_points


def test_one_point_per_cube():
    xyz = np.array([[0, 0, 0], [0.04, 0, 0], [0.06, 0, 0], [0, 0.06, 0], [0, 0, 0.11]])
    assert one_per_voxel(xyz, 0.05).tolist() == [0, 2, 3, 4]
    assert one_per_voxel(xyz, 0.0).tolist() == [0, 1, 2, 3, 4]


def test_a_ply_written_piece_by_piece_is_read_back_whole_or_not_at_all(tmp_path):
    points = np.zeros(5, CLOUD_POINT)
    points["x"], points["instance"] = np.arange(5), 3
    path = tmp_path / "cloud.ply"
    with PointWriter(path) as writer:
        writer.write(points[:2])
        writer.write(points[2:])
    np.testing.assert_array_equal(read_points(path, CLOUD_POINT), points)
    writer = PointWriter(path)
    with pytest.raises(ValueError, match="could not"), writer:
        writer.write(np.array(["no point"]))
    assert len(read_points(path, CLOUD_POINT)) == 5, "the earlier file stays"
    assert list(tmp_path.iterdir()) == [path]
