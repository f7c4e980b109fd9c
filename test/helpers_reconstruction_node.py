"""reconstruction_node with a worker that answers at once with prepared models."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseArray
from helpers_map_nodes import header_of, value
from helpers_ros import wait_for
from nav_msgs.msg import Path
from sensor_msgs.msg import CameraInfo, CompressedImage, NavSatFix, PointCloud2
from std_srvs.srv import Trigger

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.worker.worker_events import Added, Failed, Rejected, Revised
from seg2d3d_ros.ros.map_exchange import map_completion
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, fix_from_geo, keyframe_name
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.types import SparseModel


class PreparedWorker:
    """Answers at once: every decodable-looking keyframe is added, every solution is the prepared model of those."""

    models: dict[int, SparseModel] = {}  # noqa: RUF012  (set by the test)
    residuals = None
    busy = False

    def __init__(self, *_args):
        self.news, self.names, self.closed = [], [], False

    def add(self, keyframe, ignore=None, image_scale=1.0):
        if keyframe.encoded.startswith(b"\xff\xd8\xff"):
            self.names.append(keyframe.name)
            self.news.append(Added(keyframe.name, 100))
        else:
            self.news.append(Rejected(keyframe.name, f"{keyframe.name}: no image"))

    def solve(self):
        model = self.models.get(len(self.names))
        answer = Reconstruction([model], {}, {"mapping": 0.1}, residuals=self.residuals)
        self.news.append(Revised(answer) if model else Failed("no overlap"))

    def events(self):
        news, self.news = self.news, []
        return news

    def cancel(self):
        return False

    def close(self):
        self.closed = True


class ReconstructionBench:
    def __init__(self, world, map_dir, monkeypatch, models, **parameters):
        monkeypatch.setattr(PreparedWorker, "models", models)
        monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: PreparedWorker)
        monkeypatch.setattr(map_completion, "write_report_if_possible", lambda _store: "no report")
        self.world = world
        self.images = world.probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.infos = world.probe.create_publisher(CameraInfo, "keyframes/camera_info", qos.KEYFRAMES)
        self.fixes = world.probe.create_publisher(NavSatFix, "keyframes/fix", qos.KEYFRAMES)
        self.points = world.collect(PointCloud2, "map/points", qos.LATCHED)
        self.cameras = world.collect(PoseArray, "map/cameras", qos.LATCHED)
        self.observations = world.collect(PointCloud2, "map/observations", qos.OBSERVATIONS)
        self.path = world.collect(Path, "map/path/front", qos.LATCHED)
        defaults = {"update_every": 1000, "update_idle": 1000.0, "segmentation__segmenter": "none"}
        self.node = world.add(ReconstructionNode, map_dir=str(map_dir), **{**defaults, **parameters})
        assert wait_for(lambda: all(p.get_subscription_count() for p in (self.images, self.infos, self.fixes)))
        assert wait_for(lambda: self.node._publisher._observations.get_subscription_count())

    def keyframe(self, name, encoded=None):
        encoded = encoded or encode_jpeg(np.full((48, 64, 3), 90 + 10 * int(name[-1]), np.uint8))
        received = int(value(self.node, "keyframes received") or 0)
        self.infos.publish(CameraInfo(header=header_of(name)))
        self.fixes.publish(fix_from_geo(None, header_of(name)))
        self.images.publish(bytes_to_compressed(encoded, header_of(name)))
        assert wait_for(lambda: int(value(self.node, "keyframes received") or 0) > received)

    def finalize(self):
        return self.world.call(Trigger, "finalize")

    def sent(self):
        """Names of the keyframes since the last look, and the end marks among them."""
        names = [keyframe_name(m.header) if m.header.frame_id != "map" else "end" for m in self.observations]
        self.observations.clear()
        return names
