"""Messages on the map's topics that are not from this package: refused by a DataError, and the map of before stays."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

import contextlib

from geometry_msgs.msg import Pose, PoseArray
from helpers_map_nodes import header_of, scene
from sensor_msgs.msg import CameraInfo, NavSatFix, PointCloud2, PointField

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.ros.map_exchange.map_receiver import MapReceiver
from seg2d3d_ros.ros.messages import cloud_messages, map_messages
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, camera_to_info, make_header
from seg2d3d_ros.ros.messages.instance_messages import LABELLED_POINT

pytestmark = pytest.mark.ros
MAP = make_header(10, "map")


def whole_map() -> tuple[MapReceiver, list[tuple[str, PointCloud2]]]:
    """A receiver that holds a map, and the clouds it came in."""
    model, _ = scene(4)
    receiver = MapReceiver("map")
    headers = {name: header_of(name) for name in model.names}
    clouds = [("on_points", map_messages.points_to_cloud([model], MAP))]
    rows_of = map_messages.observations_of([model])
    clouds += [("on_observations", map_messages.observations_to_cloud(rows, headers[name])) for name, rows in rows_of.items()]
    clouds += [("on_observations", map_messages.end_mark(MAP))]
    receiver.on_cameras(map_messages.cameras_to_poses([model], headers, MAP))
    receiver.on_datum(map_messages.frame_to_fix(model.frame, MAP))
    for name, camera in zip(model.names, model.cameras, strict=True):
        receiver.on_camera_info(camera_to_info(camera, headers[name]))
    for method, cloud in clouds:
        getattr(receiver, method)(cloud)
    return receiver, clouds


def copy_of(cloud: PointCloud2) -> PointCloud2:
    fields = [PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count) for f in cloud.fields]
    copied = PointCloud2(
        header=cloud.header, height=cloud.height, width=cloud.width, fields=fields, point_step=cloud.point_step
    )
    copied.row_step, copied.is_bigendian, copied.data = cloud.row_step, cloud.is_bigendian, cloud.data
    return copied


def spoilt(cloud: PointCloud2, random: np.random.Generator) -> PointCloud2:
    """A cloud with one or two lies in it."""
    cloud = copy_of(cloud)
    for _ in range(random.integers(1, 3)):
        field = cloud.fields[random.integers(len(cloud.fields))] if cloud.fields else PointField()
        big = int(random.choice([0, 1, 3, 1000, 2**31, 2**32 - 1]))
        lie = random.integers(11)
        if lie == 0:
            cloud.width = big
        elif lie == 1:
            cloud.height = big
        elif lie == 2:
            cloud.point_step = big
        elif lie == 3:
            cloud.row_step = big
        elif lie == 4:
            field.offset = big
        elif lie == 5:
            field.count = big
        elif lie == 6:
            field.datatype = int(random.integers(0, 256))
        elif lie == 7:
            field.name = str(random.choice(["", "x", "y", "point_id", "\x1b[2J"]))
        elif lie == 8:
            cloud.is_bigendian = True
        elif lie == 9:
            cloud.data = bytes(random.integers(0, 256, len(cloud.data), np.uint8))
        else:
            cloud.data = bytes(cloud.data)[: random.integers(0, len(cloud.data) + 1)]
    return cloud


@pytest.mark.parametrize("seed", range(4))
def test_clouds_that_lie_end_as_refusals_and_never_otherwise(seed):
    random = np.random.default_rng(seed)
    refused = 0
    for _ in range(60):
        receiver, clouds = whole_map()
        for _ in range(3):
            method, cloud = clouds[random.integers(len(clouds))]
            try:
                getattr(receiver, method)(spoilt(cloud, random))
            except DataError:
                refused += 1
            receiver.missing(), receiver.surplus(), receiver.unknown_cameras(), receiver.revision
            receiver.models()
    assert refused > 60


@pytest.mark.parametrize(("field", "value"), [("x", np.nan), ("z", np.inf)])
def test_points_that_are_no_numbers_are_refused_and_the_map_stays(field, value):
    receiver, ((_, points), *_) = whole_map()
    rows = map_messages.wanted_fields(points, map_messages.MAP_POINT, "map/points")
    rows[field][3] = value
    with pytest.raises(DataError, match="map/points: 1 coordinates that are no numbers"):
        receiver.on_points(array_to_cloud(rows, make_header(11, "map")))
    assert receiver.revision == ("map", 10)
    assert len(receiver.models()) == 1


def test_observations_that_are_no_numbers_are_refused():
    receiver, _ = whole_map()
    rows = np.zeros(2, map_messages.OBSERVATION)
    rows["v"] = np.nan
    with pytest.raises(DataError, match="map/observations: 2 coordinates"):
        receiver.on_observations(map_messages.observations_to_cloud(rows, header_of("front_1")))


def test_a_component_beyond_all_reason_costs_no_memory():
    model, _ = scene(4)
    points = map_messages.wanted_fields(map_messages.points_to_cloud([model], MAP), map_messages.MAP_POINT, "map/points")
    points["component"] = 2**32 - 1
    found = map_messages.assemble(points, map_messages.observations_of([model]), model.frame)
    assert [len(part.point_ids) for part in found] == [len(model.point_ids)]


def test_poses_fixes_and_intrinsics_of_nonsense_do_no_harm():
    receiver, _ = whole_map()
    pose = Pose()
    pose.orientation.w = float("nan")
    receiver.on_cameras(PoseArray(header=MAP, poses=[pose] * 4))
    receiver.on_datum(NavSatFix(header=MAP, latitude=float("nan"), altitude=float("inf")))
    info = CameraInfo(header=header_of("front_1"), width=2**32 - 1, height=2**32 - 1)
    info.k = [float("nan")] * 9
    with contextlib.suppress(DataError):
        receiver.on_camera_info(info)
    (model,) = receiver.models()
    assert np.isnan(model.camera_from_world).all()


@pytest.mark.parametrize("bad", [-1, 70_000, 2**31 - 1])
def test_instance_ids_that_no_label_image_holds_are_refused(bad):
    points = np.zeros(3, LABELLED_POINT)
    points["instance_id"] = [0, 5, 2]
    points["class_id"] = [0, 7, 1]
    assert cloud_messages.classes_of(array_to_cloud(points, MAP)).tolist() == [0, 0, 1, 0, 0, 7]
    points["instance_id"][1] = bad
    with pytest.raises(DataError, match="instance ids"):
        cloud_messages.classes_of(array_to_cloud(points, MAP))


def test_a_cloud_of_another_kind_is_no_labelled_map():
    with pytest.raises(DataError, match="no field class_id, instance_id"):
        cloud_messages.classes_of(array_to_cloud(np.zeros(3, [("x", "f4")]), MAP))
