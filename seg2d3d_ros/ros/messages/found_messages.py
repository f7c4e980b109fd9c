"""Instances that words have found, as markers."""

from __future__ import annotations

from collections.abc import Sequence

from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from seg2d3d_ros.language.word_search import Found
from seg2d3d_ros.palette import instance_colors


def found_markers(found: Sequence[Found], header: Header) -> MarkerArray:
    """A sphere and the rank at each instance that has a position; doubtful ones are faint. The former answer's go."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for rank, item in enumerate(found, start=1):
        if item.position is None:
            continue
        x, y, z = item.position
        red, green, blue = (float(value) for value in instance_colors([item.id])[0] / 255.0)
        sphere = Marker(header=header, ns="found", id=item.id, type=Marker.SPHERE, action=Marker.ADD)
        sphere.pose.position = Point(x=x, y=y, z=z)
        sphere.scale.x = sphere.scale.y = sphere.scale.z = 2.0 if rank == 1 else 1.0
        sphere.color = ColorRGBA(r=red, g=green, b=blue, a=0.3 if item.doubtful else 0.9)
        name = Marker(header=header, ns="rank", id=item.id, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
        name.text = f"{rank}. {item.class_name} {item.id} ({item.similarity:.2f})"
        name.pose.position = Point(x=x, y=y, z=z + 2.0)
        name.scale.z = 0.8
        name.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        markers += [sphere, name]
    return MarkerArray(markers=markers)
