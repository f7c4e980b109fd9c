"""Keyframes one by one into a living map: revisions, ids, restarts after a kill, duplicates, cancelling, sub-maps."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_reconstruction import drain
from helpers_scene import FOCAL, HEIGHT, WIDTH, render, textures

from seg2d3d_ros.disk.leftovers import WORK_FOLDER
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.reconstruction.online.online_mapper import Cancelled
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.worker.worker_events import Added, Failed, Opened, Progressed, Rejected, Revised, Stopped
from seg2d3d_ros.reconstruction.worker.worker_handle import ReconstructionWorker
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

CONFIG = ReconstructionConfig(mode="online", max_features=1200, threads=1)
CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
COUNT = 9
KILLS = 8


def walk(seed, prefix, count=COUNT):
    """Keyframes of a walk past two houses, and their centres."""
    paint = textures(seed)
    places = np.linspace(-3, 3, count)
    frames = []
    for k, x in enumerate(places):
        photo, _ = render(paint, float(x), yaw=-0.04 * float(x))
        encoded = cv2.imencode(".png", photo[..., ::-1])[1].tobytes()
        frames.append(Keyframe(f"{prefix}{k}", "cam", 0, encoded, CAMERA, file_name=f"{prefix}{k}.png"))
    return frames, {f.name: np.array([x, 0.0, 0.0]) for f, x in zip(frames, places, strict=True)}


@pytest.fixture(scope="module")
def street():
    return walk(1, "a")


def spread(model, truth):
    """Largest error of the centres' positions along the walk after a straight-line fit, in metres."""
    target = np.array([truth[name][0] for name in model.names])
    centers = model.centers - model.centers.mean(0)
    along = centers @ np.linalg.svd(centers)[2][0]
    return np.abs(np.polyval(np.polyfit(along, target, 1), along) - target).max()


def shuffled(frames, seed):
    order = list(frames)
    random.Random(seed).shuffle(order)
    return order


def test_the_map_grows_keyframe_by_keyframe_and_keeps_its_ids(tmp_path, street):
    frames, truth = street
    reconstructor = open_reconstructor(tmp_path, CONFIG)
    assert isinstance(reconstructor, OnlineReconstructor)
    revisions = []
    for frame in shuffled(frames, 3):
        reconstructor.add(frame)
        if (revision := reconstructor.grow()) is not None:
            revisions.append(revision)
            assert [m.names for m in read_models(tmp_path)] == [m.names for m in revision.models]
    assert len(revisions) >= 3
    last = reconstructor.solve()
    (model,) = last.models
    assert len(model.names) == COUNT
    assert spread(model, truth) < 0.03
    assert last.unregistered == {}
    assert model.rgb.mean() > 60
    numbers = [r.models[0].revision for r in [*revisions, last]]
    assert numbers == sorted(set(numbers))
    before, after = revisions[-1].models[0], model
    kept = np.intersect1d(before.point_ids, after.point_ids)
    assert len(kept) > 0.9 * len(before.point_ids)
    here, there = np.searchsorted(before.point_ids, kept), np.searchsorted(after.point_ids, kept)
    scale = np.ptp(after.xyz, axis=0).max()
    moved = np.linalg.norm(before.xyz[here] - after.xyz[there], axis=1)
    assert np.median(moved) < 0.02 * scale  # the frame and the ids' meaning survived the global solution
    reconstructor.close()


def test_the_same_order_gives_the_same_bits(tmp_path, street):
    models = []
    for name in ("first", "second"):
        reconstructor = OnlineReconstructor(tmp_path / name, CONFIG)
        for frame in shuffled(street[0], 5):
            reconstructor.add(frame)
            reconstructor.grow()
        models.append(reconstructor.solve().models[0])
        reconstructor.close()
    for field in ("camera_from_world", "xyz", "point_ids", "obs_xy", "obs_point"):
        np.testing.assert_array_equal(getattr(models[0], field), getattr(models[1], field))
    files = [sorted(p for p in (tmp_path / name / "sparse").rglob("*") if p.is_file()) for name in ("first", "second")]
    assert [p.name for p in files[0]] == [p.name for p in files[1]]
    assert {"cameras.bin", "images.bin", "points3D.bin"} <= {p.name for p in files[0]}
    for here, there in zip(*files, strict=True):
        assert here.read_bytes() == there.read_bytes(), here.name


def test_another_process_goes_on_from_the_last_revision(tmp_path, street):
    frames, truth = street
    order = shuffled(frames, 1)
    first = OnlineReconstructor(tmp_path, CONFIG)
    for frame in order[:6]:
        first.add(frame)
        first.grow()
    first.add(order[6])  # in the database, but not in the map yet
    first.close()
    (before,) = read_models(tmp_path)
    second = OnlineReconstructor(tmp_path, CONFIG)
    assert len(second.mapper.submaps[0]) == len(before.names)
    revision = second.grow()
    assert order[6].name in revision.models[0].names
    kept = np.intersect1d(before.point_ids, revision.models[0].point_ids)
    assert len(kept) > 0.9 * len(before.point_ids)
    assert second.add(order[0]) == second.add(order[0])  # a duplicate changes nothing
    assert second.grow() is None
    for frame in order[7:]:
        second.add(frame)
    (model,) = second.solve().models
    assert len(model.names) == COUNT
    assert spread(model, truth) < 0.03
    second.close()


def test_two_places_stay_two_models_with_distinct_ids(tmp_path, street):
    other, _ = walk(7, "b", 6)
    reconstructor = OnlineReconstructor(tmp_path, CONFIG)
    for frame in shuffled([*street[0], *other], 2):
        reconstructor.add(frame)
        reconstructor.grow()
    result = reconstructor.solve()
    assert [sorted({n[0] for n in m.names}) for m in result.models] == [["a"], ["b"]]
    assert [len(m.names) for m in result.models] == [COUNT, 6]
    assert not set(result.models[0].point_ids) & set(result.models[1].point_ids)
    reconstructor.close()


def test_gps_puts_the_map_into_metres_and_leaves_it_there(tmp_path, street):
    """Positions with 5 cm of noise: centres within 15 cm in the ENU frame, and the datum stays over revisions."""
    frames, truth = street
    rng = np.random.default_rng(0)
    metre = 1 / 111320.0
    located = []
    for k, frame in enumerate(frames):
        east, up = truth[frame.name][0], 0.0
        noise = 0.05 * rng.normal(size=3)
        geo = GeoPosition(0.0 + metre * noise[1], metre * (east + noise[0]), up + noise[2], 0.01 * np.eye(3))
        located.append(Keyframe(**{**frame.__dict__, "geo": geo, "stamp_ns": 0 * k}))
    reconstructor = OnlineReconstructor(tmp_path, CONFIG)
    frames_seen = []
    for frame in shuffled(located, 4):
        reconstructor.add(frame)
        if (revision := reconstructor.grow()) is not None:
            frames_seen.append(revision.models[0].frame)
    (model,) = reconstructor.solve().models
    assert model.frame.kind == "enu"
    assert len({f.datum for f in frames_seen if f.kind == "enu"} | {model.frame.datum}) == 1
    east = np.array([truth[n][0] for n in model.names])
    shift = model.centers[:, 0] - east
    assert np.abs(shift - np.median(shift)).max() < 0.15
    assert np.abs(model.centers[:, 1:] - np.median(model.centers[:, 1:], axis=0)).max() < 0.3
    reconstructor.close()


def test_cancelling_a_solve_leaves_the_map_usable(tmp_path, street):
    frames, _ = street
    armed = []

    def stop():
        if armed:
            raise Cancelled("stop")

    reconstructor = OnlineReconstructor(tmp_path, CONFIG, stop)
    for frame in frames[:6]:
        reconstructor.add(frame)
        reconstructor.grow()
    armed.append(True)
    reconstructor.add(frames[6])
    with pytest.raises(Cancelled):
        reconstructor.solve()
    assert len(read_models(tmp_path)[0].names) == 6
    armed.clear()
    reconstructor.add(frames[7])
    assert len(reconstructor.solve().models[0].names) == 8
    reconstructor.close()


def test_unusable_images_do_not_disturb(tmp_path, street):
    frames, _ = street
    reconstructor = OnlineReconstructor(tmp_path, CONFIG)
    assert reconstructor.grow() is None
    assert reconstructor.solve().models == []
    blank = cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), 128, np.uint8))[1].tobytes()
    reconstructor.add(Keyframe("blank", "cam", 0, blank, CAMERA, file_name="blank.png"))
    reconstructor.add(frames[0])
    with pytest.raises(DataError, match="cannot be decoded"):
        reconstructor.add(Keyframe("bad", "cam", 0, b"no image", CAMERA, file_name="bad.png"))
    small = cv2.imencode(".png", cv2.resize(render(textures(1), 0.3, 0.0)[0], None, fx=0.5, fy=0.5)[..., ::-1])[1].tobytes()
    reconstructor.add(Keyframe("small", "cam", 0, small, CAMERA, file_name="small.png"))  # half the calibrated size
    for frame in frames[1:6]:
        reconstructor.add(frame)
    result = reconstructor.solve()
    assert len(result.models[0].names) >= 6
    assert "no features" in result.unregistered["blank"]
    reconstructor.close()


def test_worker_delivers_revisions_and_survives_kills(tmp_path, street):
    frames, truth = street
    with ReconstructionWorker(tmp_path, CONFIG) as worker:
        order = shuffled(frames, 6)
        for k, frame in enumerate(order):
            worker.add(frame)
            drain(worker, lambda events: any(isinstance(e, Added | Rejected) for e in events))
            if k in (3, 6):
                os.kill(worker.pid, signal.SIGKILL)
        worker.solve()
        events = drain(worker, lambda events: any(isinstance(e, Revised) and e.final for e in events))
        (model,) = events[-1].reconstruction.models if isinstance(events[-1], Revised) else read_models(tmp_path)
        assert len(model.names) == COUNT
        assert spread(model, truth) < 0.03
        worker.add(frames[0])  # known: nothing to say
        events = drain(worker, lambda _: not worker.busy)
        assert not any(isinstance(e, Failed) for e in events)


def test_worker_cancels(tmp_path, street):
    with ReconstructionWorker(tmp_path, CONFIG) as worker:
        for frame in street[0][:6]:
            worker.add(frame)
        drain(worker, lambda _: not worker.busy)
        worker.solve()
        events, end = [], time.monotonic() + 60
        while worker.busy and time.monotonic() < end:
            worker.cancel()
            events += worker.events()
            time.sleep(0.005)
        events += worker.events()
        assert any(isinstance(e, Stopped) for e in events), events
        worker.solve()
        events = drain(worker, lambda events: any(isinstance(e, Revised) and e.final for e in events))
        assert len(read_models(tmp_path)[0].names) == 6


def solving(worker, frames):
    """Bring a worker into a solve that cannot be interrupted from inside: the process is halted."""
    for frame in frames:
        worker.add(frame)
    drain(worker, lambda _: not worker.busy)
    worker.solve()
    events = drain(worker, lambda events: any(isinstance(e, Progressed) for e in events))
    os.kill(worker.pid, signal.SIGSTOP)
    return events


def test_a_solver_that_does_not_listen_is_ended(tmp_path, street):
    with ReconstructionWorker(tmp_path, CONFIG) as worker:
        solving(worker, street[0][:6])
        before, begin = worker.pid, time.monotonic()
        assert worker.cancel()
        events = drain(worker, lambda events: any(isinstance(e, Stopped) for e in events))
        assert time.monotonic() - begin < 5.0
        assert not any(isinstance(e, Failed) for e in events), "wanted, no failure"
        assert not worker.busy
        assert not worker.cancel(), "nothing runs"
        worker.solve()
        events = drain(worker, lambda events: any(isinstance(e, Revised) and e.final for e in events))
        opened = next(e for e in events if isinstance(e, Opened))
        assert set(opened.names) == {f.name for f in street[0][:6]}
        assert len(opened.reconstruction.models[0].names) == len(read_models(tmp_path)[0].names) == 6
        assert worker.pid != before


def test_closing_does_not_wait_for_the_solver(tmp_path, street):
    left = tmp_path / WORK_FOLDER / "of_a_killed_process"
    left.mkdir(parents=True)
    worker = ReconstructionWorker(tmp_path, CONFIG)
    solving(worker, street[0][:5])
    assert not left.exists()
    assert left.parent.is_dir()
    begin = time.monotonic()
    worker.close()
    assert time.monotonic() - begin < 2.0
    assert not worker.alive
    assert len(read_models(tmp_path)[0].names) >= 4, "the last revision"


def test_the_process_ends_with_its_owner_even_while_the_solver_holds_the_lock(tmp_path, street):
    """The owner is killed without mercy; a worker that is halted (as one in the solver's C++ is) goes with it."""
    script = (
        "import sys, time, pathlib\n"
        "from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig\n"
        "from seg2d3d_ros.reconstruction.worker.worker_handle import ReconstructionWorker\n"
        "if __name__ == '__main__':\n"
        "    worker = ReconstructionWorker(pathlib.Path(sys.argv[1]), ReconstructionConfig())\n"
        "    while not any(type(e).__name__ == 'Opened' for e in worker.events()):\n"
        "        time.sleep(0.05)\n"
        "    print(worker.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    path = tmp_path / "owner.py"
    path.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    owner = subprocess.Popen([sys.executable, path, tmp_path / "map"], stdout=subprocess.PIPE, env=environment)
    worker = int(owner.stdout.readline())
    os.kill(worker, signal.SIGSTOP)
    owner.kill()
    owner.wait()
    end = time.monotonic() + 5
    while Path(f"/proc/{worker}").exists() and "State:\tZ" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < end, "it lives on"
        time.sleep(0.05)


def test_a_drive_with_a_broken_clock_and_foreign_images_is_mapped(tmp_path, street):
    """Stamps out of order and with jumps, another calibration from the middle on, a smaller size in between."""
    frames, truth = street
    stamps = [5e9, 4.9e9, 6e9, 6e9 + 7200e9, 1e9, 2e9, 2.1e9, 2.05e9, 3e9]
    other = Camera("PINHOLE", WIDTH, HEIGHT, (1.02 * FOCAL, 1.02 * FOCAL, WIDTH / 2, HEIGHT / 2))
    reconstructor = OnlineReconstructor(tmp_path, CONFIG)
    for k, (frame, stamp) in enumerate(zip(frames, stamps, strict=True)):
        values = {**frame.__dict__, "stamp_ns": int(stamp), "camera": other if k >= 5 else frame.camera}
        if k == 4:
            photo = cv2.imdecode(np.frombuffer(frame.encoded, np.uint8), cv2.IMREAD_COLOR)
            values["encoded"] = cv2.imencode(".png", cv2.resize(photo, (WIDTH // 2, HEIGHT // 2)))[1].tobytes()
        reconstructor.add(Keyframe(**values))
        reconstructor.grow()
    (model,) = reconstructor.solve().models
    assert len(model.names) == COUNT
    assert spread(model, truth) < 0.15  # 2 % of focal length, of a 6 m walk
    assert len(set(model.cameras)) == 3
    reconstructor.close()


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path, street):
    """The process is killed after every hand-over, 0 to 1.5 s into the work, 8 times; the final map is whole.

    ``benchmarks/kills_nodes.py`` does it more often, and to nodes."""
    frames, truth = street
    rng = random.Random(0)
    kills = 0
    with ReconstructionWorker(tmp_path, CONFIG) as worker:
        drain(worker, lambda _: worker.alive)
        while kills < KILLS:
            for frame in shuffled(frames, kills):
                worker.add(frame)
                time.sleep(rng.uniform(0.0, 1.5))
                if worker.alive and kills < KILLS:
                    os.kill(worker.pid, signal.SIGKILL)
                    kills += 1
                drain(worker, lambda _: not worker.busy)
                read_models(tmp_path)  # never half a model
                if kills == KILLS:
                    break
        for frame in frames:
            worker.add(frame)
        worker.solve()
        drain(worker, lambda events: any(isinstance(e, Revised) and e.final for e in events))
        (model,) = read_models(tmp_path)
        assert len(model.names) == COUNT
        assert spread(model, truth) < 0.03
