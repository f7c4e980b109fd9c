"""Trainings: the same weights after a kill, clear words for what is wrong, and nothing pickled."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.networks.training.figures_log import read_figures
from seg2d3d_ros.networks.training.trainer import NOTHING_TO_LEARN, steps_done, train
from seg2d3d_ros.networks.training.training_options import TrainingOptions
from seg2d3d_ros.networks.training.weights_folder import load_into, read_tensors, read_weights

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
torch.set_num_threads(1)

CONFIG = {"width": 8}
OPTIONS = TrainingOptions(steps=12, learning_rate=0.05, seed=3, save_seconds=0, device="cpu")
KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
import test_networks_training as t
from pathlib import Path
def dies(model, step, random):
    if step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return t.loss(model, step, random)
t.run(Path(sys.argv[1]), dies)
"""


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.3), torch.nn.LayerNorm(8), torch.nn.Linear(8, 1))


def loss(model, step, random):
    x = torch.from_numpy(random.normal(size=(16, 3)).astype(np.float32))
    return {"square": ((model(x)[:, 0] - x.sum(1)) ** 2).mean()}


def run(folder, step_loss=loss, options=OPTIONS, **more):
    model = network()
    train(model, step_loss, folder, options, kind="test", version=1, config=CONFIG, **more)
    return model


def weights(folder):
    return read_tensors(folder / "model.safetensors")[0]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "model"
    run(folder)
    return folder


def test_a_training_killed_in_the_middle_goes_on_to_the_same_weights(trained, tmp_path):
    folder = tmp_path / "model"
    code = KILLED.format(path=[str(p) for p in sys.path if p])
    done = subprocess.run([sys.executable, "-c", code, str(folder)], timeout=200, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert steps_done(folder) == 7
    assert not (folder / "model.safetensors").exists()
    with pytest.raises(DataError, match="--resume"):
        read_weights(folder, "test", 1)
    run(folder, resume=True)
    assert same(weights(folder), weights(trained))
    assert read_figures(folder) == read_figures(trained)


def test_figures_past_the_checkpoint_are_written_once(trained, tmp_path):
    seconds = TrainingOptions(**{**OPTIONS.__dict__, "save_seconds": 1e9})

    def stops(model, step, random):
        if step == 7:
            raise KeyboardInterrupt
        return loss(model, step, random)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "m", stops, seconds)
    run(tmp_path / "m", options=seconds, resume=True)  # from the begin: there was no checkpoint
    assert [f["step"] for f in read_figures(tmp_path / "m")] == list(range(12))
    assert same(weights(tmp_path / "m"), weights(trained))


def test_the_loss_falls_and_another_seed_gives_other_weights(trained, tmp_path):
    figures = read_figures(trained)
    assert figures[-1]["square"] < 0.7 * figures[0]["square"]
    run(tmp_path / "m", options=TrainingOptions(**{**OPTIONS.__dict__, "seed": 4}))
    assert not same(weights(tmp_path / "m"), weights(trained))


def test_the_effective_configuration_lies_beside_the_weights(trained):
    state, document = read_weights(trained, "test", 1)
    assert document["width"] == 8
    assert document["training"]["learning_rate"] == 0.05
    assert document["training"]["device"] == "cpu"
    model = network()
    load_into(model, state, trained)
    assert same(model.state_dict(), state)


def test_half_precision_on_a_cpu(tmp_path):
    run(tmp_path / "m", options=TrainingOptions(steps=3, precision="half", device="cpu"))
    assert json.loads((tmp_path / "m/config.json").read_text())["training"]["precision"] == "bfloat16"


def test_a_folder_with_a_training_is_not_overwritten_and_other_options_do_not_go_on(trained):
    with pytest.raises(UsageError, match="--resume"):
        run(trained)
    with pytest.raises(UsageError, match="learning_rate"):
        run(trained, options=TrainingOptions(**{**OPTIONS.__dict__, "learning_rate": 0.01}), resume=True)
    before = weights(trained)
    run(trained, resume=True)  # a finished one: nothing left to do
    assert same(weights(trained), before)


def test_a_loss_that_is_no_number_ends_in_words_and_keeps_the_last_checkpoint(tmp_path):
    def breaks(model, step, random):
        terms = loss(model, step, random)
        return {**terms, "bad": terms["square"] * float("nan")} if step == 5 else terms

    with pytest.raises(DataError, match=r"loss of step 5 is no number .*bad nan.* keeps step 5, the last good one"):
        run(tmp_path / "m", breaks)
    state, facts = read_tensors(tmp_path / "m/checkpoint.safetensors")
    assert facts["step"] == 5
    assert all(bool(torch.isfinite(t).all()) for t in state.values())


def test_steps_without_labels_are_counted(tmp_path):
    findings = Findings()
    run(tmp_path / "m", lambda m, step, r: {} if step % 3 else loss(m, step, r), findings=findings)
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.of) == (NOTHING_TO_LEARN, 8, 12)


@pytest.mark.parametrize("damage", ["truncated", "pickled", "nan", "other model"])
def test_bad_weights_are_refused_in_words(trained, tmp_path, damage):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text((trained / "config.json").read_text())
    path, data = folder / "model.safetensors", (trained / "model.safetensors").read_bytes()
    if damage == "truncated":
        path.write_bytes(data[:-20])
    elif damage == "pickled":
        path.write_bytes(pickle.dumps({"0.weight": [1.0]}))
    else:
        from safetensors.torch import save_file

        state = weights(trained)
        if damage == "nan":
            state["0.bias"][2] = float("nan")
        else:
            state["0.bias"] = torch.zeros(5)
        save_file(state, path)
    with pytest.raises(DataError, match=r"damaged|no numbers|do not fit"):
        load_into(network(), read_weights(folder, "test", 1)[0], path)


def test_models_of_other_kinds_and_versions_are_refused_in_words(trained, tmp_path):
    with pytest.raises(DataError, match="kind 'test'"):
        read_weights(trained, "other", 1)
    with pytest.raises(DataError, match=r"version 1 .* reads version 2"):
        read_weights(trained, "test", 2)
    with pytest.raises(UsageError, match="no folder of a trained model"):
        read_weights(tmp_path, "test", 1)
    (tmp_path / "config.json").write_text(json.dumps({"kind": "test", "version": 1}))
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(DataError, match="pickled"):
        read_weights(tmp_path, "test", 1)
