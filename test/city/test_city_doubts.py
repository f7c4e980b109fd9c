"""What does not fit into a city is counted and told, each by its kind."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_city_blocks import fails_second, jobs_of, quiet
from test_city_drives import planned, write_photos

from seg2d3d_ros.city.blocks.block_run import run_blocks
from seg2d3d_ros.city.blocks.block_state import BlockState
from seg2d3d_ros.city.blocks.workers import Workers
from seg2d3d_ros.city.city_folder import CityFolder
from seg2d3d_ros.city.city_making import CITY_BLOCKS_FAILED, CITY_BLOCKS_STALE, tell_blocks
from seg2d3d_ros.city.cutting.block_cut import CutLimits
from seg2d3d_ros.city.cutting.pair_graph import CITY_UNREADABLE, pair_graph
from seg2d3d_ros.city.joining import joining_doubts as kinds
from seg2d3d_ros.city.joining.block_graph import PlacedBlock, Placement
from seg2d3d_ros.city.joining.city_joining import join_blocks
from seg2d3d_ros.city.joining.identity_groups import Identities
from seg2d3d_ros.city.joining.joined_city import JoinedCity, read_similarity, read_table, similarity_entry, write_table
from seg2d3d_ros.city.joining.overlap_fit import Overlap
from seg2d3d_ros.city.joining.shared_evidence import SameObject
from seg2d3d_ros.city.outputs.block_contents import CITY_BLOCKS_UNEXPORTED, city_contents, moved_poses
from seg2d3d_ros.city.planning import CITY_ALONE, CITY_MIXED, CITY_TRIMMED
from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity

STILL = Similarity(1.0, np.eye(3), np.zeros(3))


def counted(findings: Findings) -> dict:
    return {finding.kind: finding.count for finding in findings.list()}


def test_a_photograph_far_from_all_others_and_one_place_with_too_many(tmp_path):
    far = write_photos(tmp_path / "far", 1, start=5000.0)
    findings = Findings()
    plan = planned(tmp_path / "city", [write_photos(tmp_path / "day"), far], findings)
    assert counted(findings)[CITY_ALONE] == 1
    assert len(plan.jobs) == 1
    findings = Findings()
    planned(tmp_path / "other", [write_photos(tmp_path / "dense", 12)], findings, CutLimits(4, 40.0, 2))
    assert counted(findings)[CITY_TRIMMED] > 0


def test_drives_without_positions_beside_those_with(tmp_path):
    drives = [write_photos(tmp_path / "day"), write_photos(tmp_path / "night", without=(0, 1, 2, 3))]
    (drives[1] / "gps.csv").write_text("image,latitude,longitude,altitude\nelsewhere.png,1,1,1\n")
    findings = Findings()
    plan = planned(tmp_path / "city", drives, findings)
    assert counted(findings)[CITY_MIXED] == 1
    assert all(keyframe.drive == "day" for job in plan.jobs for keyframe in job.keyframes), "noise shows nothing twice"


def test_images_that_are_gone_take_no_part_in_the_pair_graph(tmp_path):
    plan = planned(tmp_path / "city", [write_photos(tmp_path / "day")])
    (tmp_path / "day/images/01.png").unlink()
    findings, config = Findings(), Config()
    keyframes = [plan.keyframes[name] for name in sorted(plan.keyframes)]
    city = CityFolder(tmp_path / "city")
    networks = config.segmentation.networks
    assert pair_graph(keyframes, city, config.reconstruction, networks, findings, quiet).shape == (0, 3)
    assert counted(findings) == {CITY_UNREADABLE: 1}


def test_blocks_that_failed_or_are_of_an_earlier_cut(tmp_path):
    jobs, findings = jobs_of(tmp_path), Findings()
    states = run_blocks(jobs, Workers(), quiet, fails_second)
    (tmp_path / "blocks/b0123456789").mkdir()
    tell_blocks(CityFolder(tmp_path), SimpleNamespace(jobs=jobs), states, findings)
    assert counted(findings) == {CITY_BLOCKS_FAILED: 1, CITY_BLOCKS_STALE: 1}
    bad = {job.name: BlockState(job.fingerprint, "failed", reason="no") for job in jobs}
    with pytest.raises(DataError, match="not one of 3 blocks"):
        tell_blocks(CityFolder(tmp_path), SimpleNamespace(jobs=jobs), bad, Findings())


def test_a_block_that_cannot_be_read_is_told(tmp_path):
    jobs, findings = jobs_of(tmp_path, 1), Findings()
    states = {job.name: BlockState(job.fingerprint, "made") for job in jobs}
    plan = SimpleNamespace(jobs=jobs, keyframes={}, cuts=[])
    with pytest.raises(DataError, match="no block can be read"):
        join_blocks(CityFolder(tmp_path), plan, states, findings, quiet)
    assert counted(findings) == {kinds.CITY_BLOCKS_DAMAGED: 1}


def test_what_joining_doubts_reaches_the_findings():
    names = ("a", "b", "c")
    nodes = [PlacedBlock(n, 5, np.zeros(3), np.zeros((2, 3)), np.full(2, 1.0), STILL, None) for n in names]
    placement = Placement(dict.fromkeys(names, STILL), {"a": 0, "b": 0, "c": 1}, set(names), {("a", "b"): 2.0}, {})
    refused = [SameObject(("a", 1), ("b", 2), 3.0, 1.0)]
    identities = Identities((), refused, refused)
    joined = JoinedCity(
        {"kind": "enu"},
        dict.fromkeys(names, STILL),
        placement.group,
        {},
        (),
        frozenset({"k1"}),
        shifts={"a": 0.5, "b": 7.0, "c": 0.0},
    )
    plan = SimpleNamespace(jobs=[SimpleNamespace(name=n) for n in names], keyframes={"k1": 1, "k2": 1})
    overlaps = [Overlap("a", "b", 4, 50), Overlap("b", "c", 1, 3, reason="only 3 points are in both")]
    findings = Findings()
    kinds.tell_joining(plan, nodes, overlaps, placement, identities, joined, findings)
    assert counted(findings) == {
        kinds.CITY_OVERLAPS_UNTIED: 2,
        kinds.CITY_OVERLAPS_CONTRADICT: 1,
        kinds.CITY_UNJOINED: 1,
        kinds.CITY_MOVED: 1,
        kinds.CITY_UNREGISTERED: 1,
        kinds.CITY_IDENTITIES_REFUSED: 1,
        kinds.CITY_PIECES: 1,
    }
    moved = next(finding for finding in findings.list() if finding.kind == kinds.CITY_MOVED)
    assert "block 2" in moved.text
    assert "7.0 m" in moved.text


def test_blocks_that_are_not_exported_are_told(tmp_path):
    index = {"blocks": [{"number": 1, "city_from_block": None}]}
    city = SimpleNamespace(index=index, frame={"kind": "arbitrary"}, numbers={}, placed=[], folder=CityFolder(tmp_path))
    findings = Findings()
    parts = city_contents(city, crs="local", cloud="points", ids=None, class_codes={}, findings=findings)
    with pytest.raises(DataError, match="no block has the cloud"):
        list(parts)
    assert counted(findings)[CITY_BLOCKS_UNEXPORTED] == 1


def test_the_table_of_instances_comes_back_and_damage_is_said(tmp_path):
    table = {("b1", 3): 1, ("b1", 4): 2, ("b2", 1): 1}
    write_table(tmp_path / "t.npz", table)
    assert read_table(tmp_path / "t.npz") == {"b1": {3: 1, 4: 2}, "b2": {1: 1}}
    (tmp_path / "t.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"t\.npz"):
        read_table(tmp_path / "t.npz")


def test_a_transform_comes_back_and_moves_cameras_as_it_moves_points():
    turn = Pose.from_quaternion(np.array([0.1, -0.2, 0.3, 0.9]), np.zeros(3)).rotation
    similarity = read_similarity(similarity_entry(Similarity(1.7, turn, np.array([3.0, -2.0, 5.0]))))
    rng = np.random.default_rng(0)
    pose = Pose.from_quaternion(rng.normal(size=(4, 4)), rng.normal(size=(4, 3)))
    moved = Pose.from_matrix(moved_poses(pose.matrix[:, :3], similarity))
    assert np.allclose(moved.origin, similarity.apply(pose.origin))
    xyz = rng.normal(size=(10, 3))
    assert np.allclose(moved.apply(similarity.apply(xyz)), 1.7 * pose.apply(xyz)), "the same picture, in the city's unit"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "state": "building", "blocks": []}', '{"format": 9}'])
def test_a_damaged_or_unfinished_index_is_one_line(tmp_path, text):
    (tmp_path / "city.json").write_text(text)
    with pytest.raises((DataError, UsageError), match=str(Path(tmp_path.name))):
        CityFolder(tmp_path).read_index()
