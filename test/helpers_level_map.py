"""A map directory of the row of house fronts (helpers_levels) with its overlapping masks, labelled at a granularity."""

import numpy as np
from helpers_levels import HEIGHT, NAMES, WIDTH, cut_at_random, street_front
from helpers_report import write_sparse

from seg2d3d_ros.config import load_config
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.mapstore.directory.marker import WHOLE, Marker, write_marker
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import reconstruction_counts, write_association_figures
from seg2d3d_ros.segmentation.finest import flat_choice
from seg2d3d_ros.types import Keyframe

MODEL = street_front(4)
MASKS, SHOWN = cut_at_random(4)


def configured(granularity: str):
    values = {"segmentation.prompts": ("object",), "association.granularity": granularity, "association.enough_points": 0}
    return load_config(overrides={**values, "association.overlay_width": 64})


def labelled(root, granularity="coarse"):
    """A map directory with a finished map."""
    store, config = MapStore(root), configured(granularity)
    picture = encode_png(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    records = []
    for name in NAMES:
        keyframe = Keyframe(name, "camera", 0, picture, MODEL.cameras[0], file_name=f"{name}.png")
        records.append(KeyframeRecord.of(keyframe, store.write_image(keyframe).relative_to(root)))
    store.write_keyframes(records)
    write_sparse(root, MODEL)
    store.write_config(config)
    session = AssociationSession(store, config)
    for name in NAMES:
        session.receive(flat_choice(MASKS[name]))
    revision = session.update([MODEL], full=True)
    store.update_metrics({"counts": reconstruction_counts(len(NAMES), [MODEL]), "unregistered": [], "timings": {}})
    write_association_figures(store, revision, 1.0)
    write_marker(root, Marker.new(WHOLE))
    return store, session, revision
