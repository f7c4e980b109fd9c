"""What is fuzzed, too: files of other programs, of learning and of live maps, and single messages of a recording."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))
from helpers_bags import JAZZY, ROS2, SECOND, START, jpeg, view, wall
from helpers_exported_map import exported_map
from helpers_learning import street_scene
from rosbags.rosbag2 import StoragePlugin, Writer

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.config import Config
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.keyframes.bag_keyframes import read_bag
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.keyframes.video.track_file import read_track
from seg2d3d_ros.lidar.kept_scans import KeptScans
from seg2d3d_ros.lidar.scans import Scan, read_scan
from seg2d3d_ros.mapstore.directory.inventory import NAMES_FILE, known_names
from seg2d3d_ros.mapstore.files.embeddings_file import Embeddings, read_embeddings, write_embeddings
from seg2d3d_ros.mapstore.files.prompts_file import read_prompts
from seg2d3d_ros.mapstore.journal import IdentityJournal

Read = Callable[[Path, Findings], Any]
CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"


def cloud(name: str) -> Read:
    """A cloud as ``segment`` reads it; its header alone says how many points there are."""

    def read(root: Path, _findings: Findings) -> Any:
        from seg2d3d_ros.learning.cloud_reading import read_cloud_file

        read_cloud_file(root / name)

    return read


def register(name: str, layer: str | None = None) -> Read:
    """A register as ``compare`` reads it."""

    def read(root: Path, findings: Findings) -> Any:
        import pyproj

        from seg2d3d_ros.comparison.register_file import read_register

        return len(read_register(root / name, pyproj.CRS.from_epsg(32633), findings, layer=layer))

    return read


def track(name: str) -> Read:
    """Positions of a video; nobody can tell that a whole line is gone."""
    return lambda root, findings: bool(read_track(root / name, findings).fixes)


def headers(root: Path, findings: Findings) -> Any:
    """Photographs with EXIF positions: a damaged header costs no more than itself."""
    return len(list(read_folder(root / "exif", camera=None, gps="exif", order="name", findings=findings)))


def video(root: Path, findings: Findings) -> Any:
    """A short drive."""
    from seg2d3d_ros.keyframes.video.video_keyframes import read_video

    return len(list(read_video(root / "drive.mp4", track=root / "video.gpx", findings=findings)))


def given_model(name: str) -> Read:
    """A finished model as ``run --model`` opens it."""

    def read(root: Path, _findings: Findings) -> Any:
        from seg2d3d_ros.reconstruction.given_model import model_poses

        return len(model_poses(root / name))

    return read


def weights(root: Path, _findings: Findings) -> Any:
    """A trained network's tensors and description; whether they fit the network is seen when they are put into it."""
    from seg2d3d_ros.networks.training.weights_folder import read_weights

    read_weights(root / "model", "street", 1)


def data_set(root: Path, findings: Findings) -> Any:
    """The card and its scenes."""
    from seg2d3d_ros.learning.dataset_folder import read_card

    return [len(scene.xyz) for scene in read_card(root / "data").scenes("train", findings)]


def embeddings(root: Path, _findings: Findings) -> Any:
    """Vectors of instances."""
    found = read_embeddings(root)
    return None if found is None else len(found)


def prompts(root: Path, _findings: Findings) -> Any:
    """Objects that somebody asked for."""
    found = read_prompts(root / "prompted")
    return None if found is None else [(item.id, len(item.clicks), len(item.regions)) for item in found.objects]


def scans(root: Path, _findings: Findings) -> Any:
    """A live LiDAR's scans."""
    return [len(scan.xyz) for scan in KeptScans(root / "scans", 1 << 20)]


def journal(root: Path, _findings: Findings) -> Any:
    """A live map's ids; nobody can tell that a whole line is gone."""
    IdentityJournal(root / "journal").read()


def names(root: Path, _findings: Findings) -> Any:
    """Names of keyframes; they only say what is the map's own, so fewer is no harm."""
    known_names(root / "journal")


def messages(root: Path, findings: Findings) -> Any:
    """A recording of single messages, of which one is damaged: it costs no more than itself."""
    target = root / "rebuilt"
    with Writer(target, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for path in sorted((root / "messages").iterdir()):
            _, kind, _ = path.name.split(".")
            topic, msgtype, _ = MESSAGES[kind]
            if kind not in connections:
                connections[kind] = writer.add_connection(topic, msgtype, typestore=JAZZY)
            writer.write(connections[kind], START + int(path.name[:4]), path.read_bytes())
    with read_bag(target, config=Config().keyframes, findings=findings) as recording:
        return len(list(recording)) >= COUNT - 1


def scan_message(root: Path, _findings: Findings) -> Any:
    """One cloud."""
    try:
        message: Any = JAZZY.deserialize_cdr((root / "cloud.cdr").read_bytes(), CLOUD_TYPE)
    except Exception as error:  # the library's, which recordings and DDS deal with
        raise DataError(f"no message ({error})") from error
    read_scan(message, "/points")


def compared(root: Path, _findings: Findings) -> Any:
    """Two maps, of which the other is damaged."""
    if code := main(["compare", str(root / "street"), "--with", str(root / "other"), "--json"]):
        raise SystemExit(code)


COUNT = 6
MESSAGES = {
    "image": (
        "/front/image/compressed",
        "sensor_msgs/msg/CompressedImage",
        lambda k, t: ROS2.compressed(t, "front", PHOTOS[k]),
    ),
    "info": (
        "/front/camera_info",
        "sensor_msgs/msg/CameraInfo",
        lambda k, t: ROS2.info(t, "front", 160, 120, (140, 140, 80, 60)),
    ),
    "fix": ("/fix", "sensor_msgs/msg/NavSatFix", lambda k, t: ROS2.fix(t, 55.7 + k * 1e-4, 13.2)),
}
PHOTOS = [jpeg(view(wall(3), 30 * k)) for k in range(COUNT)]
OTHERS: dict[str, tuple[tuple[str, ...], Read, dict[str, bool]]] = {
    "cloud ply": (("clouds/a.ply",), cloud("clouds/a.ply"), {}),
    "cloud text": (("clouds/b.ply",), cloud("clouds/b.ply"), {"text": True}),
    "cloud las": (("clouds/c.laz",), cloud("clouds/c.laz"), {}),
    "geojson": (("register/a.geojson",), register("register/a.geojson"), {"text": True}),
    "geopackage": (("register/b.gpkg",), register("register/b.gpkg", "instances"), {}),
    "gpx": (("tracks/a.gpx",), track("tracks/a.gpx"), {"text": True}),
    "nmea": (("tracks/b.nmea",), track("tracks/b.nmea"), {"text": True}),
    "track table": (("tracks/c.csv",), track("tracks/c.csv"), {"text": True}),
    "exif": (("exif/*.jpg",), headers, {"loses_nothing": True}),
    "video": (("drive.mp4",), video, {}),
    "model": (("given/0/*.bin",), given_model("given/0"), {}),
    "model text": (("given/text/*.txt",), given_model("given/text"), {"text": True}),
    "weights": (("model/model.safetensors", "model/config.json"), weights, {}),
    "data set": (("data/*.npz", "data/dataset.json"), data_set, {}),
    "embeddings": (("embeddings.npz",), embeddings, {}),
    "prompts": (("prompted/prompts.json",), prompts, {"text": True}),
    "scans": (("scans/*.npz",), scans, {"loses_nothing": True}),
    "journal": (("journal/.identity.jsonl",), journal, {"text": True, "loses_nothing": True}),
    "names": ((f"journal/{NAMES_FILE}",), names, {"text": True, "loses_nothing": True}),
    "messages": (("messages/*",), messages, {"loses_nothing": True}),
    "cloud message": (("cloud.cdr",), scan_message, {}),
    "other map": (("other/*.json", "other/*.ply", "other/labels/*", "other/sparse/0/*"), compared, {}),
}
"""Name -> the files, the reader, and other attributes of a ``Target``."""


def make_other_inputs(base: Path, wanted: set[str]) -> None:
    """Good input."""
    makers: dict[Callable[[Path], None], tuple[str, ...]] = {
        _make_clouds: ("cloud ply", "cloud text", "cloud las"),
        _make_registers: ("geojson", "geopackage", "other map", "model", "model text"),
        _make_tracks: ("gpx", "nmea", "track table", "video"),
        _make_photos: ("exif",),
        _make_video: ("video",),
        _make_learning: ("weights", "data set"),
        _make_map_files: ("embeddings", "prompts", "scans", "journal", "names"),
        _make_messages: ("messages", "cloud message"),
    }
    for make, for_whom in makers.items():
        if wanted & set(for_whom):
            make(base)


def _make_clouds(base: Path) -> None:
    import laspy

    (base / "clouds").mkdir()
    rng = np.random.default_rng(2)
    points = np.zeros(300, [(axis, "<f4") for axis in "xyz"] + [(color, "u1") for color in ("red", "green", "blue")])
    for name in points.dtype.names or ():
        points[name] = rng.random(300) * 50
    properties = "".join(f"property {'float' if n in 'xyz' else 'uchar'} {n}\n" for n in points.dtype.names or ())
    for name, form, body in (
        ("a.ply", "binary_little_endian", points.tobytes()),
        ("b.ply", "ascii", "".join(" ".join(f"{v:g}" for v in row) + "\n" for row in points.tolist()).encode()),
    ):
        head = f"ply\nformat {form} 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
        (base / "clouds" / name).write_bytes(head.encode() + body)
    las = laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
    las.x, las.y, las.z = points["x"], points["y"], points["z"]
    las.write(base / "clouds/c.laz")


def _make_registers(base: Path) -> None:
    (base / "register").mkdir()
    store = exported_map(base / "street")
    shutil.copytree(store.root, base / "other")
    for kind, name in (("geojson", "a.geojson"), ("gpkg", "b.gpkg")):
        if main(["export", str(store.root), "--format", kind, "--out", str(base / "register" / name)]):
            raise SystemExit("no register")
    from seg2d3d_ros.colmap import pycolmap

    shutil.copytree(store.root / "sparse/0", base / "given/0")
    (base / "given/text").mkdir()
    pycolmap.Reconstruction(store.root / "sparse/0").write_text(base / "given/text")


def _make_tracks(base: Path) -> None:
    (base / "tracks").mkdir()
    gpx, nmea, table = "<gpx><trk><trkseg>", "", "time,latitude,longitude,altitude\n"
    for k in range(20):
        moment = f"2024-05-06T07:08:{k:02d}Z"
        gpx += f'<trkpt lat="51.{k:02d}" lon="13.1"><ele>100</ele><time>{moment}</time><hdop>1</hdop></trkpt>\n'
        table += f"{moment},51.{k:02d},13.1,100\n"
        place = f"5106.{k:02d},N,01306.00,E"
        for words in (
            f"GPRMC,0708{k:02d}.00,A,{place},10.0,0.0,060524,,",
            f"GPGGA,0708{k:02d}.00,{place},1,8,1.0,100.0,M,45.0,M,,",
        ):
            check = 0
            for letter in words.encode():
                check ^= letter
            nmea += f"${words}*{check:02X}\r\n"
    gpx += "</trkseg></trk></gpx>"
    for name, text in (("a.gpx", gpx), ("b.nmea", nmea), ("c.csv", table)):
        (base / "tracks" / name).write_text(text)
    (base / "video.gpx").write_text(gpx)


def _make_photos(base: Path) -> None:
    from PIL import Image

    (base / "exif").mkdir()
    for k in range(3):
        tags = Image.Exif()
        tags.update({0x010F: "maker", 0x0110: "camera"})
        tags.get_ifd(0x8769).update({0xA405: 28, 0x9003: f"2024:05:06 07:08:{k:02d}"})
        tags.get_ifd(0x8825).update({1: "N", 2: (55.0, 41.0, 53.4 + k), 3: "E", 4: (13.0, 11.0, 2.0), 5: b"\0", 6: 31.0})
        out = io.BytesIO()
        Image.fromarray(view(wall(3), 30 * k)[..., ::-1].copy()).save(out, "JPEG", exif=tags)
        (base / f"exif/{k}.jpg").write_bytes(out.getvalue())


def _make_video(base: Path) -> None:
    import av

    with av.open(str(base / "drive.mp4"), "w") as container:
        container.metadata["creation_time"] = "2024-05-06T07:08:09Z"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for k in range(12):
            pixels = np.ascontiguousarray(view(wall(3), 20 * k)[..., ::-1])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _make_learning(base: Path) -> None:
    import torch

    from seg2d3d_ros.learning.dataset_folder import CARD, FORMAT, VERSION, write_scene
    from seg2d3d_ros.networks.training.weights_folder import MODEL, describe, write_tensors

    scene, *_ = street_scene()
    (base / "data").mkdir()
    write_scene(base / "data/a.npz", scene)
    scenes = [{"file": "a.npz", "split": "train"}]
    write_json(base / "data" / CARD, {"format": FORMAT, "version": VERSION, "voxel": 0.25, "text": 0, "scenes": scenes})
    (base / "model").mkdir()
    describe(base / "model", "street", 1, {"width": 4}, {"steps": 3})
    write_tensors(base / "model" / MODEL, {f"layer{k}.weight": torch.ones(4, 4) for k in range(3)}, {"width": 4})


def _make_map_files(base: Path) -> None:
    ids, vectors, digests = np.arange(1, 4, dtype=np.int32), np.eye(3, 8, dtype=np.float32), np.array(["a", "b", "c"])
    write_embeddings(base, Embeddings("siglip", "ab", ids, vectors, digests, np.ones(3, np.int32)))
    kept = KeptScans(base / "scans", 1 << 20)
    row = np.arange(40, dtype=np.int32)
    for k in range(3):
        kept.add(Scan(k + 1, "lidar", np.ones((40, 3), np.float32), np.ones(40, np.float32), None, row))
    (base / "journal").mkdir()
    lines = [json.dumps({"next": 9 + k, "images": {f"front_{k}": {"1": 2, "3": 4}}}) for k in range(4)]
    (base / "journal/.identity.jsonl").write_text("\n".join(lines) + "\n")
    (base / f"journal/{NAMES_FILE}").write_text("".join(json.dumps(f"front_{k}") + "\n" for k in range(5)))
    (base / "prompted").mkdir()
    clicks = [{"image": "front_0", "xy": [10.5, 20.5], "positive": True}, {"xyz": [1.0, 2.0, 3.0], "positive": False}]
    runs = {"size": [120, 160], "counts": [2420, 40, 80, 40, 120 * 160 - 2580]}
    item = {"id": 7, "clicks": clicks, "level": "fine", "class": "object", "masks": {"front_0": runs}, "carried": ["front_0"]}
    item["facts"] = {"points": 20, "component": 0}
    document = {"objects": [item], "tracks": {"instances": [], "frame": {"kind": "arbitrary"}}, "points": {}, "laid": True}
    (base / "prompted/prompts.json").write_text(json.dumps(document))


def _make_messages(base: Path) -> None:
    (base / "messages").mkdir()
    number = 0
    for k in range(COUNT):
        for kind, (_, msgtype, make) in MESSAGES.items():
            stamp = START + k * SECOND
            number += 1
            (base / f"messages/{number:04d}.{kind}.cdr").write_bytes(JAZZY.serialize_cdr(make(k, stamp), msgtype))
    field = JAZZY.types["sensor_msgs/msg/PointField"]
    header = ROS2.header(START, "lidar")
    fields = [field(name=name, offset=4 * k, datatype=7, count=1) for k, name in enumerate(("x", "y", "z", "intensity"))]
    data = np.random.default_rng(3).random((50, 4)).astype(np.float32)
    message = JAZZY.types[CLOUD_TYPE](
        header=header, height=1, width=50, fields=fields, is_bigendian=False, point_step=16, row_step=800,
        data=np.frombuffer(data.tobytes(), np.uint8), is_dense=True,
    )  # fmt: skip
    (base / "cloud.cdr").write_bytes(JAZZY.serialize_cdr(message, CLOUD_TYPE))
