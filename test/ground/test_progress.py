"""Progress bars: one per stage, however often it is told."""

import pytest
import tqdm

from seg2d3d_ros.progress import ProgressBars


@pytest.fixture
def made(monkeypatch):
    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    return bars


def test_a_stage_has_one_bar_that_ends_where_the_next_begins(made, capsys):
    progress = ProgressBars()
    for done in range(4):
        progress("matching", done, 3)
    progress("mapping", 0, 0)
    progress("mapping", 5, 0)
    progress.close()
    assert [(bar.desc, bar.n, bar.total) for bar in made] == [("matching", 3, 3), ("mapping", 5, None)]
    assert capsys.readouterr().err.count("\n") == 2


def test_a_stage_that_comes_again_begins_a_new_bar(made):
    progress = ProgressBars()
    for stage in ("matching", "mapping", "matching"):
        progress(stage, 1, 1)
    progress.close()
    assert [bar.desc for bar in made] == ["matching", "mapping", "matching"]
