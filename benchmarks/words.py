#!/usr/bin/env python3
"""How well words find and name instances, and the picture in docs/words.md.

Trains a small CLIP and a small SigLIP on streets of its own (``test/helpers_words.py``: fronts with the simulator's textures)
and asks them about maps of other streets, with all pictures and with a part of them:

    python benchmarks/words.py [--maps 3] [--picture docs/images/words.png]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))
import helpers_words

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.language.classification import name_instances
from seg2d3d_ros.language.contact_sheet import contact_sheet
from seg2d3d_ros.language.embedding import embed_map
from seg2d3d_ros.language.text_image_model import TextImageModel
from seg2d3d_ros.language.word_search import find
from seg2d3d_ros.mapstore.files.embeddings_file import FILE
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.networks.weights import find_model

ASKED = "blue plaster tower"


class Half:
    """A model that is shown one of the two pictures of each view."""

    def __init__(self, model: TextImageModel, which: int):
        self._model, self._which = model, which

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def images(self, pictures):
        """The vectors of every other picture, twice."""
        return np.repeat(self._model.images(pictures[self._which :: 2]), 2, axis=0)


def figures(store: MapStore, truth: dict[int, str], model, views: int) -> tuple[float, float, float]:
    """Share of descriptions whose first answer is right, mean of 1 / rank, and share of instances that are named right."""
    (store.root / FILE).unlink(missing_ok=True)
    findings = Findings()
    embeddings, tracks = embed_map(store, model, views, findings), store.read_tracks()
    ranks = []
    for number, name in truth.items():
        order = [item.id for item in find(name, tracks, embeddings, model, len(truth), findings)]
        ranks.append(order.index(number) + 1)
    named = name_instances(list(truth.values()), tracks, embeddings, model, 0.0, findings)
    right = np.mean([truth[item.id] == item.class_name for item in named])
    return float(np.mean(np.array(ranks) == 1)), float(np.mean(1 / np.array(ranks))), float(right)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        maps = [(root / f"map{k}", helpers_words.write_words_map(root / f"map{k}", seed=100 + k)) for k in range(args.maps)]
        print("model   pictures                    first right  1/rank  named right   (means of", args.maps, "maps)")
        for kind in ("clip", "siglip"):
            helpers_words.train(helpers_words.write_model(root / kind, kind), kind, steps=220, crops=10)
            model = TextImageModel(find_model(str(root / kind), root), Runtime("cpu", "full"))
            rows = {
                "all views, both": (model, 6),
                "with background": (Half(model, 0), 6), "without background": (Half(model, 1), 6),
                "largest view, both": (model, 1),
            }  # fmt: skip
            for words, (asked, views) in rows.items():
                found = np.mean([figures(MapStore(folder), truth, asked, views) for folder, truth in maps], axis=0)
                print(f"{kind:<8}{words:<28}{found[0]:>10.3f}{found[1]:>10.3f}{found[2]:>10.3f}", flush=True)
            if args.picture and kind == "clip":
                store = MapStore(maps[0][0])
                found = find(ASKED, store.read_tracks(), embed_map(store, model, 6, Findings()), model, 4, Findings())
                args.picture.write_bytes(contact_sheet(store, ASKED, found))


if __name__ == "__main__":
    main()
