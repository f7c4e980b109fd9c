"""That each reconstructor takes all of its steps, in order, and hands on what the one finds to the next."""

import numpy as np
import pycolmap
import pytest
from test_reconstruction_reconstructor import CONFIG, keyframe, views

from seg2d3d_ros.findings import Finding
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.reconstruction import reconstructor as reconstructor_module
from seg2d3d_ros.reconstruction.batch import batch_reconstructor
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.calibration.self_calibration import CALIBRATION_DOUBTED
from seg2d3d_ros.reconstruction.model_writer import recover_folder, swap_folder
from seg2d3d_ros.reconstruction.online import revisions
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.point_ids import BLOCK
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

METRE = 1 / 111320.0


def located(count=4):
    """Keyframes with GPS, 40 cm apart."""
    return [
        keyframe(f"{k}", image, geo=GeoPosition(0.0, METRE * 0.4 * k, 0.0, 0.01 * np.eye(3)))
        for k, image in enumerate(views(count=count)[0])
    ]


def spy(patch, target, name, steps, label, answer=lambda found: ()):
    """Note every call of a method and part of its arguments, and go on."""
    original = getattr(target, name)

    def noted(*args, **named):
        steps.append((label, *answer((args, named))))
        return original(*args, **named)

    patch.setattr(target, name, noted)


def test_a_batch_solve(tmp_path, monkeypatch):
    reconstructor, steps = BatchReconstructor(tmp_path, CONFIG), []
    for frame in located():
        reconstructor.add(frame)
    spy(monkeypatch, reconstructor.matcher, "match_all", steps, "pairs", lambda call: (call[1]["more"], len(call[0][1])))
    for module, name in (
        (batch_reconstructor, "solve_images"),
        (reconstructor_module, "make_rig"),
        (batch_reconstructor, "renumber"),
        (reconstructor_module, "unregistered_reasons"),
    ):
        spy(monkeypatch, module, name, steps, name)
    spy(monkeypatch, batch_reconstructor.Locator, "georeference", steps, "georeference")
    for name in ("doubt_calibrations", "tell_implausible", "tell_loose"):
        spy(monkeypatch, reconstructor_module, name, steps, name)
    spy(
        monkeypatch,
        reconstructor_module,
        "solved_covariance",
        steps,
        "solved_covariance",
        lambda call: (len(call[0][0].images) >= 3,),
    )
    result = reconstructor.solve()
    assert steps == [
        ("pairs", False, 4),
        ("pairs", True, 4),
        ("make_rig",),  # what is known of places goes into the solution
        ("solve_images",),
        ("doubt_calibrations",),
        ("make_rig",),
        ("georeference",),
        ("renumber",),
        ("solved_covariance", True),
        ("tell_implausible",),
        ("tell_loose",),
        ("unregistered_reasons",),
    ]
    stages = ["features", "pairs", "matching", "mapping", "calibration", "rig", "georeference", "writing", "covariance"]
    assert list(result.timings) == stages
    assert reconstructor.solve().timings.keys() == result.timings.keys() - {"features"}
    reconstructor.close()


def test_an_online_solve(tmp_path, monkeypatch):
    reconstructor, steps = OnlineReconstructor(tmp_path, CONFIG), []
    for frame in located():
        reconstructor.add(frame)
        reconstructor.grow()
    spy(monkeypatch, reconstructor.matcher, "match_all", steps, "pairs", lambda call: (call[1]["more"], len(call[0][1])))
    spy(monkeypatch, reconstructor.mapper, "grow", steps, "grow", lambda call: (call[1].get("patient", True),))
    spy(monkeypatch, reconstructor.mapper, "relax", steps, "relax")
    spy(monkeypatch, reconstructor.check, "update", steps, "check", lambda call: (call[1]["final"],))
    spy(monkeypatch, reconstructor.check, "consider", steps, "consider")
    spy(monkeypatch, reconstructor.mapper, "adjust", steps, "adjust")
    spy(monkeypatch, revisions, "name_new_points", steps, "ids")
    spy(monkeypatch, revisions, "renumber", steps, "all ids")
    spy(monkeypatch, reconstructor_module, "doubt_calibrations", steps, "calibrations")
    result = reconstructor.solve()
    assert steps == [
        ("pairs", False, 4),
        ("pairs", True, 4),
        ("grow", False),
        ("relax",),
        ("check", True),
        ("consider",),
        ("grow", True),
        ("relax",),
        ("adjust",),
        ("calibrations",),
        ("all ids",),  # of a global solution; those of a submap that goes on are kept
    ]
    steps.clear()
    doubt = Finding(CALIBRATION_DOUBTED, 1, 3, ("left",), {"change": "left: focal length +80 %"})
    reconstructor.check._solver.findings = [doubt]
    revision = reconstructor._revise(reconstructor.database.images(), Locator(reconstructor.database, [], CONFIG))
    assert steps == [("ids",)]
    assert doubt in revision.findings, "what a global solution doubts reaches whoever asks the map"
    assert {"pairs", "matching", "mapping", "global solution", "georeference", "writing"} <= result.timings.keys()
    reconstructor.close()


def test_a_keyframe_grows_the_map_with_its_place_its_doubts_and_the_check(tmp_path, monkeypatch):
    reconstructor, steps = OnlineReconstructor(tmp_path, CONFIG), []
    frames = located()
    for frame in frames[:3]:
        reconstructor.add(frame)
        reconstructor.grow()
    spy(monkeypatch, reconstructor.matcher, "match_image", steps, "match", lambda call: (len(call[0][1]), len(call[0][2])))
    spy(monkeypatch, reconstructor.mapper, "add_image", steps, "image", lambda call: (len(call[0][2]) > 0,))
    spy(monkeypatch, reconstructor.mapper, "grow", steps, "grow")
    spy(monkeypatch, reconstructor.check, "doubt", steps, "doubt", lambda call: call[0])
    spy(monkeypatch, reconstructor.check, "update", steps, "check", lambda call: (call[1].get("final", False),))
    reconstructor.add(frames[3])
    reconstructor.grow()
    assert steps == [("match", 3, 4), ("image", True), ("grow",), ("doubt", 4), ("check", False)]
    reconstructor.close()


def test_pairs_that_a_solve_adds_reach_the_mapper(tmp_path, monkeypatch):
    """What was not tried on arrival is matched at the solve and enters the graph."""
    config = ReconstructionConfig(mode="online", max_features=1500, threads=1, max_pairs=2)
    reconstructor = OnlineReconstructor(tmp_path, config)
    for frame in located(6):
        reconstructor.add(frame)
        reconstructor.grow()
    before = sum(len(reconstructor.mapper.graph.matches(i)) for i in range(1, 7))
    monkeypatch.setattr(reconstructor.matcher, "_config", ReconstructionConfig(max_pairs=20))
    reconstructor.solve()
    assert sum(len(reconstructor.mapper.graph.matches(i)) for i in range(1, 7)) > before
    reconstructor.close()


def test_after_a_restart_new_points_get_ids_of_a_block_that_nobody_used(tmp_path):
    """Else two models that go on from one revision could give one id to two points."""
    first = OnlineReconstructor(tmp_path, CONFIG)
    for frame in located():
        first.add(frame)
        first.grow()
    used = np.concatenate([model.point_ids for model in first.solve().models])
    first.close()
    second = OnlineReconstructor(tmp_path, CONFIG)
    (submap,) = second.mapper.submaps
    fresh = submap.reconstruction.add_point3D(np.zeros(3), pycolmap.Track(), np.zeros(3, np.uint8))
    assert fresh // BLOCK not in set(used // BLOCK)
    second.close()


@pytest.mark.parametrize(
    ("mode", "live", "kind"),
    [
        ("auto", True, OnlineReconstructor),
        ("auto", False, BatchReconstructor),
        ("online", False, OnlineReconstructor),
        ("batch", True, BatchReconstructor),
    ],
)
def test_the_mode_decides_who_reconstructs(tmp_path, mode, live, kind):
    reconstructor = open_reconstructor(tmp_path, ReconstructionConfig(mode=mode), live=live)
    assert type(reconstructor) is kind
    reconstructor.close()


def test_a_swap_that_was_killed_half_way_is_mended(tmp_path):
    """Between its two renames there is no ``sparse``: the next one to open the map brings the former one back."""
    (tmp_path / "sparse/0").mkdir(parents=True)
    (tmp_path / ".sparse.fresh/1").mkdir(parents=True)
    (tmp_path / "sparse").rename(tmp_path / ".sparse.former")
    reconstructor = BatchReconstructor(tmp_path, CONFIG)
    reconstructor.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["database.db", "sparse"]
    assert [p.name for p in (tmp_path / "sparse").iterdir()] == ["0"]
    (tmp_path / "new/2").mkdir(parents=True)
    swap_folder(tmp_path / "new", tmp_path / "sparse")
    recover_folder(tmp_path / "sparse")
    assert [p.name for p in (tmp_path / "sparse").iterdir()] == ["2"]


def test_a_swap_that_the_system_refuses_leaves_the_former_model(tmp_path):
    (tmp_path / "sparse/0").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        swap_folder(tmp_path / "new", tmp_path / "sparse")
    assert [p.name for p in (tmp_path / "sparse").iterdir()] == ["0"]
