"""Checkpoints that are damaged, of something else, or bring code: refused with the file's name, and nothing of theirs runs."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("transformers", minversion="4.56")
pytest.importorskip("segment_anything")

import helpers_checkpoints as checkpoints
import torch

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.networks.checkpoints import load_pretrained, read_state
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.segmentation.models.grounding_dino import GroundingDino
from seg2d3d_ros.segmentation.models.mask_models import HubSam


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Checkpoints; tests that damage one copy it."""
    root = tmp_path_factory.mktemp("models")
    for name in ("grounding_dino", "sam"):
        getattr(checkpoints, f"write_{name}")(root / name)
    return root


def cpu() -> Runtime:
    return Runtime("cpu", "full", 2)


class Bomb:
    """What a pickle can do."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


class TestCodeInCheckpoints:
    @pytest.mark.parametrize("zipped", [True, False])
    def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(self, tmp_path, zipped):
        target, path = tmp_path / "was_here", tmp_path / "model.pth"
        if zipped:
            torch.save({"weight": Bomb(target)}, path)
        else:
            path.write_bytes(pickle.dumps({"weight": Bomb(target)}))
        with pytest.raises(DataError, match=r"model\.pth"):
            read_state(path)
        assert not target.exists()
        torch.load(path, weights_only=False) if zipped else pickle.loads(path.read_bytes())
        assert target.exists(), "the bomb is live"

    def test_in_a_hub_folder_too(self, folder, tmp_path):
        path, target = shutil.copytree(folder / "sam", tmp_path / "sam"), tmp_path / "was_here"
        (path / "model.safetensors").unlink()
        torch.save({"weight": Bomb(target)}, path / "pytorch_model.bin")
        with pytest.raises(DataError, match=r"pytorch_model\.bin: refused.*code"):
            HubSam(path, cpu()).load()
        assert not target.exists()

    def test_models_that_bring_their_own_python_are_refused(self, folder, tmp_path):
        path = shutil.copytree(folder / "grounding_dino", tmp_path / "dino")
        document = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**document, "auto_map": {"AutoModel": "evil.Evil"}}))
        with pytest.raises(DataError, match="auto_map"):
            GroundingDino(path, cpu()).load()

    def test_a_checkpoint_of_something_else_than_tensors_is_refused(self, tmp_path):
        torch.save({"epoch": 3}, tmp_path / "a.pth")
        torch.save([1, 2], tmp_path / "b.pth")
        for name in ("a.pth", "b.pth"):
            with pytest.raises(DataError, match="holds no weights"):
                read_state(tmp_path / name)


class TestDamagedFolders:
    def damaged(self, folder, tmp_path) -> Path:
        return Path(shutil.copytree(folder / "sam", tmp_path / "sam"))

    def test_cut_off_safetensors(self, folder, tmp_path):
        path = self.damaged(folder, tmp_path)
        weights = path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5000])
        with pytest.raises(DataError, match="incomplete, damaged"):
            HubSam(path, cpu()).load()
        with pytest.raises(DataError, match="get the file again"):
            read_state(weights)

    def test_missing_weights(self, folder, tmp_path):
        from safetensors.torch import load_file, save_file

        path = self.damaged(folder, tmp_path)
        state = load_file(path / "model.safetensors")
        state.pop("mask_decoder.iou_token.weight")
        save_file(state, path / "model.safetensors", {"format": "pt"})
        with pytest.raises(DataError, match=r"1 weights are missing.*iou_token"):
            HubSam(path, cpu()).load()
        (path / "model.safetensors").unlink()
        with pytest.raises(DataError, match="holds no weights"):
            HubSam(path, cpu()).load()

    def test_configurations(self, folder, tmp_path):
        path = self.damaged(folder, tmp_path)
        (path / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(DataError, match="'bert'"):
            HubSam(path, cpu()).load()
        (path / "config.json").write_text("{")
        with pytest.raises(DataError, match=r"config\.json"):
            HubSam(path, cpu()).load()

    def test_another_kind_of_model(self, folder):
        with pytest.raises(DataError, match="another kind"):
            GroundingDino(folder / "sam", cpu()).load()

    def test_no_tokenizer(self, folder, tmp_path):
        from transformers import AutoTokenizer

        with pytest.raises(DataError, match="AutoTokenizer"):
            load_pretrained(AutoTokenizer, self.damaged(folder, tmp_path))
