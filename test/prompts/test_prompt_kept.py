"""Answers that are kept while somebody else writes the map, and what the messages of clicks mean."""

import json
import shutil

import numpy as np
import pytest
from helpers_clicks import WINDOW, middle, pixel
from helpers_level_map import MODEL, configured, labelled
from helpers_levels import NAMES

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.files.prompts_file import Click, read_prompts
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.prompts.prompting import ask, keep
from seg2d3d_ros.prompts.session import PromptSession


@pytest.fixture
def root(tmp_path):
    return labelled(tmp_path / "map")[0].root


def test_what_is_kept_changes_nothing_until_the_map_is_solved_or_prompted_again(root, tmp_path, capsys):
    tracks = MapStore(root).read_tracks()
    labels = {name: read_labels(root / "labels" / f"{name}.png") for name in NAMES}
    session = PromptSession(root)
    item = keep(session, ask(session, [Click(NAMES[3], pixel(*middle(WINDOW), 3))]))
    assert item.facts["points"] > 5
    np.testing.assert_allclose(item.facts["box3d"]["center"][:2], middle(WINDOW), atol=0.4)
    assert not read_prompts(root).laid
    assert MapStore(root).read_tracks() == tracks
    for name in NAMES:
        np.testing.assert_array_equal(read_labels(root / "labels" / f"{name}.png"), labels[name])
    # A second one has another id, and clicks go on with the first.
    second = keep(session, ask(session, [Click(NAMES[3], pixel(12.0, -4.0, 3))]))
    assert second.id > item.id
    further = ask(session, [Click(NAMES[4], pixel(*middle(WINDOW), 4))], instance=item.id)
    assert (further.id, len(further.clicks)) == (item.id, 2)
    # The association begins with the tracks of the map, not with those beside the kept objects.
    document = json.loads((root / "prompts.json").read_text())
    document["tracks"]["instances"] = []
    (root / "prompts.json").write_text(json.dumps(document))
    again = shutil.copytree(root, tmp_path / "again")
    update = AssociationSession(MapStore(again), configured("coarse")).update([MODEL])
    assert {instance["id"] for instance in tracks["instances"]} >= set(update.instances.ids.tolist())
    # The command shows all of them.
    assert main(["prompt", str(root), "--image", NAMES[3], "--click", "{:.1f},{:.1f}".format(*pixel(12.0, -1.0, 3))]) == 0
    stored = read_prompts(root)
    assert (stored.laid, len(stored.objects)) == (True, 3)
    shown = {i["id"]: i for i in MapStore(root).read_tracks()["instances"]}
    assert shown.keys() >= {item.id, second.id}
    assert shown.keys() & {instance["id"] for instance in tracks["instances"]}
    for name in item.regions:
        assert (read_labels(root / "labels" / f"{name}.png") == item.id).any()
