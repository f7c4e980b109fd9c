"""Fetch weights, only when the user said so: size first, progress, checksum, and a temporary name until all is there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import urllib.error
import urllib.request
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.networks.weights import COMPANIONS, WEIGHT_NAMES, Model, how_to_get
from seg2d3d_ros.progress import Progress, ProgressBars

log = logging.getLogger(__name__)
_CHUNK = 1 << 20


def download(model: Model, progress: Progress | None = None) -> None:
    """Put the files of ``model`` to ``model.path``.

    Args:
        progress: told ``(file, bytes done, bytes in all)``; None = bars on the terminal.

    Raises:
        DataError: no network, no such model, too little space, or a file that differs from its checksum. Nothing unfinished
            keeps its final name.
    """
    bars = ProgressBars()
    tell = progress or bars
    try:
        if model.known and model.known.file:
            facts = model.name, model.known.megabytes, model.known.licence, model.path
            log.info("downloading %s (%d MB; licence: %s) to %s", *facts)
            _fetch(model.known.url, model.path, model.known.sha256, tell)
        else:
            _from_hub(model, tell)
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        gated = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403)
        words = (
            f"{error}: its licence must be accepted on its page first, by somebody who is logged in" if gated else str(error)
        )
        raise DataError(f"{model.name} could not be downloaded ({words}). By hand:\n{how_to_get(model)}") from error
    finally:
        bars.close()


def _from_hub(model: Model, progress: Progress) -> None:
    """A Hub model: its file list with sizes and checksums, the weights in safetensors where there are any."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    revision = model.revision or "main"
    with _open(f"{endpoint}/api/models/{model.name}/revision/{revision}?blobs=true") as answer:
        facts = json.load(answer)
    files = {entry["rfilename"]: entry for entry in facts["siblings"] if "/" not in entry["rfilename"]}
    wanted = [files[name] for name in _choose(files, model.name)]
    total = sum(int(entry.get("size") or 0) for entry in wanted)
    log.info("downloading %s (%.0f MB; licence: %s) to %s", model.name, total / 1e6, _licence(model, facts), model.path)
    model.path.mkdir(parents=True, exist_ok=True)
    # Weights last: a folder counts as complete once they are there.
    for entry in sorted(wanted, key=lambda e: (int(e.get("size") or 0), e["rfilename"])):
        name, checksum = entry["rfilename"], (entry.get("lfs") or {}).get("sha256", "")
        _fetch(f"{endpoint}/{model.name}/resolve/{facts.get('sha', revision)}/{name}", model.path / name, checksum, progress)


def _licence(model: Model, facts: dict[str, Any]) -> str:
    """What is known here, or what the Hub says of a model that is not."""
    if model.known:
        return model.known.licence
    tags = [tag for tag in facts.get("tags") or () if isinstance(tag, str)]
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), "not stated, see its card")


def _choose(files: dict[str, Any], name: str) -> list[str]:
    """Configuration, tokenizer, and one set of weights."""
    weights = next((w for w in WEIGHT_NAMES if w in files), None)
    if weights is None:
        raise ValueError(f"{name} has none of {', '.join(WEIGHT_NAMES)}")
    suffix = ".safetensors" if "safetensors" in weights else ".bin"
    stem = weights.partition(".")[0]
    shards = [f for f in files if weights.endswith(".index.json") and fnmatch(f, f"{stem}-*{suffix}")]
    companions = [f for f in files if any(fnmatch(f, pattern) for pattern in COMPANIONS) and not f.endswith(".index.json")]
    return [*companions, *shards, weights]


def _fetch(url: str, path: Path, sha256: str, progress: Progress) -> None:
    """One file, with its checksum where known; what an interrupted try left over is continued."""
    if path.is_file() and (not sha256 or _digest(path) == sha256):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    done = partial.stat().st_size if partial.exists() else 0
    with _open(url, {"Range": f"bytes={done}-"} if done else {}) as answer:
        if answer.status != 206:
            done = 0
        total = done + int(answer.headers.get("Content-Length") or 0)
        if total - done > shutil.disk_usage(path.parent).free:
            raise OSError(f"{(total - done) / 1e6:.0f} MB do not fit onto the disk of {path.parent}")
        with partial.open("ab" if done else "wb") as out:
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                done += len(chunk)
                progress(path.name, done, total)
    if total and done != total:
        raise OSError(f"{url} broke off after {done} of {total} bytes; try again to continue")
    if sha256 and (found := _digest(partial)) != sha256:
        partial.unlink()
        raise ValueError(f"{url}: sha256 is {found}, expected {sha256}; the file was removed")
    partial.replace(path)


def _open(url: str, headers: dict[str, str] | None = None) -> Any:
    return urllib.request.urlopen(
        urllib.request.Request(url, headers={"User-Agent": "seg2d3d_ros", **(headers or {})}), timeout=30
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
