"""Where the weights of the models lie: a path, a folder of models, Hugging Face's cache. Nothing here needs torch.

A model is named by a path, by the name of an official SAM checkpoint (``sam_vit_b``), or by its id on the Hugging Face Hub
(``owner/name``, or ``owner/name@revision``). It is looked for in this order: that path; the models folder
(``segmentation.models_dir``, else $SEG2D3D_MODELS, else ~/.cache/seg2d3d_ros/models); the Hub's own cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seg2d3d_ros.declaration import nearest
from seg2d3d_ros.errors import UsageError

WEIGHT_NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""The files of a Hub model that hold its weights, the preferred first."""
SINGLE_FILES = (".pth", ".pt", ".safetensors")
"""Suffixes of checkpoints that are one file."""
COMPANIONS = ("*.json", "*.txt", "*.model")
"""Configuration and tokenizer of a Hub model."""
_META = "https://dl.fbaipublicfiles.com/segment_anything/"


@dataclass(frozen=True)
class KnownModel:
    """A model that the documentation recommends.

    Attributes:
        name: what the user writes.
        role: ``detector``, ``masks``, ``panoptic``, ``features``, ``words``, ``pictures`` or ``concepts``.
        megabytes: size of the weights (10^6 bytes), about.
        licence: of the weights.
        file, url, sha256: for a single checkpoint file; Hub models have none.
    """

    name: str
    role: str
    megabytes: int
    licence: str
    file: str = ""
    url: str = ""
    sha256: str = ""


def _meta(name: str, megabytes: int, file: str, sha256: str) -> KnownModel:
    return KnownModel(name, "masks", megabytes, "Apache-2.0", file, _META + file, sha256)


_NON_COMMERCIAL = "non-commercial (see its card)"
KNOWN = (
    KnownModel("IDEA-Research/grounding-dino-tiny", "detector", 689, "Apache-2.0"),
    KnownModel("IDEA-Research/grounding-dino-base", "detector", 933, "Apache-2.0"),
    _meta("sam_vit_b", 375, "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    _meta("sam_vit_l", 1250, "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    _meta("sam_vit_h", 2565, "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    KnownModel("facebook/sam-vit-base", "masks", 375, "Apache-2.0"),
    KnownModel("facebook/sam-vit-large", "masks", 1250, "Apache-2.0"),
    KnownModel("facebook/sam-vit-huge", "masks", 2565, "Apache-2.0"),
    KnownModel("facebook/sam2.1-hiera-tiny", "masks", 156, "Apache-2.0"),
    KnownModel("facebook/sam2.1-hiera-small", "masks", 184, "Apache-2.0"),
    KnownModel("facebook/sam2.1-hiera-base-plus", "masks", 323, "Apache-2.0"),
    KnownModel("facebook/sam2.1-hiera-large", "masks", 898, "Apache-2.0"),
    KnownModel("facebook/mask2former-swin-tiny-cityscapes-panoptic", "panoptic", 190, _NON_COMMERCIAL),
    KnownModel("facebook/mask2former-swin-large-cityscapes-panoptic", "panoptic", 866, _NON_COMMERCIAL),
    KnownModel("facebook/mask2former-swin-large-mapillary-vistas-panoptic", "panoptic", 866, _NON_COMMERCIAL),
    KnownModel("facebook/mask2former-swin-large-ade-panoptic", "panoptic", 866, "see its card"),
    KnownModel("facebook/mask2former-swin-large-coco-panoptic", "panoptic", 866, "see its card"),
    KnownModel("shi-labs/oneformer_cityscapes_swin_large", "panoptic", 880, "MIT (trained on non-commercial data)"),
    KnownModel("shi-labs/oneformer_ade20k_swin_tiny", "panoptic", 203, "MIT"),
    KnownModel("shi-labs/oneformer_coco_swin_large", "panoptic", 880, "MIT"),
    KnownModel("ETH-CVG/lightglue_superpoint", "features", 53, "LightGlue Apache-2.0, SuperPoint non-commercial (Magic Leap)"),
    KnownModel("google/siglip2-base-patch16-224", "words", 1501, "Apache-2.0"),
    KnownModel("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "words", 605, "MIT"),
    KnownModel("facebook/dinov2-small", "pictures", 88, "Apache-2.0"),
    KnownModel("facebook/dinov2-base", "pictures", 346, "Apache-2.0"),
    KnownModel("facebook/sam3", "concepts", 3440, "SAM License (gated: its terms are accepted on the model's page)"),
)
_BY_NAME = {model.name: model for model in KNOWN}


@dataclass(frozen=True)
class Model:
    """A model as named by the user, and where it is or has to go.

    Attributes:
        name: as the user wrote it, without the revision.
        revision: of a Hub model, empty = its main branch.
        path: the checkpoint file or the folder; where it has to be put if it is not there.
        present: whether all files are there.
        known: what is known about it, if it is one of ``KNOWN``.
    """

    name: str
    revision: str
    path: Path
    present: bool
    known: KnownModel | None

    @property
    def is_file(self) -> bool:
        """A single checkpoint of the segment-anything package, not a folder of transformers."""
        return bool(self.known.file) if self.known else self.path.suffix in SINGLE_FILES

    @property
    def fingerprint(self) -> str:
        """Changes when the weights on disk change: names, sizes and times of the files."""
        files = sorted(p for p in self.path.iterdir() if p.is_file()) if self.path.is_dir() else [self.path]
        facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return hashlib.sha256(repr((self.name, self.revision, facts)).encode()).hexdigest()


def models_dir(setting: str = "") -> Path:
    """The folder of models: the setting, else $SEG2D3D_MODELS, else below the user's cache."""
    named = setting or os.environ.get("SEG2D3D_MODELS", "")
    return Path(named).expanduser() if named else cache_home() / "models"


def cache_home() -> Path:
    """``$XDG_CACHE_HOME/seg2d3d_ros``, else ``~/.cache/seg2d3d_ros``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seg2d3d_ros"


def find_model(name: str, folder: Path) -> Model:
    """Where the model ``name`` is, or has to be put.

    Args:
        folder: the folder of models, ``models_dir()``.

    Raises:
        UsageError: neither an existing path nor a name that a model can have.
    """
    local = Path(name).expanduser()
    if name and local.exists():
        if local.is_dir() and not _complete(local):
            raise UsageError(f"model {name}: this folder lacks config.json or the weights ({WEIGHT_NAMES[0]})")
        return Model(name, "", local, True, None)
    plain, _, revision = name.partition("@")
    known = _BY_NAME.get(plain)
    if known and known.file:
        path = folder / known.file
        return Model(plain, "", path, path.is_file(), known)
    words = plain.split("/")
    if len(words) != 2 or not all(words) or words[0] in (".", "..", "~") or local.suffix in SINGLE_FILES:
        raise UsageError(
            f"model {name!r}: no such file or folder, and no known model; `seg2d3d models` lists them{nearest(name, _BY_NAME)}"
        )
    path = folder / "--".join(words)
    if not _complete(path) and (snapshot := _hub_snapshot(plain, revision)):
        return Model(plain, revision, snapshot, True, known)
    return Model(plain, revision, path, _complete(path), known)


def _complete(folder: Path) -> bool:
    """A configuration and at least one file of weights."""
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in WEIGHT_NAMES)


def _hub_snapshot(name: str, revision: str) -> Path | None:
    """The model in Hugging Face's own cache, read without its library."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{name.replace('/', '--')}"
    pointer = cache / "refs" / (revision or "main")
    commit = pointer.read_text().strip() if pointer.is_file() else revision
    snapshot = cache / "snapshots" / commit
    return snapshot if commit and _complete(snapshot) else None


def how_to_get(model: Model) -> str:
    """What a person does to put a missing model in place, in words."""
    size = f" ({model.known.megabytes} MB, {model.known.licence})" if model.known else ""
    if model.known and model.known.file:
        source = f"the file {model.known.url}{size} as {model.path}\n    (sha256 {model.known.sha256})"
    else:
        at = f"/tree/{model.revision}" if model.revision else ""
        source = (
            f"from https://huggingface.co/{model.name}{at}{size}: model.safetensors and all .json and .txt files "
            f"into the folder {model.path}"
        )
    return f"  put {source}"


TORCH = {"torch": "torch", "safetensors": "safetensors"}
"""The packages that training and using a network of one's own needs, for ``require``."""


def require(models: Sequence[Model], packages: Mapping[str, str]) -> None:
    """Refuse to start without what models need, in one message that names everything and the way out.

    Args:
        models: found with ``find_model``.
        packages: module names and what they are called in pip.

    Raises:
        UsageError: a package or weights are missing.
    """
    lacking = [pip for module, pip in packages.items() if importlib.util.find_spec(module) is None]
    missing = [model for model in models if not model.present]
    words = []
    if lacking:
        words.append(
            f"Python packages are missing: {', '.join(lacking)}. Install them:\n"
            f"  {sys.executable} -m pip install {' '.join(lacking)}"
        )
    if missing:
        words.append(
            f"the weights of {', '.join(model.name for model in missing)} are not on this machine.\n"
            "With a network: say --download (parameter segmentation.allow_download), or run\n"
            f"  seg2d3d models --download {' '.join(model.name for model in missing)}\n"
            "Without one, on a machine that has it download and then\n" + "\n".join(how_to_get(model) for model in missing)
        )
    if words:
        raise UsageError("\n".join(words))
