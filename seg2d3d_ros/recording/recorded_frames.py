"""Where the sensors of a recorded vehicle are, by ``/tf_static`` and ``/tf``."""

from __future__ import annotations

from itertools import islice

from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.recording.reader import Recording
from seg2d3d_ros.recording.topics import TF


def recorded_frames(recording: Recording, dynamic: int = 0) -> FrameTree:
    """The recorded frames: the static ones, and those of the first ``dynamic`` messages on other topics, ``/tf``."""
    tree = FrameTree()
    for name, types in recording.types.items():
        static = name.endswith("tf_static")
        if TF in types and (static or dynamic):
            for _, _, message in islice(recording.messages([name]), None if static else dynamic):
                tree.add_message(message, static=static)
    return tree
