"""Drives: their names, what belongs to which, and that each is read once."""

import shutil
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from seg2d3d_ros.city.city_folder import INDEX, CityFolder
from seg2d3d_ros.city.cutting.block_cut import CutLimits
from seg2d3d_ros.city.cutting.keyframe_places import PLACED_BETWEEN
from seg2d3d_ros.city.drives.drive_reading import CITY_MASKS_UNUSED
from seg2d3d_ros.city.drives.drive_source import drive_sources
from seg2d3d_ros.city.drives.stored_drive import DriveMasks
from seg2d3d_ros.city.planning import CITY_DRIVES_UNREAD, plan_city, told_before
from seg2d3d_ros.cli.making.city import summary
from seg2d3d_ros.config import Config, make_config
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings


def quiet(*_: object) -> None:
    """Progress that nobody sees."""


def write_photos(folder: Path, count: int = 4, start: float = 0.0, without: tuple[int, ...] = ()) -> Path:
    """A drive of noise, with masks and positions 5 m apart."""
    for name in ("images", "segments"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(count)
    rows = ["image,latitude,longitude,altitude"]
    for k in range(count):
        cv2.imwrite(str(folder / f"images/{k:02d}.png"), rng.integers(0, 255, (48, 64, 3), np.uint8))
        labels = np.zeros((48, 64), np.uint16)
        labels[10:30, 10:40] = 7
        cv2.imwrite(str(folder / f"segments/{k:02d}.png"), labels)
        if k not in without:
            rows.append(f"{k:02d}.png,48.1,{11.5 + (start + 5.0 * k) / 74500:.9f},500")
    (folder / "gps.csv").write_text("\n".join(rows) + "\n")
    return folder


def planned(root: Path, folders: list[Path], findings: Findings | None = None, limits: CutLimits | None = None, **values):
    sources = drive_sources(
        [f / "images" for f in folders], [f / "segments" for f in folders], [str(f / "gps.csv") for f in folders]
    )
    config = make_config({key.replace("__", "."): value for key, value in values.items()}, Config())
    city = CityFolder(root)
    return plan_city(
        city,
        sources,
        config,
        limits or CutLimits(30, 12.0, 2),
        threads=1,
        findings=Findings() if findings is None else findings,
        progress=quiet,
    )


def test_drives_are_called_after_their_folders_in_any_order(tmp_path):
    paths = [tmp_path / "a/day1/images", tmp_path / "b/day1/images", tmp_path / "night.mcap"]
    for path in paths[:2]:
        path.mkdir(parents=True)
    paths[2].touch()
    names = [source.name for source in drive_sources(paths)]
    assert names == ["a_day1", "b_day1", "night"]
    assert [source.name for source in drive_sources(paths[::-1])] == names


def test_options_go_with_all_drives_or_with_each(tmp_path):
    paths = [tmp_path / name for name in ("b", "a")]
    for path in paths:
        path.mkdir()
    found = drive_sources(paths, [Path("mb"), Path("ma")], ["none"])
    assert [(source.name, source.segments, source.gps) for source in found] == [
        ("a", Path("ma"), "none"),
        ("b", Path("mb"), "none"),
    ]
    with pytest.raises(UsageError, match="3 times for 2 drives"):
        drive_sources(paths, [Path("x")] * 3)
    with pytest.raises(UsageError, match="given twice"):
        drive_sources([paths[0], paths[0]])
    with pytest.raises(UsageError, match="no such folder"):
        drive_sources([tmp_path / "nowhere"])


def test_a_drive_is_read_once_and_again_when_it_changes(tmp_path):
    drive = write_photos(tmp_path / "day")
    first = planned(tmp_path / "city", [drive])
    table = tmp_path / "city/drives/day/keyframes.json"
    before = table.stat().st_mtime_ns
    assert planned(tmp_path / "city", [drive]).jobs == first.jobs
    assert table.stat().st_mtime_ns == before
    cv2.imwrite(str(drive / "segments/01.png"), np.full((48, 64), 3, np.uint16))
    again = planned(tmp_path / "city", [drive])
    assert table.stat().st_mtime_ns != before
    assert again.jobs[0].fingerprint != first.jobs[0].fingerprint
    changed = {name for name in again.keyframes if again.keyframes[name].digest != first.keyframes[name].digest}
    assert changed == {"day_01"}


def test_masks_and_images_are_found_under_their_names_in_the_city(tmp_path):
    drive = write_photos(tmp_path / "day")
    plan = planned(tmp_path / "city", [drive])
    city = CityFolder(tmp_path / "city")
    keyframe = plan.keyframes["day_02"].keyframe(city)
    assert keyframe.encoded == (drive / "images/02.png").read_bytes()
    assert (keyframe.file_name, keyframe.camera_name) == ("day/02.png", "day_camera")
    segments = DriveMasks({"day_02": city.drive("day")}, ("building",)).segment(keyframe)
    assert segments.ids.tolist() == [7]
    assert (segments.labels == 7).sum() == 600


def test_two_drives_of_one_place_share_blocks(tmp_path):
    drives = [write_photos(tmp_path / name, 6) for name in ("one", "two")]
    plan = planned(tmp_path / "city", drives)
    assert len(plan.jobs) == 1
    assert len(plan.jobs[0].keyframes) == 12


def test_what_has_no_position_is_cut_between_its_neighbours_and_told(tmp_path):
    findings = Findings()
    plan = planned(tmp_path / "city", [write_photos(tmp_path / "day", 6, without=(2, 3))], findings)
    assert [(f.kind, f.count) for f in findings.list() if f.kind == PLACED_BETWEEN] == [(PLACED_BETWEEN, 2)]
    east = [plan.places[f"day_{k:02d}"][0] for k in range(6)]
    assert np.allclose(np.diff(east), 5.0, atol=0.05)


def test_a_drive_that_cannot_be_read_costs_itself_alone(tmp_path):
    drives = [write_photos(tmp_path / "good"), write_photos(tmp_path / "bad")]
    for image in (drives[1] / "images").iterdir():
        image.write_bytes(b"no image")
    findings = Findings()
    plan = planned(tmp_path / "city", drives, findings)
    assert set(plan.drives) == {"good"}
    assert CITY_DRIVES_UNREAD in [finding.kind for finding in findings.list()]


def test_masks_of_the_wrong_size_are_left_out_and_told(tmp_path):
    drive = write_photos(tmp_path / "day")
    cv2.imwrite(str(drive / "segments/00.png"), np.full((9, 64), 1, np.uint16))
    findings = Findings()
    plan = planned(tmp_path / "city", [drive], findings)
    assert len(plan.keyframes) == 4
    assert [finding.count for finding in findings.list() if finding.kind == CITY_MASKS_UNUSED] == [1]


def test_what_several_drives_lack_is_counted_out_of_what_all_of_them_have(tmp_path):
    drives = [write_photos(tmp_path / name) for name in ("monday", "tuesday")]
    for drive in drives:
        shutil.copy(drive / "segments/00.png", drive / "segments/no_photo.png")
    findings = Findings()
    plan = planned(tmp_path / "city", drives, findings)
    (found,) = [finding for finding in findings.list() if finding.kind.code == "masks_unused"]
    assert (found.count, found.of) == (2, 10)
    index = {"counts": defaultdict(int), "findings": told_before(plan), "findings_of_blocks": []}
    assert summary(index).count("1 of 5") == 2
    assert "note: tuesday: " in summary(index)


def test_no_object_at_all_is_said_before_any_block_is_made(tmp_path):
    drive = write_photos(tmp_path / "day")
    for path in (drive / "segments").iterdir():
        cv2.imwrite(str(path), np.zeros((48, 64), np.uint16))
    with pytest.raises(DataError, match="no object in the masks of 4 images"):
        planned(tmp_path / "city", [drive])


def test_a_stray_position_goes_where_the_drive_is(tmp_path):
    drive = write_photos(tmp_path / "day", 12)
    table = drive / "gps.csv"
    rows = table.read_text().splitlines()
    rows[6] = "05.png,48.2,11.5,500"  # eleven kilometres away
    table.write_text("\n".join(rows) + "\n")
    plan = planned(tmp_path / "city", [drive], limits=CutLimits(30, 12.0, 3))
    assert len(plan.jobs) == 1
    assert len(plan.jobs[0].keyframes) == 12


def test_images_that_go_after_the_plan_are_named(tmp_path):
    drive = write_photos(tmp_path / "day")
    plan = planned(tmp_path / "city", [drive])
    shutil.rmtree(drive / "images")
    with pytest.raises(DataError, match=r"02\.png: cannot be read"):
        plan.keyframes["day_02"].keyframe(CityFolder(tmp_path / "city"))


@pytest.mark.parametrize("name", ["../../x", "", "..", "a/b"])
def test_an_index_that_leads_elsewhere_is_refused(tmp_path, name):
    block = {"name": name, "number": 1, "state": "made"}
    write_json(tmp_path / INDEX, {"format": 1, "state": "whole", "creator": "x", "blocks": [block]})
    with pytest.raises(DataError, match="would lie elsewhere"):
        CityFolder(tmp_path).find_block("1")
    write_json(tmp_path / INDEX, {"format": 1, "state": "whole", "creator": "x", "blocks": [{**block, "name": "block_01"}]})
    assert CityFolder(tmp_path).find_block("1").name == "block_01"
