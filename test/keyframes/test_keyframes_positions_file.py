"""Tables of positions."""

from __future__ import annotations

import pytest

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.keyframes.positions_file import read_gps_csv


def test_gps_table(tmp_path):
    path = tmp_path / "gps.csv"
    path.write_text("image,latitude,longitude,altitude,sigma\na.jpg,51.5,13.5,100,2\nb,51.6,13.6,,\nc.png,,,,\n")
    table = read_gps_csv(path)
    assert set(table) == {"a", "b"}
    assert table["a"].altitude == 100.0
    assert table["a"].sigma == pytest.approx(2.0)
    path.write_text("image,latitude\na,1\n")
    with pytest.raises(DataError, match="no column longitude"):
        read_gps_csv(path)
    path.write_text("image,latitude,longitude\na,1,2\nb,x,2\n")
    with pytest.raises(DataError, match="line 3"):
        read_gps_csv(path)
