"""A small street on the Earth, with boxes and a covariance, to be exported."""

from pathlib import Path

import numpy as np
from helpers_report import street

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.store import MapStore

DATUM = (55.7, 13.19, 40.0)
COVARIANCE = [[0.04, 0.01, 0.0], [0.01, 0.09, 0.0], [0.0, 0.0, 0.01]]
HOUSES = 4


def exported_map(root: Path, *, on_earth: bool = True, component: int = 0) -> MapStore:
    """Four houses of known boxes; instance 2 has a covariance, instance 4 no box, and belongs to ``component``."""
    store = street(root, houses=HOUSES, stops=3, points=800)
    tracks = store.read_tracks()
    datum = dict(zip(("latitude", "longitude", "altitude"), DATUM, strict=True))
    tracks["frame"] = {"kind": "enu", "datum": datum} if on_earth else {"kind": "arbitrary"}
    for item in tracks["instances"]:
        number = item["id"]
        item["score"] = 0.5 + number / 10
        for observed in item["observations"]:
            observed["detector_score"] = 0.8
        if number == HOUSES:
            item["component"] = component
            continue
        turn = 0.1 * number
        item["box3d"] = {
            "center": [8.0 * number, 10.0 - number, 3.0],
            "size": [8.0, 2.0, 6.0 + number],
            "quaternion_xyzw": [0.0, 0.0, float(np.sin(turn / 2)), float(np.cos(turn / 2))],
        }
    tracks["instances"][1]["covariance"] = COVARIANCE
    tracks["instances"][2]["class"] = "lamp post"
    write_json(store.root / "tracks.json", tracks)
    return store


def contents_of(store: MapStore, **options) -> tuple[Contents, Findings]:
    """What an exporter gets, and what it tells of."""
    findings = Findings()
    return Contents.of(store, findings=findings, **options), findings


def codes_of(findings: Findings) -> list[str]:
    """The codes of what was told."""
    return [finding.kind.code for finding in findings.list()]
