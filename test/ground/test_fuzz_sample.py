"""A small part of ``benchmarks/fuzz.py``, in this process: damaged files are refused, or told of, or harmless."""

import random
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from fuzz import CLEAR, choose, judge, outcome
from fuzz_mutations import mutate
from fuzz_targets import TARGETS, make_inputs

CHEAP = [
    "image",
    "mask",
    "segments.json",
    "coco",
    "mask lists",
    "mask folders",
    "kept masks",
    "tree",
    "camera",
    "positions",
    "poses",
    "rig",
    "params",
    "database",
]
CASES = 12
"""Of each reader."""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Undamaged input."""
    base = tmp_path_factory.mktemp("good")
    make_inputs(base, CHEAP)
    return base


@pytest.mark.parametrize("name", CHEAP)
def test_damage_is_refused_or_told_or_harmless(good, tmp_path, name):
    shutil.copytree(good, tmp_path / "undamaged")
    kind, expected, words = outcome(TARGETS[name], tmp_path / "undamaged")
    assert kind in CLEAR, words
    for number in range(CASES):
        _, path, content = choose(good, [name], 1, number)
        root = tmp_path / str(number)
        shutil.copytree(good, root)
        (root / path).write_bytes(content)
        kind, numbers, words = outcome(TARGETS[name], root)
        assert judge(kind, str(numbers), str(expected)) in CLEAR, f"case {number}, {path}: {kind} {words}"


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
