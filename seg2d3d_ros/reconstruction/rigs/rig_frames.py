"""Cameras that are mounted together: which images are one frame, and models in which their mounts hold.

The map's database and models hold every image as a frame of its own, so that images may come in any order, one by one.
``to_rig_frames`` turns a model into one of frames of a rig, COLMAP's way, for adjustments in which the mounts hold;
``to_single_frames`` turns it back.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.rigs.moments import Pairing, find_moments

SHORTEST = 0.003
"""Metres: cameras that are nearer to each other count as at one place."""


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

    def pairs(self, first: Collection[int], second: Collection[int]) -> Iterator[tuple[ImageRow, ImageRow]]:
        """Two images of one frame, one in each collection of image ids."""
        first, second = set(first), set(second)
        for frame in self.frames:
            for a in frame:
                for b in frame:
                    if a is not b and a.image_id in first and b.image_id in second:
                        yield a, b

    @property
    def has_length(self) -> bool:
        """Whether cameras of one frame lie apart; the views of a panorama do not, and hold in a model of any scale."""
        return any(
            np.linalg.norm(self.relative(frame[0], b).translation) > SHORTEST for frame in self.frames for b in frame[1:]
        )

    @property
    def exact(self) -> bool:
        """Whether all that it says is how the views of single panoramas lie to each other, which nothing can contradict."""
        return all(row.panorama and row.panorama == frame[0].panorama for frame in self.frames for row in frame)

    def companions(self, image_ids: Collection[int]) -> set[int]:
        """These images, and all views of the panoramas of which some are among them: their poses are known exactly."""
        known = {row.panorama for frame in self.frames for row in frame if row.image_id in image_ids} - {""}
        return {*image_ids, *(row.image_id for frame in self.frames for row in frame if row.panorama in known)}

    def relative(self, a: ImageRow, b: ImageRow) -> Pose:
        """``b_from_a`` in metres."""
        return self.mounts[b.camera_name].inverse() @ self.mounts[a.camera_name]


def make_rig(
    mounts: Mapping[str, Pose],
    rows: Sequence[ImageRow],
    tolerance: float,
    pairing: Pairing = "auto",
    *,
    refine: bool,
    loose: Collection[str] = (),
) -> Rig | None:
    """The rig of these mounts, or None where no two images are of one frame.

    Args:
        mounts: camera name -> ``rig_from_camera``.
        rows: all images.
        tolerance: seconds between the first and the last image of a frame.
        pairing: what tells which images are of one frame, see ``find_moments``.
        refine: whether adjustments may correct the mounts; those of a panorama's views are exact.
        loose: cameras that are views of panoramas whose place on the vehicle is unknown: each panorama is a frame of its own.
    """
    own = [r for r in rows if r.camera_name in mounts and r.features > 0]
    frames = [part for moment in find_moments(own, tolerance, pairing) for part in _bodies(moment, loose)]
    refine = refine and not any(row.panorama for row in own)
    return Rig(mounts, frames, refine) if any(len(frame) > 1 for frame in frames) else None


def _bodies(moment: Sequence[ImageRow], loose: Collection[str]) -> list[list[ImageRow]]:
    """The images of one moment, those apart whose places to each other are unknown."""
    bodies: dict[str, list[ImageRow]] = {}
    for row in moment:
        bodies.setdefault(row.panorama if row.camera_name in loose else "", []).append(row)
    return list(bodies.values())


def camera_from_world(model: pycolmap.Reconstruction, image_id: int) -> Pose:
    """The pose of a registered image."""
    return Pose.from_colmap(model.image(image_id).cam_from_world())


@dataclass(frozen=True)
class SingleFrames:
    """A model's own rigs and frames, to go back to: frame id -> (rig id, data ids)."""

    rigs: list[pycolmap.Rig]
    frames: dict[int, tuple[int, list[pycolmap.data_t]]]


def to_rig_frames(model: pycolmap.Reconstruction, rig: Rig) -> SingleFrames:
    """Make the images of one moment one frame, in place; its pose is the mean of what its registered images say.

    Images of a frame with a registered one get a pose by their mounts, even if they had none.

    Args:
        model: in metres, each image a frame of its own.
        rig: the mounts.
    """
    single = SingleFrames(
        [copy.deepcopy(r) for r in model.rigs.values()], {i: (f.rig_id, list(f.data_ids)) for i, f in model.frames.items()}
    )
    inside = [[r for r in frame if model.exists_image(r.image_id)] for frame in rig.frames]
    inside = [frame for frame in inside if frame]
    cameras = sorted({(r.camera_id, r.camera_name) for frame in inside for r in frame})
    made = pycolmap.Rig(rig_id=max(r.rig_id for r in single.rigs) + 1)
    sensor_from_rig: dict[str, Pose] = {}
    for place, (camera_id, name) in enumerate(cameras):
        sensor = model.camera(camera_id).sensor_id
        sensor_from_rig[name] = rig.mounts[name].inverse() @ rig.mounts[cameras[0][1]]
        if place == 0:
            made.add_ref_sensor(sensor)
        else:
            made.add_sensor(sensor, sensor_from_rig[name].to_colmap())
    registered = set(model.reg_image_ids())
    mounted = {r.image_id for frame in inside for r in frame}
    frames = []
    for number, rows in enumerate(inside, start=max(single.frames, default=0) + 1):
        frame = pycolmap.Frame(frame_id=number, rig_id=made.rig_id)
        for row in rows:
            frame.add_data_id(model.image(row.image_id).data_id)
        known = [r for r in rows if r.image_id in registered]
        if known:
            # The mean of the rig's places in the world, not of the world's places in the rig.
            world_from_rig = [camera_from_world(model, r.image_id).inverse() @ sensor_from_rig[r.camera_name] for r in known]
            weights = np.array([1.0 + model.image(r.image_id).num_points3D for r in known])
            frame.rig_from_world = Pose.stack(world_from_rig).mean(weights).inverse().to_colmap()
        frames.append(frame)
    for number, (rig_id, data) in single.frames.items():
        if not any(d.id in mounted for d in data):
            frames.append(_single(model, number, rig_id, data, registered))
    rigs = [made, *(r for r in single.rigs if r.ref_sensor_id.id not in {camera_id for camera_id, _ in cameras})]
    model.set_rigs_and_frames(rigs, frames)
    return single


def to_single_frames(model: pycolmap.Reconstruction, single: SingleFrames, *, keep: Collection[int]) -> None:
    """Undo ``to_rig_frames``, in place; the images ``keep`` keep their poses, others lose these and see no point any more."""
    for image_id in set(model.reg_image_ids()) - set(keep):
        for place in list(model.image(image_id).get_observation_point2D_idxs()):
            if model.image(image_id).point2D(place).has_point3D():  # else its point went with the observation before
                model.delete_observation(image_id, place)
    frames = [_single(model, number, rig_id, data, keep) for number, (rig_id, data) in single.frames.items()]
    model.set_rigs_and_frames(single.rigs, frames)


def _single(
    model: pycolmap.Reconstruction, number: int, rig_id: int, data: Sequence[pycolmap.data_t], keep: Collection[int]
) -> pycolmap.Frame:
    """A frame of one image, with the pose that the image has at present if it is to be kept."""
    frame: pycolmap.Frame = pycolmap.Frame(frame_id=number, rig_id=rig_id)
    for item in data:
        frame.add_data_id(item)
        if item.id in keep and model.image(item.id).has_pose:
            frame.rig_from_world = model.image(item.id).cam_from_world()
    return frame
