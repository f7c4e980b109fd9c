"""Load weights and nothing but weights: a checkpoint is somebody else's file, and a pickle can hold a program."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.networks.weights import WEIGHT_NAMES


def read_state(path: Path) -> dict[str, Any]:
    """The tensors of a ``.pth``/``.pt``/``.bin`` or ``.safetensors`` file by name, on the CPU.

    Raises:
        DataError: a file that cannot be read, is cut off, holds something else than tensors, or holds code.
    """
    import torch

    state: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise DataError(
                f"{path}: refused: the file holds Python objects or code beside its weights ({_first_line(error)}); "
                "it could run a program when loaded. Take the official file, or one in safetensors format"
            ) from error
        raise DataError(f"{path}: no checkpoint, or a damaged one ({_first_line(error)}); get the file again") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged or cut off ({_first_line(error)}); get the file again") from error
    except Exception as error:
        # safetensors raises its own class without a public base.
        if type(error).__module__.partition(".")[0] not in ("safetensors", "safetensors_rust", "builtins"):
            raise
        raise DataError(f"{path}: damaged or cut off ({_first_line(error)}); get the file again") from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{path}: holds no weights (tensors by name); take the official file")
    return state


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in one of a model's files.

    Raises:
        DataError: no such file, or something else in it.
    """
    # Tokenizers write 10³⁰ for "no limit".
    document = read_json(path, remedy="get the file again", unreadable=DataError, lenient=True)
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected a JSON object; get the file again")
    return document


def load_pretrained(cls: Any, folder: Path, **options: Any) -> Any:
    """``cls.from_pretrained(folder)`` without network, without anybody's code, and with weights that fit.

    Args:
        cls: a model, processor or tokenizer class of transformers.

    Raises:
        DataError: damaged, incomplete or unsuitable files, or files that want to bring their own code.
    """
    from transformers.utils import logging as transformers_logging

    # A bar for each file, and remarks that the checks here say better.
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    _refuse_code(folder)
    is_model = hasattr(cls, "from_config") or hasattr(cls, "base_model_prefix")
    if is_model:
        options = {**_weights(folder), "output_loading_info": True, **options}
    try:
        loaded = cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except DataError:
        raise
    except Exception as error:
        # What transformers raises for a bad folder is not declared: OSError, ValueError, KeyError, RuntimeError, its own.
        raise DataError(
            f"{folder}: cannot be loaded as {cls.__name__} ({type(error).__name__}: {_first_line(error)}); "
            "the folder is incomplete, damaged, or of another kind of model"
        ) from error
    if not is_model:
        return loaded
    model, report = loaded
    # Buffers that old files lack are computed, parameters would be random.
    parameters = {name for name, _ in model.named_parameters()}
    missing = [*(set(report["missing_keys"]) & parameters), *(str(key[0]) for key in report.get("mismatched_keys", ()))]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} weights are missing or of another shape, e.g. {missing[0]}; the file belongs to "
            "another model than config.json says"
        )
    return model.eval()


def _refuse_code(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if path.is_file() and _names_code(read_config(path)):
            raise DataError(f"{path}: refused: this model brings its own Python code (auto_map), which is never run here")


def _names_code(value: Any) -> bool:
    """Whether a configuration, or one inside it, names Python code that the model brings."""
    if isinstance(value, dict):
        return "auto_map" in value or any(_names_code(part) for part in value.values())
    return isinstance(value, list) and any(_names_code(part) for part in value)


def _weights(folder: Path) -> dict[str, Any]:
    """How to load the weights; pickled ones are read once with nothing but tensors allowed."""
    chosen = next((name for name in WEIGHT_NAMES if (folder / name).is_file()), None)
    if chosen is None:
        raise DataError(f"{folder}: holds no weights: none of {', '.join(WEIGHT_NAMES)}")
    if chosen.startswith("model.safetensors"):
        return {"use_safetensors": True}
    for path in sorted(folder.glob("pytorch_model*.bin")):
        read_state(path)
    return {"use_safetensors": False}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
