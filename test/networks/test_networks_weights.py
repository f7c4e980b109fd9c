"""Where weights are looked for, what is said when they are missing, and how they are fetched, from a server of the test."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.networks import weights
from seg2d3d_ros.networks.download import download
from seg2d3d_ros.networks.weights import KNOWN, find_model, models_dir, require
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.factory import create_segmenter


@pytest.fixture(autouse=True)
def clean_home(tmp_path, monkeypatch):
    """No model of the machine's user."""
    for name in ("SEG2D3D_MODELS", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")
    return folder


class TestSearch:
    def test_the_folder_of_models(self, tmp_path, monkeypatch):
        assert models_dir() == tmp_path / "cache" / "seg2d3d_ros" / "models"
        monkeypatch.setenv("SEG2D3D_MODELS", str(tmp_path / "m"))
        assert models_dir() == tmp_path / "m"
        assert models_dir("~/here") == tmp_path / "here"

    def test_a_path_comes_first(self, tmp_path):
        (tmp_path / "my.pth").write_text("x")
        assert find_model(str(tmp_path / "my.pth"), tmp_path).is_file
        folder = put(tmp_path / "mine", "config.json")
        with pytest.raises(UsageError, match=r"lacks config\.json or the weights"):
            find_model(str(folder), tmp_path)
        put(folder, "model.safetensors")
        model = find_model(str(folder), tmp_path)
        assert model.present
        assert not model.is_file

    def test_the_folder_of_models_comes_before_the_hubs_cache(self, tmp_path):
        name = "IDEA-Research/grounding-dino-tiny"
        assert not find_model(name, tmp_path / "m").present
        cache = tmp_path / ".cache" / "huggingface" / "hub" / "models--IDEA-Research--grounding-dino-tiny"
        put(cache / "refs")
        (cache / "refs" / "main").write_text("abc\n")
        snapshot = put(cache / "snapshots" / "abc", "config.json", "model.safetensors")
        assert find_model(name, tmp_path / "m").path == snapshot
        other = put(cache / "snapshots" / "def", "config.json", "pytorch_model.bin")
        assert find_model(f"{name}@def", tmp_path / "m").path == other
        own = put(tmp_path / "m" / "IDEA-Research--grounding-dino-tiny", "config.json", "model.safetensors")
        assert find_model(name, tmp_path / "m").path == own

    def test_official_checkpoints_have_a_name(self, tmp_path):
        model = find_model("sam_vit_b", tmp_path)
        assert (model.path, model.present) == (tmp_path / "sam_vit_b_01ec64.pth", False)
        model.path.write_text("x")
        assert find_model("sam_vit_b", tmp_path).present

    @pytest.mark.parametrize("name", ["sam_vit_x", "../secret/model", "nowhere/sam.pth", "", "./a/b"])
    def test_other_names_are_refused(self, name, tmp_path):
        with pytest.raises(UsageError, match="no such file or folder"):
            find_model(name, tmp_path / "m")

    def test_the_nearest_name_is_suggested(self, tmp_path):
        with pytest.raises(UsageError, match="did you mean 'sam_vit_b'"):
            find_model("sam_vitb", tmp_path)

    def test_a_changed_file_changes_the_fingerprint(self, tmp_path):
        (tmp_path / "my.pth").write_text("x")
        first = find_model(str(tmp_path / "my.pth"), tmp_path).fingerprint
        assert first == find_model(str(tmp_path / "my.pth"), tmp_path).fingerprint
        (tmp_path / "my.pth").write_text("xy")
        assert first != find_model(str(tmp_path / "my.pth"), tmp_path).fingerprint

    def test_every_known_checkpoint_file_has_a_checksum(self):
        for model in KNOWN:
            assert bool(model.file) == (len(model.sha256) == 64) == bool(model.url)
            assert model.megabytes > 50
            assert model.licence
        names = {model.name for model in KNOWN}
        config = SegmentationConfig()
        assert {config.detector_model, config.mask_model, config.panoptic_model, ReconstructionConfig().features_model} <= names


class TestWhatIsMissing:
    def test_one_message_names_packages_files_and_places(self, tmp_path):
        models = [find_model("IDEA-Research/grounding-dino-tiny", tmp_path), find_model("sam_vit_b", tmp_path)]
        with pytest.raises(UsageError) as caught:
            require(models, {"no_such_module": "no-such-package", "json": "json"})
        text = str(caught.value)
        for part in (
            "pip install no-such-package\n",
            "--download",
            "seg2d3d models --download IDEA-Research/grounding-dino-tiny sam_vit_b",
            f"into the folder {tmp_path}/IDEA-Research--grounding-dino-tiny",
            "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth",
            f"as {tmp_path}/sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ):
            assert part in text
        require([], {"json": "json"})

    def test_the_commands_say_it(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(weights, "require", lambda models, packages: require(models, {}))
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
        for words in (
            ["run", str(tmp_path / "photos"), "--out", str(tmp_path / "map")],
            ["demo", "--images", str(tmp_path / "photos"), "--out", str(tmp_path / "demo")],
        ):
            assert main([*words, "--label", "building", "--segmenter", "grounded_sam"]) == 2
            text = capsys.readouterr().err
            assert f"as {tmp_path}/cache/seg2d3d_ros/models/sam_vit_b_01ec64.pth" in text
            assert "grounding-dino-tiny" in text
        assert not (tmp_path / "map").exists()

    def test_the_list_of_models(self, tmp_path, capsys):
        assert main(["models", "--dir", str(tmp_path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        row = next(line for line in lines if line.startswith(" * sam_vit_b "))
        assert "375 MB" in row
        assert "missing" in row
        assert "Apache-2.0" in row
        (tmp_path / "sam_vit_b_01ec64.pth").write_text("x")
        main(["models", "--dir", str(tmp_path)])
        assert "present" in next(line for line in capsys.readouterr().out.splitlines() if line.startswith(" * sam_vit_b "))
        assert main(["models", "--dir", str(tmp_path), "--download", "sam_vit_b"]) == 0
        assert "is there" in capsys.readouterr().out


class Hub(BaseHTTPRequestHandler):
    """A hub with one model, and one checkpoint file. ``broken`` cuts answers off, ``wrong`` changes a byte,
    ``whole`` knows no ranges."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    requests: list[tuple[str, str]] = []  # noqa: RUF012
    broken = wrong = whole = False

    def do_GET(self):
        cls, path = type(self), self.path.partition("?")[0]
        cls.requests.append((path, self.headers.get("Range", "")))
        if path == "/api/models/some/model/revision/main":
            entries = [
                {
                    "rfilename": name,
                    "size": len(data),
                    "lfs": {"sha256": hashlib.sha256(data).hexdigest()} if len(data) > 100 else None,
                }
                for name, data in cls.files.items()
            ]
            body = json.dumps({"sha": "abc", "siblings": entries}).encode()
        elif path.startswith("/some/model/resolve/abc/") and path.rpartition("/")[2] in cls.files:
            body = cls.files[path.rpartition("/")[2]]
        elif path == "/sam.pth":
            body = cls.files["model.safetensors"]
        else:
            self.send_error(404)
            return
        start = 0 if cls.whole else int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        body = body[start:]
        if cls.wrong and len(body) > 100 and "/api/" not in path:
            body = b"?" + body[1:]
        self.wfile.write(body[: len(body) // 2] if cls.broken and len(body) > 100 else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    class Handler(Hub):
        files = {  # noqa: RUF012
            "config.json": b"{}",
            "vocab.txt": b"a\n",
            "README.md": b"#",
            "model.safetensors": bytes(range(256)) * 20,
            "pytorch_model.bin": b"pickle" * 100,
            "flax_model.msgpack": b"flax" * 100,
        }
        requests = []  # noqa: RUF012

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    Handler.address = f"http://127.0.0.1:{server.server_port}"
    yield Handler
    server.shutdown()
    server.server_close()


def checkpoint(hub, tmp_path, sha256=None):
    """A known checkpoint that lies on the test's server."""
    known = next(model for model in KNOWN if model.name == "sam_vit_b")
    right = hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    known = dataclasses.replace(known, url=f"{hub.address}/sam.pth", sha256=sha256 or right)
    return dataclasses.replace(find_model("sam_vit_b", tmp_path), known=known)


class TestDownload:
    def test_a_hub_model_comes_with_its_companions_and_one_set_of_weights(self, hub, tmp_path):
        model = find_model("some/model", tmp_path)
        told = []
        download(model, lambda *what: told.append(what))
        assert sorted(path.name for path in model.path.iterdir()) == ["config.json", "model.safetensors", "vocab.txt"]
        assert (model.path / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
        assert told[-1] == ("model.safetensors", 5120, 5120)
        assert find_model("some/model", tmp_path).present

    def test_weights_in_pickle_format_are_taken_where_there_are_no_others(self, hub, tmp_path):
        del hub.files["model.safetensors"]
        download(find_model("some/model", tmp_path), lambda *what: None)
        assert (tmp_path / "some--model" / "pytorch_model.bin").exists()
        del hub.files["pytorch_model.bin"]
        with pytest.raises(DataError, match="has none of"):
            download(find_model("some/model", tmp_path / "other"), lambda *what: None)

    def test_shards_come_with_their_index(self, hub, tmp_path):
        data = hub.files.pop("model.safetensors")
        hub.files.update({"model.safetensors.index.json": b"{}", "model-00001-of-00001.safetensors": data})
        download(find_model("some/model", tmp_path), lambda *what: None)
        assert (tmp_path / "some--model" / "model-00001-of-00001.safetensors").exists()
        assert find_model("some/model", tmp_path).present

    def test_an_interrupted_download_goes_on_where_it_stopped(self, hub, tmp_path):
        hub.broken = True
        with pytest.raises(DataError, match=r"broke off after \d+ of 5120|IncompleteRead"):
            download(checkpoint(hub, tmp_path), lambda *what: None)
        assert not find_model("sam_vit_b", tmp_path).present
        hub.broken = False
        download(checkpoint(hub, tmp_path), lambda *what: None)
        assert hub.requests[-1] == ("/sam.pth", "bytes=2560-")
        assert find_model("sam_vit_b", tmp_path).path.read_bytes() == hub.files["model.safetensors"]
        assert [path.name for path in tmp_path.glob(".*.part")] == []

    def test_a_server_that_knows_no_ranges_sends_all_again(self, hub, tmp_path):
        hub.broken = True
        with pytest.raises(DataError):
            download(checkpoint(hub, tmp_path), lambda *what: None)
        hub.broken, hub.whole = False, True
        download(checkpoint(hub, tmp_path), lambda *what: None)
        assert find_model("sam_vit_b", tmp_path).path.read_bytes() == hub.files["model.safetensors"]

    def test_a_wrong_checksum_leaves_nothing_behind(self, hub, tmp_path):
        hub.wrong = True
        for model in (checkpoint(hub, tmp_path), find_model("some/model", tmp_path)):
            with pytest.raises(DataError, match=r"sha256 is .*, expected"):
                download(model, lambda *what: None)
            assert not find_model(model.name, tmp_path).present
        assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pth", ".part", ".safetensors")]

    def test_no_network_and_no_such_model_say_what_to_do_by_hand(self, hub, tmp_path, monkeypatch):
        with pytest.raises(DataError, match=r"404(.|\n)*By hand:\n  put from https://huggingface.co/no/thing"):
            download(find_model("no/thing", tmp_path), lambda *what: None)
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
        with pytest.raises(DataError, match=r"could not be downloaded(.|\n)*into the folder"):
            download(find_model("some/model", tmp_path), lambda *what: None)

    def test_too_little_space_is_seen_before(self, hub, tmp_path, monkeypatch):
        import shutil

        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
        with pytest.raises(DataError, match="do not fit"):
            download(checkpoint(hub, tmp_path), lambda *what: None)

    def test_nothing_is_downloaded_unless_allowed(self, hub, tmp_path, monkeypatch):
        monkeypatch.setattr(weights, "require", lambda models, packages: require(models, {}))
        config = SegmentationConfig(segmenter="panoptic", panoptic_model="some/model", models_dir=str(tmp_path))
        with pytest.raises(UsageError, match="--download"):
            create_segmenter(config)
        assert hub.requests == []
        hub.files["config.json"] = b'{"id2label": {"0": "building"}}'
        assert create_segmenter(dataclasses.replace(config, allow_download=True)) is not None
        assert (tmp_path / "some--model" / "model.safetensors").exists()
