"""An embedding for each instance of a map: the mean over its best pictures, with and without what is around it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.language.instance_crops import Box, InstanceCrop, cut_out, largest_views, view_weights
from seg2d3d_ros.language.text_image_model import TextImageModel, normalized
from seg2d3d_ros.mapstore.files.embeddings_file import VERSION, Embeddings, read_embeddings, write_embeddings
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages
from seg2d3d_ros.progress import Progress

INSTANCES_UNSEEN = Kind(
    "instances_unseen",
    "instances that words cannot find or name",
    cause="none of their pictures can be used ({reason})",
    remedy="put the photographs back where they were, and ask again",
)
VIEWS_UNUSED = Kind(
    "views_unused",
    "pictures of instances that their embeddings lack",
    cause="the photograph or its label image cannot be used ({reason})",
    remedy="put the photographs back where they were, and ask again; the other pictures of the instances were used",
)
log = logging.getLogger(__name__)


def embed_map(
    store: MapStore, model: TextImageModel, views: int, findings: Findings, progress: Progress | None = None
) -> Embeddings:
    """The embeddings of all instances of a map that have a picture, kept in ``MAP/embeddings.npz``.

    Those that are there are used where the model is the same and nothing about an instance's pictures has changed; where
    there is nothing to do, the model is not even loaded.

    Args:
        views: how many pictures of an instance count, the largest ones.
        findings: gets the pictures and instances that could not be used.

    Raises:
        DataError: a damaged tracks.json, unsuitable weights, or a full disk.
    """
    instances = store.read_tracks()["instances"]
    chosen = {int(item["id"]): largest_views(item, views) for item in instances}
    digests = _digests(store, instances, chosen)
    kept = _kept(store, model, digests, chosen)
    todo = {number: boxes for number, boxes in chosen.items() if number not in kept}
    log.debug("embeddings: %d of %d instances are kept", len(kept), len(chosen))
    made = _embed(store, model, todo, findings, progress) if todo else {}
    rows = {number: (vector, digests[number], count) for number, (vector, count) in made.items()}
    rows |= {number: (vector, digests[number], count) for number, (vector, count) in kept.items()}
    ids = sorted(rows)
    vectors = np.array([rows[number][0] for number in ids], np.float32) if ids else np.zeros((0, 1), np.float32)
    texts, counts = [rows[number][1] for number in ids], [rows[number][2] for number in ids]
    result = Embeddings(
        model.name, model.fingerprint, np.array(ids, np.int32), vectors, np.array(texts, np.str_), np.array(counts, np.int32)
    )
    if todo or len(kept) != len(chosen):
        write_embeddings(store.root, result)
    return result


def _digests(
    store: MapStore, instances: Sequence[Mapping[str, Any]], chosen: Mapping[int, Mapping[str, Box]]
) -> dict[int, str]:
    """For each instance a text that changes with the choice of its pictures and with the label images of these."""
    labels: dict[str, str] = {}

    def content(name: str) -> str:
        if name not in labels:
            path = store.label_path(name)
            labels[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        return labels[name]

    found = {}
    for item in instances:
        number = int(item["id"])
        facts = [VERSION, number, [(name, box, content(name)) for name, box in chosen[number].items()]]
        found[number] = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return found


def _kept(
    store: MapStore, model: TextImageModel, digests: Mapping[int, str], chosen: Mapping[int, Mapping[str, Box]]
) -> dict[int, tuple[np.ndarray, int]]:
    """What is there and still holds; not where a picture was missing, which may be back."""
    try:
        old = read_embeddings(store.root)
    except DataError as error:
        log.warning("%s", error)
        return {}
    if old is None or (old.model, old.fingerprint) != (model.name, model.fingerprint):
        return {}
    rows = zip(old.ids.tolist(), old.vectors, old.digests.tolist(), old.views.tolist(), strict=True)
    return {
        number: (vector, count)
        for number, vector, digest, count in rows
        if digests.get(number) == digest and count == len(chosen[number])
    }


def _embed(
    store: MapStore,
    model: TextImageModel,
    todo: Mapping[int, Mapping[str, Box]],
    findings: Findings,
    progress: Progress | None,
) -> dict[int, tuple[np.ndarray, int]]:
    """Vector and number of pictures of each instance; each photograph is decoded once."""
    by_image: dict[str, list[int]] = defaultdict(list)
    for number, boxes in todo.items():
        for name in boxes:
            by_image[name].append(number)
    photos = StoredImages(store)
    side, neutral = model.side, model.neutral
    found: dict[int, list[tuple[np.ndarray, float, float]]] = defaultdict(list)
    reason, total = "the label images do not show them", sum(map(len, by_image.values()))
    for done, (name, numbers) in enumerate(sorted(by_image.items())):
        if progress is not None:
            progress("embeddings", done, len(by_image))
        try:
            image, labels = photos[name], store.read_labels(name)
        except (Seg2d3dError, OSError) as error:
            reason = str(error)
            findings.add(VIEWS_UNUSED, name, count=len(numbers), of=total, reason=reason)
            continue
        cut = [(number, cut_out(image, labels, number, todo[number][name], side, neutral)) for number in numbers]
        crops = [(number, crop) for number, crop in cut if crop is not None]
        if len(crops) < len(cut):
            findings.add(VIEWS_UNUSED, name, count=len(cut) - len(crops), of=total, reason="its label image lacks the instance")
        for (number, crop), vector in zip(crops, _vectors(model, [crop for _, crop in crops]), strict=True):
            found[number].append((vector, crop.size, crop.sharpness))
    if progress is not None:
        progress("embeddings", len(by_image), len(by_image))
    if unseen := [number for number in todo if number not in found]:
        findings.add(INSTANCES_UNSEEN, *map(str, unseen), of=len(todo), reason=reason)
    return {number: (_mean(views), len(views)) for number, views in found.items()}


def _vectors(model: TextImageModel, crops: Sequence[InstanceCrop]) -> np.ndarray:
    """(N, D): of each crop the mean with and without background."""
    both = model.images([picture for crop in crops for picture in (crop.whole, crop.alone)])
    return normalized(both.reshape(len(crops), 2, -1).mean(axis=1)) if crops else np.zeros((0, 1), np.float32)


def _mean(views: Sequence[tuple[np.ndarray, float, float]]) -> np.ndarray:
    vectors, sizes, sharpness = zip(*views, strict=True)
    weights = view_weights(np.array(sizes), np.array(sharpness))
    return normalized((weights[:, None] * np.array(vectors)).sum(axis=0)[None])[0]
