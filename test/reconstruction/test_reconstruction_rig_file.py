"""The file that says where cameras are on the vehicle, and rigs that no image uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_rigs import MOUNTS, SECOND, taken

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.rigs.rig_file import RIG_UNUSED, Mounting, read_rig_file
from seg2d3d_ros.reconstruction.rigs.rig_frames import make_rig
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig


class TestFile:
    def test_both_directions_and_both_orders(self, tmp_path):
        path = tmp_path / "rig.yaml"
        path.write_text(
            "cameras:\n"
            "  a: {rig_from_sensor: {translation: [1, 2, 3], quaternion_wxyz: [0.7071068, 0, 0, 0.7071068]}}\n"
            "  b: {sensor_from_rig: {translation: [1, 2, 3], quaternion_xyzw: [0, 0, 0.7071068, 0.7071068]}}\n"
        )
        mounting = read_rig_file(path)
        found = mounting.mounts
        assert mounting.pairing == "auto"
        np.testing.assert_allclose(found["a"].translation, [1, 2, 3])
        np.testing.assert_allclose(found["a"].rotation @ [1, 0, 0], [0, 1, 0], atol=1e-6)
        np.testing.assert_allclose(found["b"].inverse().matrix, found["a"].matrix, atol=1e-6)

    @pytest.mark.parametrize(
        "written",
        [
            "rig_from_antenna: [1, 2, 3]",
            "base_from_antenna: {translation: [1, 2, 3]}",
            "antenna_from_base: [-1, -2, -3]",
            "antenna_from_rig: {translation: [-2, 1, -3], quaternion_xyzw: [0, 0, -0.7071068, 0.7071068]}",
        ],
    )
    def test_the_antennas_place(self, tmp_path, written):
        path, camera = tmp_path / "rig.yaml", "{rig_from_sensor: {translation: [0, 0, 0], quaternion_wxyz: [1, 0, 0, 0]}}"
        path.write_text(f"cameras: {{a: {camera}}}\ngps:\n  {written}\n")
        np.testing.assert_allclose(read_rig_file(path).antenna, [1, 2, 3], atol=1e-6)
        path.write_text(f"cameras: {{a: {camera}}}\n")
        assert read_rig_file(path).antenna is None
        path.write_text(f"cameras: {{a: {camera}}}\ngps: [1, 2, 3]\n")
        with pytest.raises(DataError, match="rig_from_antenna"):
            read_rig_file(path)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("- a", "expected 'cameras"),
            ("{cameras: {a: {}}, frames: stems}", "frames is one of auto, time, stem, order, not 'stems'"),
            ("cameras: {a: {rig_from_sensor: {translation: [1, 2], quaternion_wxyz: [1, 0, 0, 0]}}}", "camera 'a'"),
            ("cameras: {a: {rig_from_sensor: {translation: [1, 2, 3], quaternion_wxyz: [1, 1, 0, 0]}}}", "length 1"),
            ("cameras: {a: {}}", "sensor_from_rig or rig_from_sensor"),
            ("a: [", "no usable YAML"),
            ("cameras: {a: {rig_from_sensor: {translation: [1900, 0, 0], quaternion_wxyz: [1, 0, 0, 0]}}}", "below 1000"),
            ("cameras: {a: {rig_from_sensor: {translation: [.inf, 0, 0], quaternion_wxyz: [1, 0, 0, 0]}}}", "camera 'a'"),
            ("cameras: {a: {rig_from_sensor: {translation: [0, 0, 0], quaternion_wxyz: [0, 0, 0, 0]}}}", "length 1"),
            ("cameras: {a: {rig_from_sensor: {translation: x, quaternion_wxyz: " + "[" * 50 + "]" * 50 + "}}}", "camera 'a'"),
            ("cameras: {a: {rig_from_sensor: [1, 2]}}", "camera 'a'"),
            ("cameras: {a: {1: 2}}", "sensor_from_rig or rig_from_sensor"),
            ("cameras: {a: {}, a: {}}", "'a' is given twice"),
            ("cameras: &a {b: *a}", "an alias for what it stands in"),
        ],
    )
    def test_bad_files(self, tmp_path, text, words):
        (tmp_path / "rig.yaml").write_text(text)
        with pytest.raises(DataError, match=words):
            read_rig_file(tmp_path / "rig.yaml")

    def test_no_file(self, tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_rig_file(tmp_path / "rig.yaml")


class TestUnused:
    MOUNTING = Mounting(MOUNTS, path="rig.yaml")

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([taken(1, "left", SECOND), taken(2, "right", 2 * SECOND)], "within 5 ms"),
            ([taken(1, "left", 0), taken(2, "left", 0, "b")], "cameras left, right, the images are of left"),
            ([replace(taken(k, c, 0), file_name=f"{c}/{k}.jpg") for k, c in ((1, "left"), (2, "right"))], "of one name"),
        ],
    )
    def test_why(self, rows, words):
        assert make_rig(MOUNTS, rows, 0.005, refine=False) is None
        assert words in self.MOUNTING.why_unused(rows, 0.005)

    def test_it_is_said(self, tmp_path, monkeypatch):
        """With the answer of every solution."""
        path = tmp_path / "rig.yaml"
        path.write_text("cameras: {a: {rig_from_sensor: {translation: [1, 2, 3], quaternion_wxyz: [1, 0, 0, 0]}}}")
        reconstructor = BatchReconstructor(tmp_path, ReconstructionConfig(rig=str(path)))
        found = reconstructor.solve().findings
        reconstructor.close()
        assert [finding.kind for finding in found] == [RIG_UNUSED]
        assert "it names the cameras a, the images are of none" in found[0].text
