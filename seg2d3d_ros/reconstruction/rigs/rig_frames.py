"""Cameras that are mounted together: which images are one frame, and models in which their mounts hold.

The map's database and models know every image as a frame of its own, so that images may come in any order and models may
grow by single ones. ``to_rig_frames`` turns a model into one of frames of a rig, COLMAP's way, for adjustments in which the
mounts hold; ``to_single_frames`` turns it back.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.database import ImageRow


@dataclass(frozen=True)
class Rig:
    """The mounts of the cameras on one vehicle, and the images that they took.

    Attributes:
        mounts: camera name -> ``rig_from_camera`` in metres.
        frames: images of one moment, each camera at most once; in order of time. Frames of one image are among them.
        refine: whether adjustments may correct the mounts.
    """

    mounts: Mapping[str, Pose]
    frames: Sequence[Sequence[ImageRow]]
    refine: bool = False

    def pairs(self, first: set[int], second: set[int]) -> Iterator[tuple[ImageRow, ImageRow]]:
        """Two images of one frame, one in each set of image ids."""
        for frame in self.frames:
            for a in frame:
                for b in frame:
                    if a is not b and a.image_id in first and b.image_id in second:
                        yield a, b

    def relative(self, a: ImageRow, b: ImageRow) -> Pose:
        """``b_from_a`` in metres."""
        return self.mounts[b.camera_name].inverse() @ self.mounts[a.camera_name]


def make_rig(mounts: Mapping[str, Pose], rows: Sequence[ImageRow], tolerance: float, *, refine: bool) -> Rig | None:
    """The rig of these mounts, or None where no two images are of one frame.

    Args:
        mounts: camera name -> ``rig_from_camera``.
        rows: all images.
        tolerance: seconds between the first and the last image of a frame.
        refine: whether adjustments may correct the mounts.
    """
    own = sorted((r for r in rows if r.camera_name in mounts and r.features > 0), key=lambda r: (r.stamp_ns, r.image_id))
    frames: list[list[ImageRow]] = []
    for row in own:
        last = frames[-1] if frames else []
        near = last and row.stamp_ns > 0 and row.stamp_ns - last[0].stamp_ns <= tolerance * 1e9
        if near and row.camera_name not in {r.camera_name for r in last}:
            last.append(row)
        else:
            frames.append([row])
    return Rig(mounts, frames, refine) if any(len(frame) > 1 for frame in frames) else None


def camera_from_world(reconstruction: Any, image_id: int) -> Pose:
    """The pose of a registered image."""
    return Pose.from_colmap(reconstruction.image(image_id).cam_from_world())


@dataclass(frozen=True)
class SingleFrames:
    """A model's own rigs and frames, to go back to: frame id -> (rig id, data ids)."""

    rigs: list[Any]
    frames: dict[int, tuple[int, list[Any]]]


def to_rig_frames(reconstruction: Any, rig: Rig, metres: float) -> SingleFrames:
    """Make the images of one moment one frame, in place; its pose is the mean of what its registered images say.

    Images of a frame with a registered one get a pose by their mounts, even if they had none.

    Args:
        reconstruction: a ``pycolmap.Reconstruction`` in which each image is a frame.
        rig: the mounts.
        metres: length of the model's unit.
    """
    pycolmap = load_pycolmap()
    free = SingleFrames(
        [copy.deepcopy(r) for r in reconstruction.rigs.values()],
        {int(i): (int(f.rig_id), list(f.data_ids)) for i, f in reconstruction.frames.items()},
    )
    inside = [[r for r in frame if reconstruction.exists_image(r.image_id)] for frame in rig.frames]
    inside = [frame for frame in inside if frame]
    cameras = sorted({(r.camera_id, r.camera_name) for frame in inside for r in frame})
    made = pycolmap.Rig(rig_id=max(int(r.rig_id) for r in free.rigs) + 1)
    sensor_from_rig: dict[str, Pose] = {}
    for place, (camera_id, name) in enumerate(cameras):
        sensor = reconstruction.camera(camera_id).sensor_id
        sensor_from_rig[name] = (rig.mounts[name].inverse() @ rig.mounts[cameras[0][1]]).scaled(1 / metres)
        if place == 0:
            made.add_ref_sensor(sensor)
        else:
            made.add_sensor(sensor, sensor_from_rig[name].to_colmap())
    registered = set(reconstruction.reg_image_ids())
    tied = {r.image_id for frame in inside for r in frame}
    frames = []
    for number, frame in enumerate(inside, start=max(free.frames, default=0) + 1):
        whole = pycolmap.Frame(frame_id=number, rig_id=made.rig_id)
        for row in frame:
            whole.add_data_id(reconstruction.image(row.image_id).data_id)
        known = [r for r in frame if r.image_id in registered]
        if known:
            # The mean centre is wanted, not the mean translation.
            says = [camera_from_world(reconstruction, r.image_id).inverse() @ sensor_from_rig[r.camera_name] for r in known]
            weights = np.array([1.0 + reconstruction.image(r.image_id).num_points3D for r in known])
            whole.rig_from_world = Pose.stack(says).mean(weights).inverse().to_colmap()
        frames.append(whole)
    for number, (rig_id, data) in free.frames.items():
        if not any(d.id in tied for d in data):
            frames.append(_single(reconstruction, number, rig_id, data, registered))
    rigs = [made, *(r for r in free.rigs if r.ref_sensor_id.id not in {camera_id for camera_id, _ in cameras})]
    reconstruction.set_rigs_and_frames(rigs, frames)
    return free


def to_single_frames(reconstruction: Any, free: SingleFrames, *, keep: Collection[int]) -> None:
    """Undo ``to_rig_frames``, in place; the images ``keep`` keep their poses, others are no longer registered."""
    frames = [_single(reconstruction, number, rig_id, data, keep) for number, (rig_id, data) in free.frames.items()]
    reconstruction.set_rigs_and_frames(free.rigs, frames)


def _single(reconstruction: Any, number: int, rig_id: int, data: Sequence[Any], keep: Collection[int]) -> Any:
    """A frame of one image, with the pose that the image has at present if it is to be kept."""
    frame = load_pycolmap().Frame(frame_id=number, rig_id=rig_id)
    for item in data:
        frame.add_data_id(item)
        if item.id in keep and reconstruction.image(item.id).has_pose:
            frame.rig_from_world = reconstruction.image(item.id).cam_from_world()
    return frame


def mounts_of(reconstruction: Any, rig: Rig, metres: float) -> dict[str, Pose]:
    """Camera name -> ``rig_from_camera`` in metres, of a tied model: the given mounts, or as they were refined."""
    first = min((r.camera_id, r.camera_name) for frame in rig.frames for r in frame)[1]
    found = {first: rig.mounts[first]}
    for made in reconstruction.rigs.values():
        for sensor, sensor_from_rig in made.non_ref_sensors.items():
            name = next(r.camera_name for frame in rig.frames for r in frame if r.camera_id == sensor.id)
            found[name] = rig.mounts[first] @ Pose.from_colmap(sensor_from_rig).scaled(metres).inverse()
    return found
