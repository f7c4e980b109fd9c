"""Maps of two house fronts (helpers_level_map) to be corrected, and what must hold in each map after any correction."""

import numpy as np

from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, POINT, read_points
from seg2d3d_ros.mapstore.store import MapStore


def tracks(root) -> dict[int, dict]:
    return {item["id"]: item for item in MapStore(root).read_tracks()["instances"]}


def labels(root) -> dict[str, np.ndarray]:
    return {path.stem: read_labels(path) for path in sorted((root / "labels").glob("*.png"))}


def content(root) -> dict:
    """All that shows labels: equal contents are equal maps."""
    clouds = {}
    for file, layout in {"points.ply": POINT, "points_rgb.ply": POINT, "dense.ply": CLOUD_POINT}.items():
        if (root / file).exists():
            points = read_points(root / file, layout)
            clouds[file] = (points["instance"].tolist(), points["confidence"].tolist())
    pictures = {name: picture.tobytes() for name, picture in labels(root).items()}
    return {"tracks": MapStore(root).read_tracks(), "labels": pictures, "clouds": clouds}


def assert_consistent(root) -> None:
    """Label images, tracks and clouds tell of the same instances at the same places."""
    known, pictures = tracks(root), labels(root)
    seen = {(name, i) for name, picture in pictures.items() for i in np.unique(picture).tolist() if i}
    assert seen == {(o["image"], i) for i, item in known.items() for o in item["observations"]}
    for i, item in known.items():
        for observation in item["observations"]:
            x0, y0, x1, y1 = observation["box"]
            assert (pictures[observation["image"]][y0:y1, x0:x1] == i).any()
    points = read_points(root / "points.ply")
    assert set(points["instance"].tolist()) - {0} <= set(known)
    for i, item in known.items():
        assert item["points"] == (points["instance"] == i).sum()
    counts = MapStore(root).read_metrics()["counts"]
    assert counts["instances"] == len(known)
    assert counts["labelled_points"] == sum(item["points"] for item in known.values())


def pixels(root, instance) -> int:
    return sum(int((picture == instance).sum()) for picture in labels(root).values())


def codes(root) -> dict[str, int]:
    return {entry["code"]: entry["count"] for entry in MapStore(root).read_metrics().get("findings", ())}
