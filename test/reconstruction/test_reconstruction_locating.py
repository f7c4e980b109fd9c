"""What happens to a submap on its way into the world: merged by the rig, scaled, completed, adjusted, and levelled again."""

from types import SimpleNamespace

import pytest

from seg2d3d_ros.reconstruction.online import locating
from seg2d3d_ros.reconstruction.online.locating import locate_submaps
from seg2d3d_ros.reconstruction.world.georeference import Scale
from seg2d3d_ros.types import WorldFrame

RIG = SimpleNamespace(refine=True)


class Submap:
    """Ten images that were never located."""

    def __init__(self):
        self.reconstruction, self.frame, self.located = "model", WorldFrame(), 0

    def __len__(self):
        return 10

    def take_solution(self, model):
        self.reconstruction = model


class Locator:
    """Knows the scale by the rig, and of GPS what it is told."""

    world, sigmas, heights = WorldFrame("enu"), "sigmas", "heights"

    def __init__(self, kind, steps):
        self.kind, self.steps = kind, steps

    def scale(self, model, by_rig=None):
        return Scale(by_rig or 3.0, 0.01)

    def georeference(self, model, scale, warnings, *, level=True):
        self.steps.append(("georeference", model, scale.factor))
        return WorldFrame(self.kind, scale_sigma=0.1 if model == "model" else 0.02)

    def frame_of(self, model, scale):
        return WorldFrame("enu", scale_sigma=scale.sigma)

    def at_cameras(self, model):
        return "positions"

    def tell_doubts(self, model, findings):
        findings.append(model)


@pytest.fixture
def steps(monkeypatch):
    found = []
    monkeypatch.setattr(locating, "merge_submaps_by_rig", lambda submaps, *_: submaps[:1])
    monkeypatch.setattr(locating, "scale_by_rig", lambda model, rig: 2.0)
    monkeypatch.setattr(locating, "place_companions", lambda submap, rig, options: found.append(("companions",)))
    monkeypatch.setattr(locating, "rotation_offset", lambda model, rig: 0.5)

    def hold(model, rig, fixed, threads, warnings, pull):
        found.append(("hold", pull(model)))
        return "held"

    monkeypatch.setattr(locating, "hold_mounts", hold)

    def adjust(model, positions, sigmas, options, fixed, heights):
        assert heights == "heights"
        found.append(("positions", positions, options.refine_sensor_from_rig))
        return "adjusted"

    monkeypatch.setattr(locating, "adjust_with_positions", adjust)
    return found


def mapper(*submaps):
    adjustment = SimpleNamespace(refine_sensor_from_rig=None)
    options = SimpleNamespace(global_adjustment=adjustment)
    return SimpleNamespace(
        submaps=list(submaps), thresholds=None, fixed_cameras={1}, threads=1, options=lambda thresholds, images: options
    )


def test_with_rig_and_gps(steps):
    submap, merged = Submap(), Submap()
    own = mapper(submap, merged)
    locate_submaps(own, Locator("enu", steps), RIG, [], final=False)
    assert own.submaps == [submap]
    assert steps == [
        ("georeference", "model", 2.0),
        ("companions",),
        ("positions", "positions", True),
        ("hold", "adjusted"),
        ("georeference", "held", 2.0),  # positions alone leave the tilt open
    ]
    assert (submap.frame.kind, submap.located, submap.frame.scale_sigma) == ("enu", 10, 0.02)


def test_with_a_rig_alone_nothing_pulls(steps):
    submap = Submap()
    locate_submaps(mapper(submap), Locator("metric", steps), RIG, [], final=False)
    assert steps == [("georeference", "model", 2.0), ("companions",), ("hold", None)]
    assert submap.reconstruction == "held"


def test_with_gps_alone(steps):
    submap, other = Submap(), Submap()
    own = mapper(submap, other)
    locate_submaps(own, Locator("enu", steps), None, [], final=False)
    assert own.submaps == [submap, other]
    assert steps[:3] == [
        ("georeference", "model", 3.0),
        ("positions", "positions", False),
        ("georeference", "adjusted", 3.0),
    ]


def test_what_is_located_is_left_until_it_has_grown(steps):
    submap = Submap()
    submap.frame, submap.located = WorldFrame("enu"), 9
    findings = []
    locate_submaps(mapper(submap), Locator("enu", steps), RIG, findings, final=False)
    assert (steps, findings) == ([], ["model"]), "what is doubtful of it is said with every revision"
    locate_submaps(mapper(submap), Locator("enu", steps), RIG, [], final=True)
    assert steps != []


def test_at_the_end_a_map_says_how_well_its_scale_is_known(steps):
    submap = Submap()
    submap.frame, submap.located = WorldFrame("enu"), 10
    for final, known in ((False, None), (True, 0.01)):
        locate_submaps(mapper(submap), Locator("enu", steps), None, [], final=final)
        assert submap.frame.scale_sigma == known
    assert steps == []
