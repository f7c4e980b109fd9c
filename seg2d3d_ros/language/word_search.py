"""Which instances words mean: ranked by similarity, with a measure of whether the words mean them at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.wgs84 import from_enu
from seg2d3d_ros.language.embedding import embed_map
from seg2d3d_ros.language.instance_crops import Box, largest_views
from seg2d3d_ros.language.text_image_model import TextImageModel
from seg2d3d_ros.mapstore.files.embeddings_file import Embeddings
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.sections.words_config import WordsConfig

NEUTRAL = ("object", "things", "stuff", "texture")
"""Words that fit everything: what fits them better than the words that were asked for is no answer (LERF, arXiv 2303.09553,
section 4.2)."""
PICTURES = 4
"""Pictures of an instance that an answer names."""

FOUND_DOUBTFUL = Kind(
    "found_doubtful",
    "instances listed although words that fit everything fit them better",
    cause="the map may not have what was asked for; they are only the nearest there is",
    remedy="look at them in the contact sheet, or say it in other words",
)
NO_POSITION = Kind(
    "found_without_position",
    "instances found that have no position",
    cause="too few 3D points belong to them for a box",
    remedy="their images are named; more keyframes of the place would give points",
)


@dataclass(frozen=True)
class Found:
    """An instance as the answer to words.

    Attributes:
        id: of the instance.
        class_name: what the map calls it.
        similarity: cosine of the angle between the words' vector and its own.
        relevance: probability, by the model's own scale, that it is what was asked for and not what any of ``NEUTRAL`` says,
            the least of the four; below one half the answer is doubtful.
        position: (3,) centre of its box in the map's frame, or None.
        geographic: latitude and longitude in degrees and altitude in metres of it, where the map is georeferenced, else None.
        boxes: ``x0 y0 x1 y1`` in the images that show it largest.
    """

    id: int
    class_name: str
    similarity: float
    relevance: float
    position: tuple[float, float, float] | None
    geographic: tuple[float, float, float] | None
    boxes: Mapping[str, Box]

    @property
    def doubtful(self) -> bool:
        """Whether neutral words fit it better."""
        return self.relevance < 0.5

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and the topic."""
        place = (
            None if self.geographic is None else dict(zip(("latitude", "longitude", "altitude"), self.geographic, strict=True))
        )
        return {
            "id": self.id,
            "class": self.class_name,
            "similarity": round(self.similarity, 4),
            "relevance": round(self.relevance, 4),
            "position": None if self.position is None else [round(value, 3) for value in self.position],
            "geographic": place,
            "images": [{"image": name, "box": list(box)} for name, box in self.boxes.items()],
        }


def find(
    words: str, tracks: Mapping[str, Any], embeddings: Embeddings, model: TextImageModel, top: int, findings: Findings
) -> list[Found]:
    """The ``top`` instances that are most like the words, the best first.

    Args:
        tracks: the content of tracks.json.
        embeddings: of its instances, by the same model; those that are not in ``tracks`` are left out.
        findings: gets what is doubtful about the answer.

    Raises:
        UsageError: no words, or too many.
    """
    by_id = {int(item["id"]): item for item in tracks["instances"]}
    rows = [row for row, number in enumerate(embeddings.ids.tolist()) if number in by_id]
    if not rows:
        return []
    texts = model.texts([words, *NEUTRAL])
    similarity = embeddings.vectors[rows] @ texts.T
    relevance = 1.0 / (1.0 + np.exp(np.clip(model.scale * (similarity[:, 1:].max(axis=1) - similarity[:, 0]), -50, 50)))
    order = np.lexsort((embeddings.ids[rows], -similarity[:, 0]))[:top]
    datum = (tracks.get("frame") or {}).get("datum")
    found = [
        _found(by_id[int(embeddings.ids[rows[place]])], float(similarity[place, 0]), float(relevance[place]), datum)
        for place in order
    ]
    doubtful, nowhere = [item for item in found if item.doubtful], [item for item in found if item.position is None]
    if doubtful:
        findings.add(FOUND_DOUBTFUL, *(str(item.id) for item in doubtful), of=len(found))
    if nowhere:
        findings.add(NO_POSITION, *(str(item.id) for item in nowhere), of=len(found))
    return found


def search_map(
    store: MapStore,
    words: str,
    model: TextImageModel,
    config: WordsConfig,
    top: int,
    findings: Findings,
    progress: Progress | None = None,
) -> list[Found]:
    """``find`` in a map directory, whose embeddings are brought up to date first. Raises like it and ``embed_map``."""
    embeddings = embed_map(store, model, config.views, findings, progress)
    return find(words, store.read_tracks(), embeddings, model, top, findings)


def _found(item: Mapping[str, Any], similarity: float, relevance: float, datum: Mapping[str, float] | None) -> Found:
    center = (item.get("box3d") or {}).get("center")
    position = None if center is None else (float(center[0]), float(center[1]), float(center[2]))
    geographic = None
    if position is not None and datum is not None:
        origin = (datum["latitude"], datum["longitude"], datum["altitude"])
        (place,) = from_enu(np.array([position]), origin)
        geographic = place.latitude, place.longitude, place.altitude
    boxes = largest_views(item, PICTURES)
    return Found(int(item["id"]), str(item["class"]), similarity, relevance, position, geographic, boxes)
