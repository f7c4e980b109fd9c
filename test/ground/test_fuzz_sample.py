"""A small part of ``benchmarks/fuzz.py``, in this process: damaged files are refused, or told of, or harmless."""

import importlib.util
import random
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from fuzz import CLEAR, choose, judge, outcome
from fuzz_mutations import mutate
from fuzz_targets import TARGETS, make_inputs

QUICK = (
    *("tree", "camera", "rig", "gpx", "nmea", "track table", "cloud ply", "cloud las", "cloud message", "model", "model text"),
    *("weights", "checkpoint", "data set", "embeddings", "prompts", "journal", "names", "geojson"),
)
MIDDLING = ("image", "exif", "segments.json", "coco", "kept masks", "positions", "params", "database", "scans")
SLOW = ("mask", "mask lists", "mask folders", "poses", "cloud text", "mcap")
CASES = {**dict.fromkeys(QUICK, 84), **dict.fromkeys(MIDDLING, 40), **dict.fromkeys(SLOW, 10), "messages": 2}
"""Of each reader, by what one costs: 2,000 together."""
NEEDS = {
    "cloud las": ("laspy", "lazrs"),
    "geojson": ("pyogrio", "pyproj", "shapely"),
    "weights": ("torch", "safetensors"),
    "data set": ("torch", "safetensors"),
    "checkpoint": ("torch",),
}
"""Libraries of extras."""
AVAILABLE = [name for name in CASES if all(importlib.util.find_spec(module) for module in NEEDS.get(name, ()))]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Undamaged input."""
    base = tmp_path_factory.mktemp("good")
    make_inputs(base, AVAILABLE)
    return base


@pytest.mark.parametrize("name", AVAILABLE)
def test_damage_is_refused_or_told_or_harmless(good, tmp_path, name):
    root = tmp_path / "root"
    shutil.copytree(good, root)
    kind, expected, words = outcome(TARGETS[name], root)
    assert kind in CLEAR, words
    for number in range(CASES[name]):
        _, path, content = choose(good, [name], 1, number)
        (root / path).write_bytes(content)
        shutil.rmtree(root / "rebuilt", ignore_errors=True)
        kind, numbers, words = outcome(TARGETS[name], root)
        assert judge(kind, str(numbers), str(expected)) in CLEAR, f"case {number}, {path}: {kind} {words}"
        (root / path).unlink()  # a reader may have put another file in its place
        shutil.copy(good / path, root / path)


def test_no_reader_is_left_out():
    """Those that are not tried here need a process of their own, and are in the benchmark alone."""
    assert sum(CASES.values()) >= 2000
    alone = {"db3", "ros1", "report", "map.json files", "export", "evaluate", "video", "geopackage", "other map"}
    assert CASES.keys() | alone == TARGETS.keys()


def test_a_case_is_the_same_each_time_and_is_damage():
    data = bytes(range(256)) * 20
    changed = [mutate(data, random.Random(k), text=k % 2 == 0) for k in range(40)]
    assert changed == [mutate(data, random.Random(k), text=k % 2 == 0) for k in range(40)]
    assert sum(item != data for item in changed) > 35
    assert len(set(changed)) > 30


def test_what_is_wrong_is_seen(tmp_path):
    """The judge itself: exceptions that are no answer, and numbers that change without a word."""
    target = TARGETS["camera"]
    for error, kind in (
        (KeyError("x"), "unexpected KeyError"),
        (MemoryError(), "out of memory"),
        (SystemExit(3), "exit status 3"),
    ):

        def fail(_root, _findings, error=error):
            raise error

        assert outcome(type(target)((), fail), tmp_path)[0] == kind
    assert judge("as before", "3", "4") == "a silent change"
    assert judge("told", "3", "4") == "told"
