"""What the benchmark of the live association counts as an id switch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from seg2d3d_ros.association.online.identity import Merge

PATH = Path(__file__).parents[2] / "benchmarks/association_online.py"
pytestmark = pytest.mark.skipif(not PATH.exists(), reason="benchmarks are not installed with the package")


@pytest.fixture(scope="module")
def benchmark_module():
    spec = importlib.util.spec_from_file_location("association_online", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["association_online"] = module  # its dataclasses ask for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules["association_online"]


@pytest.mark.parametrize(
    ("history", "merges", "expected"),
    [
        # Ids of masks a, b, c, … after each update, 0 = not there or no instance: update, announced, held, overtaken.
        (["5", "55", "555"], {}, []),
        (["500", "570", "577"], {}, [(3, False, 1, True)]),  # not yet where two ids have as many
        (["770", "570", "557"], {}, [(3, False, 1, False)]),
        (["777", "555"], {2: Merge(5, (7,))}, [(2, True, 3, False)]),
        (["777", "555"], {2: Merge(5, (8,))}, [(2, False, 3, False)]),
        (["777", "999", "777"], {}, [(2, False, 3, False), (3, False, 3, False)]),  # a return is a switch as well
        (["700", "000", "700"], {}, []),  # away for an update
        (["777", "000", "555"], {2: Merge(5, (7,))}, [(3, True, 3, False)]),  # announced while it was away
    ],
)
def test_switches_of_one_instance(benchmark_module, history, merges, expected):
    switches = benchmark_module.Switches()
    for step, row in enumerate(history, 1):
        ids = {(name, 1): int(i) for name, i in zip("abc", row, strict=False)}
        switches.note(ids, [merges[step]] if step in merges else [])
    # All masks are one instance in the end.
    most = max(set(history[-1]) - {"0"}, key=history[-1].count)
    switches.note({(name, 1): int(most) for name in "abc"}, [])
    count, found = switches.count()
    assert count == 1
    assert [(s.step, s.announced, s.held, s.overtaken) for s in found] == expected


@pytest.mark.parametrize(("later", "left"), [(19, False), (20, True)])
def test_a_switch_after_an_instance_has_left_the_view(benchmark_module, later, left):
    switches = benchmark_module.Switches()
    for ids in ({("a", 1): 7}, *[{("a", 1): 7, ("b", 1): 7}] * (1 + later), {("a", 1): 5, ("b", 1): 5}):
        switches.note(ids, [])
    count, (found,) = switches.count()
    assert (count, found.left) == (1, left)
